//! From a draft to a row: its pictures looked up, its boxes compared with them.

use std::sync::Arc;

use crate::forms::Open;
use crate::geometry::{self, Frame};
use crate::readers::{Draft, DraftTruth};
use crate::row::Skipped;
use crate::{BboxForm, Boxes, BoxesAre, Picture, Question, Row, Truth};

/// A row whose pictures are there.
pub(crate) struct Checked {
    pub(crate) draft: Draft,
    pictures: Vec<Arc<Picture>>,
    /// What is known about the pixels of its boxes, if it has boxes.
    pub(crate) frame: Frame,
}

impl Checked {
    /// Looks the pictures up.
    pub(crate) fn new(
        draft: Draft,
        pictures: &[Result<Arc<Picture>, String>],
    ) -> Result<Self, Skipped> {
        let bad = |why: String| draft.origin.skipped(why);
        let found = draft.pictures.iter().map(|idx| pictures[*idx].clone());
        let found: Vec<Arc<Picture>> = found.collect::<Result<_, _>>().map_err(bad)?;
        let frame = match (&draft.truth, &found[..]) {
            (DraftTruth::Boxes { size, .. }, [picture, ..]) => {
                geometry::frame(picture.header(), *size).map_err(|why| bad(named(picture, &why)))?
            }
            (DraftTruth::Sized { size, .. }, [picture, ..]) => {
                let frame = geometry::frame(picture.header(), Some(*size));
                frame.map_err(|why| bad(named(picture, &format!("{why}{OF_WORDS}"))))?;
                Frame::Upright
            }
            _ => Frame::Upright,
        };
        Ok(Self { draft, pictures: found, frame })
    }

    /// The first of its pictures.
    pub(crate) fn first(&self) -> Option<&Picture> {
        self.pictures.first().map(|picture| &**picture)
    }

    /// What was open about its boxes; `None` for a row that has none, or whose boxes are corners in pixels.
    pub(crate) fn open(&self) -> Option<Open> {
        match &self.draft.truth {
            DraftTruth::Boxes { open, .. } => *open,
            DraftTruth::Text(_) | DraftTruth::Sized { .. } => None,
        }
    }

    /// The four numbers of each of its boxes, as far as they are known.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = &[f64; 4]> {
        let marked = match &self.draft.truth {
            DraftTruth::Boxes { marked, .. } => Some(marked),
            DraftTruth::Text(_) | DraftTruth::Sized { .. } => None,
        };
        marked.into_iter().flat_map(|marked| marked.corners.iter().chain(&marked.crowds))
    }

    /// Whether all boxes lie within the picture if they are in such pixels.
    pub(crate) fn fits(&self, boxes_are: BoxesAre) -> bool {
        self.first().is_none_or(|first| geometry::fit(self.numbers(), first.header(), boxes_are))
    }

    /// What to do where its boxes lie within the picture in the other way alone than the annotated size tells.
    fn against_size(&self, told: BoxesAre) -> Option<String> {
        let other = told.other();
        (!self.fits(told) && self.fits(other)).then(|| {
            let (told, other) = (told.name(), other.name());
            format!(
                "; its annotated size is that of the picture as {told}, and its boxes lie within it only as {other}: mend the \
                 size, or read the boxes of all turned pictures by data.boxes_are = {other:?}"
            )
        })
    }

    /// The row with its boxes on upright pictures; `chosen` says of which pixels they are where their size does not, or of all
    /// where it is declared. `form` is what is declared of the numbers of boxes.
    pub(crate) fn finish(
        self,
        chosen: BoxesAre,
        is_declared: bool,
        form: Option<BboxForm>,
    ) -> Result<Row, Skipped> {
        let of_size = match self.frame {
            Frame::Known(told) if !is_declared => self.against_size(told),
            _ => None,
        };
        let Self { draft, pictures, frame } = self;
        let truth = match (draft.truth, &pictures[..]) {
            (DraftTruth::Text(text) | DraftTruth::Sized { text, .. }, _) => Truth::Text(text),
            (DraftTruth::Boxes { marked, open, .. }, [picture, ..]) => {
                let boxes_are = match frame {
                    Frame::Upright => BoxesAre::Displayed,
                    Frame::Known(known) if !is_declared => known,
                    _ => chosen,
                };
                // In the other files of this ending, data.bbox says nothing.
                let is_coco = matches!(draft.question, Question::Category(_))
                    && draft.origin.file.extension().is_some_and(|name| name == "json");
                let may_be_corners = is_coco && open.is_none() && form.is_none();
                let upright = |corners: &[[f64; 4]]| {
                    geometry::upright(corners, picture.header(), boxes_are).map_err(|why| {
                        let header = picture.header();
                        let hint = geometry::corners_for_sides(corners, header, boxes_are);
                        let hint = hint.filter(|_| may_be_corners);
                        let hint = hint.unwrap_or(if open.is_some() { OF_OPEN } else { "" });
                        let hint = of_size.as_deref().unwrap_or(hint);
                        draft.origin.skipped(named(picture, &format!("{why}{hint}")))
                    })
                };
                let objects = upright(&marked.corners)?;
                if !marked.outlines.is_empty() && frame != Frame::Upright {
                    let why = "EXIF turns the picture, and shapes are not turned with it";
                    return Err(draft.origin.skipped(named(picture, why)));
                }
                let boxes = Boxes::new(objects, marked.areas.into(), upright(&marked.crowds)?);
                Truth::Boxes(boxes.with_outlines(marked.outlines).with_labels(marked.labels))
            }
            (DraftTruth::Boxes { .. }, _) => {
                return Err(draft.origin.skipped("boxes without a picture".to_owned()));
            }
        };
        Ok(Row { origin: draft.origin, question: draft.question, pictures, truth })
    }
}

/// What to do where the boxes of a solution are those of a picture of another size.
const OF_WORDS: &str = "; write them in pixels of this one, or take the width and the height out; where they count no pixels, \
                        data.space says what";

/// What may be the reason where boxes of a column leave their picture.
const OF_OPEN: &str = "; data.space says what the numbers of its boxes count (left out, pixels), and data.bbox whether they \
                       are corners";

/// What is wrong, behind the name of the picture's file.
fn named(picture: &Picture, why: &str) -> String {
    picture.path().map_or_else(|| format!("image: {why}"), |path| format!("image {path:?}: {why}"))
}
