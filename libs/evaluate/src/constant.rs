//! The best answer that never looks: what a policy must beat before one may say that it sees.

use std::collections::BTreeMap;

use vrft_reward::answers::AnswerKind;
use vrft_reward::config::RewardConfig;
use vrft_reward::{Answer, BBox, Reward, SPACE, Space, Truth};

use crate::{Evaluator, Subject};

/// Different true answers that are tried, drawn evenly from all: more of them change little.
const MAX_CANDIDATES: usize = 64;

/// What a policy that never looks may think.
const THOUGHT: &str = "Always the same.";

/// Steps by which the edges of a box are moved, in thousandths: halved from the first to the last.
const STEPS: (f64, f64) = (64.0, 2.0);

/// The completions that score best where all questions get the same one, by the measure that leads an evaluation; one for
/// each question, since a box is labeled with the category that its question asks for.
///
/// It is one of the true answers; if that is a single box, its edges are then moved for as long as it helps. It is
/// chosen on the very answers that it is measured on, so it is a little better than a policy could hope to be without
/// looking. `None` without answers.
pub fn best_constant(
    config: &RewardConfig,
    truths: &[Truth],
    subjects: &[Subject],
) -> Option<Vec<String>> {
    let reward = Reward::new(config);
    let labels = Labels::of(config, truths, subjects);
    let worth = |completion: &str| {
        let mut evaluator = Evaluator::new(config);
        for (truth, subject) in truths.iter().zip(subjects) {
            evaluator.add_about(completion, truth, subject);
        }
        evaluator.leading_measure()
    };
    // Equal answers once.
    let answers: BTreeMap<&str, &Truth> =
        truths.iter().map(|truth| (vrft_reward::true_answer(&truth.solution), truth)).collect();
    let stride = answers.len().div_ceil(MAX_CANDIDATES).max(1);
    let candidates = answers.into_values().step_by(stride).map(|truth| {
        let completion = as_completion(&reward, truth);
        (worth(&completion), completion)
    });
    let (_, best) = candidates.max_by(|a, b| a.0.total_cmp(&b.0))?;
    let boxes: Vec<BBox> = match reward.read(&best).as_ref().map(Answer::detections).as_deref() {
        Some([one]) if is_plain(config) => vec![moved(one.bbox, truths)],
        Some(detections) if has_labels(config) => detections.iter().map(|one| one.bbox).collect(),
        _ => Vec::new(),
    };
    let labeled = |label: &str| -> Option<String> {
        let boxes: Vec<(BBox, &str)> = boxes.iter().map(|bbox| (*bbox, label)).collect();
        Some(reward.complete(THOUGHT, &reward.write_boxes(&boxes)?))
    };
    let completion = |label: &Option<String>| {
        let label = label.as_deref().filter(|_| !boxes.is_empty());
        label.and_then(labeled).unwrap_or_else(|| best.clone())
    };
    Some(labels.0.iter().map(completion).collect())
}

/// A true answer as a policy that never looks would give it. What a data set may leave out of its answers, as a
/// confidence, a policy may not.
fn as_completion(reward: &Reward, truth: &Truth) -> String {
    let shown = reward.demonstration(truth, "");
    let answer = vrft_reward::answer_text(&shown).unwrap_or_default();
    reward.complete(THOUGHT, answer)
}

/// Whether boxes have labels.
fn has_labels(config: &RewardConfig) -> bool {
    matches!(&config.answer.kind, AnswerKind::Boxes(boxes) if !boxes.keys.label.is_empty())
}

/// What the box of a constant answer is labeled with, for each question.
struct Labels(Vec<Option<String>>);

impl Labels {
    /// The category that is asked for, else the most frequent label, else none.
    fn of(config: &RewardConfig, truths: &[Truth], subjects: &[Subject]) -> Self {
        if !has_labels(config) {
            return Self(vec![Some(String::new()); truths.len()]);
        }
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for item in truths.iter().flat_map(|truth| truth.answer.items()) {
            *counts.entry(item.label.as_deref().unwrap_or_default()).or_default() += 1;
        }
        let usual = counts.into_iter().max_by_key(|(_, n)| *n).map(|(label, _)| label.to_owned());
        let of = |subject: &Subject| {
            subject.category.as_deref().map(str::to_owned).or_else(|| usual.clone())
        };
        Self(subjects.iter().map(of).collect())
    }
}

/// Whether a box is written in the units that it is measured in.
fn is_plain(config: &RewardConfig) -> bool {
    let answer = &config.answer;
    let is_boxes = matches!(answer.kind, AnswerKind::Boxes(_) | AnswerKind::Box(_));
    is_boxes && answer.space() == Some(Space::Thousandths)
}

/// The box with its edges where they overlap the true ones most.
fn moved(bbox: BBox, truths: &[Truth]) -> BBox {
    let boxes: Vec<Vec<BBox>> =
        truths.iter().map(|t| t.answer.detections().iter().map(|d| d.bbox).collect()).collect();
    let overlap = |bbox: &BBox| -> f64 {
        let best = |boxes: &Vec<BBox>| boxes.iter().map(|b| b.iou(bbox)).fold(0.0, f64::max);
        boxes.iter().map(best).sum()
    };
    let mut best = (overlap(&bbox), bbox);
    let mut step = STEPS.0;
    while step >= STEPS.1 {
        let neighbors = (0..8).filter_map(|n| neighbor(&best.1, n, step));
        let better =
            neighbors.map(|bbox| (overlap(&bbox), bbox)).find(|(worth, _)| *worth > best.0);
        match better {
            Some(better) => best = better,
            None => step /= 2.0,
        }
    }
    best.1
}

/// The box with one edge moved, outward or inward; `None` if that is no box.
fn neighbor(bbox: &BBox, n: usize, step: f64) -> Option<BBox> {
    let mut edges = [bbox.x1, bbox.y1, bbox.x2, bbox.y2].map(f64::round);
    let by = if n < 4 { step } else { -step };
    edges[n % 4] = (edges[n % 4] + by).clamp(0.0, SPACE);
    BBox::try_new(edges).ok()
}

#[cfg(test)]
mod tests {
    use vrft_reward::config::AnswerConfig;

    use super::*;

    fn truths(config: &RewardConfig, solutions: &[&str]) -> Vec<Truth> {
        let reward = Reward::new(config);
        solutions.iter().map(|solution| reward.parse_answer(solution).unwrap()).collect()
    }

    fn score(config: &RewardConfig, truths: &[Truth]) -> f64 {
        let subjects = vec![Subject::default(); truths.len()];
        let best = best_constant(config, truths, &subjects).unwrap();
        let mut evaluator = Evaluator::new(config);
        for (completion, truth) in best.iter().zip(truths) {
            evaluator.add(completion, truth);
        }
        assert_eq!(evaluator.finish().metrics["format"], 1.0);
        evaluator.leading_measure()
    }

    #[test]
    fn of_four_answers_each_as_often_right_any_scores_a_quarter() {
        let toml = "[reward.answer]\ntype = \"label\"\nlabels = [\"0\", \"90\", \"180\", \"270\"]\n\
                    [reward.terms.accuracy]\nmetric = \"accuracy\"\n[reward.terms.format]\nmetric = \"format\"";
        let config = vrft_config::Document::parse(toml, "test").unwrap().section().unwrap();
        let balanced = truths(&config, &["0", "<answer>90</answer>", "180", "270"]);
        assert_eq!(score(&config, &balanced), 0.25);
        assert_eq!(score(&config, &truths(&config, &["90", "180", "90", "90"])), 0.75);
        assert_eq!(best_constant(&config, &[], &[]), None);
    }

    #[test]
    fn a_box_that_is_never_right_may_be_the_best() {
        let config = RewardConfig { answer: AnswerConfig::visual_rft(), ..RewardConfig::default() };
        let at = |x: u32| format!("[{{'Position': [{x}, 0, {}, 100], 'Confidence': 1}}]", x + 200);
        // Either true box overlaps the other by 0; the box over both has an IoU of 1/2 with each.
        let (left, right) = (at(0), at(200));
        let far = truths(&config, &[&left, &right]);
        assert!((score(&config, &far) - 0.5).abs() < 1e-9);
        let near = truths(&config, &[&at(0), &at(20), &at(40)]);
        let middle = (180.0 / 220.0 * 2.0 + 1.0) / 3.0;
        assert!(score(&config, &near) >= middle - 1e-9);
    }

    #[test]
    fn an_answer_that_leaves_out_what_a_policy_may_not_is_completed() {
        let config = RewardConfig { answer: AnswerConfig::visual_rft(), ..RewardConfig::default() };
        // As an object, and without a confidence.
        let at = |x: u32| format!("{{\"Position\": [{x}, 0, {}, 100]}}", x + 200);
        let truths = truths(&config, &[&at(0), &at(0), &at(700)]);
        assert!((score(&config, &truths) - 2.0 / 3.0).abs() < 1e-9);
        let best = best_constant(&config, &truths, &vec![Subject::default(); 3]).unwrap();
        assert!(Reward::new(&config).read(&best[0]).is_some(), "{best:?}");
        // Steps before the answer are no part of it.
        let config = vrft_reward::usual_reward(AnswerConfig::of(AnswerKind::Number(
            vrft_reward::answers::NumberAnswer {},
        )));
        let solutions = ["Add 1 and 2.\n#### 3", "\\boxed{3}", "#### 9"];
        let truths = self::truths(&config, &solutions);
        let best = best_constant(&config, &truths, &vec![Subject::default(); 3]).unwrap();
        assert!(best[0].ends_with("<answer>3</answer>"), "{best:?}");
    }

    #[test]
    fn the_constant_box_is_labeled_with_the_category_that_is_asked_for() {
        use vrft_reward::answers::{BoxesAnswer, ItemKeys};

        let (place, label) = ("bbox_2d".to_owned(), "label".to_owned());
        let keys = ItemKeys { place, label, ..ItemKeys::default() };
        let boxes = BoxesAnswer { keys, ..BoxesAnswer::default() };
        let answer = AnswerConfig::of(AnswerKind::Boxes(boxes));
        let config = RewardConfig { answer, ..RewardConfig::default() };
        let at = |name: &str| format!("[{{\"bbox_2d\": [0, 0, 200, 100], \"label\": \"{name}\"}}]");
        let names = ["cup", "plate", "spoon", "cup"];
        let solutions = names.map(at);
        let truths = truths(&config, &solutions.each_ref().map(String::as_str));
        let subject = |name: &str| Subject { category: Some(name.into()), ..Subject::default() };
        let subjects = names.map(subject);
        let best = best_constant(&config, &truths, &subjects).unwrap();
        let mut evaluator = Evaluator::new(&config);
        for ((completion, truth), subject) in best.iter().zip(&truths).zip(&subjects) {
            evaluator.add_about(completion, truth, subject);
        }
        // Each object is where the constant box is.
        assert_eq!(evaluator.finish().metrics["ap50"], 1.0);
        let unnamed = best_constant(&config, &truths, &vec![Subject::default(); 4]).unwrap();
        assert!(unnamed.iter().all(|answer| answer.contains("\"cup\"")), "{unnamed:?}");
    }
}
