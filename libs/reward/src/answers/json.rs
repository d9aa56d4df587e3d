//! Labeled boxes in one object, and which of them is meant.

use serde::{Deserialize, Serialize};

use super::ItemKind;
use super::boxes::{corners_of, example_of_box, in_words, order_in_words};
use super::items;
use super::items::coordinates::read_box;
use super::items::keys::named;
use super::items::{Area, Keys, bare_numbers};
use crate::config::{ConfigError, absent};
use crate::geometry::{Geometry, Space};
use crate::rng::Rng;
use crate::text::value::Value;
use crate::{Flaw, Item, Place};

/// Labeled boxes and the number of the one that is meant, as in
/// `{"objects": [{"bbox": […], "label": "…"}], "target": 0}`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JsonAnswer {
    /// What coordinates count.
    pub space: Space,
    /// Names of the parts of the answer.
    pub keys: JsonKeys,
    /// The names that boxes have; empty for any.
    pub labels: Vec<String>,
}

/// Names of the parts of an answer with a target.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JsonKeys {
    /// Key of the coordinates.
    pub place: String,
    /// Name of what is there.
    pub label: String,
    /// List of the boxes.
    pub objects: String,
    /// Index of the box that is meant, from 0.
    pub target: String,
}

impl JsonKeys {
    /// The keys that there are.
    fn view(&self) -> Keys<'_> {
        let Self { place, label, objects, target } = self;
        Keys {
            place: named(place),
            label: named(label),
            objects: named(objects),
            target: named(target),
            ..Keys::default()
        }
    }
}

impl ItemKind for JsonAnswer {
    fn geometry(&self) -> Geometry {
        Geometry::Box
    }

    items::say_fields!();

    fn check(&self) -> Result<(), ConfigError> {
        let JsonKeys { place, label, objects, target } = &self.keys;
        absent(place, "reward.answer.keys.place", "write the key of the coordinates of a box")?;
        absent(label, "reward.answer.keys.label", "write the key of the name of a box")?;
        absent(objects, "reward.answer.keys.objects", "write the key of the list of boxes")?;
        absent(target, "reward.answer.keys.target", "write the key of the index of what is meant")
    }

    fn instruction(&self) -> String {
        let (space, order) = (in_words(self.space), order_in_words(self));
        format!(
            "Give the bounding boxes {space}{order} with their labels, and the index of the one that is meant, from 0."
        )
    }

    fn coordinates_example(&self) -> &'static str {
        example_of_box(self)
    }

    fn example(&self) -> String {
        let JsonKeys { objects, target, .. } = &self.keys;
        format!("{{'{objects}': [{}, ...], '{target}': number}}", self.item_example())
    }

    fn place(&self, value: &Value) -> Result<Place, Flaw> {
        read_box(value, self.space)
    }

    fn bare(&self, text: &str) -> Vec<Result<Item, Flaw>> {
        bare_numbers(self, text, 4)
    }

    fn enclose(&self, items: &str, target: usize) -> String {
        format!("{{\"{}\": [{items}], \"{}\": {target}}}", self.keys.objects, self.keys.target)
    }

    fn numbers_of(&self, area: Area, _rng: &mut Rng) -> Vec<f64> {
        corners_of(area)
    }

    fn numbers_of_all(&self) -> Option<Vec<f64>> {
        Some(vec![0.0, 0.0, self.span(), self.span()])
    }
}
