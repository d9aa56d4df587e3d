//! One number.

use serde::{Deserialize, Serialize};

use super::{AnswerKind, Author, Draft, Examples, Form, Kind};
use crate::Answer;
use crate::rng::Rng;
use crate::terms::{Closeness, Metric, Shape};
use crate::text::find::numbers;

/// Numbers that a hedging answer lists.
const HEDGED_UP_TO: usize = 50;

/// One number.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumberAnswer {}

impl Kind for NumberAnswer {
    fn form(&self) -> Form {
        Form::Number
    }

    fn instruction(&self) -> String {
        "Give one number.".to_owned()
    }

    fn example(&self) -> String {
        "number".to_owned()
    }

    fn read(&self, text: &str, _author: Author) -> Option<Answer> {
        only_number(text).map(Answer::Number)
    }

    fn is_exact(&self, text: &str, reading: &Answer) -> bool {
        matches!(reading, Answer::Number(number) if text.parse() == Ok(*number))
    }

    fn usual_metric(&self) -> Metric {
        Metric::Closeness(Closeness { scale: 2.0, shape: Shape::Linear })
    }

    fn draw(&self, rng: &mut Rng) -> Draft {
        Draft::Number((2 + rng.below(28)) as f64)
    }

    fn corrupt(&self, draft: &Draft, sigma: f64, rng: &mut Rng) -> Draft {
        let Draft::Number(number) = draft else { return draft.clone() };
        Draft::Number((number + sigma * number.abs().max(1.0) * rng.normal()).round())
    }

    /// Many numbers, one after the other.
    fn hedged(&self, gold: &Draft, _rng: &mut Rng) -> Option<Draft> {
        let all: Vec<String> = (0..HEDGED_UP_TO).map(|n| n.to_string()).collect();
        Some(Draft::Text(format!("{}, {gold}", all.join(", "))))
    }

    fn constant(&self, _gold: &Draft) -> Option<Draft> {
        Some(Draft::Number(0.0))
    }
}

/// The number of a text that has only one; thousands may be set off by commas.
fn only_number(text: &str) -> Option<f64> {
    let joined;
    let text = if text.contains(',') {
        joined = without_thousands_commas(text);
        &joined
    } else {
        text
    };
    let mut numbers = numbers(text);
    let first = numbers.next()?;
    numbers.all(|number| number == first).then_some(first)
}

/// Drops each comma between a digit and exactly three digits.
fn without_thousands_commas(text: &str) -> String {
    let bytes = text.as_bytes();
    let digit = |idx: usize| bytes.get(idx).is_some_and(u8::is_ascii_digit);
    let sets_off = |idx: usize| {
        idx > 0 && digit(idx - 1) && (1..=3).all(|k| digit(idx + k)) && !digit(idx + 4)
    };
    let kept = text.char_indices().filter(|&(idx, c)| c != ',' || !sets_off(idx));
    kept.map(|(_, c)| c).collect()
}

/// Recognizes answers that are numbers alone.
pub(super) fn recognize(examples: &Examples) -> Option<(AnswerKind, String)> {
    examples.all(|answer| answer.trim().parse::<f64>().is_ok()).then_some(())?;
    Some((AnswerKind::Number(NumberAnswer {}), "every answer is a number".to_owned()))
}
