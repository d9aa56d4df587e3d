//! Proposes a declaration from examples: the kind of answer by its looks, the terms by its kind, proved by the self-test.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::{
    AnswerConfig, AnswerType, Keys, MatchBy, MatchConfig, Metric, RewardConfig, Space, TermConfig,
};

use crate::extract::extract_anywhere;
use crate::tolerant::{numbers, objects};
use crate::value::Value;
use crate::{Report, RewardError, read_truth, self_test};

/// Fewest examples to go by.
const MIN_ROWS: usize = 3;
/// Most distinct names that count as a list to choose from.
const MAX_LABELS: usize = 12;
/// Characters of a name; longer answers are text.
const MAX_LABEL_CHARS: usize = 40;
/// Examples that the self-test uses.
const MAX_TESTED: usize = 64;

/// A declaration that fits the examples and withstands the self-test.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    /// The declaration.
    pub config: RewardConfig,
    /// Why this kind of answer.
    pub reason: String,
    /// The self-test on the examples.
    pub report: Report,
}

/// Why there is no proposal.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InferError {
    /// Too little to go by.
    #[error("expected at least {MIN_ROWS} questions with their answers, got {0}")]
    Rows(usize),
    /// No kind of answer fits all examples.
    #[error("no kind of answer fits all examples; the nearest, {kind}, fails on {source}")]
    Unfit {
        /// The kind that was tried.
        kind: String,
        /// What did not fit.
        source: RewardError,
    },
    /// The declaration is open to a trick.
    #[error("the proposed reward fails its self-test:\n{0}")]
    Untested(Box<Report>),
}

/// Proposes a declaration from pairs of question and true answer.
///
/// # Errors
/// Too few examples, examples that no kind of answer fits, or a proposal that fails its self-test.
pub fn infer(rows: &[(&str, &str)]) -> Result<Proposal, InferError> {
    if rows.len() < MIN_ROWS {
        return Err(InferError::Rows(rows.len()));
    }
    let answers: Vec<&str> = rows.iter().map(|row| extract_anywhere(row.1)).collect();
    let nothing = nothing(&answers);
    let some: Vec<&str> = answers.iter().copied().filter(|answer| *answer != nothing).collect();
    let (answer, reason) = kind(&some, rows);
    let config = declare(AnswerConfig { nothing, ..answer });
    for solution in &answers {
        read_truth(solution, &config.answer).map_err(|source| InferError::Unfit {
            kind: format!("{:?}", config.answer.kind).to_lowercase(),
            source,
        })?;
    }
    let tested: Vec<String> = answers.iter().take(MAX_TESTED).map(ToString::to_string).collect();
    let report = self_test(&config, &tested).map_err(|source| InferError::Unfit {
        kind: format!("{:?}", config.answer.kind).to_lowercase(),
        source,
    })?;
    match report.passed() {
        true => Ok(Proposal { config, reason, report }),
        false => Err(InferError::Untested(Box::new(report))),
    }
}

/// What is said where there is nothing: a text without digits among answers that have some.
fn nothing(answers: &[&str]) -> String {
    let wordy =
        |answer: &&&str| !answer.is_empty() && !answer.contains(|c: char| c.is_ascii_digit());
    let said: BTreeSet<&str> = answers.iter().filter(wordy).copied().collect();
    let listed = answers.iter().any(|answer| answer.contains(['[', '{', '(']));
    match said.into_iter().collect::<Vec<_>>()[..] {
        [one] if listed => one.to_owned(),
        _ => String::new(),
    }
}

fn kind(answers: &[&str], rows: &[(&str, &str)]) -> (AnswerConfig, String) {
    let of =
        |kind, reason: &str| (AnswerConfig { kind, ..AnswerConfig::default() }, reason.to_owned());
    let all = |test: &dyn Fn(&str) -> bool| answers.iter().all(|answer| test(answer));
    if all(&|answer| answer.contains('{')) {
        return keyed(answers);
    }
    let counts: BTreeSet<usize> = answers.iter().map(|answer| numbers(answer).count()).collect();
    let only = |n: usize| counts.iter().all(|count| *count == n);
    let bracketed = all(&|answer| answer.contains(['[', '(']));
    if bracketed && only(4) {
        let (answer, reason) =
            of(AnswerType::Box, "every answer is four numbers in brackets: one box");
        return (AnswerConfig { space: space(answers), ..answer }, reason);
    }
    if bracketed && only(2) {
        let timely = rows.iter().any(|row| {
            ["when", "start", "second"].iter().any(|w| row.0.to_lowercase().contains(w))
        });
        let (kind, reason) = match timely && all(&rising) {
            true => (
                AnswerType::Interval,
                "two rising numbers, and the questions are about time: an interval",
            ),
            false => (AnswerType::Points, "every answer is two numbers in brackets: a point"),
        };
        let (answer, reason) = of(kind, reason);
        let space = if kind == AnswerType::Interval { Space::Pixels } else { space(answers) };
        return (AnswerConfig { space, ..answer }, reason);
    }
    if all(&is_permutation) {
        return of(AnswerType::Permutation, "every answer is 1 to n in some order: a permutation");
    }
    if all(&|answer| answer.trim().parse::<f64>().is_ok()) {
        return of(AnswerType::Number, "every answer is a number");
    }
    let distinct: BTreeSet<&str> = answers.iter().copied().collect();
    let short = all(&|answer| answer.chars().count() <= MAX_LABEL_CHARS && !answer.contains('\n'));
    if short && distinct.len() < answers.len() {
        let (answer, reason) = of(AnswerType::Label, "short texts that repeat: names");
        let few = distinct.len() >= 2
            && distinct.len() <= MAX_LABELS
            && answers.len() >= 3 * distinct.len();
        let labels =
            if few { distinct.iter().map(ToString::to_string).collect() } else { Vec::new() };
        return (AnswerConfig { labels, ..answer }, reason);
    }
    match short && all(&|answer| answer.split_whitespace().count() <= 3) {
        true => of(AnswerType::Label, "every answer is a word or three: names"),
        false => of(AnswerType::Text, "free text"),
    }
}

/// Objects: what their keys hold says what they are.
fn keyed(answers: &[&str]) -> (AnswerConfig, String) {
    let mut keys = Keys::default();
    let (mut n_numbers, mut texts) = (BTreeMap::new(), BTreeSet::new());
    let mut scalars: Vec<String> = Vec::new();
    for answer in answers {
        for object in objects(answer) {
            let Value::Object(fields) = object else { continue };
            for (key, value) in fields {
                match value.numbers() {
                    Some(list) if matches!(value, Value::List(_)) => {
                        n_numbers.insert(key, list.len());
                    }
                    _ if value.number().is_some() => {
                        if !scalars.contains(&key) {
                            scalars.push(key);
                        }
                    }
                    _ => {
                        texts.insert(key);
                    }
                }
            }
        }
    }
    let find = |word: &str| {
        scalars.iter().find(|key| key.to_lowercase().contains(word)).cloned().unwrap_or_default()
    };
    (keys.start, keys.end) = (find("start"), find("end"));
    if !keys.start.is_empty() && !keys.end.is_empty() {
        let answer = AnswerConfig {
            kind: AnswerType::Interval,
            space: Space::Pixels,
            keys,
            ..AnswerConfig::default()
        };
        return (answer, "objects with a start and an end: an interval".to_owned());
    }
    (keys.start, keys.end) = (String::new(), String::new());
    let (place, n) = n_numbers.into_iter().next().unwrap_or_default();
    keys.place = place;
    let kind = match n {
        2 => AnswerType::Points,
        6 | 7 => AnswerType::Box3d,
        _ => AnswerType::Boxes,
    };
    keys.frame = find("frame");
    if keys.frame.is_empty() {
        keys.confidence = [find("conf"), find("score")].concat();
        keys.label = texts.into_iter().next().unwrap_or_default();
    }
    let kind = if keys.frame.is_empty() { kind } else { AnswerType::Track };
    let reason = format!("objects with {n} numbers under {:?}: {kind:?}", keys.place);
    (AnswerConfig { kind, space: space(answers), keys, ..AnswerConfig::default() }, reason)
}

/// The space that the greatest coordinate fits into.
fn space(answers: &[&str]) -> Space {
    let most = answers.iter().flat_map(|answer| numbers(answer)).fold(0.0, f64::max);
    match most {
        _ if most <= 1.0 => Space::Unit,
        _ if most <= 1000.0 => Space::Thousandths,
        _ => Space::Pixels,
    }
}

fn rising(answer: &str) -> bool {
    numbers(answer).collect::<Vec<_>>().is_sorted()
}

fn is_permutation(answer: &str) -> bool {
    let mut order: Vec<f64> = numbers(answer).collect();
    order.sort_by(f64::total_cmp);
    order.len() >= 2 && order.iter().enumerate().all(|(idx, n)| *n == (idx + 1) as f64)
}

/// The usual terms of a kind of answer.
fn declare(answer: AnswerConfig) -> RewardConfig {
    let metric = match answer.kind {
        AnswerType::Label => Metric::Accuracy,
        AnswerType::Number => Metric::Closeness,
        AnswerType::Permutation => Metric::Tiles,
        AnswerType::Text => Metric::Similarity,
        AnswerType::Track if !answer.keys.id.is_empty() => Metric::Hota,
        _ => Metric::Overlap,
    };
    let scale = (metric == Metric::Closeness).then_some(2.0);
    let label = (metric == Metric::Overlap && !answer.keys.label.is_empty()).then_some(true);
    let mut terms = vec![
        (metric.name(), TermConfig { scale, label, ..TermConfig::new(metric) }),
        ("format", TermConfig::new(Metric::Format)),
    ];
    if !answer.keys.confidence.is_empty() {
        terms.push(("confidence", TermConfig::new(Metric::Confidence)));
    }
    let measure = match answer.kind {
        AnswerType::Points => crate::config::Measure::L1,
        _ => crate::config::Measure::Iou,
    };
    let scale = if answer.kind == AnswerType::Points { 0.05 } else { 1.0 };
    let matching = MatchConfig {
        by: MatchBy::Hungarian,
        measure,
        threshold: 0.0,
        scale,
        ..MatchConfig::default()
    };
    RewardConfig {
        task: format!("{:?}", answer.kind).to_lowercase(),
        answer,
        matching,
        terms: terms.into_iter().map(|(name, term)| (name.to_owned(), term)).collect(),
        ..RewardConfig::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(answers: &[&str], kind: AnswerType) -> RewardConfig {
        let rows: Vec<(&str, &str)> =
            answers.iter().map(|answer| ("When does it start?", *answer)).collect();
        let proposal = infer(&rows).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(proposal.config.answer.kind, kind, "{}", proposal.reason);
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
        let config = check(&answers, AnswerType::Boxes);
        assert_eq!(
            (config.answer.nothing.as_str(), config.answer.keys.confidence.as_str()),
            ("No Objects", "Confidence")
        );
        assert_eq!(config.answer.keys.place, "Position");
    }
    #[test]
    fn boxes_with_labels() {
        let of = |x: u32, label: &str| {
            format!("[{{\"bbox_2d\": [{x}, 20, {}, 140], \"label\": \"{label}\"}}]", x + 90)
        };
        let answers = [of(10, "cat"), of(200, "dog"), of(1300, "cat")];
        let config =
            check(&answers.iter().map(String::as_str).collect::<Vec<_>>(), AnswerType::Boxes);
        assert_eq!(
            (config.answer.space, config.answer.keys.label.as_str()),
            (Space::Pixels, "label")
        );
    }
    #[test]
    fn single_values() {
        check(
            &["[10, 20, 110, 140]", "[210, 20, 310, 140]", "[10, 420, 110, 540]"],
            AnswerType::Box,
        );
        check(&["3", "17", "8", "5"], AnswerType::Number);
        check(&["2, 1, 3, 4", "4, 3, 2, 1", "1, 3, 2, 4"], AnswerType::Permutation);
        check(&["[1.5, 3]", "[12, 20]", "[4, 9]"], AnswerType::Interval);
        check(&["rose", "tulip", "rose", "daisy"], AnswerType::Label);
        check(
            &[
                "the train leaves at noon today",
                "mind the gap between the doors",
                "no smoking in this building",
            ],
            AnswerType::Text,
        );
    }
    #[test]
    fn few_names_are_a_list_to_choose_from() {
        let config = check(&["yes", "no", "yes", "no", "yes", "yes"], AnswerType::Label);
        assert_eq!(config.answer.labels, ["no", "yes"]);
    }
    #[test]
    fn too_few_or_nothing_that_fits() {
        assert_eq!(infer(&[("a", "1"), ("b", "2")]), Err(InferError::Rows(2)));
        let mixed = [
            ("a", "[{'Position': [1, 2, 3, 4]}]"),
            ("a", "{}"),
            ("a", "[{'Position': [9, 2, 3, 4]}]"),
        ];
        assert!(matches!(infer(&mixed), Err(InferError::Unfit { .. })));
    }
}
