//! Format instructions: what a question says about the form of the answer, made from the declared task.

use crate::config::{AnswerConfig, FormatConfig, RewardConfig};

/// The format instructions of a task, to stand at the end of a question.
///
/// ```
/// let text = vrft_reward::instructions(&vrft_reward::config::RewardConfig::default());
/// assert!(text.contains("<answer>[{'Position': [x1, y1, x2, y2], 'Confidence': number}, ...]</answer>"));
/// ```
pub fn instructions(config: &RewardConfig) -> String {
    let RewardConfig { answer, format, .. } = config;
    let mut lines = vec![answer.kind.kind().instruction()];
    if !answer.nothing.is_empty() {
        lines.push(format!("If there is none, answer '{}'.", answer.nothing));
    }
    lines.push(envelope(answer, format));
    lines.join("\n")
}

/// A question with what must be said about the form of the answer.
pub fn prompt(problem: &str, config: &RewardConfig) -> String {
    if config.format.instruct {
        format!("{problem}\n{}", instructions(config))
    } else {
        problem.to_owned()
    }
}

/// The question for all objects of a category, to the letter as the data sets of Visual-RFT have it (arXiv 2503.01785,
/// table 1): policies that were tuned on them have seen exactly this.
pub fn visual_rft_question(category: &str) -> String {
    format!(
        "Detect all objects belonging to the category '{category}' in the image, and provide the bounding boxes \
         (between 0 and 1000, integer) and confidence (between 0 and 1, with two decimal places).\n\
         If no object belonging to the category '{category}' in the image, return 'No Objects'.\n\
         Output the thinking process in <think> </think> and final answer in <answer> </answer> tags.\
         The output answer format should be as follows:\n\
         <think> ... </think> <answer>[{{'Position': [x1, y1, x2, y2], 'Confidence': number}}, ...]</answer>\n\
         Please strictly follow the format."
    )
}

fn envelope(answer: &AnswerConfig, format: &FormatConfig) -> String {
    let example = answer.kind.kind().example();
    match (format.think, format.tags) {
        (true, true) => format!(
            "First think within <think> </think>, then answer within <answer> </answer>, as in\n\
             <think> ... </think> <answer>{example}</answer>"
        ),
        (true, false) => format!(
            "First think within <think> </think>, then answer:\n<think> ... </think> {example}"
        ),
        (false, true) => {
            format!("Answer within <answer> </answer>, as in\n<answer>{example}</answer>")
        }
        (false, false) => format!("Answer with nothing but {example}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answers::{AnswerKind, LabelAnswer};

    #[test]
    fn a_question_is_left_alone_unless_asked() {
        let mut config = RewardConfig::default();
        assert_eq!(prompt("Where?", &config), "Where?");
        config.format.instruct = true;
        let text = prompt("Where?", &config);
        assert!(text.starts_with("Where?\nGive the bounding boxes in thousandths"), "{text}");
        assert!(text.contains("If there is none, answer 'No Objects'."), "{text}");
    }
    #[test]
    fn labels_are_listed() {
        let labels = vec!["yes".to_owned(), "no".to_owned()];
        let answer = AnswerConfig::of(AnswerKind::Label(LabelAnswer { labels }));
        let config = RewardConfig { answer, ..RewardConfig::default() };
        assert!(instructions(&config).starts_with("Answer with one of: yes, no."));
    }
}
