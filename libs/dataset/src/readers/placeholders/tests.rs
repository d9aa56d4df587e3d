//! Rows of ms-swift, as its documentation has them.

use serde_json::{Value, json};
use vrft_messages::Turn;

use crate::testing::{Folder, black};
use crate::{DataSpace, Dataset, OpenOptions, Question, Row, Truth};

/// Opens a row about a picture of 200 × 100 pixels.
fn open(row: &Value, space: Option<DataSpace>) -> Result<Row, String> {
    let folder =
        Folder::new(&[("a.png", &black(200, 100)), ("rows.jsonl", row.to_string().as_bytes())]);
    let options = OpenOptions { space, ..OpenOptions::default() };
    let dataset = Dataset::open_with(&folder.path("rows.jsonl"), &options);
    dataset.map(|dataset| dataset.get(0).clone()).map_err(|error| error.to_string())
}

fn row(question: &str, answer: &str, objects: &Value) -> Value {
    let turns =
        json!([{"role": "user", "content": question}, {"role": "assistant", "content": answer}]);
    json!({"messages": turns, "images": ["a.png"], "objects": objects})
}

fn question(row: &Row) -> String {
    match &row.question {
        Question::Turns(turns) => turns.iter().map(Turn::text).collect::<Vec<_>>().join("|"),
        other => panic!("{other:?}"),
    }
}

/// The boxes of the true answer, and what they are called.
fn boxes(row: &Row) -> Vec<([f64; 4], &str)> {
    let Truth::Boxes(boxes) = &row.truth else { panic!("{:?}", row.truth) };
    boxes.iter().zip(&boxes.labels).map(|(rect, label)| (rect.corners(), &**label)).collect()
}

#[track_caller]
fn refused(row: &Value, words: &[&str]) {
    let error = open(row, None).unwrap_err();
    let all = [&["rows.jsonl", "row 0"], words].concat();
    assert!(all.iter().all(|word| error.contains(word)), "{error}");
}

const TWO: [[f64; 4]; 2] = [[20.0, 10.0, 60.0, 40.0], [100.5, 50.0, 150.0, 90.0]];

#[test]
fn an_answer_of_boxes_is_boxes_in_pixels_and_the_question_names_them() {
    let read = open(
        &row(
            "<image>Find the <ref-object>",
            "<bbox><bbox>",
            &json!({"ref": ["sheep"], "bbox": TWO}),
        ),
        None,
    )
    .unwrap();
    assert_eq!(question(&read), "Find the sheep");
    assert_eq!(boxes(&read), [(TWO[0], "sheep"), (TWO[1], "sheep")]);
}

#[test]
fn names_stand_before_their_boxes_or_in_their_objects() {
    let objects =
        json!({"ref": ["sheep", "dog"], "bbox": TWO, "image_id": [0, 0], "bbox_type": "real"});
    for answer in [
        "<ref-object><bbox>, <ref-object><bbox>",
        "<|object_ref_start|><ref-object><|object_ref_end|><|box_start|><bbox><|box_end|>\n<ref-object>: <bbox>",
        "<think>Two.</think><answer><ref-object><bbox><ref-object><bbox></answer>",
        "[\n\t{\"bbox_2d\": <bbox>, \"label\": \"<ref-object>\"},\n\t{\"bbox_2d\": <bbox>, \"label\": \"<ref-object>\"}\n]",
        "[{\"bbox_2d\": <bbox>, \"label\": \"sheep\"}, {\"bbox_2d\": <bbox>, \"label\": \"dog\"}]",
        "<bbox><bbox>",
    ] {
        let read = open(&row("<image>What is there?", answer, &objects), None).unwrap();
        assert_eq!(boxes(&read), [(TWO[0], "sheep"), (TWO[1], "dog")], "{answer}");
    }
}

#[test]
fn shares_are_converted_and_what_is_declared_must_not_contradict_them() {
    let objects = json!({"ref": [], "bbox": [[0.1, 0.2, 0.5, 0.9]], "bbox_type": "norm1"});
    let asked = row("<image>Where?", "<bbox>", &objects);
    let read = open(&asked, None).unwrap();
    assert_eq!(boxes(&read), [([20.0, 20.0, 100.0, 90.0], "")]);
    let error = open(&asked, Some(DataSpace::Thousandths)).unwrap_err();
    assert!(error.contains("bbox_type") && error.contains("data.space"), "{error}");
}

#[test]
fn names_are_put_into_words_and_words_without_placeholders_stay() {
    let read = open(
        &row(
            "<image>Is the <ref-object> left?",
            "Yes, the <ref-object> is.",
            &json!({"ref": ["cup", "cup"]}),
        ),
        None,
    )
    .unwrap();
    assert_eq!(question(&read), "Is the cup left?");
    assert_eq!(read.truth, Truth::Text("Yes, the cup is.".into()));
    for objects in [json!({"bbox": TWO}), json!(null), json!("three")] {
        let read = open(&row("<image>How many?", "Two", &objects), None).unwrap();
        assert_eq!(read.truth, Truth::Text("Two".into()));
    }
    let tags = "<bbox>1,2,3,4</bbox>";
    let read = open(&row("<image>Where? As <bbox>", tags, &json!(null)), None).unwrap();
    assert_eq!(read.truth, Truth::Text(tags.into()));
}

#[test]
fn what_cannot_be_read_is_named_with_what_to_write() {
    let objects = json!({"ref": ["sheep"], "bbox": TWO});
    refused(
        &row("<image>What is <bbox>?", "A <ref-object>", &objects),
        &["its question has <bbox>"],
    );
    refused(
        &row("<image>Say.", "A sheep at <bbox> and <bbox>", &objects),
        &["other words, as \"A\""],
    );
    refused(&row("<image>Say.", "<bbox>", &objects), &["\"bbox\" of \"objects\" has 2 entries"]);
    refused(&row("<image>Say.", "<bbox><bbox><bbox>", &objects), &["more <bbox> than", "2"]);
    refused(&row("<image>Say.", "<bbox>", &json!(null)), &["<bbox>", "no \"objects\""]);
    refused(
        &row("<image>A <ref-object>?", "Yes", &json!(null)),
        &["<ref-object>", "no \"objects\""],
    );
    let point = json!({"bbox": [[3, 4]]});
    refused(&row("<image>Click.", "<bbox>", &point), &["the point [3,4]", "point_2d"]);
    let other = json!({"bbox": [[3, 4, 5, 6]], "image_id": [1]});
    refused(&row("<image>Say.", "<bbox>", &other), &["\"image_id\"", "first picture"]);
    let kind = json!({"bbox": [[3, 4, 5, 6]], "bbox_type": "norm1000"});
    refused(&row("<image>Say.", "<bbox>", &kind), &["\"bbox_type\"", "norm1000"]);
    let out = json!({"bbox": [[3, 4, 500, 600]]});
    refused(&row("<image>Say.", "<bbox>", &out), &["leaves the picture", "data.space"]);
}

#[test]
fn objects_of_ms_swift_2_are_read_as_those_of_today() {
    let older = |kinds: [&str; 2]| {
        let one = |at: usize| json!({"caption": "sheep", "bbox": TWO[at], "bbox_type": kinds[at], "image": 0});
        json!([one(0), one(1)])
    };
    let asked = |objects: &Value| {
        open(
            &row("<image>Find the <ref-object> and the <ref-object>", "<bbox><bbox>", objects),
            None,
        )
    };
    let list = older(["real", "real"]);
    for objects in [list.clone(), json!(list.to_string())] {
        let read = asked(&objects).unwrap();
        assert_eq!(question(&read), "Find the sheep and the sheep");
        assert_eq!(boxes(&read).iter().map(|(numbers, _)| *numbers).collect::<Vec<_>>(), TWO);
    }
    // Thousandths of 200 × 100 pixels.
    let read = asked(&older(["norm_1000", "norm_1000"])).unwrap();
    assert_eq!(boxes(&read)[0].0, [4.0, 1.0, 12.0, 4.0]);
    assert!(asked(&older(["real", "norm_1"])).unwrap_err().contains("the same for all"));
    let several = json!([{"caption": "sheep", "bbox": TWO}]);
    assert!(asked(&several).unwrap_err().contains("several boxes"));
}
