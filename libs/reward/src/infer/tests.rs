//! What is proposed for answers of each kind, and for coordinates of each space.

use super::*;
use crate::answers::AnswerKind;
use crate::geometry::Space;

fn try_infer(answers: &[&str], size: Option<[u32; 2]>) -> Result<Proposal, InferError> {
    let example = |solution: &&'static str| Example { question: "When?", solution, size };
    // The texts live as long as the test.
    let answers: Vec<&'static str> =
        answers.iter().map(|answer| &*answer.to_string().leak()).collect();
    infer(&answers.iter().map(example).collect::<Vec<_>>())
}

#[track_caller]
fn check(answers: &[&str], kind: &str) -> RewardConfig {
    let proposal = try_infer(answers, None).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(proposal.config.answer.kind.name(), kind, "{}", proposal.reason);
    proposal.config.validate().unwrap();
    proposal.config
}

#[test]
fn boxes_with_confidence_and_nothing() {
    let answers = [
        "<answer>[{'Position': [10, 20, 110, 140], 'Confidence': 1}]</answer>",
        "<answer>No Objects</answer>",
        "<answer>[{'Position': [310, 20, 410, 140], 'Confidence': 1}]</answer>",
    ];
    let config = check(&answers, "boxes");
    let AnswerKind::Boxes(boxes) = &config.answer.kind else { panic!("not boxes") };
    assert_eq!(config.answer.nothing, "No Objects");
    assert_eq!(
        (boxes.keys.place.as_str(), boxes.keys.confidence.as_str()),
        ("Position", "Confidence")
    );
}

fn labeled(x: u32, label: &str) -> String {
    format!("[{{\"bbox_2d\": [{x}, 20, {}, 140], \"label\": \"{label}\"}}]", x + 90)
}

#[test]
fn boxes_with_labels() {
    let answers = [labeled(10, "cat"), labeled(200, "dog"), labeled(1300, "cat")];
    let config = check(&answers.iter().map(String::as_str).collect::<Vec<_>>(), "boxes");
    let AnswerKind::Boxes(boxes) = &config.answer.kind else { panic!("not boxes") };
    assert_eq!((boxes.space, boxes.keys.label.as_str()), (Space::Pixels, "label"));
}
#[test]
fn boxes_within_an_object() {
    let wrapped = |x| format!("{{\"objects\": {}}}", labeled(x, "cat"));
    let answers = [wrapped(10), wrapped(200), wrapped(300)];
    let config = check(&answers.iter().map(String::as_str).collect::<Vec<_>>(), "boxes");
    assert_eq!(config.answer.place_key(), Some("bbox_2d"));
}
#[test]
fn the_sizes_of_images_tell_pixels_from_thousandths() {
    let answers = [labeled(10, "cat"), labeled(200, "dog"), labeled(500, "cat")];
    let answers: Vec<&str> = answers.iter().map(String::as_str).collect();
    let small = try_infer(&answers, Some([640, 480])).unwrap();
    assert_eq!(small.config.answer.space(), Some(Space::Pixels));
    let guess = small.space.unwrap();
    assert!(guess.reason.contains("640 × 480") && !guess.is_doubtful, "{}", guess.reason);
    let large = try_infer(&answers, Some([4000, 3000])).unwrap();
    assert_eq!(large.config.answer.space(), Some(Space::Thousandths));
    let unknown = try_infer(&answers, None).unwrap();
    assert_eq!(unknown.config.answer.space(), Some(Space::Thousandths));
    assert!(unknown.space.unwrap().is_doubtful);
}
#[test]
fn width_and_height_are_no_corners() {
    let answers = ["[243, 17, 100, 102]", "[54, 160, 293, 178]", "[11, 18, 143, 145]"];
    let error = try_infer(&answers, Some([640, 480])).unwrap_err().to_string();
    assert!(error.contains("x1 < x2") && error.contains("[x, y, width, height]?"), "{error}");
}
#[test]
fn single_values() {
    check(&["[10, 20, 110, 140]", "[210, 20, 310, 140]", "[10, 420, 110, 540]"], "box");
    check(&["3", "17", "8", "5"], "number");
    check(&["2, 1, 3, 4", "4, 3, 2, 1", "1, 3, 2, 4"], "permutation");
    check(&["[1.5, 3]", "[12, 20]", "[4, 9]"], "interval");
    check(&["rose", "tulip", "rose", "daisy"], "label");
    let texts = [
        "the train leaves at noon today",
        "mind the gap between the doors",
        "no smoking in this building",
    ];
    check(&texts, "text");
}
fn labels(answers: &[&str]) -> Vec<String> {
    match check(answers, "label").answer.kind {
        AnswerKind::Label(label) => label.labels,
        other => panic!("{other:?}"),
    }
}

#[test]
fn few_names_are_a_list_to_choose_from() {
    assert_eq!(labels(&["yes", "no", "yes", "no", "yes", "yes"]), ["no", "yes"]);
    let animals = ["dog", "hot dog", "cat"].repeat(4);
    assert_eq!(labels(&animals), ["cat", "dog", "hot dog"]);
    let signs = ["no", "no parking", "yes"].repeat(4);
    assert_eq!(labels(&signs), ["no", "no parking", "yes"]);
}
#[test]
fn too_few_or_nothing_that_fits() {
    assert_eq!(try_infer(&["1", "2"], None), Err(InferError::Rows(2)));
    let mixed = ["[{'Position': [1, 2, 3, 4]}]", "{}", "[{'Position': [9, 2, 3, 4]}]"];
    assert!(matches!(try_infer(&mixed, None), Err(InferError::Unfit { .. })));
    let open = ["<answer>1</answer> or <answer>2</answer>", "2", "3"];
    assert!(matches!(try_infer(&open, None), Err(InferError::Unfit { .. })));
}
