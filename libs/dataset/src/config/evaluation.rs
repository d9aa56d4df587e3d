//! The section `[evaluation]`: what is judged on.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use vrft_config::{ConfigError, Section, require};
use vrft_plan::{AttackConfig, Device};

use crate::DataSpace;

/// Most prompts that are decoded together.
const MAX_BATCH: usize = 1 << 16;

/// Evaluations in a run that does not say how many.
const N_EVALUATIONS: u64 = 10;

/// Steps between these in a short run: an evaluation takes as long as some steps.
const MIN_INTERVAL: u64 = 10;

/// Which categories are asked for on an annotated picture that is judged on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// Those that are on it.
    #[default]
    Present,
    /// All, but for those of which the data does not say whether they are on it.
    Every,
}

/// What policies are evaluated on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvaluationConfig {
    /// File with the same columns as the training data.
    pub test: PathBuf,
    /// Which split of a folder that has several, as `test`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
    /// What the coordinates in the true answers of `test` and `validation` count; left out, as `data.space` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub space: Option<DataSpace>,
    /// File of further rows to choose the best policy on, which are neither learned from nor reported on. Left out, it is
    /// chosen on the rows of `test`, and is a little worse on new ones than its number says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation: Option<PathBuf>,
    /// Which split of a folder that has several, as `validation`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation_split: Option<String>,
    /// Categories or classes that are judged on; left out, those of `data.categories`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub categories: Option<Vec<String>>,
    /// Which categories are asked for on a picture.
    pub ask: Ask,
    /// File that says of samples whether they are asked at all, as `vrft table` writes it: an answer of the model that was
    /// started from to whether there is such an object. What is not asked has found nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exist: Option<PathBuf>,
    /// Of several questions about the same place only the first is asked, as for ReasonSeg in Visual-RFT.
    pub first_question: bool,
    /// Rows to use, from the start; 0 uses all.
    pub limit: usize,
    /// Evaluate every so many learner steps besides first and last; 0 for first and last only. Left out, ten times in a
    /// run, and at most every ten steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<u64>,
    /// Number of prompts that are decoded together.
    pub batch_size: usize,
    /// Where the evaluator computes.
    pub device: Device,
    /// Attacks the pictures of `test` as well: each measure is then given a second time, with `attacked/` before its name,
    /// for the answers about attacked pictures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attack: Option<AttackConfig>,
}

impl EvaluationConfig {
    /// Steps from one evaluation to the next in a run of so many; 0 for none in between.
    pub fn interval(&self, n_steps: u64) -> u64 {
        self.every.unwrap_or_else(|| (n_steps / N_EVALUATIONS).max(MIN_INTERVAL))
    }

    /// The same, judged on these rows for choosing instead of on those that are reported.
    pub fn to_choose(&self, validation: &std::path::Path) -> Self {
        let split = self.validation_split.clone();
        // What exists is said of the samples of `test`.
        let exist = None;
        // What is chosen by is how right answers are about pictures as they are.
        let attack = None;
        let test = validation.to_owned();
        Self { test, split, validation_split: None, exist, attack, ..self.clone() }
    }
}

impl Section for EvaluationConfig {
    const NAME: &'static str = "evaluation";

    fn check(&self) -> Result<(), ConfigError> {
        let n = self.batch_size;
        let fine = (1..=MAX_BATCH).contains(&n);
        require(fine, "evaluation.batch_size", n, format!("1 to {MAX_BATCH}"))?;
        self.attack.as_ref().map_or(Ok(()), |attack| attack.check_as("evaluation.attack"))?;
        require(
            self.validation_split.is_none() || self.validation.is_some(),
            "evaluation.validation_split",
            self.validation_split.as_deref().unwrap_or_default(),
            "left out, or evaluation.validation beside it, of which it is the split",
        )
    }
}

impl Default for EvaluationConfig {
    fn default() -> Self {
        Self {
            test: "data/test.parquet".into(),
            split: None,
            space: None,
            categories: None,
            ask: Ask::Present,
            exist: None,
            first_question: false,
            limit: 0,
            validation: None,
            validation_split: None,
            every: None,
            batch_size: 16,
            device: Device::Cpu,
            attack: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use vrft_config::Document;

    use super::*;

    #[test]
    fn a_long_run_is_evaluated_ten_times_and_a_short_one_seldom() {
        let of = |every| EvaluationConfig { every, ..EvaluationConfig::default() };
        assert_eq!([4, 100, 500].map(|steps| of(None).interval(steps)), [10, 10, 50]);
        assert_eq!((of(Some(0)).interval(500), of(Some(3)).interval(500)), (0, 3));
    }

    #[test]
    fn a_key_without_its_partner_is_refused() {
        let text = "[evaluation]\nvalidation_split = \"dev\"";
        let read: Result<EvaluationConfig, _> = Document::parse(text, "test").unwrap().section();
        let error = read.unwrap_err().to_string();
        assert!(error.starts_with("evaluation.validation_split = dev"), "{error}");
        let text = "[evaluation]\nbatch_size = 99999";
        let read: Result<EvaluationConfig, _> = Document::parse(text, "test").unwrap().section();
        assert!(read.unwrap_err().to_string().starts_with("evaluation.batch_size = 99999"));
    }
}
