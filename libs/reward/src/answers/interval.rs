//! One stretch of time.

use serde::{Deserialize, Serialize};

use super::items::coordinates::read_span;
use super::items::keys::named;
use super::items::{Area, Keys, bare_numbers, list, quoted};
use super::{AnswerKind, Examples, ItemKind, Sketch};
use crate::config::{ConfigError, Reader, ensure};
use crate::geometry::{Geometry, Space};
use crate::rng::Rng;
use crate::text::value::Value;
use crate::{Flaw, Item, Place, Span};

/// One stretch of time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IntervalAnswer {
    /// What times count: shares of the video, thousandths of it, or seconds, which are written as `pixels` since they have
    /// no upper end either.
    pub space: Space,
    /// Names of the parts of the interval.
    pub keys: IntervalKeys,
    /// The names that an interval may have; empty for any.
    pub labels: Vec<String>,
}

/// Names of the parts of an interval. An empty name stands for none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IntervalKeys {
    /// First moment; empty if the interval is a bare list of two numbers.
    pub start: String,
    /// Key of the last moment.
    pub end: String,
    /// Name of what happens.
    pub label: String,
}

impl Default for IntervalAnswer {
    fn default() -> Self {
        Self { space: Space::Thousandths, keys: IntervalKeys::default(), labels: Vec::new() }
    }
}

impl ItemKind for IntervalAnswer {
    fn geometry(&self) -> Geometry {
        Geometry::Span
    }

    fn space(&self) -> Space {
        self.space
    }

    fn set_space(&mut self, space: Space) {
        self.space = space;
    }

    fn keys(&self) -> Keys<'_> {
        let IntervalKeys { start, end, label } = &self.keys;
        Keys { start: named(start), end: named(end), label: named(label), ..Keys::default() }
    }

    fn labels(&self) -> &[String] {
        &self.labels
    }

    fn is_single(&self) -> bool {
        true
    }

    fn check(&self) -> Result<(), ConfigError> {
        let IntervalKeys { start, end, .. } = &self.keys;
        ensure(start.is_empty() == end.is_empty(), "reward.answer.keys.end", end, || {
            "names for both keys.start and keys.end, or for neither".into()
        })
    }

    fn instruction(&self) -> String {
        let unit = match (self.space, self.keys().label) {
            (Space::Unit, _) => "as shares of the video, from 0 to 1",
            (Space::Percent, _) => "in percent of the video, from 0 to 100",
            (_, Some(_)) => "in seconds, and say what happens",
            (_, None) => "in seconds",
        };
        format!("Give start and end {unit}.")
    }

    fn coordinates_example(&self) -> &'static str {
        "[start, end]"
    }

    fn item_example(&self) -> String {
        let Keys { start: Some(start), end: Some(end), label, .. } = self.keys() else {
            return self.coordinates_example().to_owned();
        };
        let label = label.map_or_else(String::new, |label| format!(", '{label}': 'text'"));
        format!("{{'{start}': number, '{end}': number{label}}}")
    }

    fn place(&self, value: &Value) -> Result<Place, Flaw> {
        read_span(value, self.space)
    }

    fn place_of(&self, object: &Value) -> Result<Place, Flaw> {
        let Keys { start: Some(start), end: Some(end), .. } = self.keys() else {
            return self.place(object);
        };
        let ends = [start, end].map(|key| object.get(key).and_then(Value::number));
        let [Some(start), Some(end)] = ends else { return Err(Flaw::NoPlace) };
        Span::try_new([start, end], self.space.extent()).map(Place::Span)
    }

    fn is_item(&self, value: &Value) -> bool {
        self.keys().start.is_some_and(|key| value.get(key).is_some())
    }

    fn bare(&self, text: &str) -> Vec<Result<Item, Flaw>> {
        bare_numbers(self, text, 2)
    }

    /// Times in quotes, as Temporal-RLT has them.
    fn write_item(&self, item: &Sketch, reader: Reader) -> String {
        let (Keys { start: Some(start), end: Some(end), label, .. }, [from, to]) =
            (self.keys(), &item.numbers[..])
        else {
            return self.write_place(&item.numbers, reader);
        };
        let label =
            label.map_or_else(String::new, |key| format!(", \"{key}\": {}", quoted(&item.label)));
        format!("{{\"{start}\": \"{from}\", \"{end}\": \"{to}\"{label}}}")
    }

    fn write_place(&self, numbers: &[f64], _reader: Reader) -> String {
        list(numbers)
    }

    fn numbers_of(&self, area: Area, _rng: &mut Rng) -> Vec<f64> {
        vec![area.x, area.x + area.width]
    }

    fn numbers_of_all(&self) -> Option<Vec<f64>> {
        Some(vec![0.0, self.span()])
    }

    /// Both ends by the same amount, so that none overtakes the other.
    fn moved(&self, numbers: &[f64], sigma: f64, rng: &mut Rng) -> Vec<f64> {
        let &[start, end] = numbers else { return numbers.to_vec() };
        let by = sigma * (end - start) * rng.normal();
        vec![start + by, end + by]
    }
}

/// Objects with a start and an end, or two rising numbers where the questions are about time.
pub(super) fn recognize(examples: &Examples) -> Option<(AnswerKind, String)> {
    const WORDS_OF_TIME: [&str; 3] = ["when", "start", "second"];
    if let Some((start, end)) = examples.key_of("start").zip(examples.key_of("end")) {
        let keys = IntervalKeys { start, end, ..IntervalKeys::default() };
        let kind = IntervalAnswer { space: Space::Pixels, keys, ..IntervalAnswer::default() };
        let reason = "objects with a start and an end: an interval".to_owned();
        return Some((AnswerKind::Interval(kind), reason));
    }
    let is_pair = examples.are_bracketed() && examples.have_numbers(2);
    (is_pair && examples.are_rising() && examples.ask_for(&WORDS_OF_TIME)).then_some(())?;
    let kind = IntervalAnswer { space: Space::Pixels, ..IntervalAnswer::default() };
    let reason = "two rising numbers, and the questions are about time: an interval".to_owned();
    Some((AnswerKind::Interval(kind), reason))
}
