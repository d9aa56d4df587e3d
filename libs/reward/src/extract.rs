//! Which part of a completion is the answer.

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
}
