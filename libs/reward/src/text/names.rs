//! Names: when two are the same, and which declared one a text gives.

use std::borrow::Cow;
use std::cmp::Reverse;

use unicode_normalization::UnicodeNormalization;

use super::plain::plain_whole;
use crate::config::Same;

/// Whether two names are equal but for case, Unicode normalization, white space, `_`, and quotes or full stops around
/// them.
pub fn same_label(a: &str, b: &str) -> bool {
    let a = normalize(a);
    !a.is_empty() && a == normalize(b)
}

/// Whether two names are the same by a declared rule.
pub(crate) fn same(predicted: &str, truth: &str, rule: Same) -> bool {
    match rule {
        Same::Normalized => same_label(predicted, truth),
        Same::Exact => composed(predicted.trim()) == composed(truth.trim()),
        Same::Contains => {
            let predicted = squeeze(predicted);
            let truth = squeeze(truth);
            predicted.contains(&truth) || truth.contains(&predicted)
        }
    }
}

/// What is compared of a name; empty for a name without a letter, digit or other sign.
pub(crate) fn normalize(label: &str) -> String {
    let label = plain_whole(label);
    let bare = label.trim().trim_matches(|c: char| c.is_whitespace() || "'\"`.".contains(c));
    folded(bare).chars().filter(|c| !c.is_whitespace() && *c != '_').collect()
}

/// Letters and digits without their case, nothing else.
pub(crate) fn letters(text: &str) -> String {
    folded(text).chars().filter(|c| c.is_alphanumeric()).collect()
}

/// A text in Unicode's composed form (NFC), so that an accent is one letter however it was typed.
pub(crate) fn composed(text: &str) -> Cow<'_, str> {
    if text.is_ascii() { Cow::Borrowed(text) } else { Cow::Owned(text.nfc().collect()) }
}

/// A text without case: composed, folded as Unicode says (`ß` is `ss`), and composed again.
pub(crate) fn folded(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    composed(&caseless::default_case_fold_str(&composed(text))).into_owned()
}

/// As Visual-RFT's program compares names.
fn squeeze(label: &str) -> String {
    label.trim().replace([' ', '_'], "").to_lowercase()
}

/// The name that a text gives: all of it where no names are declared, else the declared name that it is, else the only
/// one that occurs in it.
///
/// Longer names are looked for first, and what they cover is not looked at again: "a hot dog" names no dog.
pub(crate) fn chosen(text: &str, labels: &[String]) -> Option<String> {
    let text = text.trim();
    if text.is_empty() {
        return None;
    }
    if labels.is_empty() {
        return Some(text.to_owned());
    }
    if let Some(label) = labels.iter().find(|label| same_label(text, label)) {
        return Some(label.clone());
    }
    let mut longest_first: Vec<&String> = labels.iter().collect();
    longest_first.sort_by_key(|label| Reverse(label.chars().count()));
    let mut words = Words::new(text);
    let mut found = longest_first.into_iter().filter(|label| words.take(&Words::new(label)));
    let first = found.next()?;
    found.next().is_none().then(|| first.clone())
}

/// A text cut into words of letters and digits, and what stands around them.
struct Words {
    words: Vec<Word>,
    /// One before each word and one after the last; white space and `_` are one space.
    gaps: Vec<String>,
}

struct Word {
    text: String,
    folded: String,
    /// Whether it belongs to a name that was found.
    is_taken: bool,
}

impl Words {
    fn new(text: &str) -> Self {
        let text = plain_whole(text);
        let text = composed(&text);
        let (mut words, mut gaps) = (Vec::new(), Vec::new());
        let mut rest: &str = &text;
        loop {
            let start = rest.find(char::is_alphanumeric).unwrap_or(rest.len());
            let (gap, word) = rest.split_at(start);
            gaps.push(spaced(gap));
            if word.is_empty() {
                return Self { words, gaps };
            }
            let end = word.find(|c: char| !c.is_alphanumeric()).unwrap_or(word.len());
            let (word, after) = word.split_at(end);
            words.push(Word { text: word.to_owned(), folded: folded(word), is_taken: false });
            rest = after;
        }
    }

    /// Marks all places where a name stands that no other name has taken; whether there is one.
    fn take(&mut self, name: &Words) -> bool {
        let n = name.words.len();
        let mut found = false;
        for start in 0..(self.words.len() + 1).saturating_sub(n) {
            if n > 0 && self.stands_at(start, name) {
                self.words[start..start + n].iter_mut().for_each(|word| word.is_taken = true);
                found = true;
            }
        }
        found
    }

    fn stands_at(&self, start: usize, name: &Words) -> bool {
        let n = name.words.len();
        let words = &self.words[start..start + n];
        let gaps = &self.gaps[start..=start + n];
        // The letter of a choice counts only as a capital: "a" is a word of its own.
        let same = |(word, name): (&Word, &Word)| {
            !word.is_taken
                && if name.text.chars().count() == 1 && n == 1 {
                    word.text == name.text
                } else {
                    word.folded == name.folded
                }
        };
        words.iter().zip(&name.words).all(same)
            && gaps[1..n] == name.gaps[1..n]
            && gaps[0].ends_with(name.gaps[0].trim())
            && gaps[n].starts_with(name.gaps[n].trim())
    }
}

/// What stands between two words, with every run of white space and `_` as one space.
fn spaced(gap: &str) -> String {
    let mut spaced = String::with_capacity(gap.len());
    for c in gap.chars() {
        match c {
            c if c.is_whitespace() || c == '_' => {
                if !spaced.ends_with(' ') {
                    spaced.push(' ');
                }
            }
            c => spaced.push(c),
        }
    }
    spaced
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
    fn accents_and_case_may_be_written_either_way() {
        assert!(same_label("Cafe\u{301} cre\u{300}me", "CAF\u{c9} CR\u{c8}ME"));
        assert!(same_label("\u{1112}\u{1161}\u{11ab}\u{1100}\u{116e}\u{11a8}", "\u{d55c}\u{ad6d}"));
        assert!(same_label("STRASSE", "stra\u{df}e"));
        assert!(same_label(
            "\u{3a3}\u{3af}\u{3c3}\u{3c5}\u{3c6}\u{3bf}\u{3c2}",
            "\u{3c3}\u{3af}\u{3c3}\u{3c5}\u{3c6}\u{3bf}\u{3c3}"
        ));
        assert!(!same_label("cafe", "caf\u{e9}"));
        assert!(same("Cafe\u{301}", "Caf\u{e9}", Same::Exact));
        assert_eq!(letters("Cafe\u{301}!"), letters("CAF\u{c9}"));
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
        assert_eq!(chosen(text, &labels).as_deref(), expect, "{text}");
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
    fn a_name_may_be_part_of_another() {
        const LABELS: [&str; 5] = ["dog", "hot dog", "bear", "teddy bear", "cat"];
        check("hot dog", &LABELS, Some("hot dog"));
        check("A Hot_Dog!", &LABELS, Some("hot dog"));
        check("a dog", &LABELS, Some("dog"));
        check("a dog beside a hot dog", &LABELS, None);
        check("hot dogs", &LABELS, None);
        check("a hot, tired dog", &LABELS, Some("dog"));
        check("no parking", &["no", "no parking", "yes"], Some("no parking"));
        check("I say: no parking here", &["no", "no parking", "yes"], Some("no parking"));
        check("no, parking is fine", &["no", "no parking", "yes"], Some("no"));
    }
    #[test]
    fn signs_of_a_name_count() {
        check("It is a 737-200.", &["737", "737-200", "737-300"], Some("737-200"));
        check("It is a 737 200", &["737-200", "737-300"], None);
        check("written in C++", &["C", "C++"], Some("C++"));
        check("written in C", &["C", "C++"], Some("C"));
    }
    #[test]
    fn accents_of_a_declared_name_may_be_written_either_way() {
        check("one Cafe\u{301} please", &["th\u{e9}", "caf\u{e9}"], Some("caf\u{e9}"));
        check("EIN STRASSENSCHILD", &["stra\u{df}enschild", "ampel"], Some("stra\u{df}enschild"));
    }
    #[test]
    fn free_names() {
        check(" Boeing 737 ", &[], Some("Boeing 737"));
    }
}
