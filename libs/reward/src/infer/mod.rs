//! Proposes a declaration from examples: the kind of answer by its looks, the terms by its kind, proved by the self-test.

mod recognized;
mod scale;
mod sound;
pub(crate) mod space;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;

use recognized::{Odd, Recognized, recognized, unfit};
pub use scale::proposed_in;
use scale::{mean_side, point_scale, scale, scale_in_space};
use sound::{is_empty_list, nothing, sound, told_of_marks, told_of_words};

use crate::answers::{AnswerKind, Example, Examples, LabelAnswer, TextAnswer};
use crate::config::{AnswerConfig, MatchBy, MatchConfig, Measure, RewardConfig};
use crate::geometry::Geometry;
use crate::terms::{Confidence, Format, Metric, TermConfig};
use crate::text::extract::Solution;
use crate::text::find::{lists, objects};
use crate::text::plain::plain_whole;
use crate::text::value::Value;
use crate::{Answer, Place, Report, SpaceGuess, read_truth, self_test};

/// Fewest examples to go by.
const MIN_ROWS: usize = 3;
/// Examples that the self-test uses.
const MAX_TESTED: usize = 64;
/// Share of the examples that may be odd: as many rows as a run leaves out by default.
const MAX_ODD: f64 = 0.05;

/// A declaration that fits the examples and withstands the self-test.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    /// The proposed declaration of a reward.
    pub config: RewardConfig,
    /// Why this kind of answer.
    pub reason: String,
    /// What the coordinates count, and why; `None` for answers that are no places in an image.
    pub space: Option<SpaceGuess>,
    /// The few examples that do not fit, which a run skips: where each stands, and why.
    pub odd: Vec<String>,
    /// The self-test on the examples.
    pub report: Report,
}

/// Why there is no proposal.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InferError {
    /// Too little to go by.
    #[error("expected at least {MIN_ROWS} questions with their answers, got {0}")]
    Rows(usize),
    /// Every answer is the same words for nothing.
    #[error(
        "all {n} true answers say that there is nothing ({answer:?}): what an answer looks like where there is something \
         cannot be told from them"
    )]
    Nothing {
        /// What they say.
        answer: String,
        /// Number of examples.
        n: usize,
    },
    /// No kind of answer fits nearly all examples.
    #[error(
        "no kind of answer fits nearly all examples; the nearest, {kind}, fails on {n_odd} of {n}: {odd}{hint}"
    )]
    Unfit {
        /// The kind that was tried.
        kind: String,
        /// Number of examples that do not fit.
        n_odd: usize,
        /// Number of examples.
        n: usize,
        /// The first of those, and why.
        odd: String,
        /// What may be the reason, after a semicolon; empty where nothing is known.
        hint: String,
    },
    /// Coordinates in several spaces.
    #[error(
        "the answers are in different units: {0}; convert some of them, or declare what they are by data.space"
    )]
    Spaces(String),
    /// The declaration is open to a trick.
    #[error("the proposed reward fails its self-test:\n{0}")]
    Untested(Box<Report>),
}

/// Proposes a declaration from questions, their true answers and the sizes of their images. A few examples that do not fit
/// the others are left out and named.
///
/// # Errors
/// Too few examples, examples that no kind of answer fits, coordinates in several spaces, or a proposal that fails its
/// self-test.
pub fn infer(examples: &[Example]) -> Result<Proposal, InferError> {
    if examples.len() < MIN_ROWS {
        return Err(InferError::Rows(examples.len()));
    }
    // As they are read: a minus sign is that of a keyboard, and digits of other scripts are digits.
    let solutions: Vec<Cow<'_, str>> = examples.iter().map(|e| plain_whole(e.solution)).collect();
    let examples: Vec<Example<'_>> = examples
        .iter()
        .zip(&solutions)
        .map(|(example, solution)| Example { solution, ..*example })
        .collect();
    let examples = &examples[..];
    let n_examples = examples.len();
    let (examples, spelled) = sound(examples, |example| Solution::new(example.solution).answer);
    let answers: Vec<&str> = examples.iter().map(|e| Solution::new(e.solution).answer).collect();
    let nothing = nothing(&answers);
    let pairs = examples.iter().copied().zip(answers.iter().copied());
    let some: Vec<(Example, &str)> = pairs.filter(|(_, answer)| *answer != nothing).collect();
    if let Some(first) = answers.first()
        && (some.is_empty() || answers.iter().all(|answer| is_empty_list(answer)))
    {
        return Err(InferError::Nothing { answer: (*first).to_owned(), n: examples.len() });
    }
    if some.is_empty() {
        return Err(unfit(&AnswerKind::Text(TextAnswer::default()), &spelled, n_examples));
    }
    let Recognized { kind, mut reason, mut odd } = recognized(&some)?;
    odd.extend(spelled);
    if !nothing.is_empty() {
        let _written = write!(reason, "; {nothing:?} says that there is nothing").is_ok();
    }
    reason.extend(told_of_words(&kind, &some));
    reason.extend(told_of_marks(&examples));
    let fits = |place: &str, odd: &Odd| !odd.contains_key(place);
    let some: Vec<(Example, &str)> =
        some.into_iter().filter(|(e, _)| fits(e.place, &odd)).collect();
    let mut reward = usual_reward(AnswerConfig { nothing, ..AnswerConfig::of(kind) });
    let space = space_of(&reward, &some, &mut odd)?;
    let mut tested = Vec::new();
    let mut numbers = Vec::new();
    let mut points = Vec::new();
    for (example, answer) in examples.iter().zip(&answers) {
        if odd.contains_key(example.place) {
            continue;
        }
        match read_truth(example.solution, &reward.answer) {
            Ok(truth) => {
                tested.push((*answer).to_owned());
                points.extend(truth.items().iter().filter_map(|item| match item.place {
                    Place::Point3d(point) => Some(point),
                    _ => None,
                }));
                if let Answer::Number(number) = truth {
                    numbers.push(number);
                }
            }
            Err(error) => _ = odd.insert(example.place.to_owned(), error.to_string()),
        }
    }
    if odd.len() as f64 > MAX_ODD * n_examples as f64 {
        let mut unfit = unfit(&reward.answer.kind, &odd, n_examples);
        if let InferError::Unfit { hint: words, .. } = &mut unfit {
            *words = hint(&answers);
        }
        return Err(unfit);
    }
    scale(&mut reward, &numbers);
    reward.matching.scale = point_scale(&reward, mean_side(&examples));
    scale_in_space(&mut reward, &points);
    let report = proved(&reward, tested, n_examples)?;
    let odd = odd.iter().map(|(place, why)| format!("{place}: {why}")).collect();
    Ok(Proposal { config: reward, reason, space, odd, report })
}

/// Proposes a declaration for examples whose answers are known to be names, though they may look like numbers.
///
/// # Errors
/// Too few examples, or a proposal that fails its self-test.
pub fn infer_names(examples: &[Example]) -> Result<Proposal, InferError> {
    if examples.len() < MIN_ROWS {
        return Err(InferError::Rows(examples.len()));
    }
    let n = examples.len();
    let (examples, odd) = sound(examples, |example| example.solution);
    let answers: Vec<&str> = examples.iter().map(|e| e.solution).collect();
    let config = usual_reward(AnswerConfig::of(AnswerKind::Label(LabelAnswer::of(&answers))));
    if odd.len() as f64 > MAX_ODD * n as f64 {
        return Err(unfit(&config.answer.kind, &odd, n));
    }
    let tested = answers.iter().map(|answer| (*answer).to_owned()).collect();
    let report = proved(&config, tested, n)?;
    let reason = "every answer is a name".to_owned();
    let odd = odd.iter().map(|(place, why)| format!("{place}: {why}")).collect();
    Ok(Proposal { config, reason, space: None, odd, report })
}

/// The self-test of a proposal for `n` examples, which it passes.
///
/// # Errors
/// It does not.
fn proved(reward: &RewardConfig, mut tested: Vec<String>, n: usize) -> Result<Report, InferError> {
    tested.truncate(MAX_TESTED);
    let report = self_test(reward, &tested).map_err(|error| {
        let odd = Odd::from([("the self-test".to_owned(), error.to_string())]);
        unfit(&reward.answer.kind, &odd, n)
    })?;
    if report.passed() { Ok(report) } else { Err(InferError::Untested(Box::new(report))) }
}

/// What the coordinates count, where answers are places in an image; answers in another space are added to the odd ones.
fn space_of(
    reward: &RewardConfig,
    some: &[(Example, &str)],
    odd: &mut Odd,
) -> Result<Option<SpaceGuess>, InferError> {
    let geometry = reward.answer.kind.geometry();
    if !matches!(geometry, Some(Geometry::Box | Geometry::Point | Geometry::Region)) {
        return Ok(None);
    }
    let guess = space::guess(&Examples::new(some).evidence())
        .map_err(|mixed| InferError::Spaces(mixed.told(|idx| some[idx].0.place.to_owned())))?;
    for idx in &guess.odd {
        let why = format!(
            "its coordinates are not {}, as those of the others are (data.space says what they count)",
            guess.space.name()
        );
        odd.insert(some[*idx].0.place.to_owned(), why);
    }
    Ok(Some(guess))
}

/// How many boxes of true answers are no corners, if these may be widths and heights: not one has a side of 0 or below.
/// 0 where all are corners, or where something else must be wrong.
pub fn count_sides(answers: &[&str]) -> usize {
    let mut boxes = Vec::new();
    for answer in answers {
        if answer.contains('{') {
            objects(answer).for_each(|object| fours(&object, &mut boxes));
        } else {
            lists(answer).for_each(|list| fours(&list, &mut boxes));
        }
    }
    // A box without a width is a mistake of another kind.
    let is_no_corner = |&[x1, y1, x2, y2]: &[f64; 4]| x2 < x1 || y2 < y1;
    let has_sides = |&[_, _, width, height]: &[f64; 4]| width > 0.0 && height > 0.0;
    let n = boxes.iter().filter(|bbox| is_no_corner(bbox)).count();
    if boxes.iter().all(has_sides) { n } else { 0 }
}

fn hint(answers: &[&str]) -> String {
    if count_sides(answers) == 0 {
        return String::new();
    }
    "; are these [x, y, width, height]? Boxes are written by their corners, [x1, y1, x2, y2]"
        .to_owned()
}

/// All lists of four numbers within a value.
fn fours(value: &Value, found: &mut Vec<[f64; 4]>) {
    match (value, value.numbers().as_deref()) {
        (Value::List(_), Some(&[x, y, third, fourth])) => found.push([x, y, third, fourth]),
        (Value::List(items), _) => items.iter().for_each(|item| fours(item, found)),
        (Value::Object(fields), _) => fields.iter().for_each(|(_, value)| fours(value, found)),
        _ => {}
    }
}

/// A task with this answer and the terms that are usual for its kind: how right it is, and its form.
pub fn usual_reward(answer: AnswerConfig) -> RewardConfig {
    let metric = answer.kind.kind().usual_metric();
    let mut terms = BTreeMap::from([
        (metric.name().to_owned(), TermConfig::of(metric)),
        ("format".to_owned(), TermConfig::of(Metric::Format(Format {}))),
    ]);
    if answer.has_confidence() {
        let confidence = Metric::Confidence(Confidence::default());
        terms.insert("confidence".to_owned(), TermConfig::of(confidence));
    }
    let is_points = matches!(answer.kind.geometry(), Some(Geometry::Point | Geometry::Point3d));
    let matching = MatchConfig {
        by: MatchBy::Hungarian,
        measure: if is_points { Measure::L1 } else { Measure::Iou },
        threshold: 0.0,
        ..MatchConfig::default()
    };
    let mut reward = RewardConfig {
        task: answer.kind.name().to_owned(),
        answer,
        matching,
        terms,
        ..RewardConfig::default()
    };
    reward.matching.scale = point_scale(&reward, None);
    reward
}

#[cfg(test)]
mod tests;
