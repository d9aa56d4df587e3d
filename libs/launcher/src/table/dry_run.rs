//! What a table will take, said before anything starts.

use std::path::{Component, Path};
use std::time::Instant;

use candle_core::{DType, Tensor};
use eyre::{WrapErr, eyre};
use vrft_dataset::{Absent, Dataset};
use vrft_learner::{MemoryEstimate, PromptSize};
use vrft_model::ModelConfig;

use super::Table;
use crate::check::size_of_first_prompt;
use crate::graph::Graph;
use crate::print::say;

/// Side of the square matrices whose product is timed.
const SIDE: usize = 1024;
/// Bytes that are copied to time the memory.
const COPIED: usize = 256 << 20;
/// Share of the product's rate that a step reaches as a whole: measured at the default run, see docs/src/tables.md.
const EFFICIENCY: f64 = 0.5;
const GIB: f64 = (1_u64 << 30) as f64;

/// What a device does in a second.
struct Rates {
    flops: f64,
    bytes: f64,
}

/// What one run does.
struct Work {
    /// Tokens that are sampled.
    sampled: f64,
    /// Tokens that pass through the learners.
    learned: f64,
    /// Questions of all evaluations together.
    answered: f64,
    hours: f64,
}

/// Whether a path may be the name of a model of the hub, as `owner/name`.
fn is_of_hub(path: &Path) -> bool {
    let mut parts = path.components();
    let is_name = |part: Option<Component>| matches!(part, Some(Component::Normal(_)));
    is_name(parts.next()) && is_name(parts.next()) && parts.next().is_none()
}

/// Prints for each table what its runs take.
pub(crate) fn print(tables: &[Table]) -> eyre::Result<()> {
    let (mut hours, mut n_estimated) = (0.0, 0);
    for table in tables {
        let n_runs = table.shots.len() * table.seeds.len();
        let (learner, rollout) = (&table.config.learner, &table.config.rollout);
        let steps: Vec<u64> = steps(table)?;
        say!("{}", table.spec.title);
        say!(
            "  {n_runs} runs: {} numbers of shots, {} seeds; steps {steps:?}, of {} prompts with {} completions each",
            table.shots.len(),
            table.seeds.len(),
            learner.prompts_per_step,
            rollout.group_size
        );
        let mut graph = Graph::load(&table.graph)?;
        let path = &mut graph.config.policy.path;
        let Some(local) = vrft_checkpoint::local_checkpoint_dir(path) else {
            let why = if is_of_hub(path) {
                "a model of the hub is downloaded by the first run"
            } else {
                "there is no such folder (paths start at the folder of the graph)"
            };
            say!("  not here yet: policy.path = {path:?}; {why}");
            continue;
        };
        *path = local;
        if let Err(error) = graph.config.check_files(graph.reads_data()) {
            say!("  not here yet: {error}");
            continue;
        }
        n_estimated += 1;
        hours += of_table(table, &graph, &steps)?;
    }
    match n_estimated {
        0 => say!("nothing was estimated: data or checkpoint is not here"),
        n if n < tables.len() => {
            say!(
                "{n} of {} tables, whose data and checkpoint are here: {}",
                tables.len(),
                span(hours)
            );
        }
        _ => say!("in all: {}", span(hours)),
    }
    Ok(())
}

/// Learner steps at each number of shots.
fn steps(table: &Table) -> eyre::Result<Vec<u64>> {
    let of = |shots: &Option<usize>| {
        let steps = table.spec.steps(*shots).map_err(|why| eyre!(why))?;
        Ok(steps.unwrap_or(table.config.learner.steps))
    };
    table.shots.iter().map(of).collect()
}

/// Prints what a table takes whose data and checkpoint are here, and returns the hours.
fn of_table(table: &Table, graph: &Graph, steps: &[u64]) -> eyre::Result<f64> {
    let config = &graph.config;
    let size = size_of_first_prompt(graph)?.unwrap_or(PromptSize { n_tokens: 0, n_patches: 0 });
    let base = config.policy.base.as_deref();
    let whole = vrft_checkpoint::model_dir(&graph.checkpoint()?, base)?;
    let model = ModelConfig::from_file(&vrft_checkpoint::config(&whole)?)?;
    let memory = MemoryEstimate::new(&config.memory(), &model, size)?;
    let (n_values, _) = model.n_values()?;
    let mut options = config.data.options_to_judge(&config.evaluation);
    if table.spec.existence {
        // As many are asked for whether they are there; how many are asked for then is up to the answers.
        options.selection.absent = Absent::Every;
    }
    let mut n_test =
        Dataset::open_with(&config.evaluation.test, &options).wrap_err("evaluation.test")?.len();
    if config.evaluation.limit > 0 {
        n_test = n_test.min(config.evaluation.limit);
    }
    let rates = measured(config.learner.device)?;
    let works: Vec<Work> =
        steps.iter().map(|steps| work(table, *steps, size, n_values, n_test, &rates)).collect();
    let hours: f64 = works.iter().map(|work| work.hours).sum::<f64>() * table.seeds.len() as f64;
    let Some(work) = works.iter().max_by(|a, b| a.hours.total_cmp(&b.hours)) else {
        return Ok(0.0);
    };
    say!(
        "  prompts of {} tokens, {} M values, {n_test} held-out questions",
        size.n_tokens,
        n_values / 1_000_000
    );
    say!(
        "  the longest run: {:.2} M tokens sampled, {:.2} M learned from, {} answers judged, if completions are as long as allowed",
        work.sampled / 1e6,
        work.learned / 1e6,
        work.answered
    );
    say!("  memory: {:.1} GiB for all nodes together", memory.of_graph() as f64 / GIB);
    say!(
        "  {}: {:.0} GFLOP/s, {:.0} GB/s: {} a run, {} in all",
        config.learner.device,
        rates.flops / 1e9,
        rates.bytes / 1e9,
        span(work.hours),
        span(hours)
    );
    Ok(hours)
}

/// Counts tokens; a token takes two operations a value in a forward pass and four in a backward pass.
fn work(
    table: &Table,
    n_steps: u64,
    size: PromptSize,
    n_values: usize,
    n_test: usize,
    rates: &Rates,
) -> Work {
    let config = &table.config;
    let n_values = n_values as f64;
    let (prompt, answer) = (size.n_tokens as f64, config.rollout.max_completion_tokens as f64);
    let steps = n_steps as f64;
    let prompts = config.learner.prompts_per_step as f64;
    let group = config.rollout.group_size as f64;
    let sampled = steps * prompts * group * answer;
    let reinforced = steps * prompts * (prompt + group * answer);
    let supervised = steps * prompts * (prompt + answer);
    let interval = config.evaluation.interval(n_steps);
    let n_evaluations = if interval == 0 { 1 } else { n_steps.div_ceil(interval) };
    // The policy that is started from is judged once a table, which is little beside the others.
    let answered = (2 * n_evaluations) as f64 * n_test as f64;
    let reference = if config.loss.needs_reference() { 2.0 } else { 0.0 };
    let flops = n_values
        * ((6.0 + reference) * reinforced
            + 2.0 * (steps * prompts * prompt + sampled)
            + 6.0 * supervised
            + 2.0 * answered * (prompt + answer));
    // Each token of those that are decoded together reads all weights once more.
    let rows = (prompts * group).min(config.rollout.max_rows as f64).max(1.0);
    let reads = sampled / rows + answered * answer / config.evaluation.batch_size as f64;
    let n_bytes =
        n_values * if config.learner.device == vrft_plan::Device::Cpu { 4.0 } else { 2.0 };
    let secs = flops / (EFFICIENCY * rates.flops) + reads * n_bytes / rates.bytes;
    let learned = reinforced + supervised;
    Work { sampled, learned, answered, hours: secs / 3600.0 }
}

/// Times a product of matrices and a copy on the device of the learner.
fn measured(device: vrft_plan::Device) -> eyre::Result<Rates> {
    let device = vrft_model::open_device("learner.device", device)?;
    let dtype = if device.is_cpu() { DType::F32 } else { DType::BF16 };
    let a = Tensor::ones((SIDE, SIDE), dtype, &device)?;
    let n_bytes = COPIED / dtype.size_in_bytes();
    let long = Tensor::ones(n_bytes, dtype, &device)?;
    let secs = |work: &dyn Fn() -> candle_core::Result<Tensor>| -> eyre::Result<f64> {
        let mut best = f64::INFINITY;
        for _ in 0..4 {
            let start = Instant::now();
            let _result = work()?;
            device.synchronize()?;
            best = best.min(start.elapsed().as_secs_f64());
        }
        Ok(best)
    };
    let product = secs(&|| a.matmul(&a))?;
    let copy = secs(&|| long.copy())?;
    let flops = 2.0 * (SIDE as f64).powi(3) / product;
    // A copy reads and writes.
    Ok(Rates { flops, bytes: 2.0 * COPIED as f64 / copy })
}

fn span(hours: f64) -> String {
    match hours {
        _ if hours < 1.0 / 60.0 => format!("about {:.0} s", hours * 3600.0),
        _ if hours < 1.0 => format!("about {:.0} min", hours * 60.0),
        _ => format!("about {hours:.1} h"),
    }
}
