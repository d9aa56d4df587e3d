//! Terms of the form of a completion: thinking, then one answer, and nothing else.

use serde::{Deserialize, Serialize};

use super::Evaluate;
use crate::answers::AnswerKind;
use crate::case::Case;
use crate::config::{Content, RewardConfig};
use crate::reading::read_strictly;

/// 1 if the whole completion has the declared form, else 0.
///
/// With both tags this is a full match of `<think>.*?</think>\s*<answer>.*?</answer>` where the dot matches new
/// lines, as in Visual-RFT. `once` adds that each tag occurs once, which the lazy groups do not ensure.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Format {}

impl Evaluate for Format {
    fn applies_to(_kind: &AnswerKind) -> bool {
        true
    }

    fn value(&self, case: &Case) -> f64 {
        f64::from(u8::from(is_formed(case.attempt.text, case.config)))
    }
}

/// 1 if the completion opens with the only `<think>` and closes it, as TRL's `think_format_reward`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThinkFormat {}

impl Evaluate for ThinkFormat {
    fn applies_to(_kind: &AnswerKind) -> bool {
        true
    }

    fn value(&self, case: &Case) -> f64 {
        let inside = case.attempt.text.strip_prefix("<think>");
        let closed =
            inside.is_some_and(|inside| !inside.contains("<think>") && inside.contains("</think>"));
        f64::from(u8::from(closed))
    }
}

/// Whether a completion has the declared form.
fn is_formed(completion: &str, config: &RewardConfig) -> bool {
    let format = &config.format;
    let Some(answer) = enveloped(completion, format.think, format.tags) else { return false };
    let tags = [
        ("<think>", format.think),
        ("</think>", format.think),
        ("<answer>", format.tags),
        ("</answer>", format.tags),
    ];
    let once =
        || tags.iter().all(|(tag, due)| completion.matches(tag).count() == usize::from(*due));
    let valid = match format.content {
        Content::Any => true,
        Content::Valid => read_strictly(answer, &config.answer).is_some(),
    };
    valid && (!format.once || once())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answers::NumberAnswer;
    use crate::config::AnswerConfig;

    #[track_caller]
    fn check(completion: &str, paper: bool, fixed: bool) {
        let mut config = RewardConfig::default();
        assert_eq!(is_formed(completion, &config), fixed);
        config.format.once = false;
        assert_eq!(is_formed(completion, &config), paper);
    }

    #[test]
    fn as_asked() {
        check("<think>a\nb</think>\n <answer>c\nd</answer>", true, true);
    }
    #[test]
    fn nothing_inside() {
        check("<think></think><answer></answer>", true, true);
    }
    #[test]
    fn text_before_or_after() {
        check(" <think>a</think><answer>b</answer>", false, false);
        check("<think>a</think><answer>b</answer>\n", false, false);
    }
    #[test]
    fn text_between() {
        check("<think>a</think> so <answer>b</answer>", false, false);
    }
    #[test]
    fn a_missing_tag() {
        check("<think>a<answer>b</answer>", false, false);
        check("<think>a</think><answer>b", false, false);
        check("<answer>b</answer>", false, false);
        check("", false, false);
    }
    #[test]
    fn two_answers() {
        check("<think>a</think><answer>b</answer><answer>c</answer>", true, false);
        check("<think>a</think>b<think></think><answer>c</answer>", true, false);
    }
    #[test]
    fn valid_content() {
        let answer = AnswerConfig::of(AnswerKind::Number(NumberAnswer {}));
        let mut config = RewardConfig { answer, ..RewardConfig::default() };
        config.format.content = Content::Valid;
        assert!(is_formed("<think>a</think><answer>7</answer>", &config));
        assert!(!is_formed("<think>a</think><answer>seven</answer>", &config));
        config.format.think = false;
        assert!(is_formed("<answer>7</answer>", &config));
        assert!(!is_formed("<think>a</think><answer>7</answer>", &config));
        config.format.tags = false;
        assert!(is_formed("7", &config));
    }
}
