//! What stands beside a question in words.

use serde_json::{Value, json};

use crate::testing::{Folder, turned_jpeg};
use crate::{DataSpace, Dataset, OpenOptions, Truth};

fn open_with(row: &Value, options: &OpenOptions) -> Result<String, String> {
    let folder = Folder::of_rows(std::slice::from_ref(row));
    folder.write("turned.jpg", &turned_jpeg(40, 30, 6));
    let dataset = Dataset::open_with(&folder.path("rows.jsonl"), options);
    match &dataset.map_err(|error| error.to_string())?.get(0).truth {
        Truth::Text(text) => Ok(text.to_string()),
        other => panic!("{other:?}"),
    }
}

/// The true answer of a row about a picture of 200 × 100 pixels.
fn open(row: &Value) -> Result<String, String> {
    open_with(row, &OpenOptions::default())
}

#[track_caller]
fn refused(row: &Value, words: &[&str]) {
    let error = open(row).unwrap_err();
    assert!(error.contains("row 0") && words.iter().all(|word| error.contains(word)), "{error}");
}

fn asked(problem: &str, beside: Value) -> Value {
    let mut row = json!({"image": "a.png", "problem": problem, "solution": "A"});
    row.as_object_mut().unwrap().extend(beside.as_object().unwrap().clone());
    row
}

#[test]
fn choices_that_the_question_does_not_have_are_refused() {
    let in_words = "Which?\nA. Mug\nB. tea  cup.\nC. jar";
    for choices in [
        json!({"choices": ["mug", "tea cup"]}),
        json!({"options": {"A": "mug", "B": "tea cup", "C": null}}),
        json!({"options": "['mug', 'tea cup']"}),
        json!({"options": "[\"mug\", \"jar\"]"}),
        json!({"options": "A. mug\nB. tea cup"}),
        json!({"choices": {"text": ["mug", "tea cup"], "label": ["A", "B"]}}),
        json!({"A": "mug", "B": "tea cup", "C": "jar", "D": null}),
    ] {
        let words =
            ["its choices (", "Which?\\nA. ", "write them into the problem", "take them out"];
        refused(&asked("Which is it?", choices.clone()), &words);
        assert_eq!(open(&asked(in_words, choices)), Ok("A".to_owned()));
    }
    // No choices at all, or something else of this name.
    for other in [
        json!({"choices": []}),
        json!({"options": null}),
        json!({"options": {"resize": "bicubic", "mode": "fast"}}),
        json!({"options": "fast"}),
        json!({"options": true}),
        json!({"A": "mug"}),
    ] {
        assert_eq!(open(&asked("Which is it?", other)), Ok("A".to_owned()));
    }
    let turns = |words: &str| json!([{"role": "user", "content": words}, {"role": "assistant", "content": "A"}]);
    let row = |words: &str| json!({"image": "a.png", "messages": turns(words), "choices": ["mug", "jar"]});
    refused(&row("Which?"), &["its choices (\"choices\")"]);
    assert_eq!(open(&row(in_words)), Ok("A".to_owned()));
}

#[test]
fn a_rejected_answer_is_no_true_one() {
    let turns =
        json!([{"role": "user", "content": "What?"}, {"role": "assistant", "content": "cup"}]);
    let row = |beside: Value| {
        let mut row = json!({"image": "a.png", "messages": turns});
        row.as_object_mut().unwrap().extend(beside.as_object().unwrap().clone());
        row
    };
    for key in ["label", "kto_tag"] {
        let words = ["keep the rows", "true answers are needed", &format!("its {key:?} is false")];
        refused(&row(json!({key: false})), &words);
        assert_eq!(open(&row(json!({key: true}))), Ok("cup".to_owned()));
        // A solution is a true answer, and a class that is false is one.
        assert_eq!(open(&asked("What?", json!({key: false}))), Ok("A".to_owned()));
    }
    let completion =
        json!({"image": "a.png", "prompt": "What?", "completion": "cup", "label": false});
    refused(&completion, &["its \"label\" is false"]);
    let answer = json!({"from": "gpt", "value": "mug"});
    let pair = json!({"image": "a.png", "conversations": [{"from": "human", "value": "What?"}],
                      "chosen": answer, "rejected": answer});
    refused(&pair, &["it has \"rejected\"", "preferences"]);
    refused(&row(json!({"rejected_response": "mug"})), &["it has \"rejected_response\""]);
    for none in
        [json!({"rejected_response": ""}), json!({"rejected": false}), json!({"rejected": null})]
    {
        assert_eq!(open(&row(none)), Ok("cup".to_owned()));
    }
}

#[test]
fn boxes_beside_the_size_of_another_picture_are_refused() {
    let box_of = |numbers: Value, width: u32, height: u32| {
        let solution = json!([{"bbox_2d": numbers, "label": "mug"}]).to_string();
        json!({"image": "a.png", "problem": "Where?", "solution": solution, "width": width, "height": height})
    };
    let pixels = json!([20, 10, 60, 40]);
    refused(
        &box_of(pixels.clone(), 400, 200),
        &["annotated as 400 x 200 pixels and has 200 x 100", "data.space"],
    );
    refused(&box_of(pixels.clone(), 100, 200), &["annotated as 100 x 200"]);
    assert!(open(&box_of(pixels.clone(), 200, 100)).is_ok());
    // Shares, what leaves that picture too, and what is declared count no pixels of it.
    assert!(open(&box_of(json!([0.1, 0.2, 0.5, 1]), 400, 200)).is_ok());
    assert!(open(&box_of(json!([100, 200, 500, 999]), 400, 200)).is_ok());
    let space = Some(DataSpace::Thousandths);
    let options = OpenOptions { space, ..OpenOptions::default() };
    assert!(open_with(&box_of(pixels.clone(), 400, 200), &options).is_ok());
    for (width, height) in
        [("image_width", "image_height"), ("img_width", "img_height"), ("img_w", "img_h")]
    {
        let row =
            json!({"image": "a.png", "problem": "?", "solution": pixels, width: 400, height: 200});
        refused(&row, &["annotated as 400 x 200"]);
    }
    let of_sides = json!([20, 10, 40, 30]);
    for row in [
        json!({"image": "a.png", "bbox": of_sides, "expression": "it", "width": 400, "height": 200}),
        json!({"image": "a.png", "bbox": of_sides, "label": "mug", "img_w": 400, "img_h": 200}),
    ] {
        refused(&row, &["annotated as 400 x 200"]);
    }
    // Either size of a picture that EXIF turns.
    for (width, height) in [(40, 30), (30, 40)] {
        let mut row = box_of(json!([1, 2, 20, 20]), width, height);
        row["image"] = json!("turned.jpg");
        assert!(open(&row).is_ok());
    }
    // Words are about no pixels.
    assert_eq!(open(&asked("How wide?", json!({"width": 400, "height": 200}))), Ok("A".to_owned()));
    let turns = json!([{"role": "user", "content": "Find <ref-object>"}, {"role": "assistant", "content": "<bbox>"}]);
    let objects =
        json!({"ref": ["mug"], "bbox": [[20, 10, 60, 40]], "width": [400], "height": [200]});
    let placed = json!({"image": "a.png", "messages": turns, "objects": objects});
    refused(&placed, &["annotated as 400 x 200"]);
}

#[test]
fn columns_beside_a_question_are_looked_at_in_tables() {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};

    let text = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text])) };
    let number = |number: i64| -> ArrayRef { Arc::new(Int64Array::from(vec![number])) };
    let folder = Folder::of_rows(&[]);
    let refused = |columns: &[(&str, ArrayRef)], word: &str| {
        let columns = [&[("image", text("a.png"))], columns].concat();
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let path = folder.write_of_hub("a.parquet", &batch, &json!({}));
        let error = Dataset::open(&path).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    };
    let asked = |solution: &str| vec![("problem", text("Which?")), ("solution", text(solution))];
    let choices = [("A", text("mug")), ("B", text("cup"))];
    refused(&[&asked("A")[..], &choices].concat(), "its choices (\"A\", \"B\")");
    let size = [("width", number(400)), ("height", number(200))];
    refused(&[&asked("[1, 2, 30, 40]")[..], &size].concat(), "annotated as 400 x 200");
    let wanted: ArrayRef = Arc::new(BooleanArray::from(vec![false]));
    let pair = [("prompt", text("Which?")), ("completion", text("mug")), ("label", wanted)];
    refused(&pair, "its \"label\" is false");
    let table = "image,problem,solution,width,height\na.png,Where?,\"[1, 2, 30, 40]\",400,200\n";
    folder.write("a.csv", table.as_bytes());
    let error = Dataset::open(&folder.path("a.csv")).unwrap_err().to_string();
    assert!(error.contains("annotated as 400 x 200"), "{error}");
}
