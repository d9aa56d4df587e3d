//! Truth and predictions as COCO and LVIS publish them.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use super::{Annotation, Category, Frequency, Image, Prediction, Truth};
use crate::ScoreError;

/// An id of an image, a category or an annotation: usually a number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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
        let row = |row: PredictionRow| Self {
            image: row.image_id,
            category: row.category_id,
            bbox: row.bbox,
            score: row.score,
        };
        Ok(rows.into_iter().map(row).collect())
    }
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str, expected: &'static str) -> Result<T, ScoreError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    serde_json::from_str(text)
        .map_err(|error| ScoreError::Json { expected, message: error.to_string() })
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
    neg_category_ids: Vec<Id>,
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
    bbox: [f64; 4],
    score: f64,
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
