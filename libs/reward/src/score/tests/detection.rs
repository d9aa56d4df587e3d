//! The terms of detection, number by number.
//!
//! True boxes are A = [0, 0, 100, 100] and B = [500, 500, 700, 600]. The IoU of [0, 0, 100, 80] with A is 0.8, of
//! [0, 0, 100, 60] 0.6, of [0, 0, 100, 50] 0.5, of [0, 0, 100, 20] 0.2.

use crate::config::RewardConfig;

use super::{detection, score};

const A: [f64; 4] = [0., 0., 100., 100.];
const B: [f64; 4] = [500., 500., 700., 600.];

/// `expect` is (iou, confidence).
#[track_caller]
fn check_with(config: &RewardConfig, answer: &str, truth: &[[f64; 4]], expect: (f64, f64)) {
    let boxes: Vec<String> =
        truth.iter().map(|corners| format!("{{'Position': {corners:?}}}")).collect();
    let truth =
        if boxes.is_empty() { "No Objects".to_owned() } else { format!("[{}]", boxes.join(", ")) };
    let score = score(&format!("<think>hm</think><answer>{answer}</answer>"), &truth, config);
    let got = (score.term("iou").unwrap(), score.term("confidence").unwrap());
    let near = |a: f64, b: f64| (a - b).abs() < 1e-12;
    assert!(near(got.0, expect.0) && near(got.1, expect.1), "{got:?}, not {expect:?}");
}
/// `paper` and `fixed` are (iou, confidence), with the threshold.
#[track_caller]
fn check(predicted: &[([u32; 4], f64)], truth: &[[f64; 4]], paper: (f64, f64), fixed: (f64, f64)) {
    let answer = list(predicted);
    check_with(&detection(true, false), &answer, truth, paper);
    check_with(&detection(false, false), &answer, truth, fixed);
}
#[track_caller]
fn check_smooth(
    predicted: &[([u32; 4], f64)],
    truth: &[[f64; 4]],
    paper: (f64, f64),
    fixed: (f64, f64),
) {
    let answer = list(predicted);
    check_with(&detection(true, true), &answer, truth, paper);
    check_with(&detection(false, true), &answer, truth, fixed);
}
/// Answers that are no list of valid boxes.
#[track_caller]
fn check_text(answer: &str, truth: &[[f64; 4]], paper: (f64, f64), fixed: (f64, f64)) {
    check_with(&detection(true, false), answer, truth, paper);
    check_with(&detection(false, false), answer, truth, fixed);
}
fn list(predicted: &[([u32; 4], f64)]) -> String {
    let items: Vec<_> = predicted
        .iter()
        .map(|(b, c)| format!("{{'Position': {b:?}, 'Confidence': {c}}}"))
        .collect();
    format!("[{}]", items.join(", "))
}

#[test]
fn one_good_box() {
    check(&[([0, 0, 100, 80], 0.9)], &[A], (0.8, 0.9), (0.8, 0.9));
}
#[test]
fn overlap_at_the_threshold_is_no_hit() {
    check(&[([0, 0, 100, 50], 0.9)], &[A], (0.0, 0.1), (0.0, 0.0));
}
#[test]
fn one_hit_and_one_invention() {
    // Paper: (0.8 + 0) / 2, (0.9 + 0.7) / 2. Fixed: (0.9 - 0.3) / 2.
    let predicted = [([0, 0, 100, 80], 0.9), ([800, 800, 900, 900], 0.3)];
    check(&predicted, &[A], (0.4, 0.8), (0.4, 0.3));
}
#[test]
fn one_hit_of_two_objects() {
    // The paper does not mind the box that was missed.
    check(&[([0, 0, 100, 80], 0.9)], &[A, B], (0.8, 0.9), (0.4, 0.45));
}
#[test]
fn both_objects() {
    // B against [500, 500, 700, 570]: 0.7.
    let predicted = [([500, 500, 700, 570], 0.6), ([0, 0, 100, 80], 1.0)];
    check(&predicted, &[A, B], (0.75, 0.8), (0.75, 0.8));
}
#[test]
fn two_boxes_on_one_object() {
    // The confident one takes A although the other overlaps it more.
    let predicted = [([0, 0, 100, 80], 0.5), ([0, 0, 100, 60], 0.9)];
    check(&predicted, &[A], (0.3, 0.7), (0.3, 0.2));
}
#[test]
fn repeated_boxes() {
    // Paper: (1 + 0 + 0) / 3, (0.8 + 0.2 + 0.2) / 3. Repeating a box must not be a way to be safe.
    let predicted = [([0, 0, 100, 100], 0.8); 3];
    check(&predicted, &[A], (1.0 / 3.0, 0.4), (1.0 / 3.0, 0.0));
}
#[test]
fn wrong_boxes_without_confidence() {
    // The paper's confidence term can be had for nothing.
    let predicted = [([800, 800, 900, 900], 0.0), ([800, 100, 900, 200], 0.0)];
    check(&predicted, &[A], (0.0, 1.0), (0.0, 0.0));
}
#[test]
fn wrong_boxes_with_confidence() {
    check(&[([800, 800, 900, 900], 1.0)], &[A], (0.0, 0.0), (0.0, 0.0));
}

#[test]
fn nothing_where_nothing_is() {
    check_text("No Objects", &[], (0.0, 0.0), (1.0, 1.0));
    check_text("[]", &[], (0.0, 0.0), (1.0, 1.0));
}
#[test]
fn boxes_where_nothing_is() {
    check(&[([0, 0, 100, 80], 0.9)], &[], (0.0, 0.1), (0.0, 0.0));
}
#[test]
fn nothing_where_something_is() {
    check_text("No Objects", &[A], (0.0, 0.0), (0.0, 0.0));
    check_text("[]", &[A], (0.0, 0.0), (0.0, 0.0));
}
#[test]
fn unreadable_answers() {
    check_text("somewhere", &[A], (0.0, 0.0), (0.0, 0.0));
    check_text("somewhere", &[], (0.0, 0.0), (0.0, 0.0));
    check_text("", &[], (0.0, 0.0), (0.0, 0.0));
}
#[test]
fn invalid_predictions_count_as_wrong() {
    for wrong in ["NaN", "Infinity", "1e400", "1.5", "-0.1", "'sure'"] {
        let answer = format!(
            "[{{'Position': [0, 0, 100, 100], 'Confidence': 1}}, {{'Position': [0, 0, 100, 80], 'Confidence': {wrong}}}]"
        );
        check_text(&answer, &[A], (0.5, 0.5), (0.5, 0.5));
    }
    let outside = "[{'Position': [0, 0, 100, 1001], 'Confidence': 1}]";
    check_text(outside, &[A], (0.0, 0.0), (0.0, 0.0));
}
#[test]
fn the_first_coordinate_alone_earns_nothing() {
    // The original program compares one number of the text with one of the truth before anything else.
    check(&[([900, 500, 950, 550], 1.0)], &[B], (0.0, 0.0), (0.0, 0.0));
}

#[test]
fn smooth_pays_for_overlap_below_the_threshold() {
    check_smooth(&[([0, 0, 100, 20], 0.9)], &[A], (0.2, 0.1), (0.2, 0.0));
    check_smooth(&[([0, 0, 100, 80], 0.9)], &[A], (0.8, 0.9), (0.8, 0.9));
}
#[test]
fn smooth_gives_each_object_once() {
    // 0.6 takes A; the second box overlaps only A.
    let predicted = [([0, 0, 100, 60], 0.9), ([0, 0, 100, 80], 0.2)];
    check_smooth(&predicted, &[A, B], (0.3, 0.85), (0.3, 0.35));
}

proptest::proptest! {
    #[test]
    fn terms_stay_between_zero_and_one(
        predicted in proptest::collection::vec(((0u32..900, 0u32..900), 0u32..=100), 0..6),
        n_true in 0usize..3, paper: bool, smooth: bool,
    ) {
        let predicted: Vec<_> = predicted
            .iter()
            .map(|&((x, y), c)| ([x, y, x + 100, y + 100], f64::from(c) / 100.0))
            .collect();
        let truth = ["No Objects", "[{'Position': [0, 0, 100, 100]}]", "[{'Position': [0, 0, 100, 100]}, {'Position': [500, 500, 700, 600]}]"];
        let completion = format!("<think>hm</think><answer>{}</answer>", list(&predicted));
        let score = score(&completion, truth[n_true], &detection(paper, smooth));
        for name in ["iou", "confidence"] {
            let value = score.term(name).unwrap();
            proptest::prop_assert!((0.0..=1.0).contains(&value), "{name} {value}");
        }
    }
}
