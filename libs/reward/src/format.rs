//! The format term: thinking, then one answer, and nothing else.

use crate::config::{Content, RewardConfig};

use crate::strict::read_strictly;

/// 1 if the whole completion has the declared form, else 0.
///
/// With both tags this is a full match of `<think>.*?</think>\s*<answer>.*?</answer>` where the dot matches new
/// lines, as in Visual-RFT. `once` adds that each tag occurs once, which the lazy groups do not ensure.
pub(crate) fn format(completion: &str, config: &RewardConfig) -> f64 {
    let format = &config.format;
    let Some(answer) = enveloped(completion, format.think, format.tags) else { return 0.0 };
    let tags = [
        ("<think>", format.think),
        ("</think>", format.think),
        ("<answer>", format.tags),
        ("</answer>", format.tags),
    ];
    let once = tags.iter().all(|(tag, due)| completion.matches(tag).count() == usize::from(*due));
    let valid = match format.content {
        Content::Any => true,
        Content::Valid => read_strictly(answer, &config.answer).is_some(),
    };
    f64::from(u8::from(valid && (once || !format.once)))
}

/// What stands where the answer is due; `None` if the form is another one.
fn enveloped(completion: &str, think: bool, tags: bool) -> Option<&str> {
    let body = if tags { completion.strip_suffix("</answer>")? } else { completion };
    let open = |text: &'_ str| -> Option<usize> {
        if tags { text.starts_with("<answer>").then_some("<answer>".len()) } else { Some(0) }
    };
    if !think {
        return Some(&body[open(body)?..]);
    }
    let rest = body.strip_prefix("<think>")?;
    // Thinking may hold a closing tag itself, as far as the form goes: any of them may be the last.
    rest.match_indices("</think>").find_map(|(at, tag)| {
        let after = rest[at + tag.len()..].trim_start();
        Some(&after[open(after)?..])
    })
}

/// 1 if the completion opens with the only `<think>` and closes it, as TRL's `think_format_reward`.
pub(crate) fn think_format(completion: &str) -> f64 {
    let inside = completion.strip_prefix("<think>");
    let closed =
        inside.is_some_and(|inside| !inside.contains("<think>") && inside.contains("</think>"));
    f64::from(u8::from(closed))
}

#[cfg(test)]
mod tests {
    use crate::config::{AnswerConfig, AnswerType};

    use super::*;

    #[track_caller]
    fn check(completion: &str, paper: f64, fixed: f64) {
        let mut config = RewardConfig::default();
        assert_eq!(format(completion, &config), fixed);
        config.format.once = false;
        assert_eq!(format(completion, &config), paper);
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
    #[test]
    fn valid_content() {
        let answer = AnswerConfig { kind: AnswerType::Number, ..AnswerConfig::default() };
        let mut config = RewardConfig { answer, ..RewardConfig::default() };
        config.format.content = Content::Valid;
        assert_eq!(format("<think>a</think><answer>7</answer>", &config), 1.0);
        assert_eq!(format("<think>a</think><answer>seven</answer>", &config), 0.0);
        config.format.think = false;
        assert_eq!(format("<answer>7</answer>", &config), 1.0);
        assert_eq!(format("<think>a</think><answer>7</answer>", &config), 0.0);
        config.format.tags = false;
        assert_eq!(format("7", &config), 1.0);
    }
}
