//! The format term: thinking, then one answer, and nothing else.

use config::RewardMode;

/// 1 if the whole completion is `<think>…</think>`, white space, `<answer>…</answer>`, else 0.
///
/// Equal to a full match of `<think>.*?</think>\s*<answer>.*?</answer>` where the dot matches new lines, as in
/// Visual-RFT. [`RewardMode::Fixed`] adds that each tag occurs once, which the lazy groups do not ensure: with
/// several answers, a completion could hedge.
pub(crate) fn format(completion: &str, mode: RewardMode) -> f64 {
    let tags = ["<think>", "</think>", "<answer>", "</answer>"];
    let once = tags.iter().all(|tag| completion.matches(tag).count() == 1);
    f64::from(u8::from(matches(completion) && (once || mode == RewardMode::Paper)))
}

fn matches(completion: &str) -> bool {
    let Some(rest) = completion.strip_prefix("<think>") else { return false };
    let Some(body) = rest.strip_suffix("</answer>") else { return false };
    body.split("</think>").skip(1).any(|after| after.trim_start().starts_with("<answer>"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(completion: &str, paper: f64, fixed: f64) {
        assert_eq!(format(completion, RewardMode::Paper), paper);
        assert_eq!(format(completion, RewardMode::Fixed), fixed);
    }

    #[test]
    fn as_asked() {
        check("<think>a\nb</think>\n <answer>c\nd</answer>", 1.0, 1.0);
    }
    #[test]
    fn nothing_inside() {
        check("<think></think><answer></answer>", 1.0, 1.0);
    }
    #[test]
    fn text_before_or_after() {
        check(" <think>a</think><answer>b</answer>", 0.0, 0.0);
        check("<think>a</think><answer>b</answer>\n", 0.0, 0.0);
    }
    #[test]
    fn text_between() {
        check("<think>a</think> so <answer>b</answer>", 0.0, 0.0);
    }
    #[test]
    fn a_missing_tag() {
        check("<think>a<answer>b</answer>", 0.0, 0.0);
        check("<think>a</think><answer>b", 0.0, 0.0);
        check("<answer>b</answer>", 0.0, 0.0);
        check("", 0.0, 0.0);
    }
    #[test]
    fn two_answers() {
        check("<think>a</think><answer>b</answer><answer>c</answer>", 1.0, 0.0);
        check("<think>a</think>b<think></think><answer>c</answer>", 1.0, 0.0);
    }
}
