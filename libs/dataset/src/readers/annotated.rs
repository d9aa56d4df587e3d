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
    /// Corners `[x1, y1, x2, y2]` in pixels, by category.
    pub(crate) boxes: BTreeMap<Arc<str>, Vec<[f64; 4]>>,
}

/// Adds the rows of a picture in the order of the categories' names; they share the picture.
pub(crate) fn push_rows(image: &Annotated, file: &Arc<Path>, found: &mut Found) {
    if image.boxes.is_empty() {
        return;
    }
    let picture = image.picture.as_deref().map(|name| found.pictures.add_name(name));
    for (category, corners) in &image.boxes {
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
                truth: DraftTruth::Boxes { corners: corners.clone(), size: image.size },
            }),
        });
    }
}
