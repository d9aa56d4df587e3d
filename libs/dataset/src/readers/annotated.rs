//! From annotated pictures to rows: one for each picture and each category that is asked for on it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::fields::{Draft, DraftTruth, Found};
use crate::row::Skipped;
use crate::select::{self, Absent, Selection};
use crate::{DatasetError, Origin, Question};

/// A picture and the boxes on it.
#[derive(Debug, Default)]
pub(crate) struct Annotated {
    /// Name of the picture in sample ids.
    pub(crate) name: String,
    /// Name of its file.
    pub(crate) picture: Option<String>,
    /// Width and height in pixels that the annotations speak of, where they say so.
    pub(crate) size: Option<(f64, f64)>,
    /// The boxes of each category, by its name.
    pub(crate) boxes: BTreeMap<Arc<str>, Marked>,
    /// Categories that were looked for and are not there; `None` where each was looked for.
    pub(crate) absent: Option<BTreeSet<Arc<str>>>,
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
    /// Whether there is an object of this category, and not only a crowd.
    fn shows(&self, category: &str) -> bool {
        self.boxes.get(category).is_some_and(|marked| !marked.corners.is_empty())
    }

    /// Whether it is known that there is none.
    fn lacks(&self, category: &str) -> bool {
        !self.boxes.contains_key(category)
            && self.absent.as_ref().is_none_or(|absent| absent.contains(category))
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
    let asked = selection.among(file, known)?;
    let pairs = || images.iter().flat_map(|image| asked.iter().map(move |name| (image, name)));
    let n_absent = || pairs().filter(|(image, name)| image.lacks(name)).count();
    let n_present = || pairs().filter(|(image, name)| image.shows(name)).count();
    let drawn: Vec<usize> = match selection.absent {
        Absent::None => Vec::new(),
        Absent::Every => (0..n_absent()).collect(),
        Absent::Share(rate) => {
            let n = (rate * n_present() as f64).round() as usize;
            select::draw_absent(n_absent(), n)
        }
    };
    let mut drawn = drawn.into_iter().peekable();
    let mut place = 0;
    for (image, category) in pairs() {
        if image.shows(category) {
            push(image, category, &image.boxes[category], file, found);
        } else if image.lacks(category) {
            if drawn.next_if_eq(&place).is_some() {
                push(image, category, &Marked::default(), file, found);
            }
            place += 1;
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
    let row = found.rows.len();
    let sample_id = format!("{}-{category}", image.name).replace('/', "-");
    let origin = Origin { file: file.clone(), row, sample_id: sample_id.into() };
    let draft = match &image.picture {
        None => Err(Skipped {
            place: origin.place(),
            row,
            why: format!("image {} has no file_name", image.name),
        }),
        Some(name) => Ok(Draft {
            origin,
            question: Question::Category(category.clone()),
            pictures: vec![found.pictures.add_name(name)],
            truth: DraftTruth::Boxes { marked: marked.clone(), size: image.size },
        }),
    };
    found.rows.push(draft);
}
