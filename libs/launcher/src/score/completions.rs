//! Completions that other programs have written, beside the true answers: TRL, ms-swift, VLM-R1, LLaMA-Factory.
//!
//! | program | file | completion | true answer |
//! |---|---|---|---|
//! | this one, TRL | JSON lines; TRL's columns saved as lines | `completion`: a text, or chat messages | `solution` |
//! | ms-swift | `completions.jsonl`: a step a line, with lists; `infer_result/*.jsonl` | `completion`, `response` | `solution`, `labels` |
//! | VLM-R1 | the `results` of its evaluation, in one JSON file | `model_output` | `ground_truth`, `solution` |
//! | LLaMA-Factory | `generated_predictions.jsonl` | `predict` | `label` |

use std::path::Path;

use eyre::{WrapErr, bail, ensure, eyre};
use serde_json::{Map, Value};

/// Keys of what a model has said, in the order in which they are looked for.
const SAID: [&str; 7] =
    ["completion", "model_output", "response", "predict", "prediction", "output", "generated_text"];
/// Keys of the true answer.
const TRUE: [&str; 7] =
    ["solution", "ground_truth", "labels", "label", "answer", "reference", "truth"];
/// Keys of the question, which may name a category.
const ASKED: [&str; 4] = ["problem", "prompt", "question", "query"];
/// Keys of the list in a file that is one object.
const LISTS: [&str; 3] = ["results", "outputs", "completions"];

/// A completion and what it is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    /// Where it stands in the file.
    pub(super) place: String,
    pub(super) completion: String,
    pub(super) solution: String,
    /// The question, if the file has it.
    pub(super) question: Option<String>,
    /// The category, if the file names it.
    pub(super) category: Option<String>,
}

/// All completions of a file.
///
/// # Errors
/// A file that cannot be read; a row without a completion or a true answer.
pub(super) fn read(path: &Path) -> eyre::Result<Vec<Said>> {
    let text = std::fs::read_to_string(path).wrap_err_with(|| format!("cannot read {path:?}"))?;
    let mut all = Vec::new();
    for (place, row) in rows(&text).wrap_err_with(|| format!("{path:?}"))? {
        let said = of_row(&row, &place).wrap_err_with(|| format!("{}, {place}", path.display()))?;
        all.extend(said);
    }
    ensure!(!all.is_empty(), "{path:?} has no completions");
    Ok(all)
}

/// The rows of a file with the places where they stand: a list, an object with a list, or an object a line.
fn rows(text: &str) -> eyre::Result<Vec<(String, Map<String, Value>)>> {
    let object = |value: Value, place: String| match value {
        Value::Object(row) => Ok((place, row)),
        other => Err(eyre!("{place}: expected an object, got {other}")),
    };
    if let Ok(whole) = serde_json::from_str::<Value>(text) {
        let list = match whole {
            Value::Array(list) => list,
            Value::Object(mut fields) => {
                match LISTS
                    .iter()
                    .find_map(|key| fields.get_mut(*key)?.as_array_mut().map(std::mem::take))
                {
                    Some(list) if list.iter().all(Value::is_object) && !list.is_empty() => list,
                    _ => return Ok(vec![("line 1".to_owned(), fields)]),
                }
            }
            other => bail!("expected rows, got {other}"),
        };
        let list = list.into_iter().enumerate();
        return list.map(|(idx, value)| object(value, format!("row {idx}"))).collect();
    }
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let line = |(idx, line): (usize, &str)| {
        let place = format!("line {}", idx + 1);
        let value = serde_json::from_str(line).wrap_err_with(|| place.clone())?;
        object(value, place)
    };
    lines.map(line).collect()
}

/// The completion of a row, or all of a row that is a whole step.
fn of_row(row: &Map<String, Value>, place: &str) -> eyre::Result<Vec<Said>> {
    let find = |keys: &[&str]| keys.iter().find_map(|key| row.get(*key).filter(|v| !v.is_null()));
    let said = find(&SAID).ok_or_else(|| missing("completion", &SAID, row))?;
    let truth = find(&TRUE).ok_or_else(|| missing("true answer", &TRUE, row))?;
    let question = find(&ASKED);
    let category = row.get("category").and_then(Value::as_str).map(ToOwned::to_owned);
    let one = |said: &Value, truth: &Value, question: Option<&Value>, place: String| {
        Ok(Said {
            place,
            completion: text_of(said)?,
            solution: text_of(truth).unwrap_or_else(|_no_text| truth.to_string()),
            question: question.and_then(|question| text_of(question).ok()),
            category: category.clone(),
        })
    };
    let Some(list) = said.as_array().filter(|list| !is_messages(list)) else {
        return Ok(vec![one(said, truth, question, place.to_owned())?]);
    };
    // A step: the completions of all its prompts, and for each of them the true answer.
    let of = |value: &Value, idx: usize| match value.as_array() {
        Some(each) if each.len() == list.len() => each[idx].clone(),
        _ => value.clone(),
    };
    if let Some(truths) = truth.as_array().filter(|truths| truths.iter().all(Value::is_string)) {
        ensure!(
            truths.len() == list.len(),
            "{} completions and {} true answers",
            list.len(),
            truths.len()
        );
    }
    let said = list.iter().enumerate().map(|(idx, said)| {
        let question = question.map(|question| of(question, idx));
        one(said, &of(truth, idx), question.as_ref(), format!("{place}, completion {idx}"))
    });
    said.collect()
}

/// Whether a list is a conversation.
fn is_messages(list: &[Value]) -> bool {
    !list.is_empty() && list.iter().all(|turn| turn.get("role").is_some())
}

/// A text; of chat messages the last one; of a message its parts that are text.
fn text_of(value: &Value) -> eyre::Result<String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Object(message) => {
            let content = message.get("content").or_else(|| message.get("text"));
            text_of(content.ok_or_else(|| eyre!("a message without content: {value}"))?)
        }
        Value::Array(list) if is_messages(list) => text_of(&list[list.len() - 1]),
        Value::Array(parts) if !parts.is_empty() && parts.iter().all(Value::is_object) => {
            let texts = parts.iter().filter(|part| part.get("text").is_some());
            texts.map(text_of).collect::<eyre::Result<Vec<String>>>().map(|texts| texts.concat())
        }
        other => bail!("expected a text or chat messages, got {other}"),
    }
}

fn missing(what: &str, keys: &[&str], row: &Map<String, Value>) -> eyre::Report {
    let found: Vec<&str> = row.keys().map(String::as_str).collect();
    eyre!("no {what}: expected one of {}, got {}", keys.join(", "), found.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> eyre::Result<Vec<Said>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        std::fs::write(&path, text).unwrap();
        read(&path)
    }

    #[track_caller]
    fn check(text: &str, expected: &[(&str, &str)]) {
        let said = read_text(text).unwrap();
        let pairs: Vec<(&str, &str)> =
            said.iter().map(|said| (said.completion.as_str(), said.solution.as_str())).collect();
        assert_eq!(pairs, expected);
    }

    #[test]
    fn trl_has_texts_or_messages() {
        check(
            "{\"prompt\": \"p\", \"completion\": \"a\", \"solution\": \"b\"}\n\n\
             {\"completion\": [{\"role\": \"assistant\", \"content\": \"c\"}], \"solution\": \"d\"}\n\
             {\"completion\": [{\"role\": \"assistant\", \"content\": [{\"type\": \"text\", \"text\": \"e\"}]}], \"answer\": 3}",
            &[("a", "b"), ("c", "d"), ("e", "3")],
        );
    }

    #[test]
    fn ms_swift_has_a_step_a_line_and_answers_with_labels() {
        check(
            "{\"gen_step\": 1, \"prompt\": [\"p\", \"q\"], \"completion\": [\"a\", \"b\"], \"solution\": [\"c\", \"d\"]}",
            &[("a", "c"), ("b", "d")],
        );
        check("{\"response\": \"a\", \"labels\": \"b\", \"messages\": []}", &[("a", "b")]);
    }

    #[test]
    fn vlm_r1_has_all_results_in_one_object() {
        let text = "{\"accuracy\": 50.0, \"results\": [\n\
            {\"question\": \"q\", \"ground_truth\": [1, 2, 3, 4], \"model_output\": \"<answer>[1, 2, 3, 4]</answer>\"},\n\
            {\"question\": \"r\", \"ground_truth\": [5, 6, 7, 8], \"model_output\": \"no\"}]}";
        check(text, &[("<answer>[1, 2, 3, 4]</answer>", "[1,2,3,4]"), ("no", "[5,6,7,8]")]);
        assert_eq!(read_text(text).unwrap()[1].question.as_deref(), Some("r"));
    }

    #[test]
    fn what_is_missing_is_named_with_its_place() {
        let refused = |text: &str, words: &str| {
            let error = format!("{:#}", read_text(text).unwrap_err());
            assert!(error.contains(words), "{error}");
        };
        refused("{\"a\": 1}", "line 1: no completion: expected one of completion, model_output");
        refused("{\"completion\": \"a\"}\n{\"completion\": \"a\"}", "line 1: no true answer");
        refused(
            "{\"completion\": [\"a\", \"b\"], \"solution\": [\"c\"]}",
            "2 completions and 1 true answers",
        );
        refused("[1]", "row 0: expected an object, got 1");
        refused("", "has no completions");
    }
}
