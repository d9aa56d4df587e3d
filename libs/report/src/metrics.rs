//! The numbers of `metrics.jsonl` as curves over learner steps.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::diagnosis::History;

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

/// The node whose numbers are those of the supervised baseline.
const SFT_NODE: &str = "sft";

/// Curves by name and node; a step that was repeated after a resume counts once, as it was last.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    curves: BTreeMap<String, BTreeMap<String, BTreeMap<u64, f64>>>,
    first_at: Option<f64>,
    last_at: Option<f64>,
    /// The numbers of the reinforcement fine-tuning, those included that are not finite.
    pub(crate) history: History,
}

impl Metrics {
    /// Sorts records into curves; what is not a finite number is left out.
    pub(crate) fn new(records: Vec<MetricRecord>) -> Metrics {
        let mut metrics = Metrics::default();
        for record in records {
            if let Some(at) = record.at.filter(|at| at.is_finite()) {
                metrics.first_at = Some(metrics.first_at.map_or(at, |first| first.min(at)));
                metrics.last_at = Some(metrics.last_at.map_or(at, |last| last.max(at)));
            }
            if record.node != SFT_NODE {
                let value = record.value.unwrap_or(f64::NAN);
                metrics.history.record(record.step, &record.name, value);
            }
            let Some(value) = record.value.filter(|value| value.is_finite()) else { continue };
            let curve = metrics.curves.entry(record.name).or_default().entry(record.node);
            curve.or_default().insert(record.step, value);
        }
        metrics
    }

    /// A curve of the reinforcement fine-tuning: the learner's where several nodes have one of that name.
    pub(crate) fn curve(&self, name: &str) -> Vec<(f64, f64)> {
        let Some(nodes) = self.curves.get(name) else { return Vec::new() };
        let other = nodes.iter().find(|(node, _)| *node != SFT_NODE).map(|(_, curve)| curve);
        points(nodes.get("learner").or(other))
    }

    /// A curve of the supervised baseline.
    pub(crate) fn sft_curve(&self, name: &str) -> Vec<(f64, f64)> {
        points(self.curves.get(name).and_then(|nodes| nodes.get(SFT_NODE)))
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

    /// Seconds between the first and the last number.
    pub(crate) fn elapsed(&self) -> Option<f64> {
        Some(self.last_at? - self.first_at?).filter(|secs| *secs > 0.0)
    }

    /// The last learner step that has a number.
    pub(crate) fn last_step(&self) -> Option<u64> {
        let nodes = self.curves.values().flatten().filter(|(node, _)| *node != SFT_NODE);
        nodes.filter_map(|(_, curve)| curve.last_key_value()).map(|(step, _)| *step).max()
    }
}

fn points(curve: Option<&BTreeMap<u64, f64>>) -> Vec<(f64, f64)> {
    curve.into_iter().flatten().map(|(step, value)| (*step as f64, *value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(lines: &[&str]) -> Metrics {
        Metrics::new(lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    #[test]
    fn the_baseline_has_its_own_curve() {
        let metrics = metrics(&[
            r#"{"step":1,"name":"policy/loss","value":0.5,"at":1.0,"node":"sft"}"#,
            r#"{"step":1,"name":"policy/loss","value":0.1,"at":2.0,"node":"learner"}"#,
        ]);
        assert_eq!(metrics.curve("policy/loss"), [(1.0, 0.1)]);
        assert_eq!(metrics.sft_curve("policy/loss"), [(1.0, 0.5)]);
        assert_eq!(metrics.elapsed(), Some(1.0));
    }

    #[test]
    fn an_absent_value_is_left_out_and_a_repeated_step_counts_once() {
        let metrics = metrics(&[
            r#"{"step":1,"name":"x","value":null,"node":"reward"}"#,
            r#"{"step":2,"name":"x","value":1.0,"node":"reward"}"#,
            r#"{"step":2,"name":"x","value":3.0,"node":"reward"}"#,
        ]);
        assert_eq!(metrics.curve("x"), [(2.0, 3.0)]);
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
