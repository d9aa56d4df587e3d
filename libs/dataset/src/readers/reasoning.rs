//! Rows of ReasonSeg (LISA, arXiv 2308.00692): a JSON file beside each picture, with instructions and outlines.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::annotated::Marked;
use super::fields::{Draft, DraftTruth, Found};
use super::{json_place, json_text};
use crate::path::Locator;
use crate::row::Skipped;
use crate::select::Outlines;
use crate::{DatasetError, OpenOptions, Origin, Question};

/// The label of outlines that enclose what is meant.
const TARGET: &str = "target";

#[derive(Deserialize)]
struct Instructed {
    text: Texts,
    shapes: Vec<Shape>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Texts {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
struct Shape {
    #[serde(default)]
    label: String,
    points: Vec<[f64; 2]>,
}

/// Whether a `.json` file is one of these, by its beginning.
pub(crate) fn is_one(start: &str) -> bool {
    start.contains("\"shapes\"") && start.contains("\"text\"")
}

/// Reads all files: a row for each instruction, whose true answer is the box around the outlines.
pub(crate) fn read(
    files: &[PathBuf],
    options: &OpenOptions,
    found: &mut Found,
) -> Result<(), DatasetError> {
    let Some(first) = files.first() else { return Ok(()) };
    let root = options.image_root.as_deref();
    found.pictures.locate_with(Locator::new(first, root, options.allow_outside));
    for path in files {
        if let Err(why) = read_file(path, options, found)? {
            let place = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let row = found.rows.len();
            found.rows.push(Err(Skipped { place, row, why }));
        }
    }
    Ok(())
}

/// The rows of one file, or why it has none.
fn read_file(
    path: &Path,
    options: &OpenOptions,
    found: &mut Found,
) -> Result<Result<(), String>, DatasetError> {
    let selection = &options.selection;
    let read: Result<Instructed, _> = serde_json::from_reader(json_text::open(path)?);
    let Ok(Instructed { text, shapes }) = read.as_ref() else {
        let why = read.err().map(|error| json_place::told(path, &error, false));
        return Ok(Err(why.unwrap_or_default()));
    };
    let marked = match enclosing(shapes, selection.outlines) {
        Ok(corners) => {
            let mut marked = Marked::default();
            marked.push(corners, None);
            marked
        }
        Err(why) => return Ok(Err(why)),
    };
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let folder = options.image_root.as_deref().or_else(|| path.parent()).unwrap_or(Path::new(""));
    let there = vrft_vision::endings::names(&stem).find(|name| folder.join(name).is_file());
    let picture = &there.unwrap_or_else(|| format!("{stem}.jpg"));
    let texts = match text {
        Texts::One(one) => std::slice::from_ref(one),
        Texts::Many(many) => many,
    };
    let n_asked = if selection.first_question { 1 } else { texts.len() };
    if texts.is_empty() {
        return Ok(Err("its text is empty".to_owned()));
    }
    let file: Arc<Path> = path.into();
    for (number, text) in texts.iter().take(n_asked).enumerate() {
        let row = found.rows.len();
        let sample_id = if number == 0 { stem.clone() } else { format!("{stem}-{number}") };
        found.rows.push(Ok(Draft {
            origin: Origin { file: file.clone(), row, sample_id: sample_id.into() },
            question: Question::Expression(text.trim().into()),
            pictures: vec![found.pictures.add_name(picture)],
            truth: DraftTruth::Boxes { marked: marked.clone(), size: None, open: None },
        }));
    }
    Ok(Ok(()))
}

/// The corners of the box around the outlines that count.
fn enclosing(shapes: &[Shape], outlines: Outlines) -> Result<[f64; 4], String> {
    let counted: Vec<&Shape> = match outlines {
        Outlines::First => shapes.iter().take(1).collect(),
        Outlines::Target => shapes.iter().filter(|shape| shape.label == TARGET).collect(),
    };
    let points = counted.iter().flat_map(|shape| &shape.points);
    let empty = [f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY];
    let corners = points
        .fold(empty, |[x1, y1, x2, y2], &[x, y]| [x1.min(x), y1.min(y), x2.max(x), y2.max(y)]);
    let [x1, y1, x2, y2] = corners;
    if x1 < x2 && y1 < y2 {
        return Ok(corners);
    }
    Err(match outlines {
        Outlines::First => "its first outline encloses nothing".to_owned(),
        Outlines::Target => {
            format!("it has no outline that is labeled {TARGET:?} and encloses anything")
        }
    })
}
