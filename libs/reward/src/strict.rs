//! Reads an answer to the letter: what the format instructions ask for, and nothing around it.

use crate::config::{AnswerConfig, AnswerType};

use crate::label::same_label;
use crate::plain::plain;
use crate::tolerant::{objects, read, says_nothing};
use crate::{Answer, json};

/// Reads the text of an answer; `None` unless all of it is a valid answer of the declared kind.
///
/// Lists and objects are JSON. Single quotes throughout are fine too, since the data sets of Visual-RFT have them.
pub fn read_strictly(text: &str, answer: &AnswerConfig) -> Option<Answer> {
    let text = text.trim();
    if says_nothing(&plain(text), &answer.nothing) {
        // An empty list is one to the letter; words are as free as names are.
        let listed = plain(text).contains(['[', ']', '{', '}']);
        return (!listed || is_json(text)).then_some(Answer::Nothing);
    }
    if answer.kind.has_items() {
        is_json(text).then_some(())?;
    }
    let reading = read(text, answer, false)?;
    let clean = match (&reading, answer.kind) {
        (Answer::Items(items), kind) => {
            let one = !matches!(kind, AnswerType::Box | AnswerType::Mask | AnswerType::Interval)
                || items.len() == 1;
            let aimed = kind != AnswerType::Json || items.target.is_some();
            let named =
                answer.keys.label.is_empty() || items.valid.iter().all(|item| item.label.is_some());
            items.flaws.is_empty() && one && aimed && named && exact_keys(text, answer)
        }
        (Answer::Number(number), _) => text.parse() == Ok(*number),
        (Answer::Order(_), _) => text.chars().all(|c| c.is_ascii_digit() || matches!(c, ',' | ' ')),
        (Answer::Words(words), AnswerType::Label) if !answer.labels.is_empty() => {
            same_label(words, text)
        }
        (Answer::Words(_), AnswerType::Label) => !text.contains('\n'),
        _ => true,
    };
    clean.then_some(reading)
}

/// JSON as it is, with single quotes, or as tuples `(x1,y1),(x2,y2)`.
fn is_json(text: &str) -> bool {
    if json::read(text).is_some() {
        return true;
    }
    if !text.contains('"') && json::read(&text.replace('\'', "\"")).is_some() {
        return true;
    }
    text.starts_with('(')
        && json::read(&format!("[{}]", text.replace('(', "[").replace(')', "]"))).is_some()
}

/// Whether objects have the declared keys, spelled as declared, and no others.
fn exact_keys(text: &str, answer: &AnswerConfig) -> bool {
    let keys = &answer.keys;
    let declared = [
        &keys.place,
        &keys.confidence,
        &keys.label,
        &keys.start,
        &keys.end,
        &keys.frame,
        &keys.id,
        &keys.objects,
        &keys.target,
    ];
    let runs = ["size", "counts"];
    let known = |key: &str| {
        declared.iter().any(|declared| *declared == key)
            || (answer.kind == AnswerType::Mask && runs.contains(&key))
    };
    objects(text).all(|object| object.keys().iter().all(|key| known(key)))
}

#[cfg(test)]
mod tests {
    use crate::config::{Keys, RewardConfig};

    use super::*;

    #[track_caller]
    fn check(kind: AnswerType, keys: Keys, text: &str, valid: bool) {
        let answer = AnswerConfig { kind, keys, nothing: "None".into(), ..AnswerConfig::default() };
        assert_eq!(read_strictly(text, &answer).is_some(), valid, "{text}");
    }
    #[track_caller]
    fn check_boxes(text: &str, valid: bool) {
        check(AnswerType::Boxes, RewardConfig::default().answer.keys, text, valid);
    }

    #[test]
    fn boxes() {
        check_boxes("[{\"Position\": [1, 2, 3, 4], \"Confidence\": 0.5}]", true);
        check_boxes("[{'Position': [1, 2, 3, 4], 'Confidence': 0.5}]", true);
        check_boxes("None", true);
        check_boxes("[]", true);
        check_boxes("[ ]", true);
        check_boxes("[,]", false);
        check_boxes("[】]", false);
    }
    #[test]
    fn sloppy_boxes() {
        check_boxes("[{'Position': [1, 2, 3, 4], 'Confidence': 0.5,}]", false);
        check_boxes("[{'position': [1, 2, 3, 4], 'Confidence': 0.5}]", false);
        check_boxes("[{'Position': [1, 2, 3, 4], 'Confidence': 0.5, 'Color': 'red'}]", false);
        check_boxes("here: [{'Position': [1, 2, 3, 4], 'Confidence': 0.5}]", false);
        check_boxes("[{'Position': [1, 2, 3, 4], 'Confidence': 1.5}]", false);
        check_boxes("[{'Position': [1, 2, 3, 4], 'Confidence': 0.5}", false);
        check_boxes("", false);
    }
    #[test]
    fn one_box() {
        check(AnswerType::Box, Keys::default(), "[1, 2, 3, 4]", true);
        check(AnswerType::Box, Keys::default(), "(1,2),(3,4)", true);
        check(AnswerType::Box, Keys::default(), "[1, 2, 3, 4, 5]", false);
        check(AnswerType::Box, Keys::default(), "[[1, 2, 3, 4], [1, 2, 3, 4]]", false);
    }
    #[test]
    fn plain_values() {
        check(AnswerType::Number, Keys::default(), "12.5", true);
        check(AnswerType::Number, Keys::default(), "12 cats", false);
        check(AnswerType::Permutation, Keys::default(), "2, 1, 3", true);
        check(AnswerType::Permutation, Keys::default(), "[2, 1, 3]", false);
        check(AnswerType::Label, Keys::default(), "a cat", true);
    }
}
