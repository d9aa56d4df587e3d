//! The supervised loop: the same prompts, but the answers are shown instead of rewarded.

use vrft_learner::{Demonstration, Learner};
use vrft_messages::{Credit, PromptBatch};
use vrft_node::Node;
use vrft_processor::Processor;

use crate::config::Config;
use crate::ports::{CREDIT, PROMPTS};
use crate::store::Store;

/// Trains until the configured number of steps, or until the run is asked to stop.
pub(crate) fn run(
    mut node: Node,
    config: &Config,
    mut learner: Learner,
    processor: &Processor,
) -> eyre::Result<()> {
    let mut store = Store::open(&node, config)?;
    store.resume(config, &mut learner)?;
    store.offer_start(&mut node, config, &learner)?;
    let range = processor.preprocessor().pixel_range();
    while learner.step() < config.learner.steps {
        let step = learner.step() + 1;
        node.send(&CREDIT, &credit(config, learner.step()))?;
        let Some(prompts) = node.recv(&PROMPTS)? else { break };
        let demonstrations = demonstrations(config, processor, &prompts)?;
        let stats = node.timed(step, "learner", |_| match &config.sft.adversarial {
            Some(attack) => learner.adversarial_step(&demonstrations, attack, range),
            None => learner.sft_step(&demonstrations),
        })?;
        for (name, value) in &stats.metrics {
            node.metric(step, name, *value);
        }
        node.send_metrics()?;
        store.save_if_due(&mut node, config, &learner)?;
    }
    store.save_last(&mut node, config, &learner)?;
    node.finish()
}

fn credit(config: &Config, batch: u64) -> Credit {
    Credit {
        prompts: config.learner.prompts_per_step as u32,
        policy_version: batch,
        first_prompt_id: config.learner.first_prompt_of(batch),
    }
}

/// The tokens that a perfect policy would have said.
fn demonstrations(
    config: &Config,
    processor: &Processor,
    batch: &PromptBatch,
) -> eyre::Result<Vec<Demonstration>> {
    let demonstration = |prompt| {
        let prompt: &vrft_messages::Prompt = prompt;
        let text = config.sft.demonstration(&prompt.answer);
        let token_ids = processor.encode_completion(&text)?;
        Ok(Demonstration { prompt: vrft_rollout::encode(processor, prompt)?, token_ids })
    };
    batch.prompts.iter().map(demonstration).collect()
}
