//! One number.

mod magnitude;
mod unit;

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::{AnswerKind, Author, Draft, Examples, Form, Kind};
use crate::Answer;
use crate::rng::Rng;
use crate::terms::{Closeness, Metric, Shape};
use crate::text::find::placed_numbers;
use crate::text::plain::plain_whole;

pub use unit::{is_measure, unit};

/// Digits that equally long numbers have mostly as codes: telephone numbers, bar codes. Longer ones are of computers.
const CODE_DIGITS: RangeInclusive<usize> = 8..=15;

/// Share of answers with zeros before their numbers that may be slips.
const MAX_SLIPS: f64 = 0.2;

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
        let share = sigma * rng.normal();
        if number.fract() != 0.0 {
            return Draft::Number(number * (1.0 + share));
        }
        let error = share * number.abs().max(1.0);
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

/// The number of a text that has only one. Thousands may be set off by commas or narrow spaces, `2k` and `3 million` are what
/// they say, other words and units are left out; a text that is nothing else may have it in words.
pub(crate) fn only_number(text: &str) -> Option<f64> {
    let text = &*plain_whole(text);
    let text = &*magnitude::leading_fraction(text.trim_start());
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
    // Whether 5,5 is one number or two, the equal halves do not say.
    if has_comma_within(text) {
        return None;
    }
    let mut numbers = placed_numbers(text).map(|(number, place)| {
        let number = magnitude::with_magnitude(number, &text[place.end..])?;
        Some(if magnitude::is_negative(&text[..place.start]) { -number } else { number })
    });
    let first = numbers.next()??;
    numbers.all(|number| number == Some(first)).then_some(first)
}

/// Whether a comma stands between two digits.
fn has_comma_within(text: &str) -> bool {
    let is_within = |window: &[u8]| matches!(window, [before, b',', after] if before.is_ascii_digit() && after.is_ascii_digit());
    text.as_bytes().windows(3).any(is_within)
}

/// Whether a text is a number in digits and nothing else.
pub(crate) fn is_digits(text: &str) -> bool {
    plain_whole(text).trim().parse::<f64>().is_ok()
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

/// Drops the commas that set off thousands.
fn without_thousands_commas(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, number) = rest.split_at(start);
        let end = number.find(|c: char| !c.is_ascii_digit() && c != ',').unwrap_or(number.len());
        let (number, after) = number.split_at(end);
        kept.push_str(before);
        // Digits behind a point are decimals, which nothing sets off.
        if sets_off_thousands(number) && !before.ends_with('.') {
            kept.extend(number.chars().filter(|c| *c != ','));
        } else {
            kept.push_str(number);
        }
        rest = after;
    }
    kept + rest
}

/// Whether the commas of a number set off thousands, as in `1,234`. No thousands are set off behind a 0: in `0,100` the
/// comma is a decimal one.
pub(crate) fn sets_off_thousands(number: &str) -> bool {
    let mut groups = number.trim_end_matches(',').split(',');
    let first = groups.next().unwrap_or_default();
    let others: Vec<&str> = groups.collect();
    let is_digits = |group: &str| group.bytes().all(|b| b.is_ascii_digit());
    (1..=3).contains(&first.len())
        && !first.starts_with('0')
        && is_digits(first)
        && !others.is_empty()
        && others.iter().all(|group| group.len() == 3 && is_digits(group))
}

/// Whether whole numbers are written with zeros before them, as `00137`, or are equally long and very long, as telephone numbers
/// and bar codes: they are codes, of which each digit counts. A few zeros among numbers of any length are slips.
pub(crate) fn are_codes<'a>(answers: impl Iterator<Item = &'a str>) -> bool {
    let is_whole = |answer: &str| answer.bytes().all(|b| b.is_ascii_digit());
    let is_code = |answer: &str| answer.len() > 1 && answer.starts_with('0') && is_whole(answer);
    let answers: Vec<&str> = answers.map(str::trim).collect();
    let n_codes = answers.iter().filter(|answer| is_code(answer)).count();
    let digits = answers.first().map_or(0, |answer| answer.len());
    let are_alike = answers.len() > 1
        && answers.iter().all(|answer| answer.len() == digits && is_whole(answer));
    n_codes as f64 > MAX_SLIPS * answers.len() as f64
        || are_alike && (n_codes > 0 && digits > 1 || CODE_DIGITS.contains(&digits))
}

/// Recognizes answers that are numbers alone.
pub(super) fn recognize(examples: &Examples) -> Option<(AnswerKind, String)> {
    (examples.all(is_digits) && !are_codes(examples.distinct().into_iter())).then_some(())?;
    Some((AnswerKind::Number(NumberAnswer {}), "every answer is a number".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_may_have_commas_a_unit_or_be_a_word() {
        let read = [
            ("1,234", 1234.0),
            ("-12,345,678.5 EUR", -12_345_678.5),
            ("12 mugs", 12.0),
            ("Twelve.", 12.0),
            ("forty-two", 42.0),
            ("zero", 0.0),
            ("2.5e-6", 2.5e-6),
            ("1E-7 m", 1e-7),
            ("1e+20", 1e20),
            ("100000000000000000000", 1e20),
            ("1\u{2009}000", 1000.0),
            ("-12\u{202f}345\u{a0}678.5 EUR", -12_345_678.5),
            ("\u{ff11}\u{ff12}", 12.0),
            ("\u{661}\u{662}\u{66b}\u{665}", 12.5),
            ("18446744073709551615", 18_446_744_073_709_551_615.0),
        ];
        for (text, number) in read {
            assert_eq!(only_number(text), Some(number), "{text}");
        }
        for text in [
            "0,100",
            "1234,567",
            "0.123,456",
            "1/2",
            "3 or 4",
            "1,5",
            "5,5",
            "12-15",
            "one mug",
            "1 2",
            "100 200",
            "1 000 or 2 000",
            "1e400",
            "1e5 or 2e5",
            "thirty-ten",
            "none",
            "",
        ] {
            assert_eq!(only_number(text), None, "{text}");
        }
        assert!(is_percent("50 %") && !is_percent("50") && !is_percent("%"));
    }
}
