//! The best policy of each learner, as the evaluator names it in `best.json`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::Deserialize;

use crate::ReportError;
use crate::evaluation::metric_title;
use crate::label;
use crate::load::bytes;

/// The best policy under a label.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct BestPolicy {
    /// The evaluator's name for the policy.
    #[serde(skip)]
    pub label: String,
    /// Learner steps that it has seen.
    pub step: u64,
    /// The measure that it was chosen by.
    pub measure: String,
    /// Its value, the higher the better.
    pub value: f64,
    /// What the policy that the run started from is worth by that measure.
    #[serde(default)]
    pub base: Option<f64>,
    /// Key of the rows that it was chosen on: `evaluation.validation` or `evaluation.test`.
    pub chosen_on: String,
    /// Its folder, within the run folder.
    pub checkpoint: String,
}

impl BestPolicy {
    /// Whether it was chosen on the very rows that are reported on.
    pub fn is_selected_on_test(&self) -> bool {
        self.chosen_on == "evaluation.test"
    }
}

impl fmt::Display for BestPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { label, step, measure, value, base, .. } = self;
        let name = label::display(label);
        let measure = metric_title(measure);
        let chosen = if self.is_selected_on_test() {
            "selected on test".to_owned()
        } else {
            format!("selected on {}", self.chosen_on)
        };
        let best = format!("step {step}, {measure} {value:.3} ({chosen}");
        match base {
            Some(base) if base >= value => {
                write!(
                    f,
                    "No policy of {name} is better than the base's {base:.3}; the nearest: {best})"
                )
            }
            Some(base) => write!(f, "Best of {name}: {best}; base {base:.3})"),
            None => write!(f, "Best of {name}: {best})"),
        }
    }
}

/// The best policies of a run by their labels; none where nothing was evaluated, or where the file is torn.
///
/// # Errors
/// A file that the system refuses to read.
pub fn best_policies(run_dir: &Path) -> Result<Vec<BestPolicy>, ReportError> {
    let text = bytes(&run_dir.join("best.json"))?.unwrap_or_default();
    let found: BTreeMap<String, BestPolicy> = serde_json::from_slice(&text).unwrap_or_default();
    let mut found: Vec<BestPolicy> =
        found.into_iter().map(|(label, best)| BestPolicy { label, ..best }).collect();
    found.sort_by_key(|best| label::rank(&best.label));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(json: &str, expected: &[&str]) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("best.json"), json).unwrap();
        let told: Vec<String> =
            best_policies(folder.path()).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn the_best_is_named_with_the_rows_that_it_was_chosen_on() {
        let one = |base: &str, on: &str| {
            format!(
                r#"{{"rft":{{"step":75,"measure":"miou","value":0.61,"base":{base},"chosen_on":"evaluation.{on}",
                "checkpoint":"best/rft/step-000075","learner":"learner"}}}}"#
            )
        };
        check(
            &one("0.47", "test"),
            &["Best of RFT: step 75, mIoU 0.610 (selected on test; base 0.470)"],
        );
        check(
            &one("null", "validation"),
            &["Best of RFT: step 75, mIoU 0.610 (selected on evaluation.validation)"],
        );
        check(
            &one("0.7", "test"),
            &[
                "No policy of RFT is better than the base's 0.700; the nearest: step 75, mIoU 0.610 (selected on test)",
            ],
        );
        check("torn", &[]);
    }
}
