//! The reinforcement loop: credit out, three streams in, a step, a new version.

use vrft_learner::Learner;
use vrft_messages::{AdvantageBatch, CompletionBatch, Credit, PromptBatch};
use vrft_node::Node;
use vrft_processor::Processor;

use crate::config::Config;
use crate::join::train_groups;
use crate::ports::{ADVANTAGES, CREDIT, GROUPS, POLICY, PROMPTS};
use crate::refill::refill;
use crate::samples::Samples;
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
    let mut samples = Samples::open(node.run_dir())?;
    let first = learner.step();
    store.publish(&mut node, &learner)?;
    store.offer_start(&mut node, config, &learner)?;
    for batch in first..(first + config.learner.window as u64).min(config.learner.steps) {
        node.send(&CREDIT, &credit(config, first, batch))?;
    }
    while learner.step() < config.learner.steps {
        let step = learner.step() + 1;
        let waited = node.timed(step, "wait", receive)?;
        let Some(streams) = waited else { break };
        samples.note(step, &streams)?;
        let mut groups = train_groups(processor, config.shown(), streams)?;
        let oldest = groups.oldest_version;
        let asked = credit(config, first, learner.step());
        let refill = |node: &mut Node| {
            refill(node, config, processor, &asked, &mut groups, (&mut samples, step))
        };
        let Some(n_refilled) = node.timed(step, "refill", refill)? else { break };
        if config.learner.refills > 0 {
            node.metric(step, "groups/refilled", n_refilled as f64);
        }
        let stats = node.timed(step, "learner", |_| learner.grpo_step(&groups.groups))?;
        for (name, value) in &stats.metrics {
            node.metric(step, name, *value);
        }
        // Versions of another run, as a journal has them, are not numbered as these.
        if node.has_output(&POLICY) {
            node.metric(step, "policy/staleness", (step - 1) as f64 - oldest as f64);
        }
        node.timed(step, "publish", |node| store.publish(node, &learner))?;
        store.remove_below(oldest.min(step - 1))?;
        let next = learner.step() + config.learner.window as u64 - 1;
        if next < config.learner.steps {
            node.send(&CREDIT, &credit(config, first, next))?;
        }
        node.send_metrics()?;
        store.save_if_due(&mut node, config, &learner)?;
    }
    store.save_last(&mut node, config, &learner)?;
    node.finish()
}

/// Leave for the prompts of one step (from 0), to be answered by the newest version there will surely be.
fn credit(config: &Config, first: u64, batch: u64) -> Credit {
    let lag = config.learner.window as u64 - 1;
    Credit {
        prompts: config.learner.prompts_per_step as u32,
        policy_version: batch.saturating_sub(lag).max(first),
        first_prompt_id: config.learner.first_prompt_of(batch),
    }
}

type Step = (PromptBatch, CompletionBatch, AdvantageBatch);

/// One step's worth of all three inputs; `None` when the run is over.
pub(crate) fn receive(node: &mut Node) -> eyre::Result<Option<Step>> {
    let Some(prompts) = node.recv(&PROMPTS)? else { return Ok(None) };
    let Some(completions) = node.recv(&GROUPS)? else { return Ok(None) };
    let Some(advantages) = node.recv(&ADVANTAGES)? else { return Ok(None) };
    Ok(Some((prompts, completions, advantages)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(window: usize, first: u64, batch: u64, version: u64) {
        let mut config = Config::default();
        config.learner.window = window;
        config.learner.prompts_per_step = 8;
        let credit = credit(&config, first, batch);
        assert_eq!((credit.policy_version, credit.first_prompt_id), (version, 8 * batch));
    }

    #[test]
    fn window_one_asks_for_the_policy_of_the_step_before() {
        check(1, 0, 0, 0);
        check(1, 0, 5, 5);
    }

    #[test]
    fn a_step_that_may_ask_for_more_has_numbers_left_for_that() {
        let mut config = Config::default();
        config.learner.prompts_per_step = 8;
        config.learner.refills = 2;
        assert_eq!(credit(&config, 0, 3).first_prompt_id, 3 * 24);
        assert_eq!((config.learner.step_of(71), config.learner.step_of(72)), (3, 4));
    }

    #[test]
    fn window_two_asks_for_one_version_less() {
        check(2, 0, 0, 0);
        check(2, 0, 1, 0);
        check(2, 0, 5, 4);
    }

    #[test]
    fn after_a_resume_no_version_before_the_checkpoint_is_asked_for() {
        check(2, 40, 40, 40);
        check(2, 40, 41, 40);
        check(2, 40, 42, 41);
    }
}
