//! What a policy would earn by the record of others, which the evaluator writes where nothing is answered.

use std::fmt;
use std::path::Path;

use serde::Deserialize;

use crate::number::fixed;

/// The file in a run folder.
const FILE: &str = "estimate.json";

/// An estimate and what it is of.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Estimate {
    /// Folder of the policy.
    policy: String,
    estimate: Values,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Values {
    value: f64,
    interval: (f64, f64),
    logged: f64,
    gain: (f64, f64),
    effective_share: f64,
    n_questions: usize,
    n_answers: usize,
}

impl Estimate {
    /// The estimate of a run folder, if there is one that can be read.
    pub(crate) fn of(dir: &Path) -> Option<Self> {
        serde_json::from_str(&std::fs::read_to_string(dir.join(FILE)).ok()?).ok()
    }
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Values { value, interval, logged, gain, .. } = &self.estimate;
        let Values { effective_share, n_questions, n_answers, .. } = &self.estimate;
        let verdict = match gain {
            (low, _) if *low > 0.0 => "more than",
            (_, high) if *high < 0.0 => "less than",
            _ => "not measurably other than",
        };
        write!(
            f,
            "By recorded answers of other policies, {} would earn {} ({}\u{2013}{}) an answer, {verdict} the {} that these earned \
             (a difference of {} to {}); {n_answers} answers to {n_questions} questions, which count as {:.0} %.",
            self.policy,
            fixed(*value),
            fixed(interval.0),
            fixed(interval.1),
            fixed(*logged),
            fixed(gain.0),
            fixed(gain.1),
            100.0 * effective_share,
        )
    }
}
