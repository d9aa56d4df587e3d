//! From annotated pictures to rows: one for each picture and each category that is asked for on it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::fields::{Draft, DraftTruth, Found};
use crate::forms::Open;
use crate::pictures::PictureIdx;
use crate::row::Skipped;
use crate::select::{self, Absent, Selection};
use crate::{DatasetError, Origin, Outline, Question};

/// A picture and the boxes on it.
#[derive(Debug, Default)]
pub(crate) struct Annotated {
    /// Name of the picture in sample ids.
    pub(crate) name: String,
    /// Number of its row in the file, where it has one.
    pub(crate) row: Option<usize>,
    pub(crate) picture: Option<Shown>,
    /// What is open about the numbers of its boxes; `None` where these are corners in pixels.
    pub(crate) open: Option<Open>,
    /// Width and height in pixels that the annotations speak of, where they say so.
    pub(crate) size: Option<(f64, f64)>,
    /// The boxes of each category, by its name.
    pub(crate) boxes: BTreeMap<Arc<str>, Marked>,
    /// Categories that were looked for and are not there; `None` where each was looked for.
    pub(crate) absent: Option<BTreeSet<Arc<str>>>,
}

/// The picture of annotations.
#[derive(Debug, Clone)]
pub(crate) enum Shown {
    /// The name of its file, which is not looked for before something is asked about it.
    Named(String),
    /// One that was taken in already.
    Known(PictureIdx),
}

/// The boxes of one category on a picture, as corners `[x1, y1, x2, y2]` in pixels of the annotations.
#[derive(Debug, Clone, Default)]
pub(crate) struct Marked {
    /// The boxes around single objects.
    pub(crate) corners: Vec<[f64; 4]>,
    /// Pixels that each of these covers.
    pub(crate) areas: Vec<f64>,
    /// Around many objects at once.
    pub(crate) crowds: Vec<[f64; 4]>,
    /// The shape of each single object, where it was asked for.
    pub(crate) outlines: Vec<Outline>,
    /// What each single object is called, where the question does not say it; else empty.
    pub(crate) labels: Vec<Arc<str>>,
}

impl Marked {
    /// Adds an object; without an area it fills its box.
    pub(crate) fn push(&mut self, corners: [f64; 4], area: Option<f64>) {
        let [x1, y1, x2, y2] = corners;
        self.corners.push(corners);
        self.areas.push(area.unwrap_or((x2 - x1) * (y2 - y1)));
    }
}

impl Annotated {
    /// Categories that are asked for and known not to be there, in the order of their names.
    fn absent<'a>(&'a self, asked: &'a BTreeSet<Arc<str>>) -> impl Iterator<Item = &'a Arc<str>> {
        // In LVIS each picture names a few of a thousand.
        let looked_for = self.absent.as_ref().unwrap_or(asked);
        looked_for.iter().filter(|name| asked.contains(*name) && !self.boxes.contains_key(*name))
    }

    /// The categories that are asked for and have an object there, and not only a crowd.
    fn present<'a>(
        &'a self,
        asked: &'a BTreeSet<Arc<str>>,
    ) -> impl Iterator<Item = (&'a Arc<str>, &'a Marked)> {
        let boxes = self.boxes.iter().filter(|(name, _)| asked.contains(*name));
        boxes.filter(|(_, marked)| !marked.corners.is_empty())
    }
}

/// Adds the rows of all pictures in their order, and in the order of the categories' names; rows about a picture share it.
///
/// # Errors
/// A category is asked for that the data set does not have.
pub(crate) fn push_all(
    images: &[Annotated],
    known: &BTreeSet<Arc<str>>,
    selection: &Selection,
    file: &Arc<Path>,
    found: &mut Found,
) -> Result<(), DatasetError> {
    let asked: BTreeSet<Arc<str>> = selection.among(file, known)?.into_iter().collect();
    let n_absent: Vec<usize> = match selection.absent {
        Absent::None => vec![0; images.len()],
        _ => images.iter().map(|image| image.absent(&asked).count()).collect(),
    };
    let total: usize = n_absent.iter().sum();
    let drawn: Vec<usize> = match selection.absent {
        Absent::None => Vec::new(),
        Absent::Every => (0..total).collect(),
        Absent::Share(rate) => {
            let n_present: usize = images.iter().map(|image| image.present(&asked).count()).sum();
            select::draw_absent(total, (rate * n_present as f64).round() as usize)
        }
    };
    let (nothing, mut drawn, mut start) = (Marked::default(), drawn.into_iter().peekable(), 0);
    for (image, n_absent) in images.iter().zip(n_absent) {
        let mut rows: BTreeMap<&Arc<str>, &Marked> = image.present(&asked).collect();
        let end = start + n_absent;
        if drawn.peek().is_some_and(|place| *place < end) {
            let absent: Vec<&Arc<str>> = image.absent(&asked).collect();
            while let Some(place) = drawn.next_if(|place| *place < end) {
                rows.insert(absent[place - start], &nothing);
            }
        }
        start = end;
        for (category, marked) in rows {
            push(image, category, marked, file, found);
        }
    }
    Ok(())
}

fn push(
    image: &Annotated,
    category: &Arc<str>,
    marked: &Marked,
    file: &Arc<Path>,
    found: &mut Found,
) {
    let row = image.row.unwrap_or(found.rows.len());
    let sample_id = format!("{}-{category}", image.name).replace('/', "-");
    let origin = Origin { file: file.clone(), row, sample_id: sample_id.into() };
    let draft = match &image.picture {
        None => Err(Skipped {
            place: origin.place(),
            row,
            why: format!("image {} has no file_name", image.name),
        }),
        Some(shown) => Ok(Draft {
            origin,
            question: Question::Category(category.clone()),
            pictures: vec![match shown {
                Shown::Named(name) => found.pictures.add_name(name),
                Shown::Known(picture) => *picture,
            }],
            truth: DraftTruth::Boxes { marked: marked.clone(), size: image.size, open: image.open },
        }),
    };
    found.rows.push(draft);
}
