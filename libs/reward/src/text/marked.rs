//! Answers behind a mark, as data sets of mathematics have them: `#### 3` at the end of the steps that lead there, as in
//! GSM8K, or `\boxed{3}`, as in MATH.

use crate::answers::only_number;

/// What goes before the number at the end of a solution of GSM8K.
const HASHES: &str = "####";
/// How a boxed answer begins. In JSON the backslash has to be written twice; written once, with the letter behind it, it is
/// a backspace.
const BOXES: [&str; 2] = ["\\boxed{", "\u{8}oxed{"];
/// What a boxed answer is called where it is told of.
const BOXED: &str = "\\boxed{}";

/// An answer and what stands before its mark.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Marked<'a> {
    pub(super) before: &'a str,
    pub(super) answer: &'a str,
    pub(super) mark: &'static str,
}

/// The answer that a mark at the end of a text says; `None` where there is none, or where it is open which it is.
pub(super) fn behind_mark(text: &str) -> Option<Marked<'_>> {
    behind_hashes(text).or_else(|| boxed(text))
}

/// One number behind the last mark: other words there are a heading.
fn behind_hashes(text: &str) -> Option<Marked<'_>> {
    let (before, answer) = text.rsplit_once(HASHES)?;
    let answer = answer.trim();
    let is_number = !answer.contains(['\n', '#']) && only_number(answer).is_some();
    let before = before.trim();
    (is_number && !before.ends_with('#')).then_some(Marked { before, answer, mark: HASHES })
}

/// The inside of the one box at the end of a text. What has commands of LaTeX in it is not read.
fn boxed(text: &str) -> Option<Marked<'_>> {
    let start = BOXES.iter().find(|start| text.contains(**start))?;
    let (before, rest) = text.split_once(start)?;
    let (inside, end) = rest.strip_prefix("\\text{").map_or((rest, "}"), |text| (text, "}}"));
    let (answer, after) = inside.split_once(end)?;
    let is_plain = !answer.trim().is_empty() && !answer.contains(['\\', '{', '}', '\n']);
    let is_end = after.chars().all(|c| c.is_whitespace() || "$.)]*\\".contains(c));
    // What opens the formula that the box closes.
    let before = before.trim().trim_end_matches(['$', '*', ' ']).trim_end_matches("\\(").trim_end();
    (is_plain && is_end).then_some(Marked { before, answer: answer.trim(), mark: BOXED })
}

/// Why the box of an answer is not read, and what to do; `None` where there is none.
pub(crate) fn why_not_boxed(text: &str) -> Option<&'static str> {
    let start = BOXES.iter().find(|start| text.contains(**start))?;
    let (_, inside) = text.split_once(start)?;
    let answer = inside.split_once('}').map_or(inside, |(answer, _)| answer);
    Some(if inside.contains(start) {
        "of several \\boxed{} it is open which one is meant: keep the one of the answer"
    } else if answer.contains(['\\', '{']) {
        "commands of LaTeX in \\boxed{} are not read: write what they mean, as 0.5 for \\frac{1}{2}"
    } else if answer.trim().is_empty() {
        "nothing stands in \\boxed{}: write the answer into it"
    } else {
        "\\boxed{} is read where it is closed, ends the text and has one answer of this kind in it: write the answer alone"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<(&str, &str)>) {
        let found = behind_mark(text);
        assert_eq!(found.map(|found| (found.before, found.answer)), expected, "{text}");
    }

    #[test]
    fn a_number_behind_hashes() {
        check("48 / 2 = 24\n#### 24", Some(("48 / 2 = 24", "24")));
        check("#### 1,234", Some(("", "1,234")));
        check("so #### -2.5e-6", Some(("so", "-2.5e-6")));
        check("# Title\n#### Results\ntext", None);
        check("#### What is new", None);
        check("##### 3", None);
    }

    #[test]
    fn why_a_box_is_not_read_is_said_with_what_to_do() {
        let check = |text: &str, words: &str| {
            let why = why_not_boxed(text).unwrap();
            assert!(why.contains(words), "{text}: {why}");
        };
        check("\\boxed{\\frac{1}{2}}", "as 0.5 for \\frac{1}{2}");
        check("\\boxed{1} or \\boxed{2}", "keep the one");
        check("\\boxed{ }", "nothing stands in");
        check("\\boxed{3} is not all", "write the answer alone");
        assert_eq!(why_not_boxed("3"), None);
    }

    #[test]
    fn an_answer_in_a_box() {
        check("\\boxed{3}", Some(("", "3")));
        check("There are three: $\\boxed{3}$.", Some(("There are three:", "3")));
        check("It is \\(\\boxed{\\text{left}}\\)", Some(("It is", "left")));
        // As it comes out of JSON with one backslash.
        check("\u{8}oxed{3}", Some(("", "3")));
        check("\\boxed{\\frac{1}{2}}", None);
        check("\\boxed{1} or \\boxed{2}", None);
        check("\\boxed{3} is not all", None);
        check("\\boxed{}", None);
        check("\\boxed{3", None);
    }
}
