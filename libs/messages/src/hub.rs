//! Messages of nodes that are not ours, as dora's hub has agreed on them: an array, and metadata that says what it is.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float32Array, ListArray, StringArray, StructArray, UInt8Array,
    UInt64Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Float32Type, UInt8Type};

use crate::MessageError;
use crate::build::table;
use crate::columns::Columns;

mod masks;

pub use masks::Masks;

/// What dora-rerun takes an image without metadata for.
const DEFAULT_SIZE: (i64, i64) = (640, 480);

/// A value of a message's metadata.
#[derive(Debug, Clone, PartialEq)]
pub enum Tag {
    /// A whole number.
    Integer(i64),
    /// A number.
    Float(f64),
    /// A text.
    Text(String),
    /// Yes or no.
    Bool(bool),
}

/// The metadata of a message.
pub type Tags = BTreeMap<String, Tag>;

/// Name of the tag by which frames are told apart; cameras that pass on the metadata of their tick carry it along.
const FRAME_ID: &str = "frame_id";

/// A picture: a flat array of bytes, with `encoding`, `width` and `height` in its metadata.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RawImage<'a> {
    /// The bytes of the picture, row by row.
    pub bytes: &'a [u8],
    /// `bgr8` unless the sender says otherwise.
    pub encoding: &'a str,
    /// Pixels; 0 if the sender wrote nonsense.
    pub width: u32,
    /// Height of the picture in pixels.
    pub height: u32,
    /// Name of the frame, if the sender gave it one.
    pub frame_id: Option<&'a str>,
}

impl<'a> RawImage<'a> {
    /// Reads what a camera sent.
    ///
    /// # Errors
    /// An array that is not of bytes, or in which some are missing.
    pub fn from_hub(tags: &'a Tags, data: &'a ArrayRef) -> Result<Self, MessageError> {
        if data.null_count() > 0 {
            let why = format!("expected bytes alone, got {} nulls among them", data.null_count());
            return Err(MessageError::Row { message: "image", row: 0, why });
        }
        let bytes =
            data.as_primitive_opt::<UInt8Type>().ok_or_else(|| MessageError::ColumnType {
                message: "image",
                column: "",
                expected: "an array of UInt8",
                got: data.data_type().clone(),
            })?;
        let side = |name: &str, default: i64| match tags.get(name) {
            Some(Tag::Integer(side)) => u32::try_from(*side).unwrap_or(0),
            Some(Tag::Float(side)) => *side as u32,
            Some(Tag::Text(_) | Tag::Bool(_)) => 0,
            None => default as u32,
        };
        Ok(Self {
            bytes: bytes.values(),
            encoding: text(tags, "encoding").unwrap_or("bgr8"),
            width: side("width", DEFAULT_SIZE.0),
            height: side("height", DEFAULT_SIZE.1),
            frame_id: text(tags, FRAME_ID),
        })
    }

    /// The message of a camera.
    pub fn to_hub(&self) -> (Tags, ArrayRef) {
        let mut tags = Tags::from([
            ("encoding".to_owned(), Tag::Text(self.encoding.to_owned())),
            ("width".to_owned(), Tag::Integer(self.width.into())),
            ("height".to_owned(), Tag::Integer(self.height.into())),
            ("primitive".to_owned(), Tag::Text("image".to_owned())),
        ]);
        tags.extend(self.frame_id.map(|id| (FRAME_ID.to_owned(), Tag::Text(id.to_owned()))));
        (tags, Arc::new(UInt8Array::from(self.bytes.to_vec())))
    }
}

/// Asks a camera for a picture, and says what the frame is to be called.
pub fn tick(number: u64) -> (Tags, ArrayRef) {
    let tags = Tags::from([(FRAME_ID.to_owned(), Tag::Text(number.to_string()))]);
    (tags, Arc::new(UInt64Array::from(vec![number])))
}

/// The name that a tick gives to the frame it asks for.
pub fn frame_id(tags: &Tags) -> Option<&str> {
    text(tags, FRAME_ID)
}

/// A detector's boxes on one frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Boxes2d {
    /// x1, y1, x2, y2 in pixels of the frame.
    pub boxes: Vec<[f64; 4]>,
    /// How sure, one a box; empty if the detector does not say.
    pub confidences: Vec<f64>,
    /// Names, one a box; empty if the detector does not say.
    pub labels: Vec<String>,
    /// The frame, if the detector passed its name on.
    pub frame_id: Option<String>,
}

impl Boxes2d {
    /// Reads `{bbox, conf, labels}` lists, or a bare array of coordinates; `format` (or `encoding`) is `xyxy` or `xywh`.
    ///
    /// # Errors
    /// Another shape, or lists whose lengths contradict each other.
    pub fn from_hub(tags: &Tags, data: &ArrayRef) -> Result<Self, MessageError> {
        let (coordinates, confidences, labels) = match data.as_struct_opt() {
            Some(array) => lists(array)?,
            None => (floats(data)?, vec![], vec![]),
        };
        // `dora-sam2` calls it so.
        let format = text(tags, "format").or_else(|| text(tags, "encoding"));
        let is_xywh = format == Some("xywh");
        let boxes: Vec<[f64; 4]> = coordinates
            .chunks_exact(4)
            .map(|b| {
                if is_xywh {
                    // The center comes first, as in YOLO.
                    [b[0] - b[2] / 2.0, b[1] - b[3] / 2.0, b[0] + b[2] / 2.0, b[1] + b[3] / 2.0]
                } else {
                    [b[0], b[1], b[2], b[3]]
                }
            })
            .collect();
        let fits = |n: usize| n == 0 || n == boxes.len();
        if coordinates.len() % 4 != 0 || !fits(confidences.len()) || !fits(labels.len()) {
            let why = format!(
                "expected 4 coordinates, a confidence and a label for each box, got {}, {} and {}",
                coordinates.len(),
                confidences.len(),
                labels.len()
            );
            return Err(MessageError::Row { message: "boxes2d", row: 0, why });
        }
        let frame_id = text(tags, FRAME_ID).map(str::to_owned);
        Ok(Self { boxes, confidences, labels, frame_id })
    }
}

impl Boxes2d {
    /// The message of a detector: one struct of three lists, and tags that say what the numbers are.
    pub fn to_hub(&self) -> (Tags, ArrayRef) {
        let mut tags = Tags::from([
            ("format".to_owned(), Tag::Text("xyxy".to_owned())),
            // The same by the name that `dora-sam2` asks for.
            ("encoding".to_owned(), Tag::Text("xyxy".to_owned())),
            ("primitive".to_owned(), Tag::Text("boxes2d".to_owned())),
        ]);
        tags.extend(self.frame_id.iter().map(|id| (FRAME_ID.to_owned(), Tag::Text(id.clone()))));
        let numbers = |values: Vec<f32>| -> ArrayRef { Arc::new(Float32Array::from(values)) };
        let corners = self.boxes.iter().flatten().map(|value| *value as f32).collect();
        let sure = self.confidences.iter().map(|value| *value as f32).collect();
        let labels: Vec<&str> = self.labels.iter().map(String::as_str).collect();
        let labels: ArrayRef = Arc::new(StringArray::from(labels));
        let columns = [("bbox", numbers(corners)), ("conf", numbers(sure)), ("labels", labels)];
        let columns = columns.map(|(name, values)| (name, one_list(values)));
        (tags, Arc::new(table(columns.into())))
    }
}

/// A column of one row, which is a list of these values.
fn one_list(values: ArrayRef) -> ArrayRef {
    let field = Arc::new(Field::new("item", values.data_type().clone(), true));
    let offsets = OffsetBuffer::from_lengths([values.len()]);
    Arc::new(ListArray::new(field, offsets, values, None))
}

type Lists = (Vec<f64>, Vec<f64>, Vec<String>);

fn lists(array: &StructArray) -> Result<Lists, MessageError> {
    if array.is_empty() {
        return Ok((vec![], vec![], vec![]));
    }
    let columns = Columns::new("boxes2d", array);
    let numbers = |name: &'static str| match array.column_by_name(name) {
        Some(_) => floats(&columns.list(name)?.value(0)),
        None => Ok(vec![]),
    };
    let labels = match array.column_by_name("labels") {
        Some(_) => texts(&columns.list("labels")?.value(0))?,
        None => vec![],
    };
    columns.list("bbox")?;
    Ok((numbers("bbox")?, numbers("conf")?, labels))
}

fn floats(array: &ArrayRef) -> Result<Vec<f64>, MessageError> {
    let floats = arrow::compute::cast(array, &DataType::Float32).ok();
    let floats: Option<&Float32Array> =
        floats.as_ref().and_then(|array| array.as_primitive_opt::<Float32Type>());
    let floats = floats.ok_or_else(|| MessageError::ColumnType {
        message: "boxes2d",
        column: "bbox",
        expected: "numbers",
        got: array.data_type().clone(),
    })?;
    Ok(floats.iter().map(|value| value.map_or(f64::NAN, f64::from)).collect())
}

/// Bare coordinates, as a detector may send its boxes.
pub fn coordinates(tags: Tags, coordinates: &[f32]) -> (Tags, ArrayRef) {
    (tags, Arc::new(Float32Array::from(coordinates.to_vec())))
}

/// A text with tags that say what it is about.
pub fn text_message(mut tags: Tags, text: &str) -> (Tags, ArrayRef) {
    tags.insert("primitive".to_owned(), Tag::Text("text".to_owned()));
    (tags, Arc::new(StringArray::from(vec![text])))
}

/// A message of texts in the convention `text`.
pub fn message_of_texts(texts: &[&str]) -> (Tags, ArrayRef) {
    (Tags::new(), Arc::new(StringArray::from(texts.to_vec())))
}

/// The texts of a text message: what a person's tool sends.
///
/// # Errors
/// An array that is not of texts.
pub fn texts(array: &ArrayRef) -> Result<Vec<String>, MessageError> {
    let texts = arrow::compute::cast(array, &DataType::Utf8).ok();
    let texts: Option<&StringArray> = texts.as_ref().and_then(|array| array.as_string_opt());
    let texts = texts.ok_or_else(|| MessageError::ColumnType {
        message: "text",
        column: "",
        expected: "an array of texts",
        got: array.data_type().clone(),
    })?;
    Ok(texts.iter().flatten().map(str::to_owned).collect())
}

fn text<'a>(tags: &'a Tags, name: &str) -> Option<&'a str> {
    match tags.get(name) {
        Some(Tag::Text(text)) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
