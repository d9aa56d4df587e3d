//! Dynamic sampling: further prompts in place of those that teach nothing.
//!
//! A group whose completions all did equally well has no gradient but that of the KL. Each step owns more prompt
//! numbers than it starts with ([`vrft_plan::LearnerConfig::first_prompt_of`]), so a step that asks for more shifts no
//! other step's prompts, and a resumed run asks for the same. Only with a window of 1 is nothing else under way.

use vrft_messages::Credit;
use vrft_node::Node;
use vrft_processor::Processor;

use crate::config::Config;
use crate::grpo::receive;
use crate::join::{TrainBatch, train_groups};
use crate::ports::CREDIT;
use crate::samples::Samples;

/// Asks as often as configured; `None` when the run is over meanwhile. The credit is the one that the batch answers.
///
/// Groups without an advantage leave the batch as soon as there is one with, so a step may be smaller than it was
/// asked for, but never empty. Gives the number of prompts asked for.
pub(crate) fn refill(
    node: &mut Node,
    config: &Config,
    processor: &Processor,
    asked: &Credit,
    batch: &mut TrainBatch,
    (samples, step): (&mut Samples, u64),
) -> eyre::Result<Option<usize>> {
    let mut n_asked = 0;
    for round in 1..=config.learner.refills as u64 {
        let missing = batch.groups.iter().filter(|group| group.has_no_advantage()).count();
        if missing == 0 {
            break;
        }
        let offset = round * config.learner.prompts_per_step as u64;
        let credit = Credit {
            prompts: missing as u32,
            first_prompt_id: asked.first_prompt_id + offset,
            ..*asked
        };
        node.send(&CREDIT, &credit)?;
        let Some(streams) = receive(node)? else { return Ok(None) };
        samples.note(step, &streams)?;
        let more = train_groups(processor, config.shown(), streams)?;
        n_asked += missing;
        replace(batch, more);
    }
    if batch.groups.iter().any(|group| !group.has_no_advantage()) && config.learner.refills > 0 {
        batch.groups.retain(|group| !group.has_no_advantage());
    }
    Ok(Some(n_asked))
}

/// Puts groups that have an advantage in the place of those that have none.
fn replace(batch: &mut TrainBatch, more: TrainBatch) {
    let mut more = more.groups.into_iter().filter(|group| !group.has_no_advantage());
    for group in batch.groups.iter_mut().filter(|group| group.has_no_advantage()) {
        match more.next() {
            Some(better) => *group = better,
            None => break,
        }
    }
}
