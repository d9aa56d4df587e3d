//! Names: when two are the same, and which one was chosen.

use crate::config::Same;

/// Whether two names are equal but for case, white space, `_`, and quotes or full stops around them.
pub fn same_label(a: &str, b: &str) -> bool {
    let a = normalize(a);
    !a.is_empty() && a == normalize(b)
}

/// Whether two names are the same by a declared rule.
pub(crate) fn same(predicted: &str, truth: &str, rule: Same) -> bool {
    match rule {
        Same::Normalized => same_label(predicted, truth),
        Same::Exact => predicted.trim() == truth.trim(),
        Same::Contains => {
            let (predicted, truth) = (squeeze(predicted), squeeze(truth));
            predicted.contains(&truth) || truth.contains(&predicted)
        }
    }
}

pub(crate) fn normalize(label: &str) -> String {
    let bare = label.trim().trim_matches(|c: char| c.is_whitespace() || "'\"`.".contains(c));
    let letters = bare.chars().filter(|c| !c.is_whitespace() && *c != '_');
    letters.flat_map(char::to_lowercase).collect()
}

/// Letters and digits in lower case, nothing else.
pub(crate) fn letters(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn squeeze(label: &str) -> String {
    label.trim().replace([' ', '_'], "").to_lowercase()
}

/// The name that a text gives: all of it, or the only one of the declared names that occurs in it.
pub(crate) fn chosen(text: &str, labels: &[String]) -> Option<String> {
    let text = text.trim();
    if text.is_empty() {
        return None;
    }
    if labels.is_empty() {
        return Some(text.to_owned());
    }
    let mut found = labels.iter().filter(|label| same_label(text, label) || stands_in(text, label));
    let first = found.next()?;
    found.next().is_none().then(|| first.clone())
}

/// Whether a name stands in a text as a word of its own; one letter counts only as a capital.
fn stands_in(text: &str, label: &str) -> bool {
    let mut words = text.split(|c: char| !c.is_alphanumeric());
    match label.chars().count() {
        1 => words.any(|word| word == label),
        _ => words.any(|word| word.to_lowercase() == label.to_lowercase()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalized_overlooks_spelling() {
        assert!(same_label("\n'Golden Retriever.'", "golden_retriever"));
        assert!(!same_label("737", "737-200"));
        assert!(!same_label("", ""));
    }
    #[test]
    fn exact_overlooks_nothing() {
        assert!(same(" rose ", "rose", Same::Exact));
        assert!(!same("Rose", "rose", Same::Exact));
    }
    #[test]
    fn containment_goes_both_ways_and_pays_for_nothing() {
        assert!(same("737-200, 737-300", "737-200", Same::Contains));
        assert!(same("737", "737-200", Same::Contains));
        assert!(same("", "737-200", Same::Contains));
        assert!(!same("a320", "737-200", Same::Contains));
    }

    #[track_caller]
    fn check(text: &str, labels: &[&str], expect: Option<&str>) {
        let labels: Vec<String> = labels.iter().map(ToString::to_string).collect();
        assert_eq!(chosen(text, &labels).as_deref(), expect);
    }
    #[test]
    fn a_choice() {
        for text in ["B", "(B)", "B.", "B) a cat", "Answer: B"] {
            check(text, &["A", "B", "C"], Some("B"));
        }
        check("yes, it is", &["yes", "no"], Some("yes"));
    }
    #[test]
    fn a_hedge_is_no_choice() {
        check("A, B, C", &["A", "B", "C"], None);
        check("yes or no", &["yes", "no"], None);
        check("", &["yes", "no"], None);
        check("maybe", &["yes", "no"], None);
    }
    #[test]
    fn free_names() {
        check(" Boeing 737 ", &[], Some("Boeing 737"));
    }
}
