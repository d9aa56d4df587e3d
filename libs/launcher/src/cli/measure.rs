//! Options of the commands that measure: `eval`, `probe`, `table`, `tune`, `bench`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{GraphOptions, StorageType};
use crate::checkpoint::Loading;

#[derive(Args)]
pub(crate) struct EvalOptions {
    /// Checkpoint folder, run folder, `promoted`, or a model of the hub as owner/name [default: policy.path].
    #[arg(long, value_name = "DIR|RUN|promoted")]
    pub(crate) checkpoint: Option<String>,
    #[command(flatten)]
    pub(crate) loading: Loading,
    /// Data set, of several splits with `--set evaluation.split=NAME` [default: evaluation.test].
    #[arg(long, value_name = "FILE")]
    pub(crate) data: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) graph: GraphOptions,
}

#[derive(Args)]
pub(crate) struct ProbeOptions {
    /// Checkpoint or adapter folder, run folder, `promoted`, or a model of the hub as owner/name.
    #[arg(long, value_name = "DIR|RUN|promoted")]
    pub(crate) checkpoint: String,
    #[command(flatten)]
    pub(crate) loading: Loading,
    /// JSON: `messages` as Hugging Face chat messages, images as {"type": "image", "path": ...} from this file's
    /// folder on; `completion` a text or null.
    #[arg(long, value_name = "FILE")]
    pub(crate) request: PathBuf,
    /// Safetensors file to write: `input_ids`, `logits` (tokens, vocabulary), and with a completion `loss`, the mean
    /// negative log-likelihood of its tokens.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Write the gradient of the loss too, one `grad.NAME` for each parameter of the checkpoint, or of the adapter.
    #[arg(long)]
    pub(crate) gradients: bool,
    /// Type to compute in.
    #[arg(long, value_enum, default_value = "f32")]
    pub(crate) dtype: StorageType,
    /// Where to compute: `cpu`, `cuda`, `cuda:1`.
    #[arg(long, default_value_t)]
    pub(crate) device: vrft_plan::Device,
}

#[derive(Args)]
pub(crate) struct TableOptions {
    /// Configurations, each a table; see configs/paper [default: the one that the graph names].
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Folder that relative paths of the data start at [default: the folder of the graph].
    #[arg(long, value_name = "ROOT")]
    pub(crate) data: Option<PathBuf>,
    /// Numbers of shots [default: table.shots].
    #[arg(long, value_delimiter = ',')]
    pub(crate) shots: Option<Vec<usize>>,
    /// Number of seeds; each draws its own shots.
    #[arg(long, default_value_t = 3)]
    pub(crate) seeds: u64,
    /// The first of the seeds.
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    pub(crate) first_seed: u64,
    /// Metrics of the columns by the evaluator's names; the first is compared in pairs [default: table.metrics].
    #[arg(long = "metric", value_name = "NAME", value_delimiter = ',')]
    pub(crate) metrics: Option<Vec<String>>,
    /// Modes of the reward, as in `--mode compat,fixed`: each is a table of its own [default: reward.mode].
    #[arg(long = "mode", value_name = "MODE", value_delimiter = ',')]
    pub(crate) modes: Option<Vec<String>>,
    /// Say what the runs take, and start none.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Folder for the runs and the tables. What is finished is not run again, what has begun goes on.
    #[arg(long, value_name = "DIR", default_value = "out/table")]
    pub(crate) out: PathBuf,
    /// Run nothing, but put together what earlier tables wrote, as in `--join a/table.json --join chord=b/table.json`: parts
    /// with other seeds, shots or configurations; with a name before it, a part whose trained method is called so.
    #[arg(long, value_name = "[NAME=]FILE", conflicts_with_all = ["files", "data", "shots", "metrics", "modes", "dry_run", "graphs", "overrides"])]
    pub(crate) join: Vec<String>,
    /// The graph that each run is of; several are run one after the other, as sft.yml and rft.yml where one device has no
    /// room for both [default: dataflow.yml].
    #[arg(long = "graph", value_name = "FILE")]
    pub(crate) graphs: Vec<PathBuf>,
    /// Override one value, as in `--set policy.path=DIR`; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
    /// Use the node executables as they are.
    #[arg(long)]
    pub(crate) no_build: bool,
}

#[derive(Args)]
pub(crate) struct TuneOptions {
    /// Configuration to look for better settings of; its section [tune] says which, in which ranges [default: the one that
    /// the graph names].
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Seed of every trial, and of the combinations that are tried.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Say what would be tried, and start nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Folder for the trials and the page. What is finished is not run again, what has begun goes on.
    #[arg(long, value_name = "DIR", default_value = "out/tune")]
    pub(crate) out: PathBuf,
    /// The graph that each trial is of, and where paths start [default: configs/rft.yml beside dataflow.yml, without the
    /// supervised baseline; paths start at dataflow.yml].
    #[arg(long, value_name = "FILE")]
    pub(crate) graph: Option<PathBuf>,
    /// Override one value, as in `--set tune.trials=5`; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
    /// Use the node executables as they are.
    #[arg(long)]
    pub(crate) no_build: bool,
}

/// One image of noise and a question per prompt; completions of exactly as many tokens as asked for.
#[derive(Args)]
pub(crate) struct BenchOptions {
    /// Checkpoint folder, run folder, `promoted`, or a model of the hub as owner/name.
    #[arg(long, value_name = "DIR|RUN|promoted")]
    pub(crate) checkpoint: String,
    #[command(flatten)]
    pub(crate) loading: Loading,
    /// Width and height of the image.
    #[arg(long, default_value_t = 448)]
    pub(crate) pixels: u32,
    /// Tokens of each completion.
    #[arg(long, default_value_t = 64)]
    pub(crate) tokens: usize,
    /// Completions of each prompt.
    #[arg(long, default_value_t = 8)]
    pub(crate) group: usize,
    /// Prompts of a step.
    #[arg(long, default_value_t = 1)]
    pub(crate) prompts: usize,
    /// Weight of the KL to the reference policy; 0 leaves the reference out.
    #[arg(long, default_value_t = 0.04)]
    pub(crate) beta: f64,
    /// Steps; the first one warms up and does not count.
    #[arg(long, default_value_t = 4)]
    pub(crate) steps: usize,
    /// Type to compute in.
    #[arg(long, value_enum, default_value = "f32")]
    pub(crate) dtype: BenchDtype,
    /// Where to compute: `cpu`, `cuda`, `cuda:1`.
    #[arg(long, default_value_t)]
    pub(crate) device: vrft_plan::Device,
    /// Write the figures to this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BenchDtype {
    F32,
    Bf16,
}

impl BenchDtype {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }
}
