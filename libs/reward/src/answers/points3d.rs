//! Any number of points in space.

use serde::{Deserialize, Serialize};

use super::boxes::sure;
use super::items::coordinates::read_point3d;
use super::items::{Area, Keys, bare_numbers};
use super::{AnswerKind, Examples, ItemKeys, ItemKind};
use crate::geometry::{Geometry, Space};
use crate::rng::Rng;
use crate::terms::{Distance, Metric};
use crate::text::find::numbers;
use crate::text::value::Value;
use crate::{Flaw, Item, Place};

/// How far a point is moved in units of `sigma`, as a share of its distance from the origin: it has no size of its own.
const MOVED_BY: f64 = 0.1;

/// Any number of points in space, `[x, y, z]`. Their numbers have no end and may be negative; the unit, which is a meter
/// in most data, is up to the question.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Points3dAnswer {
    /// Names of the parts of a point.
    pub keys: ItemKeys,
    /// The names that points have; empty for any.
    pub labels: Vec<String>,
}

impl ItemKind for Points3dAnswer {
    fn geometry(&self) -> Geometry {
        Geometry::Point3d
    }

    /// The space without an end: points in space are no places in a picture, so that nothing converts them.
    fn space(&self) -> Space {
        Space::Pixels
    }

    fn set_space(&mut self, _space: Space) {}

    fn keys(&self) -> Keys<'_> {
        self.keys.view()
    }

    fn labels(&self) -> &[String] {
        &self.labels
    }

    fn instruction(&self) -> String {
        format!("Give the points in space{}.", sure(&self.keys))
    }

    fn coordinates_example(&self) -> &'static str {
        "[x, y, z]"
    }

    fn place(&self, value: &Value) -> Result<Place, Flaw> {
        read_point3d(value)
    }

    fn bare(&self, text: &str) -> Vec<Result<Item, Flaw>> {
        bare_numbers(self, text, 3)
    }

    /// To a thousandth of the unit.
    fn tidy(&self, number: f64) -> f64 {
        (number * 1000.0).round() / 1000.0
    }

    fn usual_metric(&self) -> Metric {
        let label = self.keys().label.is_some();
        Metric::Distance(Distance { label, ..Distance::of_scale(1.0) })
    }

    fn numbers_of(&self, area: Area, rng: &mut Rng) -> Vec<f64> {
        vec![area.x / 10.0, area.y / 10.0, rng.between(-2.0, 2.0)]
    }

    fn numbers_of_all(&self) -> Option<Vec<f64>> {
        None
    }

    fn moved(&self, numbers: &[f64], sigma: f64, rng: &mut Rng) -> Vec<f64> {
        let far = numbers.iter().map(|n| n * n).sum::<f64>().sqrt();
        let by = if far > 0.0 { MOVED_BY * far } else { 1.0 };
        numbers.iter().map(|n| n + sigma * by * rng.normal()).collect()
    }

    fn farthest(&self, _numbers: &[f64]) -> Option<f64> {
        None
    }
}

/// Three numbers in an object; or bare in brackets, if some are not whole: others may count something, or name a color.
pub(super) fn recognize(examples: &Examples) -> Option<(AnswerKind, String)> {
    let of = |keys| AnswerKind::Points3d(Points3dAnswer { keys, ..Points3dAnswer::default() });
    if let Some((keys, 3)) = examples.item_keys() {
        let mut reason = format!("objects with 3 numbers under {:?}: points in space", keys.place);
        reason += &examples.further();
        return Some((of(keys), reason));
    }
    let are_whole = examples.all(|answer| numbers(answer).all(|number| number.fract() == 0.0));
    let are_bare = examples.are_bracketed() && examples.have_numbers(3) && !are_whole;
    let reason = "every answer is three numbers in brackets, not all whole: a point in space";
    are_bare.then(|| (of(ItemKeys::default()), reason.to_owned()))
}
