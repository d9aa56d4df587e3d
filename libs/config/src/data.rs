//! Data to learn from and data to be judged on.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{Device, RewardConfig, StreamConfig};

/// The training split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// Parquet, Arrow or JSONL file with the columns `image`, `problem`, `solution`.
    pub train: PathBuf,
    /// Rows to keep, drawn with the run's seed; 0 keeps all.
    pub shots: usize,
    /// Mirror images (and the boxes of their answers) at random.
    pub flip: Flip,
    /// Share of rows that may be unusable before the run refuses to start. They are skipped and counted.
    pub max_bad_fraction: f64,
    /// How the size n of a source counts: a source of weight λ gives a share of the prompts in proportion to
    /// `λ · n^sampling_exponent`; 0.5 if left out. Only for several sources.
    pub sampling_exponent: Option<f64>,
    /// Several tasks that are learned together, instead of `train` and `shots`.
    pub sources: Vec<SourceConfig>,
    /// Learn from a live stream of frames; `train`, `shots`, `flip` and `evaluation.test` then have no part in it.
    pub stream: Option<StreamConfig>,
}

/// One of several tasks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// Its name: of its metrics, and in every message about its prompts.
    pub task: String,
    /// As `data.train`.
    pub train: PathBuf,
    /// As `data.shots`.
    #[serde(default)]
    pub shots: usize,
    /// Weight λ: on its share of the prompts, and on the advantages of its completions.
    #[serde(default = "one")]
    pub weight: f64,
    /// Held-out data of this task, evaluated besides `evaluation.test`: what is learned of one task at the cost of
    /// another shows there.
    pub test: Option<PathBuf>,
    /// How its completions are scored, if not by the run's `[reward]`. With a `preset` or a type of answer this is a
    /// task of its own; without, it says what is different from the run's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reward: Option<RewardConfig>,
}

/// Which mirror images count as further views of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flip {
    /// Images stay as they are.
    None,
    /// Left and right may swap.
    Horizontal,
    /// Left and right, top and bottom may swap: aerial views have no up.
    Both,
}

/// The held-out split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvaluationConfig {
    /// File with the same columns as the training data.
    pub test: PathBuf,
    /// Rows to use, from the start; 0 uses all.
    pub limit: usize,
    /// Evaluate every so many learner steps besides first and last; 0 for first and last only.
    pub every: u64,
    /// Prompts decoded together.
    pub batch_size: usize,
    /// Where the evaluator computes.
    pub device: Device,
}

impl DataConfig {
    /// Weight λ of a task; 1 where only one is learned.
    pub fn weight_of(&self, task: &str) -> f64 {
        self.sources.iter().find(|source| source.task == task).map_or(1.0, |source| source.weight)
    }
}

fn one() -> f64 {
    1.0
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            train: "data/train.parquet".into(),
            shots: 0,
            flip: Flip::None,
            max_bad_fraction: 0.05,
            sampling_exponent: None,
            sources: vec![],
            stream: None,
        }
    }
}

impl Default for EvaluationConfig {
    fn default() -> Self {
        Self {
            test: "data/test.parquet".into(),
            limit: 0,
            every: 0,
            batch_size: 16,
            device: Device::Cpu,
        }
    }
}
