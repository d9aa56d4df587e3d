//! Forgetting: what a policy could do of a task before and can no more.

use std::collections::BTreeMap;

/// The measure that every task has.
const MEASURE: &str = "reward";

/// The best that each label was worth so far.
#[derive(Default)]
pub(crate) struct Forgetting {
    best: BTreeMap<String, f64>,
}

impl Forgetting {
    /// Takes in an evaluation.
    pub(crate) fn add(&mut self, label: &str, metrics: &BTreeMap<String, f64>) {
        if let Some(value) = metrics.get(MEASURE) {
            let best = self.best.entry(label.to_owned()).or_insert(*value);
            *best = best.max(*value);
        }
    }

    /// How far these metrics are below the best of the label or of the policy it started from; 0 for a new best.
    pub(crate) fn of(
        &self,
        label: &str,
        base: &str,
        metrics: &BTreeMap<String, f64>,
    ) -> Option<f64> {
        let now = metrics.get(MEASURE)?;
        let before = [label, base].into_iter().filter_map(|label| self.best.get(label));
        Some((before.copied().reduce(f64::max)? - now).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_better_before_is_forgotten() {
        let worth = |value: f64| BTreeMap::from([(MEASURE.to_owned(), value)]);
        let mut forgetting = Forgetting::default();
        assert_eq!(forgetting.of("rft@a", "base@a", &worth(1.0)), None);
        forgetting.add("base@a", &worth(1.0));
        assert_eq!(forgetting.of("rft@a", "base@a", &worth(1.5)), Some(0.0));
        forgetting.add("rft@a", &worth(1.5));
        assert_eq!(forgetting.of("rft@a", "base@a", &worth(1.25)), Some(0.25));
        assert_eq!(forgetting.of("sft@a", "base@a", &worth(0.5)), Some(0.5));
        assert_eq!(forgetting.of("rft@b", "base@b", &worth(0.5)), None);
    }
}
