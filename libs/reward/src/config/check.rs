//! What contradicts itself in a declared task: what the types of its keys cannot rule out.

use vrft_config::{ConfigError, missing, require};

use super::{MatchBy, RewardConfig};
use crate::correction::GAIN;
use crate::terms::{Metric, TermConfig};

/// Most that a term may weigh: what is earned is to be a number in f32.
const MAX_WEIGHT: f64 = 1e6;

impl RewardConfig {
    /// Checks the declaration as a whole.
    ///
    /// # Errors
    /// The first key that contradicts another one or cannot be worked with, and what to write instead.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.answer.kind.kind().check()?;
        self.check_matching()?;
        let after = self.refine_after;
        ensure((0.0..=1.0).contains(&after), "reward.refine_after", after, || {
            "a share of the training in [0, 1]".into()
        })?;
        if let Some(correction) = &self.correction {
            for (key, value) in [("alpha", correction.alpha), ("gamma", correction.gamma)] {
                let fine = (0.0..=10.0).contains(&value);
                ensure(fine, &format!("reward.correction.{key}"), value, || "from 0 to 10".into())?;
            }
            let taken = self.terms.contains_key(GAIN);
            ensure(!taken, &format!("reward.terms.{GAIN}"), "a term", || {
                "another name: with reward.correction the bonus for mending is called so".into()
            })?;
        }
        self.terms.iter().try_for_each(|(name, term)| self.check_term(name, term))
    }

    fn check_matching(&self) -> Result<(), ConfigError> {
        let matching = &self.matching;
        if let Some(geometry) = self.answer.kind.geometry() {
            let name = format!("{:?}", matching.measure).to_lowercase();
            ensure(geometry.has_measure(matching.measure), "reward.match.measure", name, || {
                if geometry.has_measure(super::Measure::Iou) {
                    "\"iou\", the measure of this type of answer".into()
                } else {
                    "\"l1\" for points".into()
                }
            })?;
        }
        ensure(
            matching.threshold < 1.0 && matching.threshold >= -1.0,
            "reward.match.threshold",
            matching.threshold,
            || "below 1, and 0 or above for all but GIoU, DIoU and CIoU".into(),
        )?;
        ensure(matching.scale > 0.0, "reward.match.scale", matching.scale, || "above 0".into())?;
        let has_confidence_term =
            self.terms.values().any(|term| matches!(term.metric, Metric::Confidence(_)));
        let needs = matching.by == MatchBy::None && has_confidence_term;
        ensure(!needs || self.answer.has_confidence(), "reward.match.by", "none", || {
            "another matching".into()
        })?;
        let has_labels = self.answer.has_item_labels();
        ensure(!matching.label || has_labels, "reward.match.label", true, || {
            "false, or a name for reward.answer.keys.label".into()
        })
    }

    fn check_term(&self, name: &str, term: &TermConfig) -> Result<(), ConfigError> {
        let at = format!("reward.terms.{name}");
        let kind = &self.answer.kind;
        let applying = Metric::names_for(kind);
        let metric = term.metric.name();
        ensure(applying.contains(&metric), &format!("{at}.metric"), metric, || {
            let applying = applying.join(", ");
            format!("one of {applying}, the metrics of an answer of type {}", kind.name())
        })?;
        let weight = term.weight;
        let fine = (0.0..=MAX_WEIGHT).contains(&weight);
        ensure(fine, &format!("{at}.weight"), weight, || format!("0 to {MAX_WEIGHT}"))?;
        let evaluate = term.metric.evaluate();
        let most = evaluate.max_weight();
        ensure(weight <= most, &format!("{at}.weight"), weight, || {
            format!("at most {most}: statements are cheap to make")
        })?;
        for (key, other) in [("gate", term.gate.as_deref()), ("of", evaluate.of())] {
            let Some(other) = other else { continue };
            let is_plain =
                |term: &TermConfig| term.gate.is_none() && term.metric.evaluate().of().is_none();
            let fine = other != name && self.terms.get(other).is_some_and(is_plain);
            ensure(fine, &format!("{at}.{key}"), other, || {
                "the name of another term that itself has neither gate nor of".into()
            })?;
        }
        evaluate.check(&at, &self.answer)
    }
}

/// Refuses a value of a key, with what to write instead.
pub(crate) fn ensure(
    holds: bool,
    key: &str,
    got: impl ToString,
    expected: impl FnOnce() -> String,
) -> Result<(), ConfigError> {
    if holds { Ok(()) } else { require(false, key, got, expected()) }
}

/// Refuses a name that is empty, with what to write.
pub(crate) fn absent(name: &str, key: &str, remedy: &str) -> Result<(), ConfigError> {
    if name.is_empty() { Err(missing(key, remedy)) } else { Ok(()) }
}
