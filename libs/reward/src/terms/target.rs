//! The item that is meant among several.

use serde::{Deserialize, Serialize};

use super::{Evaluate, Shape};
use crate::Answer;
use crate::answers::AnswerKind;
use crate::case::Case;
use crate::config::{AnswerConfig, ConfigError};

/// The likeness of the item that is meant, where the one that was pointed at is paired with the true one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Target {
    /// How likeness becomes reward.
    pub shape: Shape,
}

impl Evaluate for Target {
    fn applies_to(kind: &AnswerKind) -> bool {
        kind.kind().as_items().is_some_and(|items| items.keys().target.is_some())
    }

    fn check(&self, at: &str, _answer: &AnswerConfig) -> Result<(), ConfigError> {
        self.shape.check(at)
    }

    fn value(&self, case: &Case) -> f64 {
        let (Some(Answer::Items(said)), Answer::Items(truth)) = (&case.reading, &case.truth.answer)
        else {
            return 0.0;
        };
        let pair = said.target.and_then(|idx| case.matches.get(idx));
        let right = pair.filter(|pair| pair.truth_idx.is_some() && pair.truth_idx == truth.target);
        right.map_or(0.0, |pair| self.shape.reward(pair.iou, case.attempt.progress))
    }
}
