//! Truth and predictions as COCO and LVIS publish them.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::{Annotation, Category, Frequency, Image, Prediction, Truth};
use crate::ScoreError;

/// An id of an image, a category or an annotation: usually a number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(untagged)]
pub enum Id {
    /// As in COCO.
    Number(i64),
    /// As some exporters write them.
    Text(String),
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "{text:?}"),
        }
    }
}

impl<'de> Deserialize<'de> for Id {
    /// Whole numbers may be written as `7.0`, as tables do that have gaps elsewhere.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        let whole = |number: f64| number.fract() == 0.0 && number.abs() < MAX_EXACT;
        if let Some(number) = value.as_i64() {
            Ok(Self::Number(number))
        } else if let Some(number) = value.as_f64().filter(|number| whole(*number)) {
            Ok(Self::Number(number as i64))
        } else if let Some(text) = value.as_str() {
            Ok(Self::Text(text.to_owned()))
        } else {
            Err(D::Error::custom(format!("an id should be a whole number or a text, got {value}")))
        }
    }
}

/// Up to here every whole number is a 64-bit float.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

impl Id {
    /// The same id as a text in place of a number, or the other way round: a common slip between two files.
    pub(crate) fn otherwise(&self) -> Option<Self> {
        match self {
            Self::Number(number) => Some(Self::Text(number.to_string())),
            Self::Text(text) => text.trim().parse().ok().map(Self::Number),
        }
    }
}

impl Truth {
    /// Reads a file of annotations; whatever is not needed to score boxes is passed over.
    ///
    /// # Errors
    /// Not JSON, or without images, categories or annotations; an annotation without a box.
    pub fn from_json(text: &str) -> Result<Self, ScoreError> {
        let file: TruthFile = parse(text, "COCO or LVIS annotations")?;
        let annotations = file.annotations.into_iter().map(|row| {
            let wrong = |message: &str| ScoreError::Annotation {
                id: row.id.to_string(),
                message: message.to_owned(),
            };
            let bbox = row.bbox.ok_or_else(|| wrong("its bbox should be [x, y, width, height]"))?;
            let area = row.area.unwrap_or(bbox[2] * bbox[3]);
            Ok(Annotation {
                id: row.id,
                image: row.image_id,
                category: row.category_id,
                bbox,
                area,
                crowd: row.iscrowd,
                ignore: row.ignore,
            })
        });
        Ok(Self {
            annotations: annotations.collect::<Result<_, _>>()?,
            images: file.images.into_iter().map(ImageRow::into_image).collect(),
            categories: file.categories.into_iter().map(CategoryRow::into_category).collect(),
        })
    }
}

impl Prediction {
    /// Reads a list of results, as `[{"image_id": 1, "category_id": 18, "bbox": [x, y, width, height], "score": 0.9}]`.
    ///
    /// # Errors
    /// Not JSON, not a list, a result without one of the four.
    pub fn list_from_json(text: &str) -> Result<Vec<Self>, ScoreError> {
        let rows: Vec<PredictionRow> = parse(text, "COCO results, a list")?;
        let row = |(index, row): (usize, PredictionRow)| {
            let bbox = row.bbox.ok_or_else(|| {
                let instead = if row.keypoints.is_some() {
                    "; it has keypoints, which are not scored"
                } else if row.segmentation.is_some() {
                    "; it has a mask alone (iouType segm), and masks are not scored here: give the box around it too"
                } else {
                    ""
                };
                let message = format!("its bbox should be [x, y, width, height], got nothing{instead}");
                ScoreError::Prediction { index, message }
            })?;
            Ok(Self { image: row.image_id, category: row.category_id, bbox, score: row.score })
        };
        rows.into_iter().enumerate().map(row).collect()
    }
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str, expected: &'static str) -> Result<T, ScoreError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    serde_json::from_str(text).map_err(|error| {
        // Python writes them without a word, and nothing can be ranked by them.
        let is_wild = ["NaN", "Infinity"].iter().any(|word| text.contains(word));
        let hint =
            if is_wild { "; NaN and Infinity are no numbers of JSON, nor scores" } else { "" };
        ScoreError::Json { expected, message: format!("{error}{hint}") }
    })
}

#[derive(Deserialize)]
struct TruthFile {
    images: Vec<ImageRow>,
    annotations: Vec<AnnotationRow>,
    categories: Vec<CategoryRow>,
}

#[derive(Deserialize)]
struct ImageRow {
    id: Id,
    #[serde(default)]
    neg_category_ids: Option<Vec<Id>>,
    #[serde(default)]
    not_exhaustive_category_ids: Vec<Id>,
}

#[derive(Deserialize)]
struct CategoryRow {
    id: Id,
    #[serde(default)]
    name: String,
    #[serde(default)]
    frequency: Option<FrequencyRow>,
}

#[derive(Deserialize)]
enum FrequencyRow {
    #[serde(rename = "r")]
    Rare,
    #[serde(rename = "c")]
    Common,
    #[serde(rename = "f")]
    Frequent,
}

#[derive(Deserialize)]
struct AnnotationRow {
    id: Id,
    image_id: Id,
    category_id: Id,
    #[serde(default)]
    bbox: Option<[f64; 4]>,
    #[serde(default)]
    area: Option<f64>,
    #[serde(default, deserialize_with = "flag")]
    iscrowd: bool,
    #[serde(default, deserialize_with = "flag")]
    ignore: bool,
}

#[derive(Deserialize)]
struct PredictionRow {
    image_id: Id,
    category_id: Id,
    #[serde(default)]
    bbox: Option<[f64; 4]>,
    score: f64,
    #[serde(default)]
    segmentation: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    keypoints: Option<serde::de::IgnoredAny>,
}

/// 0, 1, false, true or null.
fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Flag {
        Truth(bool),
        Number(f64),
    }
    Ok(match Option::<Flag>::deserialize(deserializer)? {
        Some(Flag::Truth(flag)) => flag,
        Some(Flag::Number(number)) => number != 0.0,
        None => false,
    })
}

impl ImageRow {
    fn into_image(self) -> Image {
        Image {
            id: self.id,
            negative: self.neg_category_ids,
            not_exhaustive: self.not_exhaustive_category_ids,
        }
    }
}

impl CategoryRow {
    fn into_category(self) -> Category {
        let frequency = self.frequency.map(|frequency| match frequency {
            FrequencyRow::Rare => Frequency::Rare,
            FrequencyRow::Common => Frequency::Common,
            FrequencyRow::Frequent => Frequency::Frequent,
        });
        Category { id: self.id, name: self.name, frequency }
    }
}
