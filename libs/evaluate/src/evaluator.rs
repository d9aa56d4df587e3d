//! Metrics of the answers to one held-out split.

use std::collections::BTreeMap;

use config::RewardConfig;
use reward::{Answer, Reading, Reward, answer_text, parse_detections, read_detections, same_label};

use crate::{DetectionEvaluator, ratio_interval};

/// Takes answers one by one and measures them together.
///
/// | metric | for | what it is |
/// |---|---|---|
/// | `ap`, `ap50` | detection | COCO's average precision, over overlaps of 0.5 to 0.95, and at 0.5 |
/// | `miou`, `miou_ci_low`, `miou_ci_high` | detection | mean IoU over the true boxes, and its 95% interval |
/// | `no_objects` | detection | share of images without a true box whose answer says so |
/// | `accuracy`, `accuracy_ci_low`, `accuracy_ci_high` | classification | share of right names, and its 95% interval |
/// | `format`, `reward` | both | means of the format term and of the whole reward |
///
/// A metric that has nothing to count is left out.
#[derive(Debug, Clone)]
pub struct Evaluator {
    reward: Reward,
    detection: DetectionEvaluator,
    no_objects: Mean,
    accuracy: Vec<(f64, f64)>,
    format: Mean,
    total: Mean,
    n: usize,
}

/// What the answers are worth.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Evaluation {
    /// Answers measured.
    pub n: usize,
    /// Values by name, see [`Evaluator`].
    pub metrics: BTreeMap<String, f64>,
}

impl Evaluator {
    /// An evaluator that scores as the reward of the run does.
    pub fn new(config: &RewardConfig) -> Self {
        Self {
            reward: Reward::new(config),
            detection: DetectionEvaluator::default(),
            no_objects: Mean::default(),
            accuracy: Vec::new(),
            format: Mean::default(),
            total: Mean::default(),
            n: 0,
        }
    }

    /// Adds a completion and the true answer to its question.
    pub fn add(&mut self, completion: &str, answer: &Answer) {
        self.n += 1;
        let score = self.reward.score(completion, answer);
        self.format.add(score.term("format"));
        self.total.add(score.total);
        match answer {
            Answer::Detection(truth) => {
                if truth.is_empty() {
                    self.no_objects.add(Some(share(says_nothing(completion))));
                }
                self.detection.add(parse_detections(completion), truth);
            }
            Answer::Classification(label) => {
                let right = answer_text(completion).is_some_and(|text| same_label(text, label));
                self.accuracy.push((share(right), 1.0));
            }
        }
    }

    /// Measures all answers that were added.
    pub fn finish(&self) -> Evaluation {
        let report = self.detection.report();
        let miou = report.mean_iou_interval;
        let accuracy = ratio_interval(&self.accuracy);
        let right: f64 = self.accuracy.iter().map(|answer| answer.0).sum();
        let metrics = [
            ("ap", report.ap),
            ("ap50", report.ap50),
            ("miou", report.mean_iou),
            ("miou_ci_low", miou.map(|interval| interval.0)),
            ("miou_ci_high", miou.map(|interval| interval.1)),
            ("no_objects", self.no_objects.value()),
            ("accuracy", accuracy.map(|_| right / self.accuracy.len() as f64)),
            ("accuracy_ci_low", accuracy.map(|interval| interval.0)),
            ("accuracy_ci_high", accuracy.map(|interval| interval.1)),
            ("format", self.format.value()),
            ("reward", self.total.value()),
        ];
        let counted =
            metrics.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Evaluation { n: self.n, metrics: counted.collect() }
    }
}

/// A mean of what there is.
#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    sum: f64,
    count: usize,
}

impl Mean {
    fn add(&mut self, value: Option<f64>) {
        if let Some(value) = value {
            self.sum += value;
            self.count += 1;
        }
    }

    fn value(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }
}

fn says_nothing(completion: &str) -> bool {
    answer_text(completion).is_some_and(|text| read_detections(text) == Reading::Nothing)
}

fn share(right: bool) -> f64 {
    f64::from(u8::from(right))
}

#[cfg(test)]
mod tests {
    use config::TaskKind;

    use super::*;

    fn evaluate(task: TaskKind, answers: &[(&str, &str)]) -> Evaluation {
        let config = RewardConfig { task, ..RewardConfig::default() };
        let mut evaluator = Evaluator::new(&config);
        for (completion, solution) in answers {
            evaluator.add(completion, &Reward::new(&config).parse_answer(solution).unwrap());
        }
        evaluator.finish()
    }
    #[track_caller]
    fn check(evaluation: &Evaluation, expect: &[(&str, f64)]) {
        let names: Vec<_> = evaluation.metrics.keys().map(String::as_str).collect();
        assert_eq!(names, expect.iter().map(|e| e.0).collect::<Vec<_>>());
        for (name, value) in expect {
            let got = evaluation.metrics[*name];
            assert!((got - value).abs() < 1e-9, "{name} is {got}, not {value}");
        }
    }

    const CAT: &str = "[{'Position': [0, 0, 100, 100], 'Confidence': 1}]";

    #[test]
    fn boxes() {
        let right = format!("<think>a</think><answer>{CAT}</answer>");
        let answers = [
            (right.as_str(), CAT),
            ("<answer>[{'Position': [0, 0, 100, 100], 'Confidence': 1}]</answer>", CAT),
            ("<think></think><answer>No Objects</answer>", "No Objects"),
            (CAT, "No Objects"),
        ];
        let evaluation = evaluate(TaskKind::Detection, &answers);
        assert_eq!(evaluation.n, 4);
        check(
            &evaluation,
            &[
                // Among equals the two right ones rank first.
                ("ap", 1.0),
                ("ap50", 1.0),
                ("format", 0.5),
                ("miou", 1.0),
                ("miou_ci_high", 1.0),
                ("miou_ci_low", 1.0),
                ("no_objects", 0.5),
                ("reward", (3.0 + 2.0 + 3.0 + 0.0) / 4.0),
            ],
        );
    }
    #[test]
    fn names() {
        let answers = [
            ("<think>a</think><answer>Rose</answer>", "rose"),
            ("<answer>rose or tulip</answer>", "rose"),
            ("", "rose"),
            ("<answer>tulip</answer>", "rose"),
        ];
        let evaluation = evaluate(TaskKind::Classification, &answers);
        let interval = |end: &str| evaluation.metrics[&format!("accuracy_ci_{end}")];
        assert!(interval("low") < 0.25 && interval("high") > 0.25);
        check(
            &evaluation,
            &[
                ("accuracy", 0.25),
                ("accuracy_ci_high", interval("high")),
                ("accuracy_ci_low", interval("low")),
                ("format", 0.25),
                ("reward", 0.5),
            ],
        );
    }
    #[test]
    fn no_answers() {
        assert_eq!(evaluate(TaskKind::Detection, &[]), Evaluation::default());
    }
}
