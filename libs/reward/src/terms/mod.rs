//! The terms that a reward can be made of, one family a file.

mod box3d;
mod claims;
mod confidence;
mod length;
mod overlap;
mod region;
mod repetition;
mod shape;
mod track;
mod value;

use crate::config::{Metric, RewardConfig, TermConfig};

use crate::case::Case;
use crate::{format, official};

/// The value of a term, before its gate. `of` is the value of the term that it refers to.
pub(crate) fn value(case: &Case, term: &TermConfig, of: f64) -> f64 {
    if term.shortcut == Some(true) && official::shortcut(case.attempt.text, &case.truth.solution) {
        return 1.0;
    }
    let term = &refined(case.config, term, case.attempt.progress);
    let text = case.attempt.text;
    match term.metric {
        Metric::Overlap => overlap::overlap(case, term),
        Metric::Recall => overlap::recall(case, term),
        Metric::Label => overlap::labels(case, term),
        Metric::Count => overlap::count(case, term),
        Metric::Brevity => overlap::brevity(case),
        Metric::Completeness => overlap::completeness(case, term),
        Metric::AveragePrecision => overlap::average_precision(case, term),
        Metric::Target => overlap::target(case, term),
        Metric::Confidence => confidence::confidence(case, term),
        Metric::Boundary => region::boundary(case, term),
        Metric::Yaw => box3d::yaw(case, term),
        Metric::Hota => track::hota(case),
        Metric::Accuracy => value::accuracy(case, term),
        Metric::Closeness => value::closeness(case, term),
        Metric::Ratio => value::ratio(case, term),
        Metric::Tiles => value::tiles(case, term),
        Metric::Similarity => value::similarity(case, term),
        Metric::Format => format::format(text, case.config),
        Metric::ThinkFormat => format::think_format(text),
        Metric::Cosine => length::cosine(case.attempt.n_tokens(), term, of),
        Metric::Overlong => length::overlong(case.attempt.n_tokens(), term),
        Metric::Repetition => repetition::repetition(case.attempt, term),
        Metric::Claims => claims::claims(case),
        Metric::Consistency => claims::consistency(case),
        Metric::Restated => claims::restated(case),
    }
}

/// Least and greatest value of a term.
pub(crate) fn range(term: &TermConfig) -> (f64, f64) {
    match term.metric {
        Metric::Cosine => {
            let ends = length::ends(term);
            let all = [ends.0[0], ends.0[1], ends.1[0], ends.1[1]];
            all.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |r, v| (r.0.min(*v), r.1.max(*v)))
        }
        Metric::Overlong => (-1.0, 0.0),
        Metric::Repetition => (term.penalty.unwrap_or(repetition::PENALTY), 0.0),
        Metric::Overlap => match term.shape {
            crate::config::Shape::Shift(by) => (0.0, 1.0 + by),
            _ => (0.0, 1.0),
        },
        _ => (0.0, 1.0),
    }
}

/// The term as it is at this share of the training.
fn refined(config: &RewardConfig, term: &TermConfig, progress: f64) -> TermConfig {
    let mut term = term.clone();
    let late = config.refine_after < 1.0 && progress >= config.refine_after;
    if let Some(refined) = term.refined.take().filter(|_| late) {
        term.threshold = refined.threshold.or(term.threshold);
        term.shape = refined.shape.unwrap_or(term.shape);
    }
    term
}
