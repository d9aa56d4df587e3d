//! Finds values in prose: objects, lists and numbers, wherever they begin.

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

/// The numbers in a text, in their order.
pub(crate) fn numbers(text: &str) -> impl Iterator<Item = f64> {
    let number = |c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '+');
    let words = text.split(move |c: char| !number(c));
    words.filter_map(|word| {
        let word = word.trim_end_matches(['.', '-', '+']);
        word.parse::<f64>().ok().filter(|number| number.is_finite())
    })
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
}
