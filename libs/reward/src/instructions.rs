//! What a policy is told about the form of its answer, made from the declared task.

use crate::config::{AnswerConfig, AnswerType, FormatConfig, RewardConfig, Space};

/// The format instructions of a task, to stand at the end of a question.
///
/// ```
/// let text = vrft_reward::instructions(&vrft_reward::config::RewardConfig::default());
/// assert!(text.contains("<answer>[{'Position': [x1, y1, x2, y2], 'Confidence': number}, ...]</answer>"));
/// ```
pub fn instructions(config: &RewardConfig) -> String {
    let RewardConfig { answer, format, .. } = config;
    let mut lines = vec![content(answer)];
    if !answer.nothing.is_empty() {
        lines.push(format!("If there is none, answer '{}'.", answer.nothing));
    }
    lines.extend(envelope(answer, format));
    lines.join("\n")
}

/// A question with what must be said about the form of the answer.
pub fn prompt(problem: &str, config: &RewardConfig) -> String {
    match config.format.instruct {
        true => format!("{problem}\n{}", instructions(config)),
        false => problem.to_owned(),
    }
}

fn envelope(answer: &AnswerConfig, format: &FormatConfig) -> Option<String> {
    let example = example(answer);
    match (format.think, format.tags) {
        (true, true) => Some(format!(
            "First think within <think> </think>, then answer within <answer> </answer>, as in\n\
             <think> ... </think> <answer>{example}</answer>"
        )),
        (true, false) => Some(format!(
            "First think within <think> </think>, then answer:\n<think> ... </think> {example}"
        )),
        (false, true) => {
            Some(format!("Answer within <answer> </answer>, as in\n<answer>{example}</answer>"))
        }
        (false, false) => Some(format!("Answer with nothing but {example}")),
    }
}

fn content(answer: &AnswerConfig) -> String {
    let space = match answer.space {
        Space::Thousandths => "in thousandths of the image, as integers from 0 to 1000",
        Space::Unit => "as shares from 0 to 1",
        Space::Pixels => "in pixels",
    };
    let sure = match answer.keys.confidence.is_empty() {
        true => "",
        false => ", each with a confidence from 0 to 1 with two decimal places",
    };
    match answer.kind {
        AnswerType::Boxes => format!("Give the bounding boxes {space}{sure}."),
        AnswerType::Box => format!("Give the bounding box {space}."),
        AnswerType::Points => format!("Give the points {space}{sure}."),
        AnswerType::Polygon => format!("Give the outlines as lists of points {space}{sure}."),
        AnswerType::Mask => format!("Give the outline of the region as a list of points {space}."),
        AnswerType::Interval if answer.space == Space::Unit => {
            "Give start and end as shares of the video, from 0 to 1.".to_owned()
        }
        AnswerType::Interval if !answer.keys.label.is_empty() => {
            "Give start and end in seconds, and say what happens.".to_owned()
        }
        AnswerType::Interval => "Give start and end in seconds.".to_owned(),
        AnswerType::Label if answer.labels.is_empty() => "Give one name.".to_owned(),
        AnswerType::Label => format!("Answer with one of: {}.", answer.labels.join(", ")),
        AnswerType::Number => "Give one number.".to_owned(),
        AnswerType::Permutation if answer.length > 0 => {
            format!("Give the numbers 1 to {} in the right order.", answer.length)
        }
        AnswerType::Permutation => "Give the numbers in the right order.".to_owned(),
        AnswerType::Text => "Give the text.".to_owned(),
        AnswerType::Track => format!("Give a box {space} for every frame."),
        AnswerType::Box3d => {
            "Give the boxes in space: center, size along their own axes, and turn about the vertical in radians."
                .to_owned()
        }
        AnswerType::Json => {
            format!("Give the bounding boxes {space} with their labels, and the index of the one that is meant, from 0.")
        }
    }
}

/// What the answer looks like, with placeholders.
pub(crate) fn example(answer: &AnswerConfig) -> String {
    let keys = &answer.keys;
    let place = match answer.kind {
        AnswerType::Points => "[x, y]",
        AnswerType::Polygon | AnswerType::Mask => "[[x1, y1], [x2, y2], ...]",
        AnswerType::Box3d => "[x, y, z, dx, dy, dz, yaw]",
        AnswerType::Interval => "[start, end]",
        _ => "[x1, y1, x2, y2]",
    };
    match answer.kind {
        AnswerType::Label if answer.labels.is_empty() => return "name".to_owned(),
        AnswerType::Label => return answer.labels.join(" or "),
        AnswerType::Number => return "number".to_owned(),
        AnswerType::Permutation => return "1, 3, 2, ...".to_owned(),
        AnswerType::Text => return "text".to_owned(),
        AnswerType::Interval if !keys.start.is_empty() => {
            let label = match keys.label.is_empty() {
                true => String::new(),
                false => format!(", '{}': 'text'", keys.label),
            };
            return format!("{{'{}': number, '{}': number{label}}}", keys.start, keys.end);
        }
        _ => {}
    }
    let parts = [
        (&keys.frame, "number"),
        (&keys.id, "name"),
        (&keys.place, place),
        (&keys.label, "'name'"),
        (&keys.confidence, "number"),
    ];
    let fields: Vec<String> = parts
        .iter()
        .filter(|(key, _)| !key.is_empty())
        .map(|(key, value)| format!("'{key}': {value}"))
        .collect();
    let item =
        if keys.place.is_empty() { place.to_owned() } else { format!("{{{}}}", fields.join(", ")) };
    match answer.kind {
        AnswerType::Box | AnswerType::Mask | AnswerType::Interval => item,
        AnswerType::Json => {
            format!("{{'{}': [{item}, ...], '{}': number}}", keys.objects, keys.target)
        }
        _ => format!("[{item}, ...]"),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Keys;

    use super::*;

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
        let answer = AnswerConfig {
            kind: AnswerType::Label,
            labels,
            keys: Keys::default(),
            ..AnswerConfig::default()
        };
        let config = RewardConfig { answer, ..RewardConfig::default() };
        assert!(instructions(&config).starts_with("Answer with one of: yes, no."));
    }
}
