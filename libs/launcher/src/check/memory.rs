//! What a run will take of memory, and whether this machine has it.

use std::collections::BTreeSet;

use eyre::{bail, eyre};
use vrft_dataset::Dataset;
use vrft_learner::{Devices, MemoryEstimate, MemorySettings, MicroBatchPlan, PromptSize};
use vrft_model::ModelConfig;
use vrft_plan::{Device, RolloutConfig};
use vrft_processor::Processor;
use vrft_prompts::Prompter;

use crate::config::Config;
use crate::graph::Graph;
use crate::print::{self, say};

const MIB: usize = 1 << 20;

/// How far the least that a run takes must be above all that the machine has to be refused: it is an estimate.
const SURE: f64 = 1.25;

/// What the run will take, if its prompts are like the first, and whether this machine has it.
pub(super) fn print(graph: &Graph) -> eyre::Result<()> {
    let Some(need) = Need::of(graph)? else { return Ok(()) };
    print_micro_batches(graph, need.size.n_tokens);
    print_estimate(&need.estimate);
    if print_gpus(graph, &need.estimate) {
        return Ok(());
    }
    if let Some(shortage) = need.told(&graph.config, Machine::here())? {
        say!("# warning: {shortage}");
    }
    Ok(())
}

/// What should be known of the memory that a run takes before it starts.
///
/// # Errors
/// A run that takes more than this machine has however short its completions are: it would be killed without a word.
pub(crate) fn check_memory(graph: &Graph) -> eyre::Result<Option<String>> {
    let is_here = graph.is_local() && graph.config.stream.is_none() && graph.reads_data();
    let on_gpu = graph.devices().iter().any(|(_, device)| *device != Device::Cpu);
    // What is wrong with the data is said by the node that reads it, with all that this needs.
    let need = if is_here && !on_gpu { Need::of(graph).ok().flatten() } else { None };
    let Some(need) = need else { return Ok(None) };
    need.told(&graph.config, Machine::here())
}

/// What a run takes if its prompts are like the first.
struct Need {
    size: PromptSize,
    /// With completions as long as allowed.
    estimate: MemoryEstimate,
    /// With completions of one token.
    least: MemoryEstimate,
}

impl Need {
    /// `None` if there is no row.
    fn of(graph: &Graph) -> eyre::Result<Option<Self>> {
        let Some(size) = size_of_first_prompt(graph)? else { return Ok(None) };
        let base = graph.config.policy.base.as_deref();
        let whole = vrft_checkpoint::model_dir(&graph.checkpoint()?, base)?;
        let model = ModelConfig::from_file(&vrft_checkpoint::config(&whole)?)?;
        let settings = graph.config.memory();
        let estimate = MemoryEstimate::new(&settings, &model, size)?;
        let shortest = RolloutConfig { max_completion_tokens: 1, ..graph.config.rollout.clone() };
        let settings = MemorySettings { rollout: &shortest, ..settings };
        let least = MemoryEstimate::new(&settings, &model, size)?;
        Ok(Some(Self { size, estimate, least }))
    }

    /// The most that processes of the graph hold at once, without and with what an evaluation does meanwhile.
    fn bytes(estimate: &MemoryEstimate) -> usize {
        let evaluation = estimate.rollout_weights.saturating_add(estimate.evaluation_cache);
        estimate.of_graph().max(evaluation)
    }

    /// What should be known of it on a machine.
    ///
    /// # Errors
    /// It takes more than the machine has in any case.
    fn told(&self, config: &Config, machine: Machine) -> eyre::Result<Option<String>> {
        match self.shortage(config, machine) {
            Some(shortage) if self.is_hopeless(machine) => bail!("{shortage}"),
            shortage => Ok(shortage),
        }
    }

    fn is_hopeless(&self, machine: Machine) -> bool {
        machine.all.is_some_and(|all| Self::bytes(&self.least) as f64 > SURE * all as f64)
    }

    /// That less is free than is taken, with the part that takes most and the keys that decide on it.
    fn shortage(&self, config: &Config, machine: Machine) -> Option<String> {
        let estimate = &self.estimate;
        let bytes = Self::bytes(estimate);
        let free = machine.free.filter(|free| *free < bytes)?;
        let rollout = &config.rollout;
        let group = rollout.largest_group();
        let of_group = format!(
            "rollout.group_size (now {group}) or rollout.max_completion_tokens (now {})",
            rollout.max_completion_tokens
        );
        let (what, most, remedy) = [
            ("keys and values of completions", estimate.cache, of_group.clone()),
            (
                "activations",
                estimate.activations,
                format!(
                    "learner.max_tokens_per_micro_batch (now {}) to that of one group, {of_group}; or set \
                     learner.activation_mib (computes layers again) or learner.split_groups (computes prompts again)",
                    config.learner.max_tokens_per_micro_batch
                ),
            ),
            (
                "pictures of a step",
                estimate.pictures,
                format!(
                    "learner.prompts_per_step (now {}) or policy.max_pixels",
                    config.learner.prompts_per_step
                ),
            ),
            (
                "keys and values of evaluations",
                estimate.evaluation_cache,
                format!("evaluation.batch_size (now {})", config.evaluation.batch_size),
            ),
            (
                "weights, gradients and moments",
                estimate.learner_weights + estimate.gradients + estimate.optimizer,
                "what is trained: adapters by policy.lora.rank, policy.dtype = \"bf16\", optimizer.state = \"int8\", or a \
                 smaller policy"
                    .to_owned(),
            ),
        ]
        .into_iter()
        .max_by_key(|(_, bytes, _)| *bytes)?;
        Some(format!(
            "the run takes an estimated {} MiB, and only {} MiB are free here: most, {} MiB, are {what}: lower {remedy}",
            bytes / MIB,
            free / MIB,
            most / MIB
        ))
    }
}

/// Rows that are looked at for one whose pictures can be decoded.
const MAX_TRIED: usize = 16;

/// The first that is fine; `None` of none at all.
///
/// # Errors
/// None is fine: the first error.
fn first_good<T>(results: impl Iterator<Item = eyre::Result<T>>) -> eyre::Result<Option<T>> {
    let mut first = None;
    for result in results {
        match result {
            Ok(value) => return Ok(Some(value)),
            Err(error) => first = first.or(Some(error)),
        }
    }
    first.map_or(Ok(None), Err)
}

/// Tokens and patches of the first prompt of the training data; `None` if there is no row.
pub(crate) fn size_of_first_prompt(graph: &Graph) -> eyre::Result<Option<PromptSize>> {
    let data = &graph.config.data;
    let (train, task) = match data.sources.first() {
        Some(source) => (&source.train, Some(source.task.as_str())),
        None => (&data.train, None),
    };
    let data = Dataset::open_with(train, &data.options_to_learn(task, &graph.config.evaluation))?;
    let prompter = Prompter::new(&graph.config.rewards.shared, &graph.config.policy.system)
        .with_question(graph.config.data.question.as_deref());
    let base = graph.config.policy.base.as_deref();
    let processor = Processor::load_beside(&graph.checkpoint()?, base)?;
    // A row whose picture breaks off is skipped by the run, too.
    let encoded = data.iter().take(MAX_TRIED).map(|row| {
        vrft_prompts::encode(&processor, &prompter.chat_messages(row), row)
            .map_err(|why| eyre!("{}: {why}", row.origin.place()))
    });
    let Some(prompt) = first_good(encoded)? else { return Ok(None) };
    Ok(Some(PromptSize::of(&prompt)))
}

/// What each GPU is asked for, and whether it has that; whether there is one at all.
fn print_gpus(graph: &Graph, estimate: &MemoryEstimate) -> bool {
    let Config { rollout, learner, evaluation, .. } = &graph.config;
    let devices =
        Devices { rollout: rollout.device, learner: learner.device, evaluation: evaluation.device };
    let number = |device| match device {
        Device::Cuda(number) => Some(number),
        Device::Cpu => None,
    };
    let of_parts = [devices.rollout, devices.learner, devices.evaluation];
    let gpus: BTreeSet<usize> = of_parts.into_iter().filter_map(number).collect();
    for gpu in &gpus {
        let Some((bytes, parts)) = estimate.on_gpu(*gpu, devices) else { continue };
        let shared = if parts.len() > 1 && estimate.frozen > 0 {
            format!("; {} MiB of frozen weights are shared", estimate.frozen / MIB)
        } else {
            String::new()
        };
        say!("#   of it on GPU {gpu}: {} MiB, by {}{shared}", bytes / MIB, parts.join(", "));
        let memory = vrft_model::gpu_memory(*gpu).filter(|_| graph.is_local());
        if let Some((free, all)) = memory.filter(|(free, _)| *free < bytes) {
            say!(
                "# warning: {} of {} MiB are free on GPU {gpu}: lower learner.max_tokens_per_micro_batch, \
                 rollout.max_rows or evaluation.batch_size, set learner.activation_mib (computes layers again), \
                 optimizer.state = \"int8\", or policy.quantization = \"nf4\" with policy.lora.rank",
                free / MIB,
                all / MIB
            );
        }
    }
    !gpus.is_empty()
}

fn print_estimate(estimate: &MemoryEstimate) {
    say!("# memory, estimated: {} MiB", estimate.of_graph() / MIB);
    for (what, bytes) in [
        ("weights of the learner", estimate.learner_weights),
        ("gradients", estimate.gradients),
        ("optimizer", estimate.optimizer),
        ("activations", estimate.activations),
        ("weights of the rollout", estimate.rollout_weights),
        ("keys and values", estimate.cache),
        ("pictures of a step", estimate.pictures),
        ("hand-over of weights", estimate.hand_over),
    ] {
        say!("#   {what:<24}{:>7} MiB", bytes / MIB);
    }
}

/// How a step passes through the policy, if its prompts are like the first and its completions as long as allowed.
fn print_micro_batches(graph: &Graph, prompt_tokens: usize) {
    let (rollout, learner) = (&graph.config.rollout, &graph.config.learner);
    let group_size = rollout.largest_group() + graph.config.memory().n_shown;
    let length = rollout.max_completion_tokens;
    let plan = MicroBatchPlan::new(learner, prompt_tokens, group_size, length);
    let n_groups = learner.prompts_per_step;
    let largest = plan.largest;
    print::text(&format!(
        "# a step: {n_groups} groups of {prompt_tokens} + {group_size} x {length} tokens, "
    ));
    match (plan.parts_per_group, plan.groups_together) {
        (1, 1) => say!("one at a time: {largest} tokens"),
        (1, together) => say!("{together} at a time: {largest} tokens"),
        (parts, _) => say!(
            "each split into {parts} parts of up to {largest} by learner.split_groups: {} tokens of prompts are \
             computed again",
            plan.repeated_tokens
        ),
    }
}

/// Memory of a machine in bytes, as far as the system says.
#[derive(Debug, Clone, Copy)]
struct Machine {
    /// What can be had now.
    free: Option<usize>,
    /// What there is at all, swap included.
    all: Option<usize>,
}

impl Machine {
    fn here() -> Self {
        let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        // A container may have less than its machine.
        let limit = std::fs::read_to_string("/sys/fs/cgroup/memory.max").unwrap_or_default();
        Self::of(&text, &limit)
    }

    fn of(meminfo: &str, limit: &str) -> Self {
        let bytes = |name: &str| {
            let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().strip_suffix(" kB")?.parse::<usize>().ok().map(|kib| kib * 1024)
        };
        let limited = |bytes: usize| limit.trim().parse().map_or(bytes, |limit| bytes.min(limit));
        let all = bytes("MemTotal:").map(|all| all + bytes("SwapTotal:").unwrap_or(0));
        Self { free: bytes("MemAvailable:").map(limited), all: all.map(limited) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn need(change: impl Fn(&mut Config)) -> (Need, Config) {
        let mut config = Config::default();
        change(&mut config);
        let text = r#"{"model_type": "qwen2_vl", "hidden_size": 512, "intermediate_size": 1536,
            "num_hidden_layers": 8, "num_attention_heads": 8, "num_key_value_heads": 2,
            "vocab_size": 8192, "tie_word_embeddings": true,
            "rope_scaling": {"type": "mrope", "mrope_section": [8, 12, 12]},
            "vision_config": {"depth": 6, "embed_dim": 256, "hidden_size": 512, "num_heads": 4,
                "mlp_ratio": 4, "patch_size": 14}}"#;
        let model = ModelConfig::from_json(text).unwrap();
        let size = PromptSize { n_tokens: 422, n_patches: 1024, n_values: 1024 * 1176 };
        let estimate = MemoryEstimate::new(&config.memory(), &model, size).unwrap();
        let rollout = RolloutConfig { max_completion_tokens: 1, ..config.rollout.clone() };
        let settings = MemorySettings { rollout: &rollout, ..config.memory() };
        let least = MemoryEstimate::new(&settings, &model, size).unwrap();
        (Need { size, estimate, least }, config)
    }

    fn of(gib: usize) -> Machine {
        Machine { free: Some(gib << 30), all: Some(gib << 30) }
    }

    #[test]
    fn what_takes_too_much_is_named_with_its_key_and_its_memory() {
        let (usual, config) = need(|_| ());
        assert_eq!(usual.shortage(&config, of(64)), None);
        assert!(!usual.is_hopeless(of(4)));
        let (groups, config) = need(|config| config.rollout.group_size = 65_000);
        let told = groups.shortage(&config, of(16)).unwrap();
        for words in ["MiB, and only 16384 MiB are free", "rollout.group_size (now 65000)"] {
            assert!(told.contains(words), "{told}");
        }
        assert!(groups.is_hopeless(of(1)));
        // The run and its check refuse it alike.
        let error = groups.told(&config, of(1)).unwrap_err().to_string();
        assert!(error.contains("rollout.group_size (now 65000)"), "{error}");
        let (prompts, config) = need(|config| config.learner.prompts_per_step = 60_000);
        let told = prompts.told(&config, of(16)).unwrap_err().to_string();
        assert!(
            told.contains("pictures of a step: lower learner.prompts_per_step (now 60000)"),
            "{told}"
        );
        let (evaluation, config) = need(|config| config.evaluation.batch_size = 60_000);
        let told = evaluation.shortage(&config, of(16)).unwrap();
        assert!(told.contains("lower evaluation.batch_size (now 60000)"), "{told}");
    }

    #[test]
    fn rows_with_broken_pictures_are_passed_over() {
        let row = |why: &str| Err::<usize, _>(eyre!("{why}"));
        assert_eq!(first_good([row("a"), Ok(2), Ok(3)].into_iter()).unwrap(), Some(2));
        assert_eq!(first_good::<usize>([].into_iter()).unwrap(), None);
        assert_eq!(first_good([row("a"), row("b")].into_iter()).unwrap_err().to_string(), "a");
    }

    #[test]
    fn the_largest_sizes_that_are_allowed_are_numbers_still() {
        let (largest, config) = need(|config| {
            config.rollout.group_size = (1 << 16) - 2;
            config.rollout.max_completion_tokens = 1 << 20;
            config.rollout.max_rows = 1 << 20;
            config.learner.prompts_per_step = 1 << 16;
            config.learner.max_tokens_per_micro_batch = 1_000_000_000;
            config.evaluation.batch_size = 1 << 16;
        });
        assert!(Need::bytes(&largest.estimate) > 1 << 50);
        largest.shortage(&config, of(1024)).unwrap();
    }

    #[test]
    fn a_container_has_no_more_than_its_limit() {
        let meminfo = "MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 600 kB\nSwapTotal: 24 kB\n";
        let read = |limit: &str| {
            let Machine { free, all } = Machine::of(meminfo, limit);
            (free, all)
        };
        assert_eq!(read("max"), (Some(600 * 1024), Some(1024 * 1024)));
        assert_eq!(read("4096\n"), (Some(4096), Some(4096)));
        let nothing = Machine::of("", "");
        assert_eq!((nothing.free, nothing.all), (None, None));
    }
}
