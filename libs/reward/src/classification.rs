//! The accuracy term: is the name that was given the true one?

use config::RewardMode;

use crate::extract::{answer_text, extract_anywhere};

/// 1 if the answer of a completion is the true name, else 0.
///
/// The paper (arXiv 2503.01785, section 3.2) asks for equality, and so does [`RewardMode::Paper`], to the letter.
/// [`RewardMode::Fixed`] compares as [`same_label`] does. Containment, which the original program accepts, would
/// pay for an empty answer and for a list of all names.
pub(crate) fn accuracy(completion: &str, label: &str, mode: RewardMode) -> f64 {
    let right = match mode {
        RewardMode::Paper => extract_anywhere(completion) == label.trim(),
        RewardMode::Fixed => {
            answer_text(completion).is_some_and(|answer| same_label(answer, label))
        }
    };
    f64::from(u8::from(right))
}

/// Whether two names are equal but for case, white space, `_`, and quotes or full stops around them.
pub fn same_label(a: &str, b: &str) -> bool {
    let a = normalize(a);
    !a.is_empty() && a == normalize(b)
}

pub(crate) fn normalize(label: &str) -> String {
    let bare = label.trim().trim_matches(|c: char| c.is_whitespace() || "'\"`.".contains(c));
    let letters = bare.chars().filter(|c| !c.is_whitespace() && *c != '_');
    letters.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(answer: &str, label: &str, paper: f64, fixed: f64) {
        let completion = format!("<think>hm</think><answer>{answer}</answer>");
        assert_eq!(accuracy(&completion, label, RewardMode::Paper), paper);
        assert_eq!(accuracy(&completion, label, RewardMode::Fixed), fixed);
    }

    #[test]
    fn the_same_name() {
        check("737-200", "737-200", 1.0, 1.0);
    }
    #[test]
    fn spelled_differently() {
        check("\n'Golden Retriever.'", "golden_retriever", 0.0, 1.0);
    }
    #[test]
    fn another_name() {
        check("737-300", "737-200", 0.0, 0.0);
    }
    #[test]
    fn a_part_of_the_name() {
        check("737", "737-200", 0.0, 0.0);
    }
    #[test]
    fn all_names() {
        check("737-200, 737-300", "737-200", 0.0, 0.0);
    }
    #[test]
    fn an_empty_answer() {
        check("", "737-200", 0.0, 0.0);
    }
    #[test]
    fn a_name_in_the_thinking_only() {
        assert_eq!(accuracy("<think>737-200", "737-200", RewardMode::Fixed), 0.0);
        assert_eq!(accuracy("<think>737-200</think>", "737-200", RewardMode::Fixed), 0.0);
    }
}
