//! `samples.jsonl` of the run folder: how the rewards of each sample's completions spread, whenever it was asked about.
//!
//! A sample whose completions are all right, or all wrong, teaches nothing. So the spread is what samples are selected by, as
//! [Temporal-RLT](https://arxiv.org/abs/2506.01908) does by repeated inference; `data.rows` takes the names that are left.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use eyre::WrapErr;
use serde_json::json;
use vrft_messages::{AdvantageBatch, CompletionBatch, PromptBatch};

const FILE: &str = "samples.jsonl";

/// The file, which a resumed run continues: of lines about a step that was made twice, the last one counts.
pub(crate) struct Samples(File);

impl Samples {
    pub(crate) fn open(run_dir: &Path) -> eyre::Result<Self> {
        let path = run_dir.join(FILE);
        let file = OpenOptions::new().create(true).append(true).open(&path);
        Ok(Self(file.wrap_err_with(|| format!("cannot write {path:?}"))?))
    }

    /// Adds a line for each prompt of a step. True answers that were shown, and what could not be scored, do not count.
    pub(crate) fn note(
        &mut self,
        step: u64,
        (prompts, completions, advantages): &(PromptBatch, CompletionBatch, AdvantageBatch),
    ) -> eyre::Result<()> {
        let mut lines = String::new();
        for prompt in &prompts.prompts {
            let rows = completions.completions.iter().zip(&advantages.advantages);
            let own = rows
                .filter(|(row, _)| row.prompt_id == prompt.prompt_id && !row.completion.is_shown());
            let rewards: Vec<f64> =
                own.filter_map(|(_, advantage)| advantage.reward).map(f64::from).collect();
            if rewards.is_empty() {
                continue;
            }
            let (mean, std) = spread(&rewards);
            let line = json!({
                "step": step, "sample_id": prompt.sample_id, "task": prompt.task,
                "n": rewards.len(), "mean": mean, "std": std,
            });
            lines += &format!("{line}\n");
        }
        self.0.write_all(lines.as_bytes()).wrap_err(FILE)
    }
}

/// Mean and standard deviation (divided by n) of at least one number.
fn spread(rewards: &[f64]) -> (f64, f64) {
    let n = rewards.len() as f64;
    let mean = rewards.iter().sum::<f64>() / n;
    let variance = rewards.iter().map(|reward| (reward - mean).powi(2)).sum::<f64>() / n;
    (mean, variance.sqrt())
}
