//! Any number of points.

use serde::{Deserialize, Serialize};

use super::boxes::{in_words, order_in_words, sure};
use super::items;
use super::items::coordinates::read_point;
use super::items::{Area, AxisOrder, bare_numbers};
use super::{AnswerKind, Examples, ItemKeys, ItemKind};
use crate::geometry::{Geometry, Space};
use crate::rng::Rng;
use crate::text::value::Value;
use crate::{Flaw, Item, Place};

/// How far a point is moved in units of `sigma`, as a share of the space: it has no size of its own.
const MOVED_BY: f64 = 0.1;

/// The key under which Gemini has points with y first, and others with x first.
const AMBIGUOUS_KEY: &str = "point";

/// Any number of points `[x, y]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PointsAnswer {
    /// What coordinates count.
    pub space: Space,
    /// Which of two coordinates comes first; left out, x.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<AxisOrder>,
    /// Names of the parts of a point.
    pub keys: ItemKeys,
    /// The names that points have; empty for any.
    pub labels: Vec<String>,
}

impl ItemKind for PointsAnswer {
    fn geometry(&self) -> Geometry {
        Geometry::Point
    }

    items::say_fields!();

    fn order(&self) -> Option<AxisOrder> {
        self.order
    }

    fn instruction(&self) -> String {
        let (space, order) = (in_words(self.space), order_in_words(self));
        format!("Give the points {space}{order}{}.", sure(&self.keys))
    }

    fn coordinates_example(&self) -> &'static str {
        match self.asked_order() {
            AxisOrder::Xy => "[x, y]",
            AxisOrder::Yx => "[y, x]",
        }
    }

    fn place(&self, value: &Value) -> Result<Place, Flaw> {
        read_point(value, self.space)
    }

    fn bare(&self, text: &str) -> Vec<Result<Item, Flaw>> {
        bare_numbers(self, text, 2)
    }

    fn numbers_of(&self, area: Area, _rng: &mut Rng) -> Vec<f64> {
        vec![area.x, area.y]
    }

    fn numbers_of_all(&self) -> Option<Vec<f64>> {
        None
    }

    fn moved(&self, numbers: &[f64], sigma: f64, rng: &mut Rng) -> Vec<f64> {
        numbers.iter().map(|n| n + sigma * MOVED_BY * self.span() * rng.normal()).collect()
    }
}

/// Two numbers, bare in brackets or in an object.
pub(super) fn recognize(examples: &Examples) -> Option<(AnswerKind, String)> {
    let space = examples.space();
    if let Some((keys, 2)) = examples.item_keys() {
        let mut reason = format!("objects with 2 numbers under {:?}: points", keys.place);
        reason += &examples.further();
        if keys.place == AMBIGUOUS_KEY {
            reason += ", read as [x, y]; if they are Gemini's, which are [y, x], set reward.answer.order = \"yx\"";
        }
        return Some((
            AnswerKind::Points(PointsAnswer { space, keys, ..PointsAnswer::default() }),
            reason,
        ));
    }
    (examples.are_bracketed() && examples.have_numbers(2)).then_some(())?;
    let kind = PointsAnswer { space, ..PointsAnswer::default() };
    Some((AnswerKind::Points(kind), "every answer is two numbers in brackets: a point".to_owned()))
}
