//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

/// Visual reinforcement fine-tuning as a dora dataflow.
///
/// Without a command: runs dataflow.yml, which fine-tunes the starter policy on a few real images and compares
/// base, supervised (SFT) and reinforcement (RFT) fine-tuning on held-out ones. Everything is written to a
/// folder under `out/`; open its `report.html`.
#[derive(Parser)]
#[command(name = "vrft", version, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

const EXAMPLES: &str = "\
Examples:
  vrft                                        the default run
  vrft run --set learner.steps=20             the same, shorter
  vrft run my-graph.yml --config my.toml      your own graph and configuration
  vrft run --resume                           continue the newest run where it stopped
  vrft check                                  validate graph and configuration, print them resolved
  vrft eval --checkpoint out/RUN/checkpoints/learner/step-000100
  vrft reward test configs/rewards/visual-rft/detection.toml
  vrft few-shot --seeds 5 --shots 1,4,16      the table of the README
  vrft bench --checkpoint DIR --group 8       seconds, memory and speed of a step";

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run a graph: build its nodes, start them, show how it goes.
    Run(RunOptions),
    /// Validate a graph and its configuration and print it resolved; nothing is run.
    Check(CheckOptions),
    /// Evaluate a checkpoint on held-out data.
    Eval(EvalOptions),
    /// Repeat base / SFT / RFT over seeds and shot counts; write a table and a plot.
    FewShot(FewShotOptions),
    /// Time GRPO steps on a made-up case, phase by phase.
    Bench(BenchOptions),
    /// Score predictions against the truth as COCO or LVIS do; no model is needed.
    Score(crate::score::ScoreOptions),
    /// Test a declared reward, score completions again, or propose a reward from data.
    #[command(subcommand)]
    Reward(RewardCommand),
    /// Say what is wrong with a run by its numbers, with likely cause and remedy; fails if anything is.
    Doctor {
        /// The run folder [default: the newest below out/].
        run: Option<PathBuf>,
    },
    /// Make the report of a run folder again.
    Report {
        /// The run folder.
        run: PathBuf,
    },
    /// Put a run's policy into use, unless it does worse on held-out data than what the run started from.
    Promote {
        /// The run folder.
        run: PathBuf,
        /// Which policy of the run, by the evaluator's name for it.
        #[arg(long, default_value = "rft")]
        label: String,
        /// Folder of the policies in use; `current` in it is the one that counts.
        #[arg(long, value_name = "DIR", default_value = "out/served")]
        served: PathBuf,
    },
    /// Go back to the policy that was in use before.
    Rollback {
        /// Folder of the policies in use.
        #[arg(long, value_name = "DIR", default_value = "out/served")]
        served: PathBuf,
    },
    /// Write random weights into a folder that has the other files of a checkpoint.
    Init {
        /// The checkpoint folder.
        checkpoint: PathBuf,
        /// Seed of the weights.
        #[arg(long, default_value_t = 0)]
        seed: u64,
        /// Type to store them as.
        #[arg(long, value_enum, default_value = "f32")]
        dtype: StorageType,
    },
    /// Write what a checkpoint makes of one conversation, to be compared with another implementation.
    Probe(ProbeOptions),
    /// Add an adapter to the weights that it was trained beside and write a plain checkpoint.
    Merge {
        /// Folder of the adapter, as `peft` and this program write it.
        adapter: PathBuf,
        /// Folder to write.
        out: PathBuf,
        /// Type to store the weights as.
        #[arg(long, value_enum, default_value = "bf16")]
        dtype: StorageType,
    },
    /// Print shell completions.
    Completions {
        /// The shell to complete for.
        shell: Shell,
    },
}

/// Types that weights are stored as.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum StorageType {
    F32,
    Bf16,
    F16,
}

impl From<StorageType> for candle_core::DType {
    fn from(dtype: StorageType) -> Self {
        match dtype {
            StorageType::F32 => Self::F32,
            StorageType::Bf16 => Self::BF16,
            StorageType::F16 => Self::F16,
        }
    }
}

/// What to do with a reward. SPEC is any configuration with a section `[reward]`, as in `configs/rewards/`.
#[derive(Subcommand)]
pub(crate) enum RewardCommand {
    /// Attack a reward before a policy does: oracle, fuzzing, corrupted answers, known tricks.
    Test {
        /// The declared reward.
        spec: PathBuf,
        /// True answers to test with [default: drawn by chance].
        #[arg(long, value_name = "FILE")]
        data: Option<PathBuf>,
        /// Print the report as JSON.
        #[arg(long)]
        json: bool,
        /// Override one value, as in `--set reward.mode=compat`; may be repeated.
        #[arg(long = "set", value_name = "KEY=VALUE")]
        overrides: Vec<String>,
    },
    /// Score completions again: JSON lines with `completion` and `solution` in, rewards and terms out. With a `first`
    /// answer before it a completion is a correction, and both turns earn.
    Score {
        /// The declared reward.
        spec: PathBuf,
        /// The completions.
        file: PathBuf,
        /// Override one value; may be repeated.
        #[arg(long = "set", value_name = "KEY=VALUE")]
        overrides: Vec<String>,
    },
    /// Propose a reward from at least three questions with their answers, and prove it with the self-test.
    Infer {
        /// Data set, or JSON lines with `problem` and `solution`.
        data: PathBuf,
    },
}

impl Default for Command {
    fn default() -> Self {
        Self::Run(RunOptions::default())
    }
}

/// Which graph, which configuration.
#[derive(Args, Clone)]
pub(crate) struct GraphOptions {
    /// The graph. Paths in it and in the configuration start at its folder.
    #[arg(default_value = "dataflow.yml")]
    pub(crate) graph: PathBuf,
    /// Configuration, instead of the one that the graph names.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Override one value, as in `--set learner.steps=20`; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
}

#[derive(Args, Clone)]
pub(crate) struct CheckOptions {
    #[command(flatten)]
    pub(crate) graph: GraphOptions,
    /// Also decode every picture, not only their headers.
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Args, Clone)]
pub(crate) struct RunOptions {
    #[command(flatten)]
    pub(crate) graph: GraphOptions,
    /// Folder to write to [default: a new one under `run.out`].
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Continue an interrupted run from its newest intact checkpoint [default: the newest run].
    #[arg(long, value_name = "DIR", num_args = 0..=1, conflicts_with = "out")]
    #[expect(clippy::option_option, reason = "absent, given, given with a folder")]
    pub(crate) resume: Option<Option<PathBuf>>,
    /// Use the node executables as they are.
    #[arg(long)]
    pub(crate) no_build: bool,
    /// Show the log of every node.
    #[arg(long, short)]
    pub(crate) verbose: bool,
}

#[derive(Args)]
pub(crate) struct EvalOptions {
    /// Checkpoint folder in the Hugging Face layout [default: policy.path].
    #[arg(long, value_name = "DIR")]
    pub(crate) checkpoint: Option<PathBuf>,
    /// Data set [default: evaluation.test].
    #[arg(long, value_name = "FILE")]
    pub(crate) data: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) graph: GraphOptions,
}

#[derive(Args)]
pub(crate) struct ProbeOptions {
    /// Checkpoint or adapter folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) checkpoint: PathBuf,
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

impl Default for GraphOptions {
    fn default() -> Self {
        Self { graph: "dataflow.yml".into(), config: None, overrides: Vec::new() }
    }
}

impl Default for RunOptions {
    fn default() -> Self {
        let graph = GraphOptions::default();
        Self { graph, out: None, resume: None, no_build: false, verbose: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn resume_may_name_a_folder() {
        let parse = |words: &[&str]| match Cli::parse_from(words).command {
            Some(Command::Run(options)) => options.resume,
            _ => panic!("expected run"),
        };
        assert_eq!(parse(&["vrft", "run"]), None);
        assert_eq!(parse(&["vrft", "run", "--resume"]), Some(None));
        assert_eq!(parse(&["vrft", "run", "--resume", "out/a"]), Some(Some("out/a".into())));
    }
}
