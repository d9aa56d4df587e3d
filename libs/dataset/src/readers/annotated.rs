//! From annotated pictures to rows: one for each picture and each category on it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::fields::{Draft, DraftTruth, Found};
use crate::row::Skipped;
use crate::{Origin, Question};

/// A picture and the boxes on it.
#[derive(Debug)]
pub(crate) struct Annotated {
    /// Name of the picture in sample ids.
    pub(crate) name: String,
    /// Name of its file.
    pub(crate) picture: Option<String>,
    /// Width and height in pixels that the annotations speak of, where they say so.
    pub(crate) size: Option<(f64, f64)>,
    /// The boxes of each category, by its name.
    pub(crate) boxes: BTreeMap<Arc<str>, Marked>,
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

/// Adds the rows of a picture in the order of the categories' names; they share the picture.
pub(crate) fn push_rows(image: &Annotated, file: &Arc<Path>, found: &mut Found) {
    // What is known of a category is only that there are many: nothing to ask for.
    let asked = || image.boxes.iter().filter(|(_, marked)| !marked.corners.is_empty());
    if asked().next().is_none() {
        return;
    }
    let picture = image.picture.as_deref().map(|name| found.pictures.add_name(name));
    for (category, marked) in asked() {
        let row = found.rows.len();
        let sample_id = format!("{}-{category}", image.name).replace('/', "-");
        let origin = Origin { file: file.clone(), row, sample_id: sample_id.into() };
        found.rows.push(match picture {
            None => Err(Skipped {
                place: origin.place(),
                row,
                why: format!("image {} has no file_name", image.name),
            }),
            Some(picture) => Ok(Draft {
                origin,
                question: Question::Category(category.clone()),
                pictures: vec![picture],
                truth: DraftTruth::Boxes { marked: marked.clone(), size: image.size },
            }),
        });
    }
}
