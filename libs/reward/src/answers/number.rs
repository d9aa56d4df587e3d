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
        let &Draft::Number(number) = draft else { return draft.clone() };
        let error = sigma * number.abs().max(1.0) * rng.normal();
        if number.fract() != 0.0 {
            return Draft::Number(number + error);
        }
        // Whole numbers are off by one now and then where the error is less than one.
        Draft::Number(number + (error + rng.unit()).floor())
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

/// The number of a text that has only one; thousands may be set off by commas, and a text that is nothing else may have it
/// in words.
pub(crate) fn only_number(text: &str) -> Option<f64> {
    let joined;
    let text = if text.contains(',') {
        joined = without_thousands_commas(text);
        &joined
    } else {
        text
    };
    if !text.contains(|c: char| c.is_ascii_digit()) {
        return in_words(text);
    }
    let mut numbers = numbers(text);
    let first = numbers.next()?;
    numbers.all(|number| number == first).then_some(first)
}

/// Whether a text is a number in digits and nothing else.
pub(crate) fn is_digits(text: &str) -> bool {
    text.trim().parse::<f64>().is_ok()
}

/// Whether a text is one number with a percent sign behind it.
pub fn is_percent(text: &str) -> bool {
    let text = text.trim();
    text.strip_suffix(['%', '\u{ff05}']).is_some_and(|text| only_number(text).is_some())
}

/// The words of numbers that are one word.
const WORDS: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: [&str; 8] =
    ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];

/// A number from 0 to 99 in English words, of a text that says nothing else.
fn in_words(text: &str) -> Option<f64> {
    let text = text.trim().trim_end_matches('.').to_ascii_lowercase();
    let place = |words: &[&str], word: &str| words.iter().position(|known| *known == word);
    if let Some(number) = place(&WORDS, &text) {
        return Some(number as f64);
    }
    let (tens, ones) = text.split_once(['-', ' ']).unwrap_or((&text, ""));
    let tens = 10 * (place(&TENS, tens)? + 2);
    match ones {
        "" => Some(tens as f64),
        ones => {
            let ones = place(&WORDS, ones).filter(|ones| (1..10).contains(ones))?;
            Some((tens + ones) as f64)
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_may_have_commas_a_unit_or_be_a_word() {
        let read = [
            ("1,234", 1234.0),
            ("12 mugs", 12.0),
            ("Twelve.", 12.0),
            ("forty-two", 42.0),
            ("zero", 0.0),
        ];
        for (text, number) in read {
            assert_eq!(only_number(text), Some(number), "{text}");
        }
        for text in ["1/2", "3 or 4", "1,5", "12-15", "one mug", "thirty-ten", "none", ""] {
            assert_eq!(only_number(text), None, "{text}");
        }
        assert!(is_percent("50 %") && !is_percent("50") && !is_percent("%"));
    }
}
