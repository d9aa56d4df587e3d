//! Finds values in prose: objects, lists and numbers, wherever they begin.

use std::ops::Range;

use super::value::{self, Value};

/// All objects that stand in the text, outermost ones only.
pub(crate) fn objects(text: &str) -> impl Iterator<Item = Value> {
    values(text, &['{'])
}

/// All bracketed lists that stand in the text, outermost ones only.
pub(crate) fn lists(text: &str) -> impl Iterator<Item = Value> {
    values(text, &['[', '(']).filter(|value| matches!(value, Value::List(_)))
}

fn values(text: &str, open: &'static [char]) -> impl Iterator<Item = Value> {
    let mut rest = text;
    // Text that is read again after a failure costs fuel, so that hostile text ends the search.
    let mut fuel = 16 * text.len() + 1024;
    std::iter::from_fn(move || {
        loop {
            rest = &rest[rest.find(open)?..];
            let (value, used) = value::read_counting(rest);
            fuel = fuel.checked_sub(used)?;
            match value {
                Some((value, after)) => {
                    rest = after;
                    return Some(value);
                }
                None => rest = &rest[1..],
            }
        }
    })
}

/// The numbers in a text, in their order; `2.5e-6` is one.
pub(crate) fn numbers(text: &str) -> impl Iterator<Item = f64> {
    placed_numbers(text).map(|(number, _)| number)
}

/// The same, each with the bytes that it stands in.
pub(crate) fn placed_numbers(text: &str) -> impl Iterator<Item = (f64, Range<usize>)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let start = at + text[at..].find(is_in_number)?;
            let len = end_of_number(&text[start..]);
            at = start + len;
            let word = text[start..at].trim_end_matches(['.', '-', '+']);
            let number = word.parse::<f64>().ok().filter(|number| number.is_finite());
            if let Some(number) = number {
                return Some((number, start..start + word.len()));
            }
        }
    })
}

fn is_in_number(c: char) -> bool {
    c.is_ascii_digit() || matches!(c, '.' | '-' | '+')
}

/// Where the run of digits, points and signs ends that a text begins with, with the exponent behind it if there is one.
fn end_of_number(text: &str) -> usize {
    let end = text.find(|c| !is_in_number(c)).unwrap_or(text.len());
    let (mantissa, after) = text.split_at(end);
    let Some(exponent) = after.strip_prefix(['e', 'E']) else { return end };
    let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    let n_digits = digits.bytes().take_while(u8::is_ascii_digit).count();
    let goes_on = digits[n_digits..].starts_with(char::is_alphanumeric);
    let is_exponent =
        n_digits > 0 && !goes_on && mantissa.ends_with(|c: char| c.is_ascii_digit() || c == '.');
    if is_exponent { text.len() - digits.len() + n_digits } else { end }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_outermost_objects_are_found() {
        assert_eq!(objects("a {'b': {'c': 1}} and {'d': 2}, {'e").count(), 2);
    }
    #[test]
    fn lists_have_either_kind_of_brackets() {
        assert_eq!(lists("at (1, 2) or [3, 4]").count(), 2);
    }
    #[test]
    fn numbers_are_found_between_letters() {
        assert_eq!(numbers("x1 = -2.5, then 3.").collect::<Vec<_>>(), [1.0, -2.5, 3.0]);
    }
    #[test]
    fn an_exponent_belongs_to_its_number() {
        let all = |text| numbers(text).collect::<Vec<_>>();
        assert_eq!(all("2.5e-6 m, 1E7. and +1.e+3"), [2.5e-6, 1e7, 1e3]);
        assert_eq!(all("1e20,1e-7"), [1e20, 1e-7]);
        // No exponent without digits, before a letter or without a number.
        assert_eq!(all("3 e5, 4e, 5ea, 6e7f, e8"), [3.0, 5.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
        assert!(all("1e400").is_empty());
    }
}
