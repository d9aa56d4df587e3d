//! One line per learner step: reward and its terms, KL, length, seconds by stage.

use std::collections::BTreeMap;

use vrft_messages::MetricBatch;
use vrft_plan::LearnerConfig;

/// The node whose steps are told.
const LEARNER: &str = "learner";

/// Collects what the nodes say about a step until the learner closes it.
pub(crate) struct Progress {
    n_steps: u64,
    steps: BTreeMap<u64, BTreeMap<String, f64>>,
}

impl Progress {
    pub(crate) fn new(learner: &LearnerConfig) -> Self {
        Self { n_steps: learner.steps, steps: BTreeMap::new() }
    }

    /// Takes in metrics; gives the line of a step once the learner has reported it.
    pub(crate) fn take(&mut self, source: &str, batch: &MetricBatch) -> Option<String> {
        for metric in batch.metrics.iter().filter(|_| source != "sft") {
            let step = self.steps.entry(metric.step).or_default();
            step.insert(metric.name.clone(), metric.value);
        }
        if source != LEARNER {
            return None;
        }
        let step = batch.metrics.iter().find(|metric| metric.name == "policy/loss")?.step;
        let values = self.steps.remove(&step)?;
        self.steps.retain(|other, _| *other > step);
        Some(line(step, self.n_steps, &values))
    }
}

/// Shown when there: heading, metric, decimals.
const SHOWN: &[(&str, &str, usize)] = &[
    ("loss", "policy/loss", 3),
    ("kl", "policy/kl", 4),
    ("entropy", "policy/entropy", 2),
    ("length", "completions/length/mean", 1),
];

/// Stages whose seconds are shown.
const STAGES: &[&str] = &["rollout", "reward", "advantage", "learner", "publish"];

fn line(step: u64, n_steps: u64, values: &BTreeMap<String, f64>) -> String {
    let width = n_steps.to_string().len();
    let mut parts = vec![format!("step {step:>width$}/{n_steps}")];
    parts.extend(reward(values));
    for (heading, name, decimals) in SHOWN {
        if let Some(value) = values.get(*name) {
            parts.push(format!("{heading} {value:.decimals$}"));
        }
    }
    let seconds: Vec<String> = STAGES
        .iter()
        .filter_map(|stage| {
            let secs = values.get(&format!("time/{stage}_secs"))?;
            Some(format!("{stage} {secs:.2}"))
        })
        .collect();
    parts.push(format!("seconds: {}", seconds.join(", ")));
    parts.join("  ")
}

/// The mean reward and its terms.
fn reward(values: &BTreeMap<String, f64>) -> Option<String> {
    let total = values.get("reward/total/mean")?;
    let terms: Vec<String> = values
        .iter()
        .filter_map(|(name, value)| {
            let term = name.strip_prefix("reward/")?.strip_suffix("/mean")?;
            (term != "total").then(|| format!("{term} {value:.2}"))
        })
        .collect();
    Some(format!("reward {total:.3} ({})", terms.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use vrft_messages::Metric;

    fn batch(step: u64, values: &[(&str, f64)]) -> MetricBatch {
        let metric = |(name, value): &(&str, f64)| Metric {
            step,
            name: (*name).to_owned(),
            value: *value,
            at: 0.0,
        };
        MetricBatch { metrics: values.iter().map(metric).collect() }
    }

    #[test]
    fn a_step_is_told_when_the_learner_reports_it() {
        let mut progress = Progress::new(&LearnerConfig::default());
        let reward = batch(3, &[("reward/total/mean", 1.5), ("reward/iou/mean", 0.5)]);
        assert_eq!(progress.take("reward", &reward), None);
        let learner = batch(3, &[("policy/loss", 0.1), ("policy/kl", 0.02)]);
        let line = progress.take("learner", &learner).unwrap();
        let expected = "step   3/100  reward 1.500 (iou 0.50)  loss 0.100  kl 0.0200";
        assert!(line.starts_with(expected), "{line}");
    }

    #[test]
    fn the_baseline_does_not_mix_in() {
        let mut progress = Progress::new(&LearnerConfig::default());
        progress.take("sft", &batch(1, &[("policy/kl", 9.0)]));
        let line = progress.take("learner", &batch(1, &[("policy/loss", 0.1)])).unwrap();
        assert!(!line.contains("kl"), "{line}");
    }
}
