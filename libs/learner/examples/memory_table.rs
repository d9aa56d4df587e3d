//! The memory that fine-tuning takes, estimated from `config.json` files alone, as the table of the documentation has it.
//!
//!     cargo run --release -p vrft-learner --example memory_table -- CONFIG_JSON[@PATCHES]…
//!
//! The policy computes in bfloat16. A step is cut into single groups: a prompt of 356 tokens, of which 256 stand for an
//! image, and 4 completions of 256 tokens. The image has 1024 patches, four to a token, unless a number says otherwise.
#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use vrft_checkpoint::{Dtype, PolicyConfig, Quantization};
use vrft_learner::{MemoryEstimate, MemorySettings, OptimizerConfig, PromptSize};
use vrft_model::ModelConfig;
use vrft_objective::config::LossConfig;
use vrft_plan::{LearnerConfig, RolloutConfig};

const GIB: f64 = (1_u64 << 30) as f64;
const N_TOKENS: usize = 356;
const N_PATCHES: usize = 1024;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!(
        "| model | adapters beside NF4 | adapters | all but the vision tower | everything |\n|---|---:|---:|---:|---:|"
    );
    for argument in std::env::args().skip(1) {
        let (file, n_patches) = match argument.rsplit_once('@') {
            Some((file, n)) => (file, n.parse()?),
            None => (argument.as_str(), N_PATCHES),
        };
        let prompt = PromptSize { n_tokens: N_TOKENS, n_patches, n_values: 0 };
        let model = ModelConfig::from_json(&std::fs::read_to_string(file)?)?;
        let estimate = |trains: &dyn Fn(&mut PolicyConfig)| estimate(&model, prompt, trains);
        let adapters = estimate(&|policy| policy.lora.rank = 16)?;
        let beside_nf4 = estimate(&|policy| {
            policy.lora.rank = 16;
            policy.quantization = Quantization::Nf4;
        })?;
        let language = estimate(&|policy| policy.freeze_vision = true)?;
        let everything = estimate(&|_| ())?;
        println!("| {file} | {beside_nf4} | {adapters} | {language} | {everything} |");
    }
    Ok(())
}

/// GiB of all processes of a run but the evaluator, and in parentheses those of the learner's weights, gradients and
/// optimizer.
fn estimate(
    model: &ModelConfig,
    prompt: PromptSize,
    trains: &dyn Fn(&mut PolicyConfig),
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
        n_shown: 0,
        evaluation_rows: 16,
    };
    let memory = MemoryEstimate::new(&settings, model, prompt)?;
    let trained = memory.learner_weights + memory.gradients + memory.optimizer;
    let gib = |bytes: usize| bytes as f64 / GIB;
    Ok(format!("{:.0} GiB ({:.1})", gib(memory.of_graph()), gib(trained)))
}
