//! Which part of a completion, or of a true solution, is the answer.

use super::marked::behind_mark;

/// The answer of a completion: the inside of the one answer block after the thinking.
///
/// A block that is never closed runs to the end, as completions may be cut by their length limit. Two blocks are
/// no answer: with several, a completion could hedge. Without a block, what follows the thinking is the answer;
/// thinking that never ends has none, so that an answer which only occurs in the thinking earns nothing.
pub fn answer_text(completion: &str) -> Option<&str> {
    let spoken = completion.split_once("</think>").map(|(_, rest)| rest);
    let said = spoken.unwrap_or(completion);
    if let Some(block) = block(said) {
        return (said.matches("<answer>").count() == 1).then_some(block);
    }
    match spoken {
        Some(rest) => Some(rest.trim()),
        None if completion.contains("<think>") => None,
        None => Some(completion.trim()),
    }
}

/// The answer in the true solution of a data set, whatever stands around it: thinking, tags or a mark.
pub fn true_answer(solution: &str) -> &str {
    Solution::new(solution).answer
}

/// What a completion says without its thinking and its tags, for who takes it over as the right answer: [`answer_text`], up
/// to the end of a block that was never opened, and without what else is left of tags. `None` where that has no answer.
pub fn said_text(completion: &str) -> Option<String> {
    let text = answer_text(completion)?;
    let ended = split_at_tag(text, "</answer>").filter(|(before, _)| !before.trim().is_empty());
    let mut said = ended.map_or(text, |(before, _)| before).to_owned();
    for tag in TAGS {
        while let Some((before, after)) = split_at_tag(&said, tag) {
            said = format!("{before}{after}");
        }
    }
    Some(said.trim().to_owned())
}

/// What stands in the thinking of a completion; empty without any.
pub(crate) fn thinking(completion: &str) -> &str {
    let inside = completion.split_once("<think>").map_or("", |(_, inside)| inside);
    inside.split_once("</think>").map_or(inside, |(inside, _)| inside)
}

/// The answer as the original program takes it: the first answer block anywhere, else the whole text.
pub(crate) fn extract_anywhere(completion: &str) -> &str {
    block(completion).unwrap_or(completion.trim())
}

fn block(text: &str) -> Option<&str> {
    let (_, inside) = text.split_once("<answer>")?;
    Some(inside.split_once("</answer>").map_or(inside, |(block, _)| block).trim())
}

/// The parts of a true solution as data sets have them: thinking of its own, if any, and the answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Solution<'a> {
    /// What stands in its thinking, or before the mark of its answer; `None` where there is neither.
    pub(crate) thinking: Option<&'a str>,
    /// The inside of its answer block, or all that follows the thinking where there is no block; of that what a mark
    /// says is the answer, where there is one.
    pub(crate) answer: &'a str,
    /// How many answer blocks follow the thinking. More than one leave open which of them is true.
    pub(crate) n_blocks: usize,
    /// What marks the answer, as data sets of mathematics have it: `####` or `\boxed{}`.
    pub(crate) mark: Option<&'static str>,
}

/// What stands around thinking and answer.
pub(crate) const TAGS: [&str; 4] = ["<think>", "</think>", "<answer>", "</answer>"];

/// The first of the tags that a text spells, whatever the case of its letters.
pub(crate) fn spelled_tag(text: &str) -> Option<&'static str> {
    if !text.contains('<') {
        return None;
    }
    TAGS.into_iter().find(|tag| split_at_tag(text, tag).is_some())
}

impl<'a> Solution<'a> {
    /// Takes a solution apart. Tags may be in capitals; a block within the thinking is a thought and no answer.
    pub(crate) fn new(solution: &'a str) -> Self {
        let (thinking, said) = match split_at_tag(solution, "</think>") {
            Some((before, after)) => {
                let inside = split_at_tag(before, "<think>").map_or(before, |(_, inside)| inside);
                (Some(inside), after)
            }
            None => (None, solution),
        };
        let Some((_, mut rest)) = split_at_tag(said, "<answer>") else {
            return Self::marked(thinking, said.trim(), 0);
        };
        let answer = split_at_tag(rest, "</answer>").map_or(rest, |(inside, _)| inside);
        let mut n_blocks = 1;
        while let Some((_, after)) = split_at_tag(rest, "<answer>") {
            (rest, n_blocks) = (after, n_blocks + 1);
        }
        Self::marked(thinking, answer.trim(), n_blocks)
    }

    /// With the answer as its mark says, if it has one.
    fn marked(thinking: Option<&'a str>, said: &'a str, n_blocks: usize) -> Self {
        let Some(found) = behind_mark(said) else {
            return Self { thinking, answer: said, n_blocks, mark: None };
        };
        let before = Some(found.before).filter(|before| !before.is_empty());
        let thinking = thinking.or(before);
        Self { thinking, answer: found.answer, n_blocks, mark: Some(found.mark) }
    }
}

/// What stands before and after the first occurrence of a tag, whatever the case of its letters.
fn split_at_tag<'a>(text: &'a str, tag: &str) -> Option<(&'a str, &'a str)> {
    let bytes = text.as_bytes();
    let at = bytes.windows(tag.len()).position(|w| w.eq_ignore_ascii_case(tag.as_bytes()))?;
    Some((&text[..at], &text[at + tag.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(completion: &str, answer: Option<&str>) {
        assert_eq!(answer_text(completion), answer);
    }

    #[test]
    fn the_block_after_the_thinking() {
        check("<think>a</think>\n<answer> cat\n</answer>", Some("cat"));
    }
    #[test]
    fn a_block_within_the_thinking_does_not_count() {
        check("<think><answer>cat</answer></think><answer>dog</answer>", Some("dog"));
        assert_eq!(extract_anywhere("<think><answer>cat</answer></think>"), "cat");
    }
    #[test]
    fn two_blocks_are_a_hedge() {
        check("<answer>cat</answer><answer>dog</answer>", None);
        check("<answer><answer>cat</answer></answer>", None);
    }
    #[test]
    fn a_block_that_is_cut() {
        check("<think>a</think><answer>ca", Some("ca"));
    }
    #[test]
    fn no_tags_at_all() {
        check(" cat ", Some("cat"));
    }
    #[test]
    fn thinking_without_an_answer() {
        check("<think>a cat", None);
        check("<think>a cat</think>", Some(""));
    }

    #[test]
    fn what_is_left_of_tags_is_not_said() {
        for (completion, said) in [
            ("a cup</answer>", "a cup"),
            ("a cup</answer> User: and", "a cup"),
            ("</answer>a cup", "a cup"),
            ("<think>round</think>a cup</Answer>", "a cup"),
            ("round</think> a cup", "a cup"),
            ("<answer>a <think>cup</answer></answer>", "a cup"),
            ("<answer>a cup", "a cup"),
            ("a < b > c", "a < b > c"),
            ("</ans</answer>wer>", "</ans"),
        ] {
            assert_eq!(said_text(completion).as_deref(), Some(said), "{completion}");
        }
        assert_eq!(said_text("<think>a cup"), None);
        assert_eq!(said_text("<answer>a</answer><answer>b</answer>"), None);
    }

    #[track_caller]
    fn check_solution(solution: &str, thinking: Option<&str>, answer: &str, n_blocks: usize) {
        let expected = Solution { thinking, answer, n_blocks, mark: None };
        assert_eq!(Solution::new(solution), expected);
    }

    #[test]
    fn a_solution_may_come_without_tags_or_with_tags_in_capitals() {
        check_solution(" cat ", None, "cat", 0);
        check_solution("<ANSWER>cat</Answer>", None, "cat", 1);
        check_solution("<answer>cat", None, "cat", 1);
    }
    #[test]
    fn the_thinking_of_a_solution_is_kept_apart() {
        check_solution("<think>a</think>\n<answer>cat</answer>", Some("a"), "cat", 1);
        check_solution(
            "<think><answer>dog</answer></think> cat",
            Some("<answer>dog</answer>"),
            "cat",
            0,
        );
    }
    #[test]
    fn the_answer_blocks_of_a_solution_are_counted() {
        check_solution("<answer>cat</answer> or <answer>dog</answer>", None, "cat", 2);
    }
    #[test]
    fn what_stands_before_the_mark_of_an_answer_is_thinking() {
        let check = |text, thinking, answer, mark| {
            let Solution { thinking: got, answer: said, mark: by, .. } = Solution::new(text);
            assert_eq!((got, said, by), (thinking, answer, Some(mark)), "{text}");
        };
        check("Add 1 and 2.\n#### 3", Some("Add 1 and 2."), "3", "####");
        check("<answer>So it is \\boxed{3}.</answer>", Some("So it is"), "3", "\\boxed{}");
        check("<think>Two.</think><answer>\\boxed{2}</answer>", Some("Two."), "2", "\\boxed{}");
        check("\\boxed{A}", None, "A", "\\boxed{}");
    }
    #[test]
    fn a_tag_that_a_name_spells_is_found_whatever_its_case() {
        assert_eq!(spelled_tag("mug</answer>"), Some("</answer>"));
        assert_eq!(spelled_tag("a <Think> b"), Some("<think>"));
        assert_eq!(spelled_tag("a < b, <b>answer</b>"), None);
    }
}
