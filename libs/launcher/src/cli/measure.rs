//! Options of the commands that measure: `eval`, `probe`, `few-shot`, `bench`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{GraphOptions, StorageType};

#[derive(Args)]
pub(crate) struct EvalOptions {
    /// Checkpoint folder in the Hugging Face layout [default: policy.path].
    #[arg(long, value_name = "DIR")]
    pub(crate) checkpoint: Option<PathBuf>,
    /// The model that an adapter was trained beside, where it is no longer what the adapter names.
    #[arg(long, value_name = "DIR")]
    pub(crate) base: Option<PathBuf>,
    /// Data set [default: evaluation.test].
    #[arg(long, value_name = "FILE")]
    pub(crate) data: Option<PathBuf>,
    /// Load the checkpoint without comparing it with its manifest.
    #[arg(long)]
    pub(crate) no_verify: bool,
    #[command(flatten)]
    pub(crate) graph: GraphOptions,
}

#[derive(Args)]
pub(crate) struct ProbeOptions {
    /// Checkpoint or adapter folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) checkpoint: PathBuf,
    /// The model that an adapter was trained beside, where it is no longer what the adapter names.
    #[arg(long, value_name = "DIR")]
    pub(crate) base: Option<PathBuf>,
    /// Load the checkpoint without comparing it with its manifest.
    #[arg(long)]
    pub(crate) no_verify: bool,
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
pub(crate) struct FewShotOptions {
    /// Shot counts.
    #[arg(long, value_delimiter = ',', default_value = "1,4,16")]
    pub(crate) shots: Vec<usize>,
    /// Seeds, from 0; each draws its own shots.
    #[arg(long, default_value_t = 5)]
    pub(crate) seeds: u64,
    /// Folder for the runs and the table; cells that are there already are not run again.
    #[arg(long, value_name = "DIR", default_value = "out/few-shot")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) graph: GraphOptions,
}

/// One image of noise and a question per prompt; completions of exactly as many tokens as asked for.
#[derive(Args)]
pub(crate) struct BenchOptions {
    /// Checkpoint folder in the Hugging Face layout.
    #[arg(long, value_name = "DIR")]
    pub(crate) checkpoint: PathBuf,
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
