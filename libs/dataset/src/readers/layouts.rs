//! Rows as programs of training have them, put as conversations: ms-swift's `query` and `response`, LLaMA-Factory's
//! `instruction`, `input` and `output`, TRL's `prompt` and `completion`, each with the turns before it in `history`.

use serde_json::{Map, Value, json};

use super::classes::is_missing;
use super::conversation::{self, CONVERSATION_KEYS};
use super::worded;

/// Keys of a question and of its answer.
const PAIRS: [(&str, &str); 3] =
    [("query", "response"), ("instruction", "output"), (PROMPT, COMPLETION)];
const PROMPT: &str = CONVERSATION_KEYS[2];
pub(super) const COMPLETION: &str = "completion";
/// What stands behind the instruction, and the turns before the question.
pub(super) const BESIDE: [&str; 2] = [INPUT, HISTORY];
const INPUT: &str = "input";
const HISTORY: &str = "history";
/// Key under which a conversation is put.
const TURNS: &str = CONVERSATION_KEYS[1];

/// The keys of question and answer of a row that has no `problem` and no conversation, but these.
pub(super) fn pair(has: impl Fn(&str) -> bool) -> Option<(&'static str, &'static str)> {
    if has("problem") || CONVERSATION_KEYS[..2].iter().any(|key| has(key)) {
        return None;
    }
    PAIRS.into_iter().find(|(asked, answered)| has(asked) && (has(answered) || has("solution")))
}

/// Puts such a row as a conversation under `messages`; a row of another form stays as it is, but for what was said before.
///
/// # Errors
/// A part of it that cannot be read, by its key.
pub(super) fn put_as_conversation(values: &mut Map<String, Value>) -> Result<(), String> {
    if let Some(said) = values.get("solution").and_then(|value| only_turn("solution", value)) {
        values.insert("solution".to_owned(), said?.into());
    }
    let turns = CONVERSATION_KEYS.iter().find(|key| values.get(**key).is_some_and(Value::is_array));
    if let Some(key) = turns {
        return add_completion(values, key);
    }
    let has = |key: &str| values.get(key).is_some_and(|value| !value.is_null());
    match pair(has) {
        Some((asked, answered)) => {
            let mut turns = history(values)?;
            turns.push(json!({"role": "user", "content": question(values, asked)?}));
            if let Some(answer) = values.remove(answered).filter(|answer| !answer.is_null()) {
                let answer = only_turn(answered, &answer).transpose()?.map_or(answer, Value::from);
                turns.push(json!({"role": "assistant", "content": answer}));
            }
            values.insert(TURNS.to_owned(), turns.into());
            Ok(())
        }
        None => beside_problem(values),
    }
}

/// TRL's answer behind the turns of its prompt.
fn add_completion(values: &mut Map<String, Value>, key: &str) -> Result<(), String> {
    if key != PROMPT {
        return Ok(());
    }
    let Some(said) = values.remove(COMPLETION).filter(|said| !said.is_null()) else {
        return Ok(());
    };
    let said = only_turn(COMPLETION, &said).transpose()?.map_or(said, Value::from);
    if let Some(Value::Array(mut turns)) = values.remove(key) {
        turns.push(json!({"role": "assistant", "content": said}));
        values.insert(TURNS.to_owned(), turns.into());
    }
    Ok(())
}

/// What the assistant says in an answer that is a list of turns; `None` for an answer of another form.
fn only_turn(key: &str, answer: &Value) -> Option<Result<String, String>> {
    let is_turn = |turn: &Value| turn.get("role").or_else(|| turn.get("from")).is_some();
    let turns = answer.as_array().filter(|list| !list.is_empty() && list.iter().all(is_turn))?;
    let [turn] = &turns[..] else {
        return Some(Err(format!(
            "its {key:?} has {} turns, and one of the assistant is the answer: put those before it behind the prompt",
            turns.len()
        )));
    };
    let whole = json!([{"role": "user", "content": ""}, turn]);
    let said = conversation::read(&whole).map_err(|why| format!("its {key:?}: {why}"));
    Some(said.and_then(|said| {
        said.answer
            .ok_or_else(|| format!("its {key:?} should be a turn of the assistant, got {turn}"))
    }))
}

/// The question in words: of an instruction with its input in the next line.
fn question(values: &mut Map<String, Value>, asked: &str) -> Result<String, String> {
    let words = match values.remove(asked) {
        Some(Value::String(words)) => words,
        other => {
            return Err(format!("{asked:?} should be text, got {}", other.unwrap_or_default()));
        }
    };
    match values.remove(INPUT).unwrap_or_default() {
        Value::Null => Ok(words),
        Value::String(input) if input.trim().is_empty() => Ok(words),
        Value::String(input) if asked == "instruction" => Ok(format!("{words}\n{input}")),
        Value::String(input) if worded::has(&words, &input) => Ok(words),
        other => Err(unread(INPUT, asked, &other)),
    }
}

/// The turns before a question, out of pairs of question and answer or of turns.
fn history(values: &mut Map<String, Value>) -> Result<Vec<Value>, String> {
    let given = values.remove(HISTORY).unwrap_or_default();
    let list = match &given {
        Value::Null => return Ok(Vec::new()),
        Value::String(text) if is_nothing(text) => return Ok(Vec::new()),
        Value::String(text) => serde_json::from_str(text).ok(),
        Value::Array(list) => Some(list.clone()),
        _ => None,
    };
    let wrong =
        |got: &Value| format!("{HISTORY:?} should be a list of [question, answer], got {got}");
    let mut turns = Vec::new();
    for item in list.ok_or_else(|| wrong(&given))? {
        match item {
            Value::Array(pair) if pair.len() == 2 && pair.iter().all(Value::is_string) => {
                let said = ["user", "assistant"].iter().zip(pair);
                turns.extend(said.map(|(role, said)| json!({"role": role, "content": said})));
            }
            turn if turn.is_object() => turns.push(turn),
            other => return Err(wrong(&other)),
        }
    }
    Ok(turns)
}

fn is_nothing(text: &str) -> bool {
    let text = text.trim();
    text.is_empty() || text == "[]" || text.eq_ignore_ascii_case("none") || is_missing(text)
}

/// What belongs to a question that was renamed to `problem`: the turns before it; its input is not to be lost. Of another
/// form both may be anything.
fn beside_problem(values: &mut Map<String, Value>) -> Result<(), String> {
    let Some(Value::String(problem)) = values.get("problem") else { return Ok(()) };
    let problem = problem.clone();
    if let Some(input) = values.get(INPUT).and_then(Value::as_str)
        && !worded::has(&problem, input)
        && !is_nothing(input)
    {
        return Err(unread(INPUT, "problem", &input.into()));
    }
    let is_said = |item: &Value| item.as_str().is_some_and(|text| worded::has(&problem, text));
    let is_list = |list: &Vec<Value>| !list.is_empty() && !list.iter().all(is_said);
    if values.get(HISTORY).and_then(Value::as_array).is_none_or(|list| !is_list(list)) {
        return Ok(());
    }
    let mut turns = history(values)?;
    turns.push(json!({"role": "user", "content": problem}));
    values.remove("problem");
    values.insert(TURNS.to_owned(), turns.into());
    Ok(())
}

fn unread(key: &str, asked: &str, got: &Value) -> String {
    format!(
        "it has {key:?} beside {asked:?}, which is not read there: write it into {asked:?}, or take it out where the question \
         does not need it; got {got}"
    )
}

#[cfg(test)]
mod tests;
