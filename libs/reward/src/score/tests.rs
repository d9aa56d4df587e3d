//! Totals, weights, and what tricks earn.

use super::*;
use crate::answers::{AnswerKind, LabelAnswer};
use crate::config::{AnswerConfig, Metric};
use crate::terms::{Accuracy, Format, Miss, Norm};

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

/// The four ways of scoring boxes: paper or fixed, with a threshold or smooth.
pub(super) fn detection(paper: bool, smooth: bool) -> RewardConfig {
    let mut config = RewardConfig::default();
    if smooth {
        config.matching.threshold = 0.0;
    }
    if paper {
        config.answer.from = crate::config::From::Anywhere;
        config.answer.nothing_pays = false;
        config.format.once = false;
        for term in config.terms.values_mut() {
            match &mut term.metric {
                Metric::Overlap(overlap) => overlap.norm = Norm::Predicted,
                Metric::Confidence(confidence) => {
                    confidence.norm = Norm::Predicted;
                    confidence.miss = Miss::Complement;
                }
                _ => {}
            }
        }
    }
    config.validate().unwrap();
    config
}

#[test]
fn the_further_off_the_less() {
    for (paper, smooth) in [(true, false), (false, false), (true, true), (false, true)] {
        let config = detection(paper, smooth);
        let totals: Vec<_> = (0..=20)
            .map(|k| {
                let (x1, x2) = (100 + 10 * k, 300 + 10 * k);
                let list = format!("[{{'Position': [{x1}, 100, {x2}, 300], 'Confidence': 0.9}}]");
                let completion = format!("<think>hm</think><answer>{list}</answer>");
                score(&completion, TRUTH, &config).total.unwrap()
            })
            .collect();
        assert!(totals.is_sorted_by(|a, b| a >= b), "{paper} {smooth}: {totals:?}");
        assert!(totals[0] > 2.8 && totals[20] < 1.2, "{paper} {smooth}: {totals:?}");
    }
}

#[test]
fn weights_multiply_terms() {
    let mut config = RewardConfig::default();
    for (name, weight) in [("iou", 2.0), ("confidence", 0.0), ("format", 0.5)] {
        config.terms.get_mut(name).unwrap().weight = weight;
    }
    let score = score(&format!("<think></think>{TRUTH}"), TRUTH, &config);
    assert_eq!(score.total, Some(2.5));
    let names: Vec<_> = score.terms.iter().map(|t| (t.name.as_str(), t.value, t.weight)).collect();
    assert_eq!(names, [("confidence", 1.0, 0.0), ("format", 1.0, 0.5), ("iou", 1.0, 2.0)]);
}
fn label_task() -> RewardConfig {
    let answer = AnswerConfig::of(AnswerKind::Label(LabelAnswer::default()));
    let mut config = RewardConfig { answer, ..RewardConfig::default() };
    let accuracy = Metric::Accuracy(Accuracy::default());
    config.terms = [("accuracy", accuracy), ("format", Metric::Format(Format {}))]
        .map(|(name, metric)| (name.to_owned(), TermConfig::of(metric)))
        .into();
    config.validate().unwrap();
    config
}
#[test]
fn a_name_has_accuracy_and_format() {
    let score = score("<answer>Rose</answer>", "<answer>rose</answer>", &label_task());
    assert_eq!((score.total, score.term("accuracy")), (Some(1.0), Some(1.0)));
    assert_eq!((score.term("format"), score.term("iou")), (Some(0.0), None));
}
#[test]
fn a_gate_multiplies() {
    let mut config = label_task();
    config.terms.get_mut("format").unwrap().gate = Some("accuracy".into());
    let total = |answer: &str| {
        score(&format!("<think>a</think><answer>{answer}</answer>"), "rose", &config).total
    };
    assert_eq!((total("rose"), total("tulip")), (Some(2.0), Some(0.0)));
}

proptest::proptest! {
    #[test]
    fn any_text_gets_a_finite_score(completion in ".{0,300}", paper: bool, smooth: bool) {
        let total = score(&completion, TRUTH, &detection(paper, smooth)).total.unwrap();
        proptest::prop_assert!((0.0..=3.0).contains(&total));
    }
}

mod detection;
