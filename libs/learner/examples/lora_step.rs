//! One answer and one LoRA step on a checkpoint of any size, with seconds and memory at each stage.
//!
//!     cargo run --release -p vrft-learner --example lora_step -- CHECKPOINT IMAGE [GROUP_SIZE] [TOKENS]
//!
//! Linux only: the memory is what the kernel says about this process.
#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::time::Instant;

use candle_core::Device;
use vrft_checkpoint::{Dtype, LoraConfig, PolicyConfig};
use vrft_learner::{Learner, OptimizerConfig, TrainCompletion, TrainGroup, TrainSettings};
use vrft_model::{LoadOptions, Policy};
use vrft_objective::config::LossConfig;
use vrft_plan::{LearnerConfig, RolloutConfig};
use vrft_processor::Processor;
use vrft_rollout::Sampling;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [checkpoint, image, numbers @ ..] = &arguments[..] else {
        return Err("expected CHECKPOINT IMAGE [GROUP_SIZE] [TOKENS]".into());
    };
    let number = |idx: usize, default| numbers.get(idx).map_or(Ok(default), |text| text.parse());
    let group_size = number(0, 4)?;
    let n_tokens = number(1, 32)?;
    let lora = LoraConfig { rank: 16, ..LoraConfig::default() };
    let config = PolicyConfig { dtype: Dtype::Bf16, lora, ..PolicyConfig::default() };
    let mut clock = Instant::now();
    let mut stage = |name: &str| {
        println!("{name:<28}{:8.1} s  {}", clock.elapsed().as_secs_f64(), memory());
        clock = Instant::now();
    };

    let options = LoadOptions::new(&config, Device::Cpu, true);
    let policy = Policy::load(checkpoint.as_ref(), &options)?;
    stage("load");
    let processor = Processor::load(checkpoint.as_ref())?;
    let image = std::fs::read(image)?;
    let prompt = processor.encode(None, "What is in this picture?", &[&image])?;
    stage(&format!("encode {} tokens", prompt.token_ids.len()));
    let sampling = Sampling { max_tokens: n_tokens, ..Sampling::from(&RolloutConfig::default()) };
    let seed = |_, idx| idx as u64;
    let groups =
        vrft_rollout::generate(&policy, &processor, &[&prompt], group_size, &sampling, &seed)?;
    let completions = groups.into_iter().flatten();
    let completions: Vec<TrainCompletion> = completions
        .enumerate()
        .map(|(idx, completion)| TrainCompletion {
            token_ids: completion.token_ids,
            old_logprobs: completion.logprobs,
            advantage: if idx % 2 == 0 { 1.0 } else { -1.0 },
            truncated: false,
            is_scored: true,
            origin: vrft_learner::Origin::Sampled,
            inserted: vec![],
            first_turn: None,
        })
        .collect();
    stage(&format!("answer {group_size} times {n_tokens} tokens"));
    let settings = TrainSettings {
        optimizer: &OptimizerConfig::default(),
        loss: &LossConfig::default(),
        learner: &LearnerConfig::default(),
        temperature: 1.0,
        max_completion_tokens: n_tokens,
    };
    let mut learner = Learner::new(policy, None, &settings)?;
    let stats =
        learner.grpo_step(&[TrainGroup { prompt_id: 0, prompt, hinted: None, completions }])?;
    stage("one step");
    for (name, value) in stats.metrics {
        println!("  {name} {value:.4}");
    }
    Ok(())
}

/// What this process uses and has used at most.
fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        let kilobytes = line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
        kilobytes.unwrap_or(f64::NAN) / 1e6
    };
    format!("{:.2} GB, at most {:.2} GB", line("VmRSS:"), line("VmHWM:"))
}
