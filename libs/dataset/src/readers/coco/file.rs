//! A file of COCO annotations as it is written, by COCO itself, LVIS and other tools.

use std::path::Path;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::readers::json_text::{self, WithoutNan};
use crate::readers::value::as_number;
use crate::readers::{content, json_place};
use crate::{DatasetError, Outline};

pub(super) const FORMAT: &str = "COCO annotations";

/// What such a file has, for one that lacks it.
const KEYS: &str = " (annotations have the keys images, annotations and categories; rows are a list of objects, or one \
                    object a line)";

/// The whole file.
///
/// # Errors
/// It is no JSON, or has not what annotations have; told with the place.
pub(super) fn parsed<S: Shape>(path: &Path) -> Result<Coco<S>, DatasetError> {
    let reader = WithoutNan::new(json_text::open(path)?);
    let content = |message: String| content(path, FORMAT, message);
    serde_json::from_reader(reader).map_err(|error| {
        let what = if error.is_data() { KEYS } else { "" };
        content(format!("{}{what}", json_place::told(path, &error, false)))
    })
}

/// Annotations with the shapes of their objects, or without: those of a large file take more memory than all else.
#[derive(Deserialize)]
#[serde(bound = "S: Deserialize<'de> + Default")]
pub(super) struct Coco<S> {
    pub(super) images: Vec<Image>,
    pub(super) annotations: Vec<Annotation<S>>,
    #[serde(default)]
    pub(super) categories: Vec<Category>,
}

#[derive(Deserialize)]
pub(super) struct Image {
    pub(super) id: Id,
    file_name: Option<Box<str>>,
    /// LVIS has no name, but where COCO has the picture.
    coco_url: Option<Box<str>>,
    #[serde(default, deserialize_with = "side")]
    pub(super) width: Option<f64>,
    #[serde(default, deserialize_with = "side")]
    pub(super) height: Option<f64>,
    /// Which split it belongs to, where all are in one file.
    #[serde(default)]
    pub(super) split: Value,
    /// LVIS: categories that were looked for and are not there. Of others without a box nothing is known.
    pub(super) neg_category_ids: Option<Vec<Id>>,
    /// LVIS: categories of which more objects may be there than have a box.
    #[serde(default)]
    pub(super) not_exhaustive_category_ids: Vec<Id>,
}

#[derive(Deserialize)]
#[serde(bound = "S: Deserialize<'de> + Default")]
pub(super) struct Annotation<S> {
    #[serde(default)]
    pub(super) id: Id,
    #[serde(default)]
    pub(super) image_id: Id,
    #[serde(default)]
    pub(super) category_id: Id,
    #[serde(default)]
    pub(super) bbox: Bbox,
    /// Pixels of the object's outline.
    #[serde(default, deserialize_with = "side")]
    pub(super) area: Option<f64>,
    /// A box around many objects at once: no answer to a question for each of them.
    #[serde(default, deserialize_with = "flag")]
    pub(super) iscrowd: bool,
    #[serde(default)]
    pub(super) segmentation: S,
    /// Degrees by which CVAT has the box turned about its middle.
    #[serde(default, rename = "attributes", deserialize_with = "rotation")]
    pub(super) rotation: f32,
}

impl<S> Annotation<S> {
    /// What it is called where it cannot be used: by its id, else by its number in the file.
    pub(super) fn place(&self, number: usize) -> String {
        match &self.id {
            Id::None => format!("annotation number {number}"),
            id => format!("annotation {id}"),
        }
    }
}

/// What is read of the shape of an object.
pub(super) trait Shape: DeserializeOwned + Default {
    /// The shape, if it is asked for.
    ///
    /// # Errors
    /// It is asked for, and not there or not a shape.
    fn outline(&self) -> Result<Option<Outline>, String>;
}

/// A shape that is not asked for.
#[derive(Default, Deserialize)]
#[serde(from = "IgnoredAny")]
pub(super) struct Unread;

impl From<IgnoredAny> for Unread {
    fn from(_: IgnoredAny) -> Self {
        Self
    }
}

impl Shape for Unread {
    fn outline(&self) -> Result<Option<Outline>, String> {
        Ok(None)
    }
}

/// A shape as the file has it: lists of corners, or run lengths.
#[derive(Default, Deserialize)]
#[serde(transparent)]
pub(super) struct Segmentation(Value);

impl Shape for Segmentation {
    fn outline(&self) -> Result<Option<Outline>, String> {
        let Self(value) = self;
        if value.get("counts").is_some() && value.get("size").is_some() {
            return Ok(Some(Outline::Runs(value.to_string())));
        }
        let line = |line: &Value| -> Option<Vec<[f64; 2]>> {
            let numbers: Vec<f64> =
                line.as_array()?.iter().map(Value::as_f64).collect::<Option<_>>()?;
            let is_line = numbers.len() >= 6 && numbers.len().is_multiple_of(2);
            is_line.then(|| numbers.chunks(2).map(|pair| [pair[0], pair[1]]).collect())
        };
        let lines: Option<Vec<_>> =
            value.as_array().and_then(|lines| lines.iter().map(line).collect());
        lines
            .filter(|lines| !lines.is_empty())
            .map(|lines| Some(Outline::Polygons(lines)))
            .ok_or_else(|| {
                "its segmentation is neither lists of x and y nor run lengths".to_owned()
            })
    }
}

#[derive(Deserialize)]
pub(super) struct Category {
    pub(super) id: Id,
    pub(super) name: Value,
    pub(super) supercategory: Option<Box<str>>,
}

impl Category {
    /// Its id and name; `None` if it has no name.
    pub(super) fn named(&self) -> Option<(&Id, &str)> {
        Some((&self.id, self.name.as_str().filter(|name| !name.trim().is_empty())?))
    }
}

/// A number, or a text as other tools write it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Id {
    #[default]
    None,
    Number(i64),
    Text(Box<str>),
}

/// x, y, width, height in pixels, or why it is not that.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Bbox {
    Corners([f64; 4]),
    Bad(&'static str),
}

impl Image {
    /// The name of the file; of an address the folder and the name.
    pub(super) fn file_name(&self) -> Option<String> {
        if let Some(name) = &self.file_name {
            return Some(name.to_string());
        }
        let url = self.coco_url.as_deref()?;
        let start = url.rmatch_indices('/').map(|(place, _)| place + 1).nth(1).unwrap_or(0);
        Some(url[start..].to_owned())
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Id::None => f.write_str("(none)"),
            Id::Number(number) => number.fmt(f),
            Id::Text(text) => text.fmt(f),
        }
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Value::deserialize(deserializer)? {
            Value::Null => Id::None,
            Value::String(text) => match text.parse() {
                Ok(number) => Id::Number(number),
                Err(_) => Id::Text(text.into()),
            },
            // 7.0 is 7; what is too large for either type is told apart by how it is written.
            other => match other.as_i64().or_else(|| other.as_f64().and_then(whole)) {
                Some(number) => Id::Number(number),
                None => Id::Text(other.to_string().into()),
            },
        })
    }
}

/// A number that is whole, and small enough for no other to be rounded to it.
fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64)
}

impl Default for Bbox {
    fn default() -> Self {
        Bbox::Bad("it has no bbox")
    }
}

impl<'de> Deserialize<'de> for Bbox {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let Some(list) = value.as_array() else {
            let is_null = value.is_null();
            return Ok(Bbox::Bad(if is_null { "its bbox is null" } else { "its bbox is no list" }));
        };
        if list.is_empty() {
            return Ok(Bbox::Bad("its bbox is empty"));
        }
        let numbers: Option<Vec<f64>> = list.iter().map(as_number).collect();
        let numbers = numbers.filter(|numbers| numbers.iter().all(|number| number.is_finite()));
        let corners = numbers.and_then(|numbers| <[f64; 4]>::try_from(numbers).ok());
        Ok(corners.map_or(Bbox::Bad("its bbox is not four numbers"), Bbox::Corners))
    }
}

/// A side of an image, or an area; tools write -1 or 0 where they do not know it.
fn side<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(as_number(&value).filter(|side| *side > 0.0))
}

/// The rotation among CVAT's attributes of an object; 0 where they have none.
fn rotation<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f32, D::Error> {
    let attributes = Value::deserialize(deserializer)?;
    Ok(attributes.get("rotation").and_then(as_number).unwrap_or_default() as f32)
}

/// 0 or 1, or as JSON has it.
fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(value.as_bool().or_else(|| value.as_f64().map(|n| n != 0.0)).unwrap_or(false))
}
