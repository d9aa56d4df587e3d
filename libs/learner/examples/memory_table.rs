//! The memory that fine-tuning takes, estimated from `config.json` files alone, as the table of the documentation has it.
//!
//!     cargo run --release --workspace --example memory_table -- CONFIG_JSON…
//!
//! The policy computes in bfloat16. A step is cut into single groups: a prompt of 356 tokens, of which 256 stand for an
//! image, and 4 completions of 256 tokens.
#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use vrft_checkpoint::{Dtype, PolicyConfig};
use vrft_learner::{MemoryEstimate, MemorySettings, OptimizerConfig, PromptSize};
use vrft_model::ModelConfig;
use vrft_objective::config::LossConfig;
use vrft_plan::{LearnerConfig, RolloutConfig};

const GIB: f64 = (1_u64 << 30) as f64;
const PROMPT: PromptSize = PromptSize { n_tokens: 356, n_patches: 1024 };

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!(
        "| model | adapters, rank 16 | all but the vision tower | everything |\n|---|---:|---:|---:|"
    );
    for file in std::env::args().skip(1) {
        let model = ModelConfig::from_json(&std::fs::read_to_string(&file)?)?;
        let adapters = estimate(&model, |policy| policy.lora.rank = 16)?;
        let language = estimate(&model, |policy| policy.freeze_vision = true)?;
        let everything = estimate(&model, |_| ())?;
        println!("| {file} | {adapters} | {language} | {everything} |");
    }
    Ok(())
}

/// GiB of all processes of a run but the evaluator, and in parentheses those of the learner's weights, gradients and
/// optimizer.
fn estimate(
    model: &ModelConfig,
    trains: impl Fn(&mut PolicyConfig),
) -> Result<String, Box<dyn std::error::Error>> {
    let mut policy = PolicyConfig { dtype: Dtype::Bf16, ..PolicyConfig::default() };
    trains(&mut policy);
    let settings = MemorySettings {
        policy: &policy,
        rollout: &RolloutConfig { group_size: 4, ..RolloutConfig::default() },
        learner: &LearnerConfig {
            prompts_per_step: 4,
            max_tokens_per_micro_batch: 1024,
            ..LearnerConfig::default()
        },
        optimizer: &OptimizerConfig::default(),
        loss: &LossConfig::default(),
    };
    let memory = MemoryEstimate::new(&settings, model, PROMPT)?;
    let trained = memory.learner_weights + memory.gradients + memory.optimizer;
    let gib = |bytes: usize| bytes as f64 / GIB;
    Ok(format!("{:.0} GiB ({:.1})", gib(memory.of_graph()), gib(trained)))
}
