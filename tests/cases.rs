//! Inputs as people who do this work have them, by kinds that were reported: each is read as its author meant it, or
//! refused with what is wrong and what to do.
//!
//! Each test makes its input and asks the built program. What takes a whole run is in `own_data.rs`, `bad_input.rs`,
//! `verdicts.rs`, `resume.rs` and `adapters.rs`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use image::{DynamicImage, RgbImage};
use serde_json::{Value, json};
use tempfile::TempDir;
use vrft_tests::{root, squares, vrft};

/// Whether the program did what it was asked, and all that it said.
fn told(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(vrft()).args(arguments).current_dir(root()).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(!text.contains("panicked"), "{text}");
    (output.status.success(), text)
}

/// `vrft check` of rows to learn from, judged by the digits.
fn check(data: &Path, settings: &[&str]) -> (bool, String) {
    let train = format!("data.train={}", data.display());
    let mut arguments = vec!["check", "--config", "tests/digits.toml", "--set", &train];
    for setting in ["data.shots=0", "evaluation.limit=1"].iter().chain(settings) {
        arguments.extend(["--set", setting]);
    }
    told(&arguments)
}

#[track_caller]
fn accepted(data: &Path, settings: &[&str], words: &[&str]) -> String {
    let (is_accepted, text) = check(data, settings);
    assert!(is_accepted, "{}: {text}", data.display());
    for words in words {
        assert!(text.contains(words), "{}: {words:?} is not in\n{text}", data.display());
    }
    text
}

#[track_caller]
fn refused(data: &Path, settings: &[&str], words: &[&str]) {
    let (is_accepted, text) = check(data, settings);
    assert!(!is_accepted, "{}: {text}", data.display());
    for words in words {
        assert!(text.contains(words), "{}: {words:?} is not in\n{text}", data.display());
    }
}

/// What `vrft new` says of rows for the starter.
#[track_caller]
fn proposed(data: &Path, words: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let new = folder.path().join("mine").display().to_string();
    let (is_made, text) =
        told(&["new", &new, "--data", data.to_str().unwrap(), "--checkpoint", "data/starter"]);
    assert!(is_made, "{}: {text}", data.display());
    for words in words {
        assert!(text.contains(words), "{}: {words:?} is not in\n{text}", data.display());
    }
    text
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn write(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    path
}

/// A picture of its own kind: no two numbers give the same.
fn picture(folder: &Path, name: &str, (width, height): (u32, u32), number: usize) {
    let of = |x: u32, y: u32| image::Rgb([x as u8, y as u8, number as u8]);
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    DynamicImage::from(RgbImage::from_fn(width, height, of)).save(path).unwrap();
}

/// A JPEG that EXIF turns.
fn turned(folder: &Path, name: &str, size: (u32, u32), orientation: u8) {
    picture(folder, name, size, usize::from(orientation));
    let jpeg = fs::read(folder.join(name)).unwrap();
    // One entry: tag 0x0112, a SHORT, big-endian.
    let mut exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let mut whole = vec![0xff, 0xd8, 0xff, 0xe1];
    whole.extend(((exif.len() + 2) as u16).to_be_bytes());
    whole.extend(exif);
    whole.extend(&jpeg[2..]);
    fs::write(folder.join(name), whole).unwrap();
}

/// COCO of one picture for each entry, with a box of a category each.
fn coco(pictures: &[(&str, Value, Value)], boxes: &[Value]) -> String {
    let image = |(id, (name, width, height)): (usize, &(&str, Value, Value))| json!({"id": id, "file_name": name, "width": width, "height": height});
    let annotation = |(id, bbox): (usize, &Value)| json!({"id": id, "image_id": id, "category_id": 7, "bbox": bbox});
    json!({
        "images": pictures.iter().enumerate().map(image).collect::<Vec<_>>(),
        "annotations": boxes.iter().enumerate().map(annotation).collect::<Vec<_>>(),
        "categories": [{"id": 7, "name": "mug"}],
    })
    .to_string()
}

/// Rows of squares, each changed by `change`; the first pictures of 0, 1, … .
fn rows(folder: &Path, n: usize, change: impl Fn(usize, &mut Value)) -> PathBuf {
    write(folder, "rows.jsonl", lines(folder, n, change).join("\n"))
}

fn lines(folder: &Path, n: usize, change: impl Fn(usize, &mut Value)) -> Vec<String> {
    fs::create_dir_all(folder).unwrap();
    let line = |idx: usize| {
        let mut row = json!({
            "image": squares::write(folder, idx), "problem": "Where is the square?",
            "solution": squares::solution(idx),
        });
        change(idx, &mut row);
        row.to_string()
    };
    (0..n).map(line).collect()
}

#[path = "cases/answers.rs"]
mod answers;
#[path = "cases/coco_annotations.rs"]
mod coco_annotations;
#[path = "cases/files_and_pictures.rs"]
mod files_and_pictures;
#[path = "cases/rows_in_words.rs"]
mod rows_in_words;
