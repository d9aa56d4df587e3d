//! Any number of regions, each as an outline.

use serde::{Deserialize, Serialize};

use super::boxes::{in_words, sure};
use super::items;
use super::items::coordinates::read_region;
use super::items::{Area, bare_lists, points};
use super::{ItemKeys, ItemKind};
use crate::config::{ConfigError, Reader, ensure};
use crate::geometry::{Geometry, Space};
use crate::rng::Rng;
use crate::text::value::Value;
use crate::{Flaw, Item, Place};

/// How an outline looks.
pub(super) const EXAMPLE: &str = "[[x1, y1], [x2, y2], ...]";

/// Any number of outlines `[x1, y1, x2, y2, …]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolygonAnswer {
    /// What coordinates count; not pixels, since outlines are compared on a grid over the whole image.
    pub space: Space,
    /// Names of the parts of a region.
    pub keys: ItemKeys,
    /// The names that regions have; empty for any.
    pub labels: Vec<String>,
}

impl ItemKind for PolygonAnswer {
    fn geometry(&self) -> Geometry {
        Geometry::Region
    }

    items::say_fields!();

    fn check(&self) -> Result<(), ConfigError> {
        check_space(self.space)
    }

    fn instruction(&self) -> String {
        format!(
            "Give the outlines as lists of points {}{}.",
            in_words(self.space),
            sure(&self.keys)
        )
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

    fn bare(&self, text: &str) -> Vec<Result<Item, Flaw>> {
        // A list of lists is one outline if these are its points.
        let is_outline = |value: &Value| matches!(value, Value::List(inner) if inner.len() >= 3);
        bare_lists(self, text, is_outline)
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
}

/// Refuses outlines in pixels.
pub(super) fn check_space(space: Space) -> Result<(), ConfigError> {
    ensure(space != Space::Pixels, "reward.answer.space", "pixels", || {
        "thousandths or unit: outlines are compared on a grid over the whole image".into()
    })
}

/// Whether a value has the declared key of outlines or, where there is none, is run lengths.
pub(super) fn is_region(kind: &dyn ItemKind, value: &Value) -> bool {
    value.get(kind.keys().place.unwrap_or("counts")).is_some()
}

/// The four corners of an area.
pub(super) fn outline_of(area: Area) -> Vec<f64> {
    let (right, bottom) = (area.x + area.width, area.y + area.height);
    vec![area.x, area.y, right, area.y, right, bottom, area.x, bottom]
}

/// The four corners of the whole space.
pub(super) fn outline_of_all(span: f64) -> Vec<f64> {
    outline_of(Area { x: 0.0, y: 0.0, width: span, height: span })
}
