//! Metrics of the answers to one held-out split: which ones follows from the declared task.

use std::collections::BTreeMap;

use vrft_reward::answers::AnswerKind;
use vrft_reward::config::{Metric, RewardConfig, TermConfig};
use vrft_reward::terms::{Accuracy, Overlap};
use vrft_reward::{Answer, Reward, Truth};

use vrft_score::ratio_interval;

use crate::{DetectionEvaluator, Subject};

/// Takes answers one by one and measures them together.
///
/// | metric | for | what it is |
/// |---|---|---|
/// | `ap`, `ap50` | boxes | COCO's average precision, the mean over categories: over overlaps of 0.5 to 0.95, and at 0.5 |
/// | `ap75`, `ap_small`, `ap_medium`, `ap_large` | boxes that are annotated in pixels | the same at 0.75, and by the objects' areas |
/// | `miou`, `miou_ci_low`, `miou_ci_high` | boxes, one box | mean IoU over the true boxes, and its 95% interval |
/// | `acc50` with interval | one box | share of questions whose first box overlaps the true one by more than a half (Acc@0.5 of RefCOCO) |
/// | `no_objects` | answers that may be "nothing" | share of those whose answer says so |
/// | `accuracy` with interval | names, numbers, permutations, texts | share of right answers |
/// | `accuracy_official` with interval | names | the same as Visual-RFT's program counts: one name within the other is enough |
/// | `overlap` with interval | intervals, outlines, masks, points, boxes in space, tracks, chains | mean likeness over max(predicted, true) |
/// | `term/<name>` | all but boxes and names | mean of a term of the reward |
/// | `format`, `reward` | all | means of the format term and of the whole reward |
///
/// Held-out answers are measured alike whatever the shapes, gates and thresholds of the reward. A metric that has
/// nothing to count is left out.
#[derive(Debug, Clone)]
pub struct Evaluator {
    reward: Reward,
    /// The one measure of the kind of answer, apart from boxes.
    main: Option<(&'static str, Reward)>,
    detection: DetectionEvaluator,
    no_objects: Mean,
    values: Vec<(f64, f64)>,
    /// Whether names are right as Visual-RFT's program counts.
    official: Vec<(f64, f64)>,
    /// Whether the one box overlaps the true one by more than half.
    found: Vec<(f64, f64)>,
    terms: BTreeMap<String, Mean>,
    format: Mean,
    total: Mean,
    n: usize,
}

/// What the answers are worth.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Evaluation {
    /// Number of answers that were measured.
    pub n: usize,
    /// Values by name, see [`Evaluator`].
    pub metrics: BTreeMap<String, f64>,
}

impl Evaluator {
    /// An evaluator of a declared task.
    pub fn new(config: &RewardConfig) -> Self {
        Self {
            reward: Reward::new(config),
            main: main_measure(config),
            detection: DetectionEvaluator::default(),
            no_objects: Mean::default(),
            values: Vec::new(),
            official: Vec::new(),
            found: Vec::new(),
            terms: BTreeMap::new(),
            format: Mean::default(),
            total: Mean::default(),
            n: 0,
        }
    }

    /// Adds a completion and the true answer to its question, of which nothing else is known.
    pub fn add(&mut self, completion: &str, truth: &Truth) -> Option<f64> {
        self.add_about(completion, truth, &Subject::default())
    }

    /// Adds a completion, the true answer to its question and what the question is about. Returns how right it is, in
    /// [0, 1], by the one measure of the kind of answer; boxes have none for a single image.
    pub fn add_about(&mut self, completion: &str, truth: &Truth, subject: &Subject) -> Option<f64> {
        self.n += 1;
        let score = self.reward.score(completion, truth);
        self.format.add(score.term("format"));
        self.total.add(score.total);
        let reading = self.reward.read(completion);
        if truth.answer == Answer::Nothing {
            self.no_objects.add(Some(share(reading == Some(Answer::Nothing))));
        }
        match &self.main {
            None => {
                self.add_boxes(reading.as_ref(), truth, subject);
                None
            }
            Some((_, main)) => {
                let value = main.score(completion, truth).total.unwrap_or(0.0);
                self.values.push((value, 1.0));
                let is_label = matches!(self.reward.config().answer.kind, AnswerKind::Label(_));
                if is_label {
                    let is_right = vrft_reward::is_official_name(completion, &truth.solution);
                    self.official.push((share(is_right), 1.0));
                } else {
                    for term in score.terms.into_iter().filter(|term| term.name != "format") {
                        self.terms.entry(term.name).or_default().add(Some(term.value));
                    }
                }
                Some(value)
            }
        }
    }

    /// Adds a question that was not asked, see `evaluation.exist`: its objects count as missed, and its answer as no answer.
    pub(crate) fn add_unasked(&mut self, truth: &Truth, subject: &Subject) {
        if self.main.is_none() {
            self.add_boxes(None, truth, subject);
        }
    }

    /// The measure that leads an evaluation, `miou`, `accuracy` or `overlap`; 0 where there was nothing to count.
    pub(crate) fn leading_measure(&self) -> f64 {
        let values = self.values.iter().map(|value| value.0);
        match &self.main {
            None => self.detection.mean_iou().unwrap_or(0.0),
            Some(_) => values.sum::<f64>() / self.values.len().max(1) as f64,
        }
    }

    /// What average precision counts of each question, in their order; none where answers are not boxes.
    pub(crate) fn questions(&self) -> &[vrft_score::detection::Question] {
        self.detection.questions()
    }

    fn add_boxes(&mut self, reading: Option<&Answer>, truth: &Truth, subject: &Subject) {
        let space = self.reward.config().answer.space().unwrap_or_default();
        let predicted = reading.map_or(&[][..], Answer::items);
        if matches!(self.reward.config().answer.kind, AnswerKind::Box(_)) {
            let first = reading.map(Answer::detections).unwrap_or_default();
            let truth = truth.answer.detections();
            let iou = first.first().zip(truth.first()).map_or(0.0, |(a, b)| a.bbox.iou(&b.bbox));
            self.found.push((share(iou > 0.5), 1.0));
        }
        self.detection.add(predicted, truth.answer.items(), subject, space);
    }

    /// Measures all answers that were added.
    pub fn finish(&self) -> Evaluation {
        let report = self.detection.report();
        let miou = report.mean_iou_interval;
        let [small, medium, large] = report.ap_by_size;
        let many = !matches!(self.reward.config().answer.kind, AnswerKind::Box(_));
        let mut metrics = vec![
            ("ap".to_owned(), report.ap.filter(|_| many)),
            ("ap50".to_owned(), report.ap50),
            ("ap75".to_owned(), report.ap75.filter(|_| many)),
            ("ap_small".to_owned(), small.filter(|_| many)),
            ("ap_medium".to_owned(), medium.filter(|_| many)),
            ("ap_large".to_owned(), large.filter(|_| many)),
            ("miou".to_owned(), report.mean_iou),
            ("miou_ci_low".to_owned(), miou.map(|interval| interval.0)),
            ("miou_ci_high".to_owned(), miou.map(|interval| interval.1)),
            ("no_objects".to_owned(), self.no_objects.value()),
            ("format".to_owned(), self.format.value()),
            ("reward".to_owned(), self.total.value()),
        ];
        let main = self.main.iter().map(|(name, _)| (*name, &self.values));
        let shares = [("acc50", &self.found), ("accuracy_official", &self.official)];
        for (name, values) in main.chain(shares) {
            let interval = ratio_interval(values);
            let sum: f64 = values.iter().map(|value| value.0).sum();
            metrics.push((name.to_owned(), interval.map(|_| sum / values.len() as f64)));
            metrics.push((format!("{name}_ci_low"), interval.map(|interval| interval.0)));
            metrics.push((format!("{name}_ci_high"), interval.map(|interval| interval.1)));
        }
        metrics
            .extend(self.terms.iter().map(|(name, mean)| (format!("term/{name}"), mean.value())));
        let counted = metrics.into_iter().filter_map(|(name, value)| Some((name, value?)));
        Evaluation { n: self.n, metrics: counted.collect() }
    }
}

/// What a kind of answer is measured by: the task with one term, unshaped and ungated. Boxes have their own.
fn main_measure(config: &RewardConfig) -> Option<(&'static str, Reward)> {
    let answer = &config.answer;
    if matches!(answer.kind, AnswerKind::Boxes(_) | AnswerKind::Box(_)) {
        return None;
    }
    let (name, metric) = if answer.has_items() {
        ("overlap", Metric::Overlap(Overlap::default()))
    } else {
        ("accuracy", Metric::Accuracy(Accuracy::default()))
    };
    let mut measured = config.clone();
    measured.terms = [(name.to_owned(), TermConfig::of(metric))].into();
    measured.matching.threshold = 0.0;
    Some((name, Reward::new(&measured)))
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

fn share(right: bool) -> f64 {
    f64::from(u8::from(right))
}

#[cfg(test)]
mod tests {
    use vrft_reward::answers::{IntervalAnswer, LabelAnswer};
    use vrft_reward::config::{AnswerConfig, MatchBy};
    use vrft_reward::terms::Format;

    use super::*;

    fn task(kind: AnswerKind, metric: Metric) -> RewardConfig {
        let terms = [("main", metric), ("format", Metric::Format(Format {}))]
            .map(|(name, metric)| (name.to_owned(), TermConfig::of(metric)));
        let answer = AnswerConfig::of(kind);
        let mut config = RewardConfig { answer, terms: terms.into(), ..RewardConfig::default() };
        config.matching.by = MatchBy::GreedyIou;
        config.validate().unwrap();
        config
    }
    fn evaluate(config: &RewardConfig, answers: &[(&str, &str)]) -> Evaluation {
        let mut evaluator = Evaluator::new(config);
        for (completion, solution) in answers {
            evaluator.add(completion, &Reward::new(config).parse_answer(solution).unwrap());
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
        let evaluation = evaluate(&RewardConfig::default(), &answers);
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
    fn one_box_is_found_or_not() {
        use vrft_reward::answers::BoxAnswer;

        let one = task(AnswerKind::Box(BoxAnswer::default()), Metric::Overlap(Overlap::default()));
        let answers = [
            ("<answer>(0,0),(100,100)</answer>", "(0,0),(100,90)"),
            ("<answer>(0,0),(100,50)</answer>", "(0,0),(100,100)"),
            ("no", "(0,0),(100,100)"),
        ];
        let metrics = evaluate(&one, &answers).metrics;
        assert!((metrics["acc50"] - 1.0 / 3.0).abs() < 1e-12, "{metrics:?}");
        assert!((metrics["miou"] - (0.9 + 0.5) / 3.0).abs() < 1e-12, "{metrics:?}");
    }
    #[test]
    fn names() {
        let answers = [
            ("<think>a</think><answer>Rose</answer>", "rose"),
            ("<answer>rose or tulip</answer>", "rose"),
            ("", "rose"),
            ("<answer>tulip</answer>", "rose"),
        ];
        let label = AnswerKind::Label(LabelAnswer::default());
        let accuracy = Metric::Accuracy(Accuracy::default());
        let evaluation = evaluate(&task(label, accuracy), &answers);
        let interval = |end: &str| evaluation.metrics[&format!("accuracy_ci_{end}")];
        let official = |end: &str| evaluation.metrics[&format!("accuracy_official_ci_{end}")];
        assert!(interval("low") < 0.25 && interval("high") > 0.25);
        check(
            &evaluation,
            &[
                ("accuracy", 0.25),
                ("accuracy_ci_high", interval("high")),
                ("accuracy_ci_low", interval("low")),
                // "rose or tulip" has "rose" in it.
                ("accuracy_official", 0.5),
                ("accuracy_official_ci_high", official("high")),
                ("accuracy_official_ci_low", official("low")),
                ("format", 0.25),
                ("reward", 0.5),
            ],
        );
    }
    #[test]
    fn intervals() {
        let answers =
            [("<answer>[10, 20]</answer>", "[10, 20]"), ("<answer>[10, 15]</answer>", "[10, 20]")];
        let interval = AnswerKind::Interval(IntervalAnswer::default());
        let overlap = Metric::Overlap(Overlap::default());
        let evaluation = evaluate(&task(interval, overlap), &answers);
        check(
            &evaluation,
            &[
                ("format", 0.0),
                ("overlap", 0.75),
                ("overlap_ci_high", 1.0),
                ("overlap_ci_low", 0.5),
                ("reward", 0.5),
                // The reward's own threshold is 0.5, above which an overlap must be; the measure has none.
                ("term/main", 0.5),
            ],
        );
    }
    #[test]
    fn no_answers() {
        assert_eq!(evaluate(&RewardConfig::default(), &[]), Evaluation::default());
    }
}
