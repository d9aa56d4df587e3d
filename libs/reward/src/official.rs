//! How the program that the Visual-RFT paper's numbers were made with finds answers, its bugs included.
//!
//! Kept apart and used only where a task asks for `reader = "official"`, so that published numbers can be compared. What
//! it makes of the text of an answer is said by the kind of answer.

/// The inside of the first answer block that has no line break, else the whole completion.
pub(crate) fn text(completion: &str) -> &str {
    block(completion, false).unwrap_or(completion)
}

/// The inside of the first answer block, else the whole completion.
pub(crate) fn text_of_lines(completion: &str) -> &str {
    block(completion, true).unwrap_or(completion)
}

/// The inside of the first answer block; a block with a line break counts only where `lines` may break.
fn block(completion: &str, lines: bool) -> Option<&str> {
    let mut rest = completion;
    loop {
        rest = rest.split_once("<answer>")?.1;
        let (inside, _) = rest.split_once("</answer>")?;
        if lines || !inside.contains('\n') {
            return Some(inside);
        }
    }
}

/// Whether a completion names the true class as the program's evaluation counts: what stands in the first answer block
/// without a line break, without blanks and underscores and in lower case, holds the true name or is held by it. An empty
/// answer is held by every name; without a block nothing is right.
pub fn is_official_name(completion: &str, solution: &str) -> bool {
    let plain = |text: &str| {
        let kept = text.chars().filter(|c| !matches!(c, ' ' | '_'));
        kept.collect::<String>().to_lowercase()
    };
    let Some(said) = block(completion, false).map(|said| plain(said.trim())) else { return false };
    let truth = plain(block(solution, false).unwrap_or(solution).trim());
    said.contains(&truth) || truth.contains(&said)
}

/// Whether the program pays in full before it looks at anything: it hands both texts to a checker of formulas,
/// which finds one number in each, and compares these.
///
/// The number is the first one after white space that follows the word "answer" closely, which for a list of boxes
/// in answer tags is y1 of the first box; without one, the last number after white space.
pub(crate) fn shortcut(completion: &str, solution: &str) -> bool {
    let (said, truth) = (formula(completion), formula(solution));
    said.is_some() && said == truth
}

/// Characters after "answer" within which a number is looked for.
const REACH: usize = 50;

fn formula(text: &str) -> Option<f64> {
    let lower = text.to_ascii_lowercase();
    let mut found = None;
    let mut from = 0;
    while let Some(at) = lower[from..].find("answer") {
        from += at + "answer".len();
        let line = text[from..].lines().next().unwrap_or("");
        let reach = line.char_indices().nth(REACH).map_or(line.len(), |(idx, _)| idx);
        let near = spaced_numbers(line).find(|(start, _)| *start <= reach);
        found = near.map(|(_, number)| number).or(found);
    }
    found.or_else(|| spaced_numbers(text).last().map(|(_, number)| number))
}

/// Numbers at the start or after white space or `=`, with the place they start at.
fn spaced_numbers(text: &str) -> impl Iterator<Item = (usize, f64)> {
    let starts = text.char_indices().filter(|&(idx, _)| {
        let before = text[..idx].chars().next_back();
        before.is_none_or(|c| c.is_whitespace() || c == '=')
    });
    starts.filter_map(|(idx, _)| {
        let word = &text[idx..];
        let part = |c: char| !(c.is_ascii_digit() || c == '.');
        let digits = word.strip_prefix('-').unwrap_or(word);
        let end = word.len() - digits.len() + digits.find(part).unwrap_or(digits.len());
        let number = word[..end].trim_end_matches('.');
        number.parse().ok().map(|number| (idx, number))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_with_a_line_break_is_no_block() {
        assert_eq!(block("<answer>a\nb</answer>", false), None);
        assert_eq!(block("<answer>a\nb</answer>", true), Some("a\nb"));
        assert_eq!(block("<answer>\n</answer><answer>c</answer>", false), Some("c"));
    }
    #[test]
    fn without_a_closed_block_the_whole_completion_is_the_answer() {
        assert_eq!(text("a cat"), "a cat");
        assert_eq!(text_of_lines("<answer>a cat"), "<answer>a cat");
    }
    #[test]
    fn a_name_within_the_other_is_right() {
        let is_right = |said: &str| is_official_name(said, "<answer>Boeing 707-320</answer>");
        assert!(is_right("<think>a</think><answer> boeing_707-320 </answer>"));
        assert!(is_right("<answer>7</answer>") && is_right("<answer></answer>"));
        assert!(is_right("<answer>It is the Boeing 707-320, I think.</answer>"));
        assert!(!is_right("boeing 707-320") && !is_right("<answer>Boeing 747</answer>"));
        assert!(!is_right("<answer>boeing\n707-320</answer>"));
    }
    #[test]
    fn the_shortcut_is_y1() {
        let truth = "<answer>[{'Position': [1, 364, 98, 649], 'Confidence': 1}]</answer>";
        assert!(shortcut(
            "<answer>[{'Position': [500, 364, 501, 365], 'Confidence': 0}]</answer>",
            truth
        ));
        assert!(shortcut("there are 364 cats", truth));
        assert!(!shortcut(
            "<answer>[{'Position': [1, 365, 98, 649], 'Confidence': 1}]</answer>",
            truth
        ));
        assert!(!shortcut("<answer>No Objects</answer>", truth));
    }
}
