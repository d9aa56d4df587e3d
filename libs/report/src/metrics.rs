//! The numbers of `metrics.jsonl` as curves over learner steps.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::diagnosis::History;
use crate::teams::Team;

/// One line of `metrics.jsonl`.
#[derive(Debug, Deserialize)]
pub(crate) struct MetricRecord {
    step: u64,
    name: String,
    value: Option<f64>,
    #[serde(default)]
    node: String,
    #[serde(default)]
    at: Option<f64>,
}

/// Curves by name and node; a step that was repeated after a resume counts once, as it was last.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    curves: BTreeMap<String, BTreeMap<String, BTreeMap<u64, f64>>>,
    /// The numbers of each node in the order in which they came, those included that are not finite.
    histories: BTreeMap<String, Vec<(u64, String, f64)>>,
    /// When the numbers were taken, in seconds since 1970.
    at: Vec<f64>,
}

impl Metrics {
    /// Sorts records into curves; what is not a finite number is left out.
    pub(crate) fn new(records: Vec<MetricRecord>) -> Metrics {
        let mut metrics = Metrics::default();
        for record in records {
            metrics.at.extend(record.at.filter(|at| at.is_finite()));
            let number = (record.step, record.name.clone(), record.value.unwrap_or(f64::NAN));
            metrics.histories.entry(record.node.clone()).or_default().push(number);
            let Some(value) = record.value.filter(|value| value.is_finite()) else { continue };
            let curve = metrics.curves.entry(record.name).or_default().entry(record.node);
            curve.or_default().insert(record.step, value);
        }
        metrics.at.sort_by(f64::total_cmp);
        metrics
    }

    /// A curve of a learner: its own where several nodes of its team have one of that name.
    pub(crate) fn curve(&self, team: &Team, name: &str) -> Vec<(f64, f64)> {
        let Some(nodes) = self.curves.get(name) else { return Vec::new() };
        let other = nodes.iter().find(|(node, _)| team.has(node)).map(|(_, curve)| curve);
        points(nodes.get(&team.learner).or(other))
    }

    /// A curve of one node, whoever it works for.
    pub(crate) fn curve_of(&self, node: &str, name: &str) -> Vec<(f64, f64)> {
        points(self.curves.get(name).and_then(|nodes| nodes.get(node)))
    }

    /// The newest number of this name, whichever node it is of: the first by name where several have one.
    pub(crate) fn newest(&self, name: &str) -> Option<f64> {
        let curve = self.curves.get(name)?.values().next()?;
        curve.last_key_value().map(|(_, value)| *value)
    }

    /// All numbers of a learner and of the nodes that work for it.
    pub(crate) fn history(&self, team: &Team) -> History {
        let mut history = History::default();
        let of_team = self.histories.iter().filter(|(node, _)| team.has(node));
        for (step, name, value) in of_team.flat_map(|(_, numbers)| numbers) {
            history.record(*step, name, *value);
        }
        history
    }

    /// Nodes that have a number whose name begins so.
    pub(crate) fn nodes_with(&self, prefix: &str) -> BTreeSet<String> {
        let curves = self.curves.iter().filter(|(name, _)| name.starts_with(prefix));
        curves.flat_map(|(_, nodes)| nodes.keys().cloned()).collect()
    }

    /// The terms of the reward that were measured, in the order of the configuration.
    pub(crate) fn reward_terms(&self) -> Vec<String> {
        let term =
            |name: &String| Some(name.strip_prefix("reward/")?.strip_suffix("/mean")?.to_owned());
        let mut terms: Vec<String> = self.curves.keys().filter_map(term).collect();
        terms.retain(|name| name != "total");
        let known = ["iou", "accuracy", "confidence", "format"];
        let rank = |term: &String| known.iter().position(|k| k == term).unwrap_or(known.len());
        terms.sort_by_key(rank);
        terms
    }

    /// Seconds between the first and the last number of each session, summed over the sessions, so that pauses do not count.
    /// `starts` says when the sessions began.
    pub(crate) fn elapsed(&self, starts: &[f64]) -> Option<f64> {
        let session = |at: &f64| starts.iter().filter(|start| *start <= at).count();
        let sessions = self.at.chunk_by(|a, b| session(a) == session(b));
        let secs = sessions.filter_map(|at| Some(at.last()? - at.first()?)).sum();
        Some(secs).filter(|secs| *secs > 0.0)
    }

    /// The last step of a learner that has a number.
    pub(crate) fn last_step(&self, team: &Team) -> Option<u64> {
        let nodes = self.curves.values().flatten().filter(|(node, _)| team.has(node));
        nodes.filter_map(|(_, curve)| curve.last_key_value()).map(|(step, _)| *step).max()
    }
}

fn points(curve: Option<&BTreeMap<u64, f64>>) -> Vec<(f64, f64)> {
    curve.into_iter().flatten().map(|(step, value)| (*step as f64, *value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::teams::Teams;

    fn metrics(lines: &[&str]) -> Metrics {
        Metrics::new(lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    #[test]
    fn each_learner_has_its_own_curve() {
        let metrics = metrics(&[
            r#"{"step":1,"name":"policy/loss","value":0.5,"at":1.0,"node":"a"}"#,
            r#"{"step":1,"name":"policy/loss","value":0.1,"at":2.0,"node":"b"}"#,
        ]);
        let teams = Teams::new(vec![], &metrics);
        let curve = |learner: &str| metrics.curve(teams.of(learner).unwrap(), "policy/loss");
        assert_eq!((curve("a"), curve("b")), (vec![(1.0, 0.5)], vec![(1.0, 0.1)]));
        assert_eq!(metrics.last_step(teams.of("a").unwrap()), Some(1));
    }

    #[test]
    fn a_pause_between_two_sessions_does_not_count() {
        let at = |at: f64| format!(r#"{{"step":1,"name":"x","value":1.0,"at":{at},"node":"a"}}"#);
        let lines = [10.0, 15.0, 1000.0, 1002.5].map(at);
        let metrics = metrics(&lines.each_ref().map(String::as_str));
        assert_eq!(metrics.elapsed(&[9.0, 999.0]), Some(7.5));
        assert_eq!(metrics.elapsed(&[]), Some(992.5));
    }

    #[test]
    fn an_absent_value_is_left_out_and_a_repeated_step_counts_once() {
        let metrics = metrics(&[
            r#"{"step":1,"name":"x","value":null,"node":"reward"}"#,
            r#"{"step":2,"name":"x","value":1.0,"node":"reward"}"#,
            r#"{"step":2,"name":"x","value":3.0,"node":"reward"}"#,
        ]);
        let teams = Teams::new(vec![], &metrics);
        assert_eq!(metrics.curve(teams.reinforced().next().unwrap(), "x"), [(2.0, 3.0)]);
    }

    #[test]
    fn terms_are_found_by_name() {
        let line =
            |name: &str| format!(r#"{{"step":1,"name":"{name}","value":1.0,"node":"reward"}}"#);
        let lines = ["reward/total/mean", "reward/format/mean", "reward/iou/mean"].map(line);
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert_eq!(metrics(&lines).reward_terms(), ["iou", "format"]);
    }
}
