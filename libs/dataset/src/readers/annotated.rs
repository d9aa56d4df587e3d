//! From annotated pictures to rows: one for each picture and each category that is asked for on it.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
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
    /// What about them cannot be used, so that nobody knows all of them.
    pub(crate) unusable: Option<String>,
}

impl Marked {
    /// Adds an object; without an area it fills its box.
    pub(crate) fn push(&mut self, corners: [f64; 4], area: Option<f64>) {
        let [x1, y1, x2, y2] = corners;
        self.corners.push(corners);
        self.areas.push(area.unwrap_or((x2 - x1) * (y2 - y1)));
    }

    /// Notes that an object cannot be used, by where it stands.
    pub(crate) fn lacks(&mut self, what: &str) {
        self.unusable.get_or_insert_with(|| what.to_owned());
    }

    /// Whether this very box is there already, around an object or a crowd.
    pub(crate) fn has(&self, corners: &[f64; 4], is_crowd: bool) -> bool {
        if is_crowd { self.crowds.contains(corners) } else { self.corners.contains(corners) }
    }

    /// Adds the boxes of another part of the same; those that are there already are left out and counted.
    fn absorb(&mut self, other: Self) -> usize {
        let Self { corners, areas, crowds, outlines, labels, unusable } = other;
        self.unusable = self.unusable.take().or(unusable);
        let mut n_twice = 0;
        for (idx, (corners, area)) in corners.into_iter().zip(areas).enumerate() {
            if self.has(&corners, false) {
                n_twice += 1;
                continue;
            }
            self.push(corners, Some(area));
            self.outlines.extend(outlines.get(idx).cloned());
            self.labels.extend(labels.get(idx).cloned());
        }
        for crowd in crowds {
            if self.has(&crowd, true) { n_twice += 1 } else { self.crowds.push(crowd) }
        }
        n_twice
    }
}

/// Boxes that a file has several times: the same picture, category and numbers.
pub(super) fn note_twice(n_twice: usize) -> Option<String> {
    (n_twice > 0).then(|| {
        let (boxes, are) = if n_twice == 1 { ("box", "is") } else { ("boxes", "are") };
        format!(
            "{n_twice} {boxes} {are} there already, on the same picture and of the same category: each is counted once"
        )
    })
}

/// The pictures, each once: what is annotated apart about one file belongs together, else each part would be half a truth.
/// Also what should be known of it.
pub(super) fn merged(images: Vec<Annotated>, mut n_twice: usize) -> (Vec<Annotated>, Vec<String>) {
    let mut places: HashMap<(String, Option<(u64, u64)>), usize> = HashMap::new();
    let mut kept: Vec<Annotated> = Vec::with_capacity(images.len());
    let mut joined = Vec::new();
    for image in images {
        let Some(Shown::Named(file)) = &image.picture else {
            kept.push(image);
            continue;
        };
        // Boxes of another size of the picture are in other pixels.
        let size = image.size.map(|(width, height)| (width.to_bits(), height.to_bits()));
        match places.entry((file.clone(), size)) {
            Entry::Vacant(free) => {
                free.insert(kept.len());
                kept.push(image);
            }
            Entry::Occupied(place) => {
                joined.push(format!("{} ({file})", image.name));
                n_twice += kept[*place.get()].absorb(image);
            }
        }
    }
    let n = joined.len();
    let mut notes = Vec::new();
    if n > 0 {
        let more = if n > N_NAMED { ", ..." } else { "" };
        let named = joined.iter().take(N_NAMED).cloned().collect::<Vec<_>>().join(", ");
        notes.push(format!(
            "{n} {} a picture that is there under another id: {named}{more}; their boxes belong to it",
            if n == 1 { "entry is about" } else { "entries are about" }
        ));
    }
    notes.extend(note_twice(n_twice));
    (kept, notes)
}

/// Counts annotations that cannot be used as bad rows. One alone is a slip, which is told and not counted: a small file is
/// not refused for it.
pub(crate) fn count_bad(bad: Vec<Skipped>, found: &mut Found) {
    if bad.len() == 1 {
        found.skipped_parts.extend(bad);
    } else {
        found.rows.extend(bad.into_iter().map(Err));
    }
}

/// Entries about one picture that a note names.
const N_NAMED: usize = 3;

impl Annotated {
    /// Adds what is annotated apart about the same picture; boxes that are there already are counted.
    fn absorb(&mut self, other: Self) -> usize {
        if let (Some(absent), Some(others)) = (&mut self.absent, other.absent) {
            absent.extend(others);
        }
        let boxes = other.boxes.into_iter();
        boxes.map(|(name, marked)| self.boxes.entry(name).or_default().absorb(marked)).sum()
    }

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
        boxes.filter(|(_, marked)| self.is_asked(marked))
    }

    /// Whether objects can be asked for: there is one at least, and where not all of them are known, the picture's size is, so
    /// that it can be marked as a whole.
    fn is_asked(&self, marked: &Marked) -> bool {
        !marked.corners.is_empty() && (marked.unusable.is_none() || self.size.is_some())
    }

    /// The objects of a category. Where not all are known the picture is marked as a whole like a crowd, so that finding more
    /// of them is no mistake.
    fn marked(&self, marked: &Marked) -> Marked {
        let mut marked = marked.clone();
        if let (Some(_), Some((width, height))) = (&marked.unusable, self.size) {
            marked.crowds.push([0.0, 0.0, width, height]);
        }
        marked
    }

    /// The questions that are asked for and left out, since nobody knows their whole answer.
    fn left_out<'a>(
        &'a self,
        asked: &'a BTreeSet<Arc<str>>,
        next_row: usize,
    ) -> impl Iterator<Item = Skipped> {
        let boxes = self.boxes.iter().filter(|(name, _)| asked.contains(*name));
        let boxes = boxes.filter(|(_, marked)| !self.is_asked(marked));
        boxes.filter_map(move |(category, marked)| {
            Some(Skipped {
                place: format!("the question {}", self.sample_id(category)),
                row: self.row.unwrap_or(next_row),
                why: format!(
                    "{} cannot be used, so that its true answer would lack an object",
                    marked.unusable.as_ref()?
                ),
            })
        })
    }

    /// The name of the question for a category.
    fn sample_id(&self, category: &str) -> String {
        format!("{}-{category}", self.name).replace('/', "-")
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
        found.skipped_parts.extend(image.left_out(&asked, found.rows.len()));
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
    let sample_id = image.sample_id(category).into();
    let origin = Origin { file: file.clone(), row, sample_id };
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
            truth: DraftTruth::Boxes {
                marked: image.marked(marked),
                size: image.size,
                open: image.open,
            },
        }),
    };
    found.rows.push(draft);
}
