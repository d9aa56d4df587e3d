//! Totals, weights, and what tricks earn.

use config::{IouTerm, TaskKind, TermWeights};

use super::*;

const TRUTH: &str = "<answer>[{'Position': [100, 100, 300, 300], 'Confidence': 1}]</answer>";

fn score(completion: &str, solution: &str, config: &RewardConfig) -> Score {
    let reward = Reward::new(config);
    reward.score(completion, &reward.parse_answer(solution).unwrap())
}
#[track_caller]
fn check(answer: &str, total: f64) {
    let completion = format!("<think>hm</think><answer>{answer}</answer>");
    let got = score(&completion, TRUTH, &RewardConfig::default()).total.unwrap();
    assert!((got - total).abs() < 1e-12, "{got}, not {total}");
}

#[test]
fn the_truth_earns_all_terms() {
    check("[{'Position': [100, 100, 300, 300], 'Confidence': 1}]", 3.0);
}
#[test]
fn tricks_earn_no_more_than_the_format() {
    for trick in [
        "",
        "No Objects",
        "[]",
        "[{'Position': [0, 0, 1000, 1000], 'Confidence': 1}]",
        "[{'Position': [500, 500, 600, 600], 'Confidence': 0}]",
        "[{'Position': [500, 100, 600, 600], 'Confidence': 1}]",
        "[{'Position': [100, 100, 300, 300], 'Confidence': NaN}]",
    ] {
        check(trick, 1.0);
    }
}
#[test]
fn an_answer_in_the_thinking_earns_nothing() {
    let list = "[{'Position': [100, 100, 300, 300], 'Confidence': 1}]";
    let completion = format!("<think><answer>{list}</answer></think><answer>No Objects</answer>");
    assert_eq!(score(&completion, TRUTH, &RewardConfig::default()).total, Some(0.0));
}

#[test]
fn the_further_off_the_less() {
    for (mode, iou) in [
        (RewardMode::Paper, IouTerm::Thresholded),
        (RewardMode::Fixed, IouTerm::Thresholded),
        (RewardMode::Paper, IouTerm::Smooth),
        (RewardMode::Fixed, IouTerm::Smooth),
    ] {
        let config = RewardConfig { mode, iou, ..RewardConfig::default() };
        let totals: Vec<_> = (0..=20)
            .map(|k| {
                let (x1, x2) = (100 + 10 * k, 300 + 10 * k);
                let list = format!("[{{'Position': [{x1}, 100, {x2}, 300], 'Confidence': 0.9}}]");
                let completion = format!("<think>hm</think><answer>{list}</answer>");
                score(&completion, TRUTH, &config).total.unwrap()
            })
            .collect();
        assert!(totals.is_sorted_by(|a, b| a >= b), "{mode:?} {iou:?}: {totals:?}");
        assert!(totals[0] > 2.8 && totals[20] < 1.2, "{mode:?} {iou:?}: {totals:?}");
    }
}

#[test]
fn weights_multiply_terms() {
    let weights = TermWeights { iou: 2.0, confidence: 0.0, accuracy: 1.0, format: 0.5 };
    let config = RewardConfig { weights, ..RewardConfig::default() };
    let score = score(&format!("<think></think>{TRUTH}"), TRUTH, &config);
    assert_eq!(score.total, Some(2.5));
    let names: Vec<_> = score.terms.iter().map(|t| (t.name, t.value, t.weight)).collect();
    assert_eq!(names, [("iou", 1.0, 2.0), ("confidence", 1.0, 0.0), ("format", 1.0, 0.5)]);
}
#[test]
fn a_name_has_accuracy_and_format() {
    let config = RewardConfig { task: TaskKind::Classification, ..RewardConfig::default() };
    let score = score("<answer>Rose</answer>", "<answer>rose</answer>", &config);
    assert_eq!((score.total, score.term("accuracy")), (Some(1.0), Some(1.0)));
    assert_eq!((score.term("format"), score.term("iou")), (Some(0.0), None));
}

proptest::proptest! {
    #[test]
    fn any_text_gets_a_finite_score(completion in ".{0,300}", paper: bool) {
        let mode = if paper { RewardMode::Paper } else { RewardMode::Fixed };
        let config = RewardConfig { mode, ..RewardConfig::default() };
        let total = score(&completion, TRUTH, &config).total.unwrap();
        proptest::prop_assert!((0.0..=3.0).contains(&total));
    }
}
