//! One line per learner step: reward and its terms, KL, length, seconds by stage; and one for each problem that starts.

use std::collections::BTreeMap;

use vrft_messages::{Metric, MetricBatch};
use vrft_plan::LearnerConfig;
use vrft_report::{RunFacts, Watch};

/// The node whose steps are told.
const LEARNER: &str = "learner";

/// The supervised baseline, which is not told.
const SFT: &str = "sft";

/// Collects what the nodes say about a step until the learner closes it.
pub(crate) struct Progress {
    n_steps: u64,
    steps: BTreeMap<u64, BTreeMap<String, f64>>,
    facts: RunFacts,
    watch: Watch,
}

impl Progress {
    pub(crate) fn new(learner: &LearnerConfig, facts: RunFacts) -> Self {
        Self { n_steps: learner.steps, steps: BTreeMap::new(), facts, watch: Watch::default() }
    }

    /// Takes in metrics; gives the line of a step once the learner has reported it, and a line for each problem that
    /// shows in it for the first time.
    pub(crate) fn take(&mut self, source: &str, batch: &MetricBatch) -> Vec<String> {
        for metric in batch.metrics.iter().filter(|_| source != SFT) {
            let step = self.steps.entry(metric.step).or_default();
            step.insert(metric.name.clone(), metric.value);
            self.watch.record(metric.step, &metric.name, metric.value);
        }
        let is_closed = |metric: &&Metric| source == LEARNER && metric.name == "policy/loss";
        let Some(step) = batch.metrics.iter().find(is_closed).map(|metric| metric.step) else {
            return Vec::new();
        };
        let Some(values) = self.steps.remove(&step) else { return Vec::new() };
        self.steps.retain(|other, _| *other > step);
        let mut lines = vec![line(step, self.n_steps, &values)];
        let news = self.watch.news(&self.facts);
        lines.extend(news.iter().map(|verdict| format!("WARN {verdict}")));
        lines
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

    fn batch(step: u64, values: &[(&str, f64)]) -> MetricBatch {
        let metric = |(name, value): &(&str, f64)| Metric {
            step,
            name: (*name).to_owned(),
            value: *value,
            at: 0.0,
        };
        MetricBatch { metrics: values.iter().map(metric).collect() }
    }

    fn progress() -> Progress {
        Progress::new(&LearnerConfig::default(), RunFacts::default())
    }

    #[test]
    fn a_step_is_told_when_the_learner_reports_it() {
        let mut progress = progress();
        let reward = batch(3, &[("reward/total/mean", 1.5), ("reward/iou/mean", 0.5)]);
        assert!(progress.take("reward", &reward).is_empty());
        let learner = batch(3, &[("policy/loss", 0.1), ("policy/kl", 0.02)]);
        let line = progress.take("learner", &learner).remove(0);
        let expected = "step   3/100  reward 1.500 (iou 0.50)  loss 0.100  kl 0.0200";
        assert!(line.starts_with(expected), "{line}");
    }

    #[test]
    fn the_baseline_does_not_mix_in() {
        let mut progress = progress();
        progress.take("sft", &batch(1, &[("policy/kl", 9.0)]));
        let line = progress.take("learner", &batch(1, &[("policy/loss", 0.1)])).remove(0);
        assert!(!line.contains("kl"), "{line}");
    }

    #[test]
    fn a_problem_is_told_once_when_it_starts() {
        let mut progress = progress();
        let mut warnings = Vec::new();
        for step in 1..=6 {
            progress.take("rollout", &batch(step, &[("completions/truncated", 1.0)]));
            let lines = progress.take("learner", &batch(step, &[("policy/loss", 0.1)]));
            warnings.extend(lines.into_iter().skip(1).map(|line| (step, line)));
        }
        let [(3, line)] = &warnings[..] else { panic!("{warnings:?}") };
        assert!(line.starts_with("WARN 100 % of the completions are cut"), "{line}");
    }
}
