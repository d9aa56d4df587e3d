//! Any number of boxes in space.

use serde::{Deserialize, Serialize};

use super::items;
use super::items::coordinates::read_solid;
use super::items::{Area, bare_lists};
use super::{AnswerKind, Examples, ItemKeys, ItemKind};
use crate::geometry::{Geometry, Space};
use crate::rng::Rng;
use crate::text::value::Value;
use crate::{Flaw, Item, Place};

/// Any number of boxes in space: center, size and, if wanted, the turn about the vertical.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Box3dAnswer {
    /// What coordinates count. Meters are written as `pixels`, since they have no upper end either.
    pub space: Space,
    /// Names of the parts of a box.
    pub keys: ItemKeys,
    /// The names that boxes have; empty for any.
    pub labels: Vec<String>,
}

impl ItemKind for Box3dAnswer {
    fn geometry(&self) -> Geometry {
        Geometry::Solid
    }

    items::say_fields!();

    fn instruction(&self) -> String {
        "Give the boxes in space: center, size along their own axes, and turn about the vertical in radians."
            .to_owned()
    }

    fn coordinates_example(&self) -> &'static str {
        "[x, y, z, dx, dy, dz, yaw]"
    }

    fn place(&self, value: &Value) -> Result<Place, Flaw> {
        read_solid(value)
    }

    fn bare(&self, text: &str) -> Vec<Result<Item, Flaw>> {
        bare_lists(self, text, |value| matches!(value, Value::List(_)))
    }

    fn tidy(&self, number: f64) -> f64 {
        match self.space {
            Space::Unit => (number * 1000.0).round() / 1000.0,
            _ => (number * 100.0).round() / 100.0,
        }
    }

    fn numbers_of(&self, area: Area, rng: &mut Rng) -> Vec<f64> {
        let Area { x, y, width, height } = area;
        let yaw = rng.between(-3.0, 3.0);
        vec![x / 10.0, y / 10.0, 1.0, width / 50.0 + 1.0, height / 50.0 + 1.0, 1.6, yaw]
    }

    fn numbers_of_all(&self) -> Option<Vec<f64>> {
        let span = self.span();
        Some(vec![span / 20.0, span / 20.0, 1.0, span / 5.0, span / 5.0, 10.0, 0.0])
    }

    /// On the ground by a part of the size, and turned.
    fn moved(&self, numbers: &[f64], sigma: f64, rng: &mut Rng) -> Vec<f64> {
        let mut moved = numbers.to_vec();
        let size = (numbers[3] + numbers[4]) / 2.0;
        moved[0] += sigma * size * rng.normal();
        moved[1] += sigma * size * rng.normal();
        let turn = sigma * rng.normal();
        if let Some(yaw) = moved.get_mut(6) {
            *yaw += turn;
        }
        moved
    }

    fn farthest(&self, _numbers: &[f64]) -> Option<f64> {
        None
    }
}

/// Objects with six or seven numbers.
pub(super) fn recognize(examples: &Examples) -> Option<(AnswerKind, String)> {
    let (keys, n @ (6 | 7)) = examples.item_keys()? else { return None };
    let mut reason = format!("objects with {n} numbers under {:?}: boxes in space", keys.place);
    reason += &examples.further();
    let kind = Box3dAnswer { space: Space::Pixels, keys, ..Box3dAnswer::default() };
    Some((AnswerKind::Box3d(kind), reason))
}
