//! The section `[learner]`: steps, prompts per step, window, checkpoints.

use serde::{Deserialize, Serialize};

use vrft_config::{ConfigError, Section, require};

use crate::Device;

/// Most prompts of a step: all travel in one message.
const MAX_PROMPTS: usize = 1 << 16;
/// Most tokens of a micro-batch: as good as no limit.
const MAX_TOKENS: usize = 1_000_000_000;
/// Most times that a step asks again.
const MAX_REFILLS: usize = 1000;

/// How many steps the learner takes, and of what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LearnerConfig {
    /// Optimizer steps of the run.
    pub steps: u64,
    /// Prompts of one optimizer step, each with a whole group.
    pub prompts_per_step: usize,
    /// Prompt batches in flight: 1 is strictly on-policy, 2 lets the next rollout overlap the step.
    pub window: usize,
    /// Updates made from the completions of one step; above 1 the importance ratio leaves 1 and clipping acts.
    pub iterations: usize,
    /// Times that a step may ask for further prompts in place of those whose completions all did equally well
    /// (dynamic sampling, DAPO, arXiv 2503.14476); 0 for never. Needs a window of 1.
    pub refills: usize,
    /// Most tokens of groups that pass through the policy together; a larger step is cut into micro-batches, whose
    /// gradients are summed. A group that alone has more passes alone, whole: see `split_groups`.
    pub max_tokens_per_micro_batch: usize,
    /// Cut a group that has more than `max_tokens_per_micro_batch`. Its prompt is then computed again for each part,
    /// which saves memory at a high price; `activation_mib` bounds it at a lower one. `vrft check` says what a cut costs.
    pub split_groups: bool,
    /// Memory for the activations of the vision tower's blocks and the language model's layers, in MiB; those beyond
    /// it are computed a second time in the backward pass. 0 for no limit.
    pub activation_mib: usize,
    /// Number of the first prompt of the run. A run that learns from a journal leaves those before it to others.
    pub first_prompt: u64,
    /// Different prompts of the run: after as many it starts over with the first. 0 for no such limit. A run that
    /// learns from a journal passes over the same prompts again by it.
    pub distinct_prompts: u64,
    /// Steps between checkpoints; 0 for the last step only.
    pub checkpoint_every: u64,
    /// How many of the newest checkpoints are kept.
    pub keep_checkpoints: usize,
    /// Where the learner computes, and the baseline's too.
    pub device: Device,
}

impl LearnerConfig {
    /// The step, counted from 1, that a prompt of the run belongs to.
    pub fn step_of(&self, prompt_id: u64) -> u64 {
        prompt_id.saturating_sub(self.first_prompt) / self.ids_per_step() + 1
    }

    /// The first prompt of a step, counted from 0.
    pub fn first_prompt_of(&self, batch: u64) -> u64 {
        self.first_prompt + batch * self.ids_per_step()
    }

    /// The number of the prompt that is asked again under this number, which is another one from the second pass over
    /// [`LearnerConfig::distinct_prompts`] on.
    pub fn original_of(&self, prompt_id: u64) -> u64 {
        match (self.distinct_prompts, prompt_id.checked_sub(self.first_prompt)) {
            (1.., Some(number)) => self.first_prompt + number % self.distinct_prompts,
            _ => prompt_id,
        }
    }

    /// Numbers that a step has for its prompts, those it may ask for in addition included.
    fn ids_per_step(&self) -> u64 {
        (self.prompts_per_step * (1 + self.refills)) as u64
    }
}

impl Section for LearnerConfig {
    const NAME: &'static str = "learner";

    fn check(&self) -> Result<(), ConfigError> {
        require(self.steps > 0, "learner.steps", 0, "at least 1")?;
        for (key, n, most) in [
            ("prompts_per_step", self.prompts_per_step, MAX_PROMPTS),
            ("max_tokens_per_micro_batch", self.max_tokens_per_micro_batch, MAX_TOKENS),
        ] {
            let fine = (1..=most).contains(&n);
            require(fine, format!("learner.{key}"), n, format!("1 to {most}"))?;
        }
        require(
            self.refills <= MAX_REFILLS,
            "learner.refills",
            self.refills,
            format!("0 to {MAX_REFILLS}"),
        )?;
        require(
            (1..=8).contains(&self.window),
            "learner.window",
            self.window,
            "1 (on-policy) to 8 batches in flight",
        )?;
        require(self.keep_checkpoints > 0, "learner.keep_checkpoints", 0, "at least 1")?;
        require(self.iterations > 0, "learner.iterations", 0, "at least 1")?;
        require(
            self.refills == 0 || self.window == 1,
            "learner.refills",
            self.refills,
            "0 with a window of 2 or more, since the next prompts are then under way; write learner.window = 1",
        )
    }
}

impl Default for LearnerConfig {
    fn default() -> Self {
        Self {
            steps: 100,
            prompts_per_step: 8,
            window: 1,
            iterations: 1,
            refills: 0,
            max_tokens_per_micro_batch: 4096,
            split_groups: false,
            activation_mib: 0,
            first_prompt: 0,
            distinct_prompts: 0,
            checkpoint_every: 20,
            keep_checkpoints: 2,
            device: Device::Cpu,
        }
    }
}

#[cfg(test)]
mod tests {
    use vrft_config::Document;

    use super::*;

    #[track_caller]
    fn refused(text: &str, key: &str, words: &str) {
        let document = Document::parse(&format!("[learner]\n{text}"), "test").unwrap();
        let error = document.section::<LearnerConfig>().unwrap_err().to_string();
        assert!(error.starts_with(key) && error.contains(words), "{error}");
    }

    #[test]
    fn a_run_of_distinct_prompts_starts_over_with_its_first() {
        let learner = LearnerConfig {
            prompts_per_step: 4,
            first_prompt: 10,
            distinct_prompts: 6,
            ..LearnerConfig::default()
        };
        assert_eq!([0, 1].map(|batch| learner.first_prompt_of(batch)), [10, 14]);
        assert_eq!([10, 13, 14, 21].map(|id| learner.step_of(id)), [1, 1, 2, 3]);
        assert_eq!([10, 15, 16, 21, 22].map(|id| learner.original_of(id)), [10, 15, 10, 15, 10]);
        let endless = LearnerConfig::default();
        assert_eq!(endless.original_of(12_345), 12_345);
    }

    #[test]
    fn impossible_values_are_refused_by_key() {
        LearnerConfig::default().check().unwrap();
        refused("steps = 0", "learner.steps", "at least 1");
        refused("prompts_per_step = 0", "learner.prompts_per_step = 0", "1 to 65536");
        refused("prompts_per_step = 99999", "learner.prompts_per_step = 99999", "1 to 65536");
        refused("refills = 99999", "learner.refills = 99999", "0 to 1000");
        refused("window = 0", "learner.window", "1 (on-policy) to 8");
        refused("iterations = 0", "learner.iterations", "at least 1");
        refused("refills = 1\nwindow = 2", "learner.refills", "learner.window = 1");
    }
}
