//! One line of `evaluations.jsonl`: what a policy version is worth on the held-out data.

use serde::Deserialize;
use serde_json::{Map, Value};

/// Metrics of one policy version.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Evaluation {
    pub(crate) label: String,
    /// The node whose policy it is, where it is one's.
    #[serde(default)]
    pub(crate) learner: Option<String>,
    #[serde(default)]
    pub(crate) policy_version: u64,
    #[serde(default)]
    pub(crate) n: usize,
    #[serde(default)]
    metrics: Map<String, Value>,
}

/// Metrics that lead the table, in this order; others follow as they were written.
const ORDER: [(&str, &str); 8] = [
    ("miou", "mIoU"),
    ("accuracy", "accuracy"),
    ("ap50", "AP50"),
    ("ap75", "AP75"),
    ("ap", "AP"),
    ("map", "mAP"),
    ("reward", "reward"),
    ("format", "format"),
];

impl Evaluation {
    /// The metric, if it was measured and is a number.
    pub(crate) fn metric(&self, name: &str) -> Option<f64> {
        self.metrics.get(name)?.as_f64().filter(|value| value.is_finite())
    }

    /// Its 95 % confidence interval; `None` where all answers are worth the same, of which none follows.
    pub(crate) fn interval(&self, name: &str) -> Option<(f64, f64)> {
        let bound = |end: &str| self.metric(&format!("{name}_ci_{end}"));
        bound("low").zip(bound("high")).filter(|(low, high)| low < high)
    }
}

/// Names of the metrics of several evaluations, in the order of a table.
pub(crate) fn metric_names(evaluations: &[&Evaluation]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in evaluations.iter().flat_map(|evaluation| evaluation.metrics.keys()) {
        let is_bound = name.ends_with("_ci_low") || name.ends_with("_ci_high");
        let is_number = evaluations.iter().any(|evaluation| evaluation.metric(name).is_some());
        if is_number && !is_bound && !names.contains(name) {
            names.push(name.clone());
        }
    }
    names.sort_by_key(|name| ORDER.iter().position(|(known, _)| known == name).unwrap_or(8));
    names
}

/// A metric's name as papers write it.
pub(crate) fn metric_title(name: &str) -> &str {
    ORDER.iter().find(|(known, _)| *known == name).map_or(name, |(_, title)| title)
}

/// The last evaluation of a label: that of the newest policy version, not of the best one.
pub(crate) fn newest<'a>(evaluations: &'a [Evaluation], label: &str) -> Option<&'a Evaluation> {
    evaluations.iter().filter(|e| e.label == label).max_by_key(|e| e.policy_version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_counts_and_bounds_are_no_metrics() {
        let lines = [
            r#"{"label":"rft","policy_version":9,"n":4,"metrics":{"x":1,"miou":0.5,"miou_ci_low":0.4,"miou_ci_high":0.6}}"#,
            r#"{"label":"rft","policy_version":5,"n":4,"metrics":{"miou":0.9,"ap":null}}"#,
        ];
        let all: Vec<Evaluation> =
            lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        let last = newest(&all, "rft").unwrap();
        assert_eq!(last.metric("miou"), Some(0.5));
        assert_eq!(last.interval("miou"), Some((0.4, 0.6)));
        assert_eq!(metric_names(&all.iter().collect::<Vec<_>>()), ["miou", "x"]);
    }
}
