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

/// Seconds in which the rates of a device are measured, and the fewest and most times: the best of them counts, so that what
/// another program takes now and then does not.
const MEASURED_SECS: f64 = 1.5;
const MEASURED_TIMES: (usize, usize) = (4, 50);
/// Programs at work, by core, from which on an estimate may be too high however often it is measured.
const BUSY: f64 = 0.5;
/// Side of the square matrices whose product is timed.
const SIDE: usize = 1024;
/// Bytes that are copied to time the memory.
const COPIED: usize = 256 << 20;
/// Share of the product's rate that a step reaches as a whole: measured at the default run, see docs/src/tables.md.
const EFFICIENCY: f64 = 0.5;
const GIB: f64 = (1_u64 << 30) as f64;

/// What a device does in a second.
#[derive(Clone, Copy)]
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
    let mut measured: Vec<(vrft_plan::Device, Rates)> = Vec::new();
    let load = load_by_core();
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
        let device = graph.config.learner.device;
        let known = measured.iter().find(|(known, _)| *known == device).map(|(_, rates)| *rates);
        let rates = known.map_or_else(|| rates_of(device), Ok)?;
        if known.is_none() {
            measured.push((device, rates));
        }
        hours += of_table(table, &graph, &steps, &rates)?;
    }
    if n_estimated > 0 {
        say!("{}", measured_on(&measured, load));
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
fn of_table(table: &Table, graph: &Graph, steps: &[u64], rates: &Rates) -> eyre::Result<f64> {
    let config = &graph.config;
    let size = size_of_first_prompt(graph)?.unwrap_or_default();
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
    let works: Vec<Work> =
        steps.iter().map(|steps| work(table, *steps, size, n_values, n_test, rates)).collect();
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
    say!("  on {}: {} a run, {} in all", config.learner.device, span(work.hours), span(hours));
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

/// What the estimates were measured on, and whether other programs may have made them too high.
fn measured_on(measured: &[(vrft_plan::Device, Rates)], load: Option<(f64, usize)>) -> String {
    let devices: Vec<String> = measured
        .iter()
        .map(|(device, rates)| {
            let (flops, bytes) = (rates.flops / 1e9, rates.bytes / 1e9);
            format!("{device} does {flops:.0} GFLOP/s and {bytes:.0} GB/s")
        })
        .collect();
    let mut text = format!("measured just now: {}", devices.join("; "));
    let is_cpu = measured.iter().any(|(device, _)| *device == vrft_plan::Device::Cpu);
    if let Some((load, cores)) = load.filter(|(load, cores)| is_cpu && *load > BUSY * *cores as f64)
    {
        text += &format!(
            "\nwarning: other programs are at work (load {load:.1} on {cores} cores), so this is too high for an idle machine"
        );
    }
    text
}

/// How many programs were at work in the last minute, and the number of cores; `None` on systems that do not say so.
fn load_by_core() -> Option<(f64, usize)> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    let load = text.split_whitespace().next()?.parse().ok()?;
    Some((load, std::thread::available_parallelism().ok()?.get()))
}

/// Times a product of matrices and a copy on a device.
fn rates_of(device: vrft_plan::Device) -> eyre::Result<Rates> {
    // As the nodes do, which then have their memory: what the system takes to hand out pages is not the rate of the memory.
    vrft_kernels::keep_freed_memory();
    let device = vrft_model::open_device("learner.device", device)?;
    let dtype = if device.is_cpu() { DType::F32 } else { DType::BF16 };
    let a = Tensor::ones((SIDE, SIDE), dtype, &device)?;
    let n_bytes = COPIED / dtype.size_in_bytes();
    let long = Tensor::ones(n_bytes, dtype, &device)?;
    let secs = |work: &dyn Fn() -> candle_core::Result<Tensor>| -> eyre::Result<f64> {
        let mut best = f64::INFINITY;
        let begin = Instant::now();
        let (fewest, most) = MEASURED_TIMES;
        for n in 0..most {
            if n >= fewest && begin.elapsed().as_secs_f64() > MEASURED_SECS {
                break;
            }
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

#[cfg(test)]
mod tests {
    use vrft_plan::Device;

    use super::*;

    #[test]
    fn it_is_said_what_was_measured_and_whether_other_programs_were_at_work() {
        let measured = [(Device::Cpu, Rates { flops: 120e9, bytes: 18e9 })];
        let idle = measured_on(&measured, Some((0.4, 2)));
        assert_eq!(idle, "measured just now: cpu does 120 GFLOP/s and 18 GB/s");
        let busy = measured_on(&measured, Some((3.1, 2)));
        assert!(busy.ends_with("(load 3.1 on 2 cores), so this is too high for an idle machine"));
        assert_eq!(measured_on(&measured, None), idle);
    }
}
