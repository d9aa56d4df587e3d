//! What stands beside a question in words and would be lost, or makes its answer no true one: choices, what says that an
//! answer is a rejected one, and the size of the picture that boxes are on.

use serde_json::{Map, Value};
use vrft_messages::Turn;

use super::classes::is_missing;
use super::fields::the_one;
use super::unworded::LABEL;
use super::value::as_number;

/// Keys of choices: a list of texts, or an object of a text for each letter.
const CHOICES: [&str; 3] = ["choices", "options", "answer_choices"];
/// Keys of one choice each.
const LETTERS: [&str; 8] = ["A", "B", "C", "D", "E", "F", "G", "H"];
/// Words from which on a solution beside an answer is a working.
const N_WORKING: usize = 6;
/// Key of a short answer beside its working.
pub(super) const ANSWER: &str = "answer";
/// Keys of answers that others were preferred to: TRL and LLaMA-Factory, ms-swift.
const REJECTED: [&str; 3] = ["rejected", "rejected_response", "rejected_messages"];
/// Keys that say whether an answer is wanted, as KTO has them; the first only beside a conversation.
const WANTED: [&str; 2] = [LABEL, "kto_tag"];
/// Width and height of the picture.
pub(super) const SIZES: [[&str; 2]; 7] = [
    ["width", "height"],
    ["image_width", "image_height"],
    ["original_width", "original_height"],
    ["orig_width", "orig_height"],
    ["resized_width", "resized_height"],
    ["img_width", "img_height"],
    ["img_w", "img_h"],
];
/// Characters of a choice that an error shows.
const N_SHOWN: usize = 40;

/// Whether a column of this name is looked at beside a question in words.
pub(super) fn is_read(name: &str) -> bool {
    CHOICES.contains(&name)
        || LETTERS.contains(&name)
        || REJECTED.contains(&name)
        || name == ANSWER
        || SIZES.iter().flatten().any(|key| *key == name)
}

/// Whether a column of this name, if it is of true and false, says which answers are wanted.
pub(super) fn is_flag(name: &str) -> bool {
    WANTED.contains(&name)
}

/// Checks that the answer of a row is a true one.
///
/// # Errors
/// One that was rejected, or was only preferred to another.
pub(super) fn check_answer(values: &Map<String, Value>) -> Result<(), String> {
    // A solution is the true answer, whatever else was answered.
    if values.get("solution").is_some_and(|solution| !solution.is_null()) {
        return Ok(());
    }
    let is_false = |key: &&&str| match values.get(**key) {
        Some(Value::String(text)) => text.trim().eq_ignore_ascii_case("false"),
        value => value.and_then(Value::as_bool) == Some(false),
    };
    if let Some(key) = WANTED.iter().find(is_false) {
        return Err(format!(
            "its {key:?} is false, so that its answer is a rejected one, as in rows for KTO, and true answers are needed: keep \
             the rows whose {key:?} is true; or take {key:?} out where it says something else"
        ));
    }
    let is_answer = |key: &&&str| {
        values.get(**key).is_some_and(|value| match value {
            Value::String(text) => !text.is_empty(),
            Value::Array(list) => !list.is_empty(),
            other => other.is_object(),
        })
    };
    let rejected = REJECTED.iter().find(is_answer);
    rejected.map_or(Ok(()), |key| {
        Err(format!(
            "it has {key:?}, as rows of preferences have, of which one answer is better than another and none need be true: \
             true answers are needed, so write the right one as \"solution\" where it is there, or leave the row out"
        ))
    })
}

/// Checks that the solution of a row is not the working whose result stands beside it, as in sets of mathematics: no answer
/// equals a working.
///
/// # Errors
/// It is, and does not end with the result in a form that is read.
pub(super) fn check_one_answer(values: &Map<String, Value>) -> Result<(), String> {
    let (Some(Value::String(solution)), Some(answer)) =
        (values.get("solution"), values.get(ANSWER))
    else {
        return Ok(());
    };
    let answer = match answer {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => return Ok(()),
    };
    let solution = solution.trim();
    let is_working =
        solution.split_whitespace().count() >= N_WORKING && !solution.starts_with(['[', '{']);
    if !is_working || answer.is_empty() || is_missing(&answer) || is_same(solution, &answer) {
        return Ok(());
    }
    let shown = |text: &str| text.chars().take(N_SHOWN).collect::<String>();
    Err(format!(
        "its \"solution\" ({:?} …) is the working, and its {ANSWER:?} ({:?}) the result: the solution is what answers are compared \
         with, so write the result there, and call the working otherwise",
        shown(solution),
        shown(&answer)
    ))
}

/// Whether a solution is this answer, or ends with it in tags, behind `####` or in a box.
fn is_same(solution: &str, answer: &str) -> bool {
    let plain = |text: &str| -> String {
        let kept = text.chars().filter(|c| c.is_alphanumeric() || ['.', '-'].contains(c));
        kept.flat_map(char::to_lowercase).collect::<String>().trim_end_matches('.').to_owned()
    };
    let tail = solution.trim_end_matches("</answer>").trim_end_matches(['}', '$', '.', ' ']);
    let behind = ["<answer>", "####", "\\boxed{"].iter().filter_map(|mark| tail.rsplit_once(mark));
    plain(solution) == plain(answer)
        || behind.into_iter().any(|(_, end)| plain(end) == plain(answer))
}

/// Checks that the choices of a row are in its question.
///
/// # Errors
/// They are not.
pub(super) fn check_choices(values: &Map<String, Value>, turns: &[Turn]) -> Result<(), String> {
    let words: String = turns.iter().map(|turn| turn.text() + "\n").collect();
    let of_key = CHOICES.iter().filter_map(|key| Some((*key, choices(values.get(*key)?))));
    let of_letters: Vec<String> =
        LETTERS.iter().map_while(|key| values.get(*key)).flat_map(leaves).collect();
    for (key, choices) in of_key.chain([("A\", \"B", of_letters)]) {
        if choices.len() < 2 || choices.iter().all(|choice| has(&words, choice)) {
            continue;
        }
        let shown = |choice: &String| choice.chars().take(N_SHOWN).collect::<String>();
        let lettered: Vec<String> = LETTERS
            .iter()
            .zip(&choices)
            .map(|(letter, c)| format!("{letter}. {}", shown(c)))
            .collect();
        return Err(format!(
            "its choices (\"{key}\") are not in its question, which is all that is asked: write them into the problem, as \
             \"Which?\\n{}\", and the solution as it should be answered, as \"A\"; or take them out where it is to be \
             answered without",
            lettered.join("\\n")
        ));
    }
    Ok(())
}

/// Whether a text has these words, whatever case and spaces; one without words is in every text.
pub(super) fn has(text: &str, words: &str) -> bool {
    let plain = |text: &str| {
        let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
        words.join(" ")
    };
    plain(text).contains(plain(words).trim_end_matches('.'))
}

/// The choices of a value; none for one that is something else.
fn choices(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => match serde_json::from_str(text) {
            Ok(list @ (Value::Array(_) | Value::Object(_))) => choices(&list),
            _ => in_text(text),
        },
        Value::Array(list) => {
            let of_one = |one: &Value| if one.is_object() { choices(one) } else { leaves(one) };
            list.iter().flat_map(of_one).collect()
        }
        Value::Object(parts) => {
            let is_letter =
                |key: &String| key.len() == 1 || ["text", "label"].contains(&key.as_str());
            let is_one = parts.keys().all(is_letter);
            if is_one { leaves(parts.get("text").unwrap_or(value)) } else { Vec::new() }
        }
        _ => Vec::new(),
    }
}

/// The choices of a list as Python prints it, or of lines that begin with a letter each.
fn in_text(text: &str) -> Vec<String> {
    let text = text.trim();
    if let Some(list) = text.strip_prefix('[').and_then(|list| list.strip_suffix(']')) {
        let quotes = [' ', '\'', '"'];
        let parts = list.replace("\\'", "'");
        let parts = parts.split(',').map(|part| part.trim_matches(quotes).to_owned());
        return parts.filter(|part| !part.is_empty()).collect();
    }
    let is_lettered = |line: &str| {
        let mut letters = line.trim_start_matches('(').chars();
        letters.next().is_some_and(char::is_alphanumeric)
            && matches!(letters.next(), Some('.' | ')' | ':'))
    };
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    if lines().all(is_lettered) { lines().map(str::to_owned).collect() } else { Vec::new() }
}

/// All texts and numbers of a value.
fn leaves(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) if text.trim().is_empty() || is_missing(text) => Vec::new(),
        Value::String(text) => vec![text.clone()],
        Value::Number(number) => vec![number.to_string()],
        Value::Array(list) => list.iter().flat_map(leaves).collect(),
        Value::Object(parts) => parts.values().flat_map(leaves).collect(),
        _ => Vec::new(),
    }
}

/// Width and height that a row says its picture has.
pub(super) fn size(values: &Map<String, Value>) -> Option<(f64, f64)> {
    let side = |key: &str| as_number(the_one(values.get(key)?)).filter(|side| *side > 0.0);
    SIZES.iter().find_map(|[width, height]| side(width).zip(side(height)))
}

/// Whether a true answer has boxes that may count pixels of a picture of this size: four numbers in brackets, not all of them
/// shares and all of them within it.
pub(super) fn has_boxes(answer: &str, (width, height): (f64, f64)) -> bool {
    let four = |text: &str| -> Option<[f64; 4]> {
        let (numbers, _) = text.split_once(']')?;
        let numbers: Result<Vec<f64>, _> = numbers.split(',').map(|n| n.trim().parse()).collect();
        numbers.ok()?.try_into().ok()
    };
    let boxes: Vec<[f64; 4]> = answer.split('[').skip(1).filter_map(four).collect();
    let longest = width.max(height);
    boxes.iter().flatten().any(|number| *number > 1.0)
        && boxes.iter().flatten().all(|number| *number <= longest)
}

#[cfg(test)]
mod tests;
