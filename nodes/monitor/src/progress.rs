//! One line per learner step: reward and its terms, loss, KL, length, seconds by stage; and one for each problem that
//! starts.

use std::collections::BTreeMap;

use vrft_messages::{Metric, MetricBatch};
use vrft_node::Member;
use vrft_plan::LearnerConfig;
use vrft_report::{RunFacts, Watch};

/// Columns of a line: a terminal has as many.
const WIDTH: usize = 80;

/// The metric by which a learner closes a step.
const CLOSING: &str = "policy/loss";

/// Collects what the nodes say about a step until its learner closes it.
pub(crate) struct Progress {
    n_steps: u64,
    learners: BTreeMap<String, Learner>,
    /// The learners that each node works for.
    works_for: BTreeMap<String, Vec<String>>,
    facts: RunFacts,
}

/// The open steps of one learner.
#[derive(Default)]
struct Learner {
    steps: BTreeMap<u64, BTreeMap<String, f64>>,
    watch: Watch,
}

impl Progress {
    /// Steps are told of the learners that learn from rewards; where there are none, of those that are supervised.
    pub(crate) fn new(learner: &LearnerConfig, members: &[Member], facts: RunFacts) -> Self {
        let learners = || members.iter().filter(|member| member.is_learner);
        let is_usual = |member: &&Member| member.role != "sft";
        let has_usual = learners().any(|member| is_usual(&member));
        let told = learners().filter(|member| !has_usual || is_usual(member));
        let works_for = members.iter().map(|member| (member.id.clone(), member.learners.clone()));
        Self {
            n_steps: learner.steps,
            learners: told.map(|member| (member.id.clone(), Learner::default())).collect(),
            works_for: works_for.collect(),
            facts,
        }
    }

    /// Takes in metrics; gives the line of a step once its learner has reported it, and a line for each problem that
    /// shows in it for the first time.
    pub(crate) fn take(&mut self, source: &str, batch: &MetricBatch) -> Vec<String> {
        for id in self.works_for.get(source).into_iter().flatten() {
            let Some(learner) = self.learners.get_mut(id) else { continue };
            for metric in &batch.metrics {
                let step = learner.steps.entry(metric.step).or_default();
                step.insert(metric.name.clone(), metric.value);
                learner.watch.record(metric.step, &metric.name, metric.value);
            }
        }
        let is_alone = self.learners.len() == 1;
        let closing = batch.metrics.iter().find(|metric| metric.name == CLOSING);
        let learner = self.learners.get_mut(source).zip(closing);
        let Some((learner, Metric { step, .. })) = learner else { return Vec::new() };
        let Some(values) = learner.steps.remove(step) else { return Vec::new() };
        learner.steps.retain(|other, _| other > step);
        let width = self.n_steps.to_string().len();
        let of_whom = if is_alone { String::new() } else { format!(" of {source}") };
        let heading = format!("step {step:>width$}/{}{of_whom}", self.n_steps);
        let mut lines = vec![line(heading, &values)];
        let news = learner.watch.news(&self.facts);
        lines.extend(news.iter().map(|verdict| format!("WARN {verdict}")));
        lines
    }
}

/// The step, and of what is known of it as much as fits: what comes first here is left out last.
fn line(step: String, values: &BTreeMap<String, f64>) -> String {
    let value = |heading: &str, name: &str, decimals: usize| {
        let value = values.get(name)?;
        Some(format!("{heading} {value:.decimals$}"))
    };
    let total = value("reward", "reward/total/mean", 3);
    let terms = terms(values).filter(|_| total.is_some());
    // In the order of the line, each with its rank.
    let parts = [
        (0, total),
        (3, terms),
        (1, value("loss", CLOSING, 3)),
        (2, value("kl", "policy/kl", 4)),
        (6, value("entropy", "policy/entropy", 2)),
        (4, value("effective", "policy/effective_samples", 2)),
        (5, value("length", "completions/length/mean", 1)),
        (4, seconds(values)),
    ];
    let mut parts: Vec<(i32, String)> =
        parts.into_iter().filter_map(|(rank, part)| Some((rank, part?))).collect();
    loop {
        let texts = parts.iter().map(|(_, part)| part.as_str());
        let line = std::iter::once(step.as_str()).chain(texts).collect::<Vec<_>>().join("  ");
        let last = parts.iter().map(|(rank, _)| *rank).max();
        if line.chars().count() <= WIDTH || last.is_none() {
            return line;
        }
        parts.retain(|(rank, _)| Some(*rank) != last);
    }
}

/// Seconds of the stages that take any.
fn seconds(values: &BTreeMap<String, f64>) -> Option<String> {
    let stages = ["rollout", "learner"];
    let stages: Vec<String> = stages
        .iter()
        .filter_map(|stage| {
            let secs = values.get(&format!("time/{stage}_secs"))?;
            Some(format!("{stage} {secs:.2} s"))
        })
        .collect();
    (!stages.is_empty()).then(|| stages.join(", "))
}

/// The terms of the reward.
fn terms(values: &BTreeMap<String, f64>) -> Option<String> {
    let terms: Vec<String> = values
        .iter()
        .filter_map(|(name, value)| {
            let term = name.strip_prefix("reward/")?.strip_suffix("/mean")?;
            (term != "total").then(|| format!("{term} {value:.2}"))
        })
        .collect();
    (!terms.is_empty()).then(|| format!("({})", terms.join(", ")))
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

    /// A node, its role, and the learner that it works for; a learner works for itself.
    fn member(id: &str, role: &str, learner: &str) -> Member {
        Member {
            id: id.into(),
            executable: String::new(),
            role: role.into(),
            is_learner: id == learner,
            machine: String::new(),
            learners: vec![learner.into()],
        }
    }

    fn of_two(first: (&str, &str), second: (&str, &str)) -> Progress {
        let members = [
            member("reward", "", first.0),
            member(first.0, first.1, first.0),
            member(second.0, second.1, second.0),
        ];
        Progress::new(&LearnerConfig::default(), &members, RunFacts::default())
    }

    #[test]
    fn a_step_is_told_when_its_learner_reports_it() {
        let mut progress = of_two(("policy", ""), ("baseline", "sft"));
        let reward = batch(3, &[("reward/total/mean", 1.5), ("reward/iou/mean", 0.5)]);
        assert!(progress.take("reward", &reward).is_empty());
        let learner = batch(3, &[("policy/loss", 0.1), ("policy/kl", 0.02)]);
        let line = progress.take("policy", &learner).remove(0);
        assert_eq!(line, "step   3/100  reward 1.500  (iou 0.50)  loss 0.100  kl 0.0200");
    }

    #[test]
    fn a_supervised_learner_beside_another_is_silent_and_does_not_mix_in() {
        let mut progress = of_two(("policy", ""), ("baseline", "sft"));
        let baseline = batch(1, &[("policy/loss", 9.0), ("policy/kl", 9.0)]);
        assert!(progress.take("baseline", &baseline).is_empty());
        let line = progress.take("policy", &batch(1, &[("policy/loss", 0.1)])).remove(0);
        assert!(!line.contains("kl"), "{line}");
    }

    #[test]
    fn a_supervised_learner_by_itself_is_told() {
        let members = [member("baseline", "sft", "baseline")];
        let mut progress = Progress::new(&LearnerConfig::default(), &members, RunFacts::default());
        let line = progress.take("baseline", &batch(1, &[("policy/loss", 0.5)])).remove(0);
        assert_eq!(line, "step   1/100  loss 0.500");
    }

    #[test]
    fn a_problem_is_told_once_when_it_starts() {
        let mut progress = of_two(("policy", ""), ("baseline", "sft"));
        let mut warnings = Vec::new();
        for step in 1..=6 {
            progress.take("reward", &batch(step, &[("completions/truncated", 1.0)]));
            let lines = progress.take("policy", &batch(step, &[("policy/loss", 0.1)]));
            warnings.extend(lines.into_iter().skip(1).map(|line| (step, line)));
        }
        let [(3, line)] = &warnings[..] else { panic!("{warnings:?}") };
        assert!(line.starts_with("WARN 100 % of the completions are cut"), "{line}");
    }

    #[test]
    fn several_learners_are_told_apart() {
        let mut progress = of_two(("left", ""), ("right", ""));
        progress.take("reward", &batch(1, &[("reward/total/mean", 1.0)]));
        let right = progress.take("right", &batch(1, &[("policy/loss", 0.25)])).remove(0);
        let left = progress.take("left", &batch(1, &[("policy/loss", 0.5)])).remove(0);
        assert_eq!(right, "step   1/100 of right  loss 0.250");
        assert_eq!(left, "step   1/100 of left  reward 1.000  loss 0.500");
    }

    #[test]
    fn a_line_fits_a_terminal() {
        let mut values: Vec<(String, f64)> =
            (0..9).map(|n| (format!("reward/term number {n}/mean"), 0.5)).collect();
        for name in ["reward/total/mean", "policy/loss", "policy/kl", "policy/entropy"] {
            values.push((name.to_owned(), 1.0));
        }
        values.push(("time/rollout_secs".to_owned(), 12.5));
        let values: Vec<(&str, f64)> =
            values.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let line = of_two(("policy", ""), ("baseline", "sft"))
            .take("policy", &batch(3, &values))
            .remove(0);
        assert!(line.chars().count() <= WIDTH, "{line}");
        assert_eq!(line, "step   3/100  reward 1.000  loss 1.000  kl 1.0000");
    }
}
