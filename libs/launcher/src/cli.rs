//! The command line.

use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

mod measure;

use crate::checkpoint::Loading;
pub(crate) use measure::{
    BenchDtype, BenchOptions, EvalOptions, ProbeOptions, TableOptions, TuneOptions,
};

/// Visual reinforcement fine-tuning as a dora dataflow.
///
/// Without a command: runs dataflow.yml, which fine-tunes the starter policy on a few real images and compares
/// base, supervised (SFT) and reinforcement (RFT) fine-tuning on held-out ones. Everything is written to a
/// folder under `out/`; open its `report.html`.
#[derive(Parser)]
#[command(name = "vrft", version, help_template = TEMPLATE)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// Subcommands are listed by what a user wants, see [`command`].
const TEMPLATE: &str =
    "{about-with-newline}\n{usage-heading} {usage}{after-help}\n\nOptions:\n{options}";

/// What a user wants, and the commands for it.
const GROUPS: [(&str, &[&str]); 6] = [
    ("Start", &["run", "new", "check", "retrieve", "puzzles", "meta", "doctor", "init"]),
    (
        "Use the result",
        &["ask", "segment", "serve", "promote", "rollback", "merge", "quantize", "export"],
    ),
    ("Measure", &["eval", "score", "table", "tune", "probe", "bench"]),
    ("Report", &["report"]),
    ("Rewards", &["reward"]),
    ("Shell", &["completions"]),
];

/// The command line with its commands grouped.
pub(crate) fn command() -> clap::Command {
    let command = Cli::command();
    let mut help = String::new();
    for (heading, names) in GROUPS {
        help += &format!("\n{heading}:\n");
        for name in names {
            let about = command.find_subcommand(name).and_then(clap::Command::get_about);
            help += &format!("  {name:<13}{}\n", about.map_or(String::new(), ToString::to_string));
        }
    }
    help += "\n";
    help += EXAMPLES;
    command.after_help(help)
}

const EXAMPLES: &str = "\
Examples:
  vrft                                        the default run
  vrft run --set learner.steps=20             the same, shorter
  vrft run my-graph.yml --config my.toml      your own graph and configuration
  vrft new mine --data photos/train.jsonl     a configuration for your own rows
  vrft run --resume                           continue the newest run where it stopped
  vrft check                                  validate graph and configuration, print them resolved
  vrft eval --checkpoint out/RUN/checkpoints/learner/step-000100
  vrft ask --checkpoint out/RUN --image photo.jpg --category cup --draw found.png
  vrft segment --image photo.jpg --boxes 40,30,200,180 --draw masks.png
  vrft reward test configs/rewards/visual-rft/detection.toml
  vrft table --seeds 5 --shots 1,4,16         the table of docs/src/measurements.md
  vrft table configs/paper/*.toml --data DATA --dry-run
  vrft bench --checkpoint DIR --group 8       seconds, memory and speed of a step";

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run a graph: build its nodes, start them, show the progress.
    Run(RunOptions),
    /// Look at your own rows and write a commented configuration for them.
    New(crate::new::NewOptions),
    /// Validate a graph and its configuration and print it resolved; nothing is run.
    Check(CheckOptions),
    /// Evaluate a checkpoint on held-out data.
    Eval(EvalOptions),
    /// Repeat base / SFT / RFT over shots and seeds; write a table beside a paper's numbers, with intervals and a plot.
    Table(TableOptions),
    /// Look for better settings: many for few steps, the best of them for more; write a page and a configuration.
    Tune(TuneOptions),
    /// Measure time and memory of GRPO steps on a synthetic prompt, phase by phase.
    Bench(BenchOptions),
    /// Score predictions against the truth as COCO or LVIS do; no model is needed.
    Score(crate::score::ScoreOptions),
    /// Choose rows of a larger data set whose pictures are like those of the shots, to learn from before them.
    Retrieve(crate::retrieve::RetrieveOptions),
    /// Make rows that need no labels of pictures in files: jigsaws, missing pieces, turned pictures.
    Puzzles(crate::puzzles::PuzzlesOptions),
    /// Learn a start for a soft prompt over the small sets of several tasks (Reptile), from which another task is learned.
    Meta(crate::meta::MetaOptions),
    /// Test a declared reward, score completions again, or propose a reward from data.
    #[command(subcommand)]
    Reward(RewardCommand),
    /// Diagnose a run from its metrics: each problem with its likely cause and a remedy. Fails if there is a problem.
    Doctor {
        /// The run folder [default: the newest below out/].
        run: Option<PathBuf>,
    },
    /// Write the report of a run folder again.
    Report {
        /// The run folder.
        run: PathBuf,
    },
    /// Ask a policy about pictures.
    Ask(AskOptions),
    /// Make masks of boxes, by the Segment Anything Model (SAM).
    Segment(crate::segment::SegmentOptions),
    /// Answer questions over HTTP: OpenAI's chat completions with images, and a page for a browser.
    Serve(ServeOptions),
    /// Put a run's policy into use, unless it does worse on held-out data than the one in use.
    Promote(PromoteOptions),
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
    /// Write the logits of a checkpoint for one conversation, to compare them with those of another implementation.
    Probe(ProbeOptions),
    /// Add an adapter to the weights that it was trained beside and write a plain checkpoint.
    Merge {
        /// The adapter, as `peft` and this program write it: its folder, a run folder, or `promoted`.
        #[arg(value_name = "DIR|RUN|promoted")]
        adapter: String,
        /// Folder to write.
        out: PathBuf,
        #[command(flatten)]
        loading: Loading,
        /// Type to store the weights as [default: that of the base].
        #[arg(long, value_enum)]
        dtype: Option<StorageType>,
    },
    /// Write a checkpoint whose language model is in 4 bits (NF4), as transformers with bitsandbytes reads and writes it.
    Quantize {
        /// Checkpoint folder, run folder, `promoted`, or a model of the hub as owner/name.
        #[arg(value_name = "DIR|RUN|promoted")]
        checkpoint: String,
        /// Folder to write.
        out: PathBuf,
        #[command(flatten)]
        loading: Loading,
        /// Type to store everything else as.
        #[arg(long, value_enum, default_value = "bf16")]
        dtype: StorageType,
    },
    /// Write a checkpoint as files that llama.cpp opens: the language model, and the vision tower (`--mmproj`).
    Export {
        /// Checkpoint folder, run folder, `promoted`, or a model of the hub as owner/name; an adapter is merged first.
        #[arg(value_name = "DIR|RUN|promoted")]
        checkpoint: String,
        /// Folder to write.
        out: PathBuf,
        #[command(flatten)]
        loading: Loading,
        /// Write GGUF, and store most weights as this.
        #[arg(long, value_enum, required = true)]
        gguf: GgufType,
        /// llama.cpp's word for how the tokenizer cuts texts, where it is none of a published model.
        #[arg(long, value_name = "WORD")]
        pre: Option<String>,
    },
    /// Print shell completions.
    Completions {
        /// The shell to complete for.
        shell: Shell,
    },
}

/// Types that most weights of a GGUF file are stored as.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum GgufType {
    F16,
    #[value(name = "q8_0")]
    Q8_0,
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
    /// Look for ways to cheat a reward before a policy finds them: corrupted answers, random texts, known tricks.
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
#[derive(Debug, Default, Args, Clone)]
pub(crate) struct GraphOptions {
    /// The graph [default: dataflow.yml]. Paths in it and in its configuration start at its folder.
    pub(crate) graph: Option<PathBuf>,
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
    /// Also decode every picture and read every weight, not only their headers.
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
    /// Continue an interrupted run from its newest intact checkpoint, with the graph and the configuration of its folder
    /// [default: the newest run under `out/`].
    #[arg(long, value_name = "DIR", num_args = 0..=1, conflicts_with = "out")]
    #[expect(clippy::option_option, reason = "absent, given, given with a folder")]
    pub(crate) resume: Option<Option<PathBuf>>,
    /// Continue even if graph, configuration or data differ from those that the run began with.
    #[arg(long, requires = "resume")]
    pub(crate) with_changes: bool,
    /// Start again at step 1 if no checkpoint is intact; the damaged ones are set aside.
    #[arg(long, requires = "resume")]
    pub(crate) start_over: bool,
    /// Load checkpoints without comparing them with their manifests.
    #[arg(long)]
    pub(crate) no_verify: bool,
    /// Use the node executables as they are.
    #[arg(long)]
    pub(crate) no_build: bool,
    /// Show the log of every node.
    #[arg(long, short)]
    pub(crate) verbose: bool,
}

/// Which policy, and how it is loaded.
#[derive(Args, Clone)]
pub(crate) struct PolicyOptions {
    /// Checkpoint folder, run folder (its best policy, else the newest), `promoted`, or a model of the hub as owner/name.
    #[arg(long, value_name = "DIR|RUN|promoted", default_value = "promoted")]
    pub(crate) checkpoint: String,
    #[command(flatten)]
    pub(crate) loading: Loading,
    /// Configuration with the task, `[reward]`, and `[policy]` [default: that of the run which made the checkpoint; else
    /// answers are read as the model's family gives them].
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Override one value, as in `--set answer.max_tokens=256`; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
}

#[derive(Args)]
pub(crate) struct AskOptions {
    #[command(flatten)]
    pub(crate) policy: PolicyOptions,
    /// Picture to ask about; may be repeated. Places in the answer are in pixels of the first.
    #[arg(long = "image", value_name = "FILE", required = true)]
    pub(crate) images: Vec<PathBuf>,
    /// The question [default: answer.question].
    pub(crate) question: Option<String>,
    /// Ask for all objects of this category instead, in the words that policies are trained with.
    #[arg(long, value_name = "NAME", conflicts_with = "question")]
    pub(crate) category: Option<String>,
    /// Print the answer as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Write the first picture with what was found drawn into it, in the format that the name says (.png, .jpg, .webp, .bmp,
    /// .tiff).
    #[arg(long, value_name = "FILE")]
    pub(crate) draw: Option<PathBuf>,
    /// Seed, where answer.temperature is above 0.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
}

#[derive(Args)]
pub(crate) struct ServeOptions {
    #[command(flatten)]
    pub(crate) policy: PolicyOptions,
    /// Address to listen on; other than this machine's own needs a token.
    #[arg(long, default_value = "127.0.0.1")]
    pub(crate) host: std::net::IpAddr,
    /// Port; 0 takes any that is free.
    #[arg(long, default_value_t = 8000)]
    pub(crate) port: u16,
    /// What clients must know, as in `Authorization: Bearer TOKEN`. The variable does not show up in lists of processes.
    #[arg(long, env = "VRFT_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// Questions that may wait; of more, clients are told to come back.
    #[arg(long, default_value_t = 16)]
    pub(crate) queue: usize,
    /// Largest request in MiB, pictures included.
    #[arg(long, default_value_t = 32)]
    pub(crate) max_request_mib: usize,
    /// Most pictures of a request.
    #[arg(long, default_value_t = 8)]
    pub(crate) max_pictures: usize,
    /// Largest picture in millions of pixels.
    #[arg(long, default_value_t = 32)]
    pub(crate) max_megapixels: u64,
    /// Folder of what people say of answers: every remark, and the rows to learn from that follow.
    #[arg(long, value_name = "DIR", default_value = "out/corrections")]
    pub(crate) corrections: PathBuf,
    /// Longest answer in tokens that a request may ask for.
    #[arg(long, default_value_t = 1024)]
    pub(crate) max_tokens: usize,
}

#[derive(Args)]
pub(crate) struct PromoteOptions {
    /// The run folder.
    pub(crate) run: PathBuf,
    /// Which policy of the run, by the evaluator's name for it.
    #[arg(long, default_value = "rft")]
    pub(crate) label: String,
    /// Which of its checkpoints: `best` on held-out data, `last`, or a number of steps.
    #[arg(long, value_name = "STEP", default_value = "best")]
    pub(crate) step: crate::serve::result::Which,
    /// Folder of the policies in use; `current` in it is the one in use now.
    #[arg(long, value_name = "DIR", default_value = "out/served")]
    pub(crate) served: PathBuf,
    /// Copy the checkpoint without comparing it with its manifest.
    #[arg(long)]
    pub(crate) no_verify: bool,
}

impl GraphOptions {
    /// The graph that is named, or the default one.
    pub(crate) fn graph(&self) -> PathBuf {
        self.graph.clone().unwrap_or_else(|| "dataflow.yml".into())
    }
}

impl Default for RunOptions {
    fn default() -> Self {
        let graph = GraphOptions::default();
        Self {
            graph,
            out: None,
            resume: None,
            with_changes: false,
            start_over: false,
            no_verify: false,
            no_build: false,
            verbose: false,
        }
    }
}

#[cfg(test)]
mod tests;
