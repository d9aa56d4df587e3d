//! One region, as outlines or as run lengths.

use serde::{Deserialize, Serialize};

use super::boxes::in_words;
use super::items;
use super::items::coordinates::read_region;
use super::items::{Area, points};
use super::polygon::{EXAMPLE, check_space, is_region, outline_of, outline_of_all};
use super::{ItemKind, OneItemKeys};
use crate::config::{ConfigError, Reader};
use crate::geometry::{Geometry, Space};
use crate::rng::Rng;
use crate::text::find::lists;
use crate::text::value::Value;
use crate::{Flaw, Item, Place};

/// One region: outlines, or run lengths `{"size": [h, w], "counts": […]}` as in COCO.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MaskAnswer {
    /// What coordinates count; not pixels, since outlines are compared on a grid over the whole image.
    pub space: Space,
    /// Names of the parts of the region.
    pub keys: OneItemKeys,
    /// The names that a region may have; empty for any.
    pub labels: Vec<String>,
}

impl ItemKind for MaskAnswer {
    fn geometry(&self) -> Geometry {
        Geometry::Region
    }

    items::say_fields!();

    fn is_single(&self) -> bool {
        true
    }

    fn check(&self) -> Result<(), ConfigError> {
        check_space(self.space)
    }

    fn instruction(&self) -> String {
        format!("Give the outline of the region as a list of points {}.", in_words(self.space))
    }

    fn coordinates_example(&self) -> &'static str {
        EXAMPLE
    }

    fn place(&self, value: &Value) -> Result<Place, Flaw> {
        read_region(value, self.space)
    }

    fn is_item(&self, value: &Value) -> bool {
        is_region(self, value)
    }

    /// All outlines together are the region.
    fn bare(&self, text: &str) -> Vec<Result<Item, Flaw>> {
        let outlines: Vec<Value> = lists(text).collect();
        if outlines.is_empty() {
            return Vec::new();
        }
        vec![self.place(&Value::List(outlines)).map(Item::at)]
    }

    fn further_keys(&self) -> &'static [&'static str] {
        &["size", "counts"]
    }

    fn write_place(&self, numbers: &[f64], _reader: Reader) -> String {
        points(numbers)
    }

    fn numbers_of(&self, area: Area, _rng: &mut Rng) -> Vec<f64> {
        outline_of(area)
    }

    fn numbers_of_all(&self) -> Option<Vec<f64>> {
        Some(outline_of_all(self.span()))
    }

    /// One region drawn five times is the same region.
    fn is_repeatable(&self) -> bool {
        false
    }
}
