//! Which of two coordinates is written first.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::text::value::Value;

/// The key under which Gemini was trained to give boxes, as `[y1, x1, y2, x2]`.
pub(crate) const Y_FIRST_KEY: &str = "box_2d";

/// Which coordinate of a point is written first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AxisOrder {
    /// x, then y.
    Xy,
    /// y, then x.
    Yx,
}

impl AxisOrder {
    /// As declared, else as the key of the coordinates is known to have it, else x first.
    pub(crate) fn of(declared: Option<Self>, key: Option<&str>) -> Self {
        let is_known = key.is_some_and(|key| key.trim().eq_ignore_ascii_case(Y_FIRST_KEY));
        declared.unwrap_or(if is_known { Self::Yx } else { Self::Xy })
    }

    /// Numbers in this order with x first, or numbers with x first in this order.
    pub(crate) fn exchanged(self, mut numbers: Vec<f64>) -> Vec<f64> {
        if self == Self::Yx {
            numbers.chunks_exact_mut(2).for_each(|pair| pair.swap(0, 1));
        }
        numbers
    }

    /// A list of coordinates in this order, with x first; anything else as it is.
    pub(crate) fn x_first(self, value: &Value) -> Cow<'_, Value> {
        match value.numbers() {
            Some(numbers) if self == Self::Yx => {
                let numbers = self.exchanged(numbers).into_iter().map(Value::Number);
                Cow::Owned(Value::List(numbers.collect()))
            }
            _ => Cow::Borrowed(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::answers::{AnswerKind, BoxAnswer, BoxesAnswer, ItemKeys, PointsAnswer};
    use crate::config::AnswerConfig;
    use crate::reading::{read_answer, read_truth};
    use crate::writing::write;
    use crate::{BBox, Place};

    use super::*;

    fn boxes(place: &str, order: Option<AxisOrder>) -> AnswerConfig {
        let keys = ItemKeys { place: place.into(), ..ItemKeys::default() };
        AnswerConfig::of(AnswerKind::Boxes(BoxesAnswer { keys, order, ..BoxesAnswer::default() }))
    }

    #[track_caller]
    fn check(answer: &AnswerConfig, text: &str, corners: [f64; 4]) {
        let truth = read_truth(text, answer).unwrap();
        assert_eq!(truth.items()[0].place, Place::Box(BBox::try_new(corners).unwrap()), "{text}");
        assert_eq!(read_answer(text, answer), Some(truth.clone()));
        // What is written is read as the same place.
        let draft = crate::answers::Draft::of(&truth).unwrap();
        assert_eq!(read_truth(&write(&draft, answer), answer), Ok(truth));
    }

    #[test]
    fn the_key_of_gemini_has_y_first_and_a_setting_overrides_it() {
        let text = "[{\"box_2d\": [20, 10, 140, 110], \"label\": \"mug\"}]";
        check(&boxes("box_2d", None), text, [10., 20., 110., 140.]);
        check(&boxes("BOX_2D", None), text, [10., 20., 110., 140.]);
        check(&boxes("box_2d", Some(AxisOrder::Xy)), text, [20., 10., 140., 110.]);
        let other = text.replace("box_2d", "bbox");
        check(&boxes("bbox", None), &other, [20., 10., 140., 110.]);
        check(&boxes("bbox", Some(AxisOrder::Yx)), &other, [10., 20., 110., 140.]);
        // Corners in lists of their own.
        let nested = "[{\"box_2d\": [[20, 10], [140, 110]]}]";
        check(&boxes("box_2d", None), nested, [10., 20., 110., 140.]);
    }
    #[test]
    fn where_no_key_is_declared_the_key_of_an_object_says_it_too() {
        let bare =
            |order| AnswerConfig::of(AnswerKind::Box(BoxAnswer { order, ..BoxAnswer::default() }));
        let text = "{\"box_2d\": [20, 10, 140, 110]}";
        check(&bare(None), text, [10., 20., 110., 140.]);
        check(&bare(Some(AxisOrder::Xy)), text, [20., 10., 140., 110.]);
        check(&bare(None), "[20, 10, 140, 110]", [20., 10., 140., 110.]);
        check(&bare(Some(AxisOrder::Yx)), "[20, 10, 140, 110]", [10., 20., 110., 140.]);
    }
    #[test]
    fn what_is_asked_for_shows_the_order() {
        let asked = |answer: &AnswerConfig| {
            let kind = answer.kind.kind();
            format!("{} {}", kind.instruction(), kind.example())
        };
        let y_first = asked(&boxes("box_2d", None));
        assert!(y_first.contains("y before x") && y_first.contains("'box_2d': [y1, x1, y2, x2]"));
        let kind = PointsAnswer { order: Some(AxisOrder::Yx), ..PointsAnswer::default() };
        assert!(asked(&AnswerConfig::of(AnswerKind::Points(kind))).contains("[[y, x], ...]"));
        assert!(!asked(&boxes("bbox", None)).contains("y before x"));
    }
    #[test]
    fn points_may_have_y_first() {
        let kind = PointsAnswer { order: Some(AxisOrder::Yx), ..PointsAnswer::default() };
        let truth = read_truth("[20, 10]", &AnswerConfig::of(AnswerKind::Points(kind))).unwrap();
        assert_eq!(truth.items()[0].place, Place::Point([10., 20.]));
    }
}
