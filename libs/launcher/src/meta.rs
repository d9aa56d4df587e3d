//! `vrft meta`: a start for a soft prompt (or for adapters, or for all weights) that is learned over the small sets of several
//! tasks, by Reptile.

use std::path::PathBuf;

use clap::Args;
use eyre::{WrapErr, ensure, eyre};
use vrft_checkpoint::Manifest;
use vrft_dataset::{Order, Row};
use vrft_learner::{Demonstration, Learner, OptimizerConfig, Schedule, TrainSettings};
use vrft_model::{LoadOptions, Policy};
use vrft_objective::config::LossConfig;
use vrft_processor::Processor;
use vrft_prompts::{Prompter, resized};

use crate::checkpoint::check_free;
use crate::cli::GraphOptions;
use crate::config::Config;
use crate::graph::Graph;
use crate::print::say;
use crate::retrieve::shots;

#[derive(Args)]
pub(crate) struct MetaOptions {
    /// Configurations of the tasks; each learns from its `data.train`. What is trained, and how fast, says the first of them.
    #[arg(required = true, value_name = "CONFIG")]
    tasks: Vec<PathBuf>,
    /// Folder to write what was learned to; a run starts from it with `policy.path`.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How often each task is visited.
    #[arg(long, default_value_t = 20)]
    iterations: usize,
    /// Supervised steps at a visit, by `sft.optimizer` at a constant rate.
    #[arg(long, default_value_t = 5)]
    inner: usize,
    /// Samples of a step.
    #[arg(long, default_value_t = 4)]
    batch: usize,
    /// Share of the way that a visit moves the start towards where its steps led; falls in a straight line to 0.
    #[arg(long, default_value_t = 0.5)]
    rate: f64,
    /// The graph at whose folder paths start [default: dataflow.yml].
    #[arg(long, value_name = "FILE")]
    graph: Option<PathBuf>,
    /// Override one value of every task, as in `--set policy.prompt_tuning.tokens=8`; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
}

/// The small set of one task.
struct Task {
    name: String,
    demonstrations: Vec<Demonstration>,
    order: Order,
    /// Samples drawn so far.
    n_drawn: u64,
}

/// Learns the start and writes it.
pub(crate) fn meta(options: &MetaOptions) -> eyre::Result<()> {
    let MetaOptions { iterations, inner, batch, rate, .. } = *options;
    for (name, value) in [("--iterations", iterations), ("--inner", inner), ("--batch", batch)] {
        ensure!(value > 0, "{name} = 0: expected 1 or more");
    }
    ensure!(rate > 0.0 && rate <= 1.0, "--rate = {rate}: expected a share in (0, 1]");
    check_free(&options.out)?;
    let (mut learner, mut tasks) = prepare(options)?;
    let n_tasks = tasks.len() as f64;
    for iteration in 0..iterations {
        let share = rate * (1.0 - iteration as f64 / iterations as f64);
        let (mut first, mut last) = (0.0, 0.0);
        for task in &mut tasks {
            let batches: Vec<_> = (0..inner).map(|_| task.draw(batch)).collect();
            let stats = learner.reptile(&batches, share).wrap_err_with(|| task.name.clone())?;
            first += stats.first_loss / n_tasks;
            last += stats.last_loss / n_tasks;
        }
        say!(
            "{:>3}: loss {first:.4} before the steps of a visit, {last:.4} at the last",
            iteration + 1
        );
    }
    learner.policy().save(&options.out)?;
    Manifest::write(&options.out)?;
    say!("{}: learned from {}; name it in policy.path", options.out.display(), names(&tasks));
    Ok(())
}

fn names(tasks: &[Task]) -> String {
    tasks.iter().map(|task| task.name.as_str()).collect::<Vec<_>>().join(", ")
}

/// The policy of the first task in training, and the small sets of all.
fn prepare(options: &MetaOptions) -> eyre::Result<(Learner, Vec<Task>)> {
    let graphs = options.tasks.iter().map(|config| {
        let overrides = options.overrides.clone();
        let graph = options.graph.clone();
        let options = GraphOptions { graph, config: Some(config.clone()), overrides };
        Graph::load(&options).wrap_err_with(|| format!("{config:?}"))
    });
    let graphs = graphs.collect::<eyre::Result<Vec<Graph>>>()?;
    let first = &graphs[0];
    let path = first.checkpoint()?;
    let mut tasks = Vec::with_capacity(graphs.len());
    for (graph, file) in graphs.iter().zip(&options.tasks) {
        let found = graph.checkpoint()?;
        ensure!(
            found == path && graph.config.policy == first.config.policy,
            "{file:?}: [policy] is another one than that of {:?}, and one policy learns all tasks",
            options.tasks[0]
        );
        tasks.push(Task::of(&graph.config, file).wrap_err_with(|| format!("{file:?}"))?);
    }
    let config = &first.config;
    let device = vrft_model::open_device("learner.device", config.learner.device)?;
    let loading = LoadOptions::new(&config.policy, device, true);
    let policy = Policy::load_beside(&path, config.policy.base.as_deref(), &loading)?;
    let optimizer = OptimizerConfig {
        schedule: Schedule::Constant,
        warmup_steps: 0,
        ..config.sft.optimizer.clone()
    };
    let settings = TrainSettings {
        optimizer: &optimizer,
        loss: &LossConfig { kl_coef: 0.0, ..LossConfig::default() },
        learner: &config.learner,
        temperature: 1.0,
        max_completion_tokens: config.rollout.max_completion_tokens,
    };
    Ok((Learner::new(policy, None, &settings)?, tasks))
}

impl Task {
    fn of(config: &Config, file: &std::path::Path) -> eyre::Result<Self> {
        let processor = Processor::of(&config.policy)?;
        let (rows, prompter) = shots(&processor, config)?;
        let demonstration = |row: &Row| demonstration(config, &processor, &prompter, row);
        let demonstrations =
            rows.iter().map(|row| demonstration(row).wrap_err_with(|| row.origin.place()));
        let demonstrations = demonstrations.collect::<eyre::Result<Vec<_>>>()?;
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let order = Order::new(demonstrations.len(), config.run.seed);
        Ok(Self { name, demonstrations, order, n_drawn: 0 })
    }

    /// The next samples of the task, epoch after epoch in an order that the seed draws.
    fn draw(&mut self, n: usize) -> Vec<Demonstration> {
        let drawn = self.n_drawn..self.n_drawn + n as u64;
        self.n_drawn = drawn.end;
        drawn.map(|k| self.demonstrations[self.order.index(k)].clone()).collect()
    }
}

/// The question about a row, and the tokens that a perfect policy would say.
fn demonstration(
    config: &Config,
    processor: &Processor,
    prompter: &Prompter,
    row: &Row,
) -> eyre::Result<Demonstration> {
    let messages = prompter.chat_messages(row);
    let prompt = vrft_prompts::encode(processor, &messages, row).map_err(|why| eyre!(why))?;
    let truth = prompter.truth(row, &|size| resized(processor, size)).map_err(|why| eyre!(why))?;
    let prefix = &config.sft.answer_prefix;
    let text = config.sft.demonstration(&prompter.demonstration(&truth, prefix));
    Ok(Demonstration { prompt, token_ids: processor.encode_completion(&text)? })
}
