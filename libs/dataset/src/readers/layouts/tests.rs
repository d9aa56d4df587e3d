//! Rows as other programs of training have them.

use std::sync::Arc;

use arrow::array::{ArrayRef, ListArray, RecordBatch, StringArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::Field;
use serde_json::{Value, json};

use crate::testing::Folder;
use crate::{Dataset, Question, Truth};

/// What is said in the one row of a file, who speaks first, and the true answer.
fn said(folder: &Folder, name: &str) -> Result<(Vec<String>, String), String> {
    let dataset = Dataset::open(&folder.path(name)).map_err(|error| error.to_string())?;
    match (&dataset.get(0).question, &dataset.get(0).truth) {
        (Question::Turns(turns), Truth::Text(text)) => {
            let said = turns.iter().map(|turn| format!("{:?}: {}", turn.role, turn.text()));
            Ok((said.collect(), text.to_string()))
        }
        other => panic!("{other:?}"),
    }
}

fn row(mut row: Value) -> Result<(Vec<String>, String), String> {
    row["images"] = json!(["a.png"]);
    said(&Folder::of_rows(&[row]), "rows.jsonl")
}

#[track_caller]
fn check(given: Value, turns: &[&str], answer: &str) {
    let turns = turns.iter().map(ToString::to_string).collect();
    assert_eq!(row(given), Ok((turns, answer.to_owned())));
}

#[track_caller]
fn refused(given: Value, words: &[&str]) {
    let error = row(given).unwrap_err();
    assert!(words.iter().all(|word| error.contains(word)), "{error}");
}

const BEFORE: [&str; 3] = ["User: How many mugs?", "Assistant: 7", "User: And cups?"];

#[test]
fn a_query_has_its_response_and_the_turns_before_it() {
    let history = json!([["<image>How many mugs?", "7"]]);
    check(json!({"query": "And cups?", "response": "3", "history": history}), &BEFORE, "3");
    check(json!({"query": "And cups?", "response": "3", "history": []}), &BEFORE[2..], "3");
    check(json!({"query": "And cups?", "response": "no", "solution": "3"}), &BEFORE[2..], "3");
    // The turns are not lost where question and answer were renamed.
    check(json!({"problem": "And cups?", "solution": "3", "history": history}), &BEFORE, "3");
    let pairs = |history: Value| json!({"query": "And cups?", "response": "3", "history": history});
    refused(
        pairs(json!([["one"]])),
        &["row 0", "\"history\" should be a list of [question, answer]"],
    );
    refused(pairs(json!(3)), &["\"history\" should be"]);
    refused(json!({"query": ["x"], "response": "3"}), &["\"query\" should be text"]);
    // What a reader of words never needed is no history.
    let text = json!({"problem": "And cups?", "solution": "3", "history": "none of note"});
    check(text, &BEFORE[2..], "3");
}

#[test]
fn an_instruction_goes_on_in_its_input() {
    let row = |input: Value| json!({"instruction": "What is this?", "input": input, "output": "mug", "system": "Be terse."});
    let system = "System: Be terse.";
    check(row(json!("In one word.")), &[system, "User: What is this?\nIn one word."], "mug");
    for none in [json!(""), json!(null)] {
        check(row(none), &[system, "User: What is this?"], "mug");
    }
    refused(row(json!(["x"])), &["row 0", "\"input\" beside \"instruction\""]);
    let renamed =
        |problem: &str| json!({"problem": problem, "input": "In one word.", "solution": "mug"});
    refused(renamed("What is this?"), &["\"input\" beside \"problem\"", "take it out"]);
    let whole = "What is this? In one word.";
    check(renamed(whole), &[&format!("User: {whole}")], "mug");
    let history =
        json!({"instruction": "And cups?", "output": "3", "history": [["How many mugs?", "7"]]});
    check(history, &BEFORE, "3");
}

#[test]
fn a_completion_is_the_turn_of_the_assistant() {
    let prompt = json!([{"role": "user", "content": "How many?"}]);
    let turn = |said: Value| json!([{"role": "assistant", "content": said}]);
    let asked = ["User: How many?"];
    check(json!({"prompt": prompt, "completion": turn(json!("0"))}), &asked, "0");
    check(json!({"prompt": prompt, "solution": turn(json!("0"))}), &asked, "0");
    check(
        json!({"problem": "How many?", "solution": turn(json!([{"type": "text", "text": "0"}]))}),
        &asked,
        "0",
    );
    check(json!({"prompt": prompt, "completion": "0"}), &asked, "0");
    check(json!({"prompt": "How many?", "completion": "0"}), &asked, "0");
    check(json!({"prompt": "How many?", "solution": 0}), &asked, "0");
    let two = json!([{"role": "assistant", "content": "0"}, {"role": "user", "content": "?"}]);
    refused(json!({"prompt": prompt, "completion": two}), &["row 0", "\"completion\" has 2 turns"]);
    let asks = json!([{"role": "user", "content": "0"}]);
    refused(
        json!({"prompt": prompt, "completion": asks}),
        &["\"completion\" should be a turn of the assistant"],
    );
    refused(json!({"prompt": prompt, "solution": two}), &["\"solution\" has 2 turns"]);
}

/// A file of one row of turns of what these say.
fn turns(said: &[(&str, &str)]) -> ArrayRef {
    let text = |texts: Vec<&str>| -> ArrayRef { Arc::new(StringArray::from(texts)) };
    let parts = [
        ("content", text(said.iter().map(|(_, said)| *said).collect())),
        ("role", text(said.iter().map(|(role, _)| *role).collect())),
    ];
    let parts = parts
        .map(|(name, array)| (Arc::new(Field::new(name, array.data_type().clone(), true)), array));
    list(Arc::new(StructArray::from(parts.to_vec())))
}

/// One list of all items.
fn list(items: ArrayRef) -> ArrayRef {
    let field = Arc::new(Field::new("item", items.data_type().clone(), true));
    let lengths = OffsetBuffer::from_lengths([items.len()]);
    Arc::new(ListArray::new(field, lengths, items, None))
}

#[test]
fn tables_have_the_same_columns() {
    let text = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text])) };
    let folder = Folder::of_rows(&[]);
    let read = |columns: &[(&str, ArrayRef)]| {
        let columns = [&[("image", text("a.png"))], columns].concat();
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        folder.write_of_hub("a.parquet", &batch, &json!({}));
        said(&folder, "a.parquet")
    };
    let expected = |turns: &[&str], answer: &str| -> Result<(Vec<String>, String), String> {
        Ok((turns.iter().map(ToString::to_string).collect(), answer.to_owned()))
    };
    let pair: ArrayRef = Arc::new(StringArray::from(vec!["How many mugs?", "7"]));
    let columns = [
        ("query", text("And cups?")),
        ("response", text("3")),
        ("history", list(list(pair.clone()))),
    ];
    assert_eq!(read(&columns), expected(&BEFORE, "3"));
    let columns =
        [("problem", text("And cups?")), ("solution", text("3")), ("history", list(list(pair)))];
    assert_eq!(read(&columns), expected(&BEFORE, "3"));
    let columns =
        [("instruction", text("What?")), ("input", text("One word.")), ("output", text("mug"))];
    assert_eq!(read(&columns), expected(&["User: What?\nOne word."], "mug"));
    let columns =
        [("prompt", turns(&[("user", "How many?")])), ("completion", turns(&[("assistant", "0")]))];
    assert_eq!(read(&columns), expected(&["User: How many?"], "0"));
    let columns = [("problem", text("How many?")), ("solution", turns(&[("assistant", "0")]))];
    assert_eq!(read(&columns), expected(&["User: How many?"], "0"));
    folder.write("a.csv", b"image,instruction,input,output\na.png,What?,One word.,mug\n");
    assert_eq!(said(&folder, "a.csv"), expected(&["User: What?\nOne word."], "mug"));
}

#[test]
fn a_table_of_two_classes_is_told_of_the_column_of_classes() {
    let text = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text])) };
    let folder = Folder::of_rows(&[]);
    let columns =
        [("image", text("a.png")), ("fine_label", text("cup")), ("coarse_label", text("mug"))];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let path = folder.write_of_hub("a.parquet", &batch, &json!({}));
    let error = Dataset::open(&path).unwrap_err().to_string();
    let words =
        ["no \"problem\"", "or \"label\", the class of the picture", "fine_label, coarse_label"];
    assert!(words.iter().all(|word| error.contains(word)), "{error}");
    refused(json!({"fine_label": "cup"}), &["or \"label\", the class of the picture"]);
}
