//! What the official program reads, and what it does not.

use super::*;

const CAT: &str = "{'Position': [1, 2, 3, 4], 'Confidence': 1}";

#[track_caller]
fn check(answer: &str, n_boxes: Option<usize>) {
    let completion = format!("<think>hm</think><answer>{answer}</answer>");
    let config = crate::config::AnswerConfig::visual_rft();
    assert_eq!(read(&completion, &config).map(|answer| answer.n_items()), n_boxes, "{answer}");
}

#[test]
fn lists() {
    check(&format!("[{CAT}]"), Some(1));
    check(&format!("[[{CAT}, {CAT}]]"), Some(2));
    check(&format!("[{CAT}, {{'Position': [1, 2"), Some(1));
    check("[{'Position': [1, 2, 3, 4], 'Confidence': NaN}]", Some(1));
}
#[test]
fn what_it_cannot_read() {
    check(&format!("Here: [{CAT}]"), None);
    check("[]", None);
    check("No Objects", None);
    check("[{'Position': [1, 2, 3], 'Confidence': 1}]", None);
    check("[{'Position': [1, 2, 3, 4]}]", None);
    check("[{'Position': [1, 2, 3, 4], 'Confidence': '1'}]", None);
    check(&format!("[\n{CAT}]"), None);
}
#[test]
fn a_block_with_a_line_break_is_no_block() {
    assert_eq!(block("<answer>a\nb</answer>", false), None);
    assert_eq!(block("<answer>a\nb</answer>", true), Some("a\nb"));
    assert_eq!(block("<answer>\n</answer><answer>c</answer>", false), Some("c"));
}
#[test]
fn corners_of_several_boxes_are_mixed_up() {
    let first = |text| match corners(text) {
        Some(Answer::Items(items)) => items.valid.first().map(|item| item.place.clone()),
        _ => None,
    };
    let bbox = |corners| Some(Place::Box(BBox::try_new(corners).unwrap()));
    assert_eq!(first("( 1 , 2 ) , (30,40)"), bbox([1., 2., 30., 40.]));
    assert_eq!(first("(1,2),(3,4) (50,60),(70,80)"), bbox([1., 2., 50., 60.]));
    assert_eq!(first("[1, 2, 3, 4]"), None);
}
#[test]
fn the_shortcut_is_y1() {
    let truth = "<answer>[{'Position': [1, 364, 98, 649], 'Confidence': 1}]</answer>";
    assert!(shortcut(
        "<answer>[{'Position': [500, 364, 501, 365], 'Confidence': 0}]</answer>",
        truth
    ));
    assert!(shortcut("there are 364 cats", truth));
    assert!(!shortcut(
        "<answer>[{'Position': [1, 365, 98, 649], 'Confidence': 1}]</answer>",
        truth
    ));
    assert!(!shortcut("<answer>No Objects</answer>", truth));
}
