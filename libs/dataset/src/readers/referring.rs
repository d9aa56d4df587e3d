//! Rows of RefCOCO, RefCOCO+ and RefCOCOg as published: `refs(unc).p` converted to JSON, and `instances.json` beside it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::annotated::Marked;
use super::fields::{Draft, DraftTruth, Found};
use super::json_place;
use super::json_text::{self, WithoutNan};
use crate::path::Locator;
use crate::row::Skipped;
use crate::{DatasetError, OpenOptions, Origin, Question};

/// The file with boxes and pictures.
const INSTANCES: &str = "instances.json";
/// Where the pictures are, seen from the folder of the file and from its parents.
const FOLDERS: [&str; 4] =
    ["images/mscoco/images/train2014", "images/train2014", "train2014", "images"];

#[derive(Deserialize)]
struct Reference {
    ann_id: i64,
    image_id: i64,
    split: String,
    sentences: Vec<Sentence>,
}

#[derive(Deserialize)]
struct Sentence {
    sent: String,
    sent_id: i64,
}

#[derive(Deserialize)]
struct Instances {
    images: Vec<Image>,
    annotations: Vec<Annotation>,
}

#[derive(Deserialize)]
struct Image {
    id: i64,
    file_name: String,
    width: f64,
    height: f64,
}

#[derive(Deserialize)]
struct Annotation {
    id: i64,
    bbox: [f64; 4],
    area: Option<f64>,
}

/// Whether a `.json` file is one of these, by its beginning.
pub(crate) fn is_one(start: &str) -> bool {
    start.contains("\"ann_id\"") && start.contains("\"sentences\"")
}

/// A row for each expression of the objects in a split.
pub(crate) fn read(
    path: &Path,
    split: Option<&str>,
    options: &OpenOptions,
    found: &mut Found,
) -> Result<(), DatasetError> {
    let references: Vec<Reference> = parse(path, "references")?;
    let instances: Instances = parse(&path.with_file_name(INSTANCES), "COCO annotations")?;
    let mut splits: Vec<String> = references.iter().map(|one| one.split.clone()).collect();
    splits.sort();
    splits.dedup();
    let wanted = match split {
        Some("validation") => "val",
        Some(split) => split,
        None => return Err(DatasetError::SeveralSplits { path: path.to_owned(), splits }),
    };
    if !splits.iter().any(|split| split == wanted) {
        let split = wanted.to_owned();
        return Err(DatasetError::NoSplit { path: path.to_owned(), split, splits });
    }
    let root = options.image_root.as_deref();
    let locator = Locator::new(path, root, options.allow_outside);
    let locator = if root.is_some() { locator } else { locator.beside(&FOLDERS) };
    found.pictures.locate_with(locator);
    let images: HashMap<i64, &Image> = instances.images.iter().map(|one| (one.id, one)).collect();
    let boxes: HashMap<i64, &Annotation> =
        instances.annotations.iter().map(|one| (one.id, one)).collect();
    let file: Arc<Path> = path.into();
    for reference in references.iter().filter(|one| one.split == wanted) {
        let object = images.get(&reference.image_id).zip(boxes.get(&reference.ann_id));
        push(reference, object, options, &file, found);
    }
    Ok(())
}

/// The rows of one object.
fn push(
    reference: &Reference,
    object: Option<(&&Image, &&Annotation)>,
    options: &OpenOptions,
    file: &Arc<Path>,
    found: &mut Found,
) {
    let n_asked = if options.selection.first_question { 1 } else { reference.sentences.len() };
    for Sentence { sent, sent_id } in reference.sentences.iter().take(n_asked) {
        let row = found.rows.len();
        let sample_id = sent_id.to_string().into();
        let origin = Origin { file: file.clone(), row, sample_id };
        let Some((image, annotation)) = object else {
            let (picture, object) = (reference.image_id, reference.ann_id);
            let why = format!("{INSTANCES} has no picture {picture} with annotation {object}");
            found.rows.push(Err(Skipped { place: origin.place(), row, why }));
            continue;
        };
        let [x, y, width, height] = annotation.bbox;
        let mut marked = Marked::default();
        marked.push([x, y, x + width, y + height], annotation.area);
        found.rows.push(Ok(Draft {
            origin,
            question: Question::Expression(sent.trim().into()),
            pictures: vec![found.pictures.add_name(&image.file_name)],
            truth: DraftTruth::Boxes {
                marked,
                size: Some((image.width, image.height)),
                open: None,
            },
        }));
    }
}

fn parse<T: DeserializeOwned>(path: &Path, format: &'static str) -> Result<T, DatasetError> {
    let reader = WithoutNan::new(json_text::open(path)?);
    serde_json::from_reader(reader)
        .map_err(|error| super::content(path, format, json_place::told(path, &error, false)))
}
