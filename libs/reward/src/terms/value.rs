//! Answers that are one value: a name, a number, a permutation, a text.

use crate::config::{Same, TermConfig};

use super::shape::{reward, reward_of_error};
use crate::case::Case;
use crate::label::same;
use crate::{Answer, edit_similarity};

/// 1 if the answer is the true one.
///
/// The paper of Visual-RFT (arXiv 2503.01785, section 3.2) asks for equality; containment, which its program accepts,
/// pays for an empty answer and for a list of all names.
pub(super) fn accuracy(case: &Case, term: &TermConfig) -> f64 {
    let right = match (&case.reading, &case.truth.answer) {
        (Some(Answer::Words(said)), Answer::Words(truth)) => {
            same(said, truth, term.same.unwrap_or(Same::Normalized))
        }
        (None, Answer::Words(truth)) if term.same == Some(Same::Contains) => {
            same("", truth, Same::Contains)
        }
        (Some(Answer::Nothing), Answer::Nothing) => case.config.answer.nothing_pays,
        (Some(said), truth) => said == truth,
        (None, _) => false,
    };
    f64::from(u8::from(right))
}

/// The shape of |error| / scale.
pub(super) fn closeness(case: &Case, term: &TermConfig) -> f64 {
    let (Some(said), Some(truth)) = numbers(case) else { return settled(case) };
    let error = (said - truth).abs() / term.scale.unwrap_or(1.0);
    reward_of_error(&term.shape, error, case.attempt.progress)
}

/// The shape of |ln(said / true)| / ln(scale), for numbers above 0 such as depths.
pub(super) fn ratio(case: &Case, term: &TermConfig) -> f64 {
    let (Some(said), Some(truth)) = numbers(case) else { return settled(case) };
    if said <= 0.0 || truth <= 0.0 {
        return f64::from(u8::from(said == truth));
    }
    let error = (said / truth).ln().abs() / term.scale.unwrap_or(std::f64::consts::E).ln();
    reward_of_error(&term.shape, error, case.attempt.progress)
}

/// The share of places that are right; 0 unless it is a permutation of the right length.
///
/// A text that is a permutation counts as one, and any other text is right or wrong, so that one task can hold
/// questions of both kinds.
pub(super) fn tiles(case: &Case, term: &TermConfig) -> f64 {
    let share = match (&case.reading, &case.truth.answer) {
        (Some(Answer::Order(said)), Answer::Order(truth)) => share_in_place(said, truth),
        (Some(Answer::Words(said)), Answer::Words(truth)) => match order(truth) {
            Some(truth) => order(said).map_or(0.0, |said| share_in_place(&said, &truth)),
            None => f64::from(u8::from(same(said, truth, Same::Normalized))),
        },
        _ => return settled(case),
    };
    reward(&term.shape, share, case.attempt.progress)
}

fn share_in_place(said: &[usize], truth: &[usize]) -> f64 {
    let right = said.iter().zip(truth).filter(|(said, truth)| said == truth).count();
    if said.len() == truth.len() { right as f64 / truth.len() as f64 } else { 0.0 }
}

/// Two or more numbers that are a permutation.
fn order(text: &str) -> Option<Vec<usize>> {
    crate::tolerant::order(text, 0).filter(|order| order.len() > 1)
}

/// 1 - edit distance / longer length, in characters.
pub(super) fn similarity(case: &Case, term: &TermConfig) -> f64 {
    let (Some(Answer::Words(said)), Answer::Words(truth)) = (&case.reading, &case.truth.answer)
    else {
        return settled(case);
    };
    reward(&term.shape, edit_similarity(said.trim(), truth.trim()), case.attempt.progress)
}

fn numbers(case: &Case) -> (Option<f64>, Option<f64>) {
    let number = |answer: &Answer| match answer {
        Answer::Number(number) => Some(*number),
        _ => None,
    };
    (case.reading.as_ref().and_then(number), number(&case.truth.answer))
}

fn settled(case: &Case) -> f64 {
    case.settled().unwrap_or(0.0)
}
