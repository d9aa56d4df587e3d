//! Rows of JSON: one object a line, or a list of objects.

use std::io::{BufRead, Read};
use std::path::Path;
use std::sync::Arc;

use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::conversation::CONVERSATION_KEYS;
use super::fields::{Fields, Found};
use super::json_place;
use super::json_text::{self, WithoutNan};
use super::layouts;
use super::unworded;
use super::videos::{self, VIDEO_KEYS};
use crate::DatasetError;
use crate::pictures::Cell;

/// Bytes at the start of a file that are read to tell JSON lines from annotations.
const PEEKED_BYTES: u64 = 1 << 20;

/// Reads a file of one JSON object a line, or a JSON list of objects; empty lines do not count as rows.
pub(crate) fn read(path: &Path, found: &mut Found) -> Result<(), DatasetError> {
    let failed = |source| DatasetError::Read { path: path.to_owned(), source };
    let mut reader = json_text::open(path)?;
    let is_list = json_text::first_byte(&mut reader).map_err(failed)? == Some(b'[');
    let file: Arc<Path> = path.into();
    let mut keys = Keys::default();
    if is_list {
        let mut row = 0;
        let rows = Rows { found, file: &file, keys: &mut keys, row: &mut row };
        let mut json = serde_json::Deserializer::from_reader(WithoutNan::new(reader));
        let read = (&mut json).deserialize_seq(rows).and_then(|()| json.end());
        read.map_err(|error| {
            let message = format!("row {row}: {}", json_place::told(path, &error, true));
            super::content(path, "a list of rows", message)
        })?;
    } else {
        let mut line = Vec::new();
        let mut row = 0;
        while reader.read_until(b'\n', &mut line).map_err(failed)? > 0 {
            if !line.trim_ascii().is_empty() {
                let is_last = reader.fill_buf().map_err(failed)?.is_empty();
                found.push(&file, row, object(&line, is_last).and_then(|o| keys.fields(o)));
                row += 1;
            }
            line.clear();
        }
    }
    keys.check(path)
}

/// Adds rows that are objects already, from whatever they were read.
///
/// # Errors
/// A key that no row has.
pub(super) fn push_all(
    path: &Path,
    rows: impl Iterator<Item = Result<Map<String, Value>, String>>,
    found: &mut Found,
) -> Result<(), DatasetError> {
    let file: Arc<Path> = path.into();
    let mut keys = Keys::default();
    for (row, object) in rows.enumerate() {
        found.push(&file, row, object.and_then(|object| keys.fields(object)));
    }
    keys.check(path)
}

/// Whether a `.json` file has rows in it, and not annotations.
pub(crate) fn is_rows(path: &Path) -> Result<bool, DatasetError> {
    let failed = |source| DatasetError::Read { path: path.to_owned(), source };
    let mut reader = json_text::open(path)?;
    if json_text::first_byte(&mut reader).map_err(failed)? == Some(b'[') {
        return Ok(true);
    }
    let mut line = Vec::new();
    reader.take(PEEKED_BYTES).read_until(b'\n', &mut line).map_err(failed)?;
    let is_row = |object: Map<String, Value>| !object.contains_key("annotations");
    let has_key = |object: &Map<String, Value>| {
        QUESTION_KEYS.iter().any(|key| object.contains_key(*key))
            || layouts::pair(|key| object.contains_key(key)).is_some()
            || unworded::is_one(|key| object.contains_key(key))
    };
    Ok(object(&line, false).ok().filter(has_key).is_some_and(is_row))
}

/// Why a row is refused that has its pictures twice.
pub(super) const BOTH_IMAGES: &str = "it has both \"image\" and \"images\", which are not the same: keep the one that the question is about";

/// The first key of a further picture by its number or letter, as `image2` or `image_b` beside `image`.
pub(super) fn further_image<'a>(mut keys: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    keys.find(|key| {
        let key = key.to_ascii_lowercase();
        let number =
            ["images", "image", "img", "picture"].iter().find_map(|name| key.strip_prefix(name));
        let number = number.map(|number| number.trim_start_matches(['_', '-', ' ']));
        let is_number = |n: &str| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit());
        number.is_some_and(|n| is_number(n) || ["a", "b", "c", "left", "right"].contains(&n))
    })
}

/// Why a further picture in a field of its own is not read, and how it is written instead.
pub(super) fn why_not_further(key: &str) -> String {
    format!(
        "it has {key:?} beside its image: several pictures of a row stand in one list, as \"images\": [\"a.png\", \"b.png\"], in \
         the order in which the question speaks of them; or take {key:?} out"
    )
}

/// What a row asks with.
pub(super) const QUESTION: &str = "the question in words; or \"label\", the class of the picture, in place of \"problem\" and \
                                   \"solution\"";

/// Keys of which a row has one.
const QUESTION_KEYS: [&str; 4] =
    ["problem", CONVERSATION_KEYS[0], CONVERSATION_KEYS[1], CONVERSATION_KEYS[2]];

/// One line as an object; `is_last` for the last one of its file.
fn object(line: &[u8], is_last: bool) -> Result<Map<String, Value>, String> {
    let line = line.trim_ascii_end();
    serde_json::from_slice(line).or_else(|error| {
        let read = serde_json::from_reader(WithoutNan::new(line));
        read.map_err(|_again: serde_json::Error| why_no_object(line, is_last, &error))
    })
}

/// Why a line is no object, in words for what happens often.
fn why_no_object(line: &[u8], is_last: bool, error: &serde_json::Error) -> String {
    let line = line.trim_ascii();
    let is_object = |text: &[u8]| serde_json::from_slice::<Map<String, Value>>(text).is_ok();
    match line.split_last() {
        Some((b',', before)) if is_object(before) => {
            "a comma follows its object: in a file of one object a line none stands between them"
                .to_owned()
        }
        _ if is_last && error.is_eof() && line.starts_with(b"{") => {
            format!("the file ends within its object, as one does that was cut: {}", start(line))
        }
        _ if error.is_eof() && line.starts_with(b"{") => {
            format!(
                "its object goes on in the next line, and one a line is expected: {}",
                start(line)
            )
        }
        _ if line.starts_with(b"{'") => format!(
            "it is written as Python prints it, in single quotes: json.dumps writes JSON; got {}",
            start(line)
        ),
        _ if serde_json::from_slice::<Value>(line).is_ok() => {
            format!("expected an object, as {{\"image\": ...}}, got {}", start(line))
        }
        _ => format!("it is no JSON object: {}: {}", json_place::told_of_line(error), start(line)),
    }
}

/// The start of a line, for errors.
fn start(line: &[u8]) -> String {
    const N_SHOWN: usize = 60;
    let text = String::from_utf8_lossy(line);
    let shown: String = text.chars().take(N_SHOWN).collect();
    if shown.len() < text.len() { format!("{shown} ...") } else { shown }
}

/// The elements of a list, taken in one by one.
struct Rows<'a> {
    found: &'a mut Found,
    file: &'a Arc<Path>,
    keys: &'a mut Keys,
    /// The number of the row that is read.
    row: &'a mut usize,
}

impl<'de> Visitor<'de> for Rows<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a list of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(value) = list.next_element::<Value>()? {
            let fields = match value {
                Value::Object(object) => self.keys.fields(object),
                other => Err(format!("expected an object, got {other}")),
            };
            self.found.push(self.file, *self.row, fields);
            *self.row += 1;
        }
        Ok(())
    }
}

/// The keys of all rows so far: one that no row has is an error of the file, not of its rows.
#[derive(Debug, Default)]
struct Keys {
    first: Option<Vec<String>>,
    /// Whether a row has no question in words, but a class or a box.
    is_unworded: bool,
    has: [bool; 3],
}

/// What a row needs, under one of several keys.
const NEEDED: [(&str, &[&str], &str); 3] = [
    (
        "image",
        &["image", "images", "file_name", VIDEO_KEYS[0], VIDEO_KEYS[1]],
        "a path, a data address, or a list of these",
    ),
    ("problem", &QUESTION_KEYS, QUESTION),
    ("solution", &["solution", "conversations", "messages"], "text"),
];

/// Keys of annotations in lists of objects.
const OF_TOOLS: [&str; 3] = ["annotations", "predictions", "shapes"];

impl Keys {
    fn fields(&mut self, mut object: Map<String, Value>) -> Result<Fields, String> {
        self.first.get_or_insert_with(|| object.keys().cloned().collect());
        if let Err(why) = layouts::put_as_conversation(&mut object) {
            // No key is missing, it is another that is wrong.
            self.has = [true; NEEDED.len()];
            return Err(why);
        }
        for (has, (_, keys, _)) in self.has.iter_mut().zip(NEEDED) {
            *has |= keys.iter().any(|key| object.contains_key(*key));
        }
        // Parts of a conversation may bring their images along.
        self.has[0] |=
            CONVERSATION_KEYS.iter().any(|key| object.get(*key).is_some_and(Value::is_array));
        self.is_unworded |= unworded::is_one(|key| object.contains_key(key));
        let has_images = ["image", "images", "file_name"]
            .into_iter()
            .any(|key| object.get(key).is_some_and(|images| !is_nothing(images)));
        let videos = videos::named(&mut object, has_images)?;
        let mut named = ["image", "images"].into_iter().filter_map(|key| {
            object.remove(key).filter(|value| !value.is_null() || key == "image")
        });
        let images = match (named.next(), named.next()) {
            (Some(one), Some(other)) if !one.is_null() && one != other => {
                return Err(BOTH_IMAGES.to_owned());
            }
            (Some(Value::Null), Some(other)) => Some(other),
            (one, _) => one,
        };
        let is_there = |key: &&String| {
            object[*key].as_str().is_some_and(|text| !text.is_empty()) || object[*key].is_object()
        };
        let further = object.keys().filter(is_there).map(String::as_str);
        if let Some(key) = further_image(further).filter(|_| images.is_some() || has_images) {
            return Err(why_not_further(key));
        }
        // As a folder of pictures has it beside them, in its metadata.jsonl.
        let images = images.or_else(|| object.remove("file_name"));
        let images = images.filter(|images| videos.is_empty() || !is_nothing(images));
        Ok(Fields {
            images: images.map(|value| cells(&value)).transpose()?,
            videos,
            values: object,
        })
    }

    fn check(self, path: &Path) -> Result<(), DatasetError> {
        let Some(found) = self.first else { return Ok(()) };
        let needed = NEEDED.iter().take(if self.is_unworded { 1 } else { NEEDED.len() });
        let missing = self.has.iter().zip(needed).find(|(has, _)| !**has);
        let Some((_, &(column, _, expected))) = missing else { return Ok(()) };
        // Of Create ML and Label Studio, which no other name of a key makes rows of.
        if found.iter().any(|key| OF_TOOLS.contains(&key.as_str())) {
            let why = format!(
                "its objects have {}, as annotations that another tool has saved in a form of its own: export them as COCO",
                found.iter().map(|key| format!("{key:?}")).collect::<Vec<_>>().join(", ")
            );
            return Err(super::content(path, "rows", why));
        }
        Err(DatasetError::MissingColumn { path: path.to_owned(), column, expected, found })
    }
}

/// What stands for no image beside a video.
fn is_nothing(images: &Value) -> bool {
    images.is_null() || images.as_array().is_some_and(Vec::is_empty)
}

/// One image, or a list of them.
fn cells(value: &Value) -> Result<Vec<Cell>, String> {
    match value {
        Value::Array(list) => list.iter().map(cell).collect(),
        Value::Null => Err("image is null".to_owned()),
        one => Ok(vec![cell(one)?]),
    }
}

/// A path or an address, or what `datasets` makes of an image: an object with a path, or with base64 as bytes.
fn cell(value: &Value) -> Result<Cell, String> {
    match value {
        Value::String(name) if name.trim().is_empty() => Err("image is an empty text".to_owned()),
        Value::String(name) => Ok(Cell::Name(name.clone())),
        Value::Object(image) => {
            let part = |key: &str| image.get(key).and_then(Value::as_str);
            match (part("bytes"), part("path")) {
                (Some(base64), _) => Ok(Cell::Name(format!("data:;base64,{base64}"))),
                (None, Some(path)) => Ok(Cell::Name(path.to_owned())),
                (None, None) => Err("image has neither bytes nor a path".to_owned()),
            }
        }
        other => Err(format!("image should be a path or a list of paths, got {other}")),
    }
}

#[cfg(test)]
mod tests;
