//! `vrft check`: everything that can be known to be wrong before a run.

mod nodes;

use std::collections::BTreeSet;

use eyre::WrapErr;
use vrft_dataset::Dataset;
use vrft_learner::{Devices, MemoryEstimate, MicroBatchPlan, PromptSize};
use vrft_model::ModelConfig;
use vrft_plan::Device;
use vrft_processor::Processor;
use vrft_prompts::Prompter;

use crate::check_data::check_data;
use crate::cli::CheckOptions;
use crate::config::Config;
use crate::graph::Graph;
use crate::print::{self, say};

pub(crate) use nodes::{CAPTURE, REPLAY, check_nodes};

const MIB: usize = 1 << 20;

/// Validates graph and configuration, prints both resolved.
pub(crate) fn check(options: &CheckOptions) -> eyre::Result<()> {
    let graph = Graph::load(&options.graph)?;
    graph.check_files()?;
    graph.check_devices()?;
    check_nodes(&graph, false)?;
    let base = graph.config.policy.base.as_deref();
    vrft_checkpoint::verify(&graph.checkpoint()?, base).wrap_err("policy.path")?;
    say!("# {}", graph.path.display());
    for node in &graph.descriptor.nodes {
        let inputs: Vec<String> =
            node.inputs.iter().map(|(id, input)| format!("{id} <- {}", input.mapping)).collect();
        say!("#   {:<12} {}", node.id.to_string(), inputs.join(", "));
    }
    if let Some(settings) = vrft_processor::GenerationSettings::load(&graph.checkpoint()?)? {
        say!("# {settings}");
    }
    graph.notes.iter().for_each(|note| say!("# warning: {note}"));
    // What a camera will show is not known yet, nor how long its questions are.
    if graph.config.stream.is_none() && graph.reads_data() {
        check_data(&graph, options.all)?;
        print_memory(&graph)?;
    }
    say!("\n{}", graph.config.to_toml());
    Ok(())
}

/// What the run will take, if its prompts are like the first, and whether this machine has it.
fn print_memory(graph: &Graph) -> eyre::Result<()> {
    let Some(size) = size_of_first_prompt(graph)? else { return Ok(()) };
    let base = graph.config.policy.base.as_deref();
    let whole = vrft_checkpoint::model_dir(&graph.checkpoint()?, base)?;
    let model = ModelConfig::from_file(&vrft_checkpoint::config(&whole)?)?;
    let estimate = MemoryEstimate::new(&graph.config.memory(), &model, size)?;
    print_micro_batches(graph, size.n_tokens);
    print_estimate(&estimate);
    if print_gpus(graph, &estimate) {
        return Ok(());
    }
    if let Some(available) = available().filter(|available| *available < estimate.of_graph()) {
        say!(
            "# warning: only {} MiB are free here: lower learner.max_tokens_per_micro_batch to that of one group, \
             set learner.activation_mib (computes layers again) or learner.split_groups (computes prompts again)",
            available / MIB
        );
    }
    Ok(())
}

/// Tokens and patches of the first prompt of the training data; `None` if there is no row.
pub(crate) fn size_of_first_prompt(graph: &Graph) -> eyre::Result<Option<PromptSize>> {
    let data = &graph.config.data;
    let (train, task) = match data.sources.first() {
        Some(source) => (&source.train, Some(source.task.as_str())),
        None => (&data.train, None),
    };
    let data = Dataset::open_with(train, &data.options_to_learn(task, &graph.config.evaluation))?;
    if data.is_empty() {
        return Ok(None);
    }
    let row = data.get(0);
    let images: Vec<Vec<u8>> =
        row.pictures.iter().map(|picture| picture.bytes()).collect::<Result<_, _>>()?;
    let images: Vec<&[u8]> = images.iter().map(Vec::as_slice).collect();
    let prompter = Prompter::new(&graph.config.rewards.shared, &graph.config.policy.system)
        .with_question(graph.config.data.question.as_deref());
    let messages = prompter.chat_messages(row);
    let base = graph.config.policy.base.as_deref();
    let processor = Processor::load_beside(&graph.checkpoint()?, base)?;
    let prompt = processor.encode_messages(&messages, &images, &[], true)?;
    let n_patches = prompt.images.iter().map(|image| image.grid.n_patches()).sum();
    Ok(Some(PromptSize { n_tokens: prompt.token_ids.len(), n_patches }))
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

/// Bytes that the system says can be had.
fn available() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix(" kB")?.parse::<usize>().ok().map(|kib| kib * 1024)
}
