//! Completions of prompts: what is asked, and of whom.

use vrft_model::Policy;
use vrft_processor::{EncodedPrompt, Processor};

use crate::batch::Batch;
use crate::row::Row;
use crate::turns::{Alone, Partner};
use crate::{Completion, RolloutError, Sampling};

/// Told after every token of a completion: the index of its prompt, its own index, its tokens so far. Where it returns
/// `false` the completion is cut there.
pub type Watch<'a> = dyn Fn(usize, usize, &[u32]) -> bool + Sync + 'a;

/// Gives each completion (prompt index, completion index) its random stream.
pub type Seeds<'a> = dyn Fn(usize, usize) -> u64 + 'a;

/// `group_size` completions of every prompt, in the order of the prompts.
///
/// Each prompt is prefilled once and its completions grow as one batch with those of other prompts. A finished one
/// leaves the batch; as soon as there is room for a whole group, up to `sampling.max_rows`, the next prompt joins.
/// `seeds` gives each completion its random stream, so its text does not depend on what else is in the batch.
///
/// # Errors
/// Settings that make no sense, a prompt that the policy cannot take, logits that are not finite.
pub fn generate(
    policy: &Policy,
    processor: &Processor,
    prompts: &[&EncodedPrompt],
    group_size: usize,
    sampling: &Sampling,
    seeds: &Seeds,
) -> Result<Vec<Vec<Completion>>, RolloutError> {
    let generator = Generator { policy, processor, sampling, group_size };
    generator.watched(prompts, seeds, &|_, _, _| true)
}

/// Who answers, and how: for completions that are watched or talk to somebody while they grow.
#[derive(Clone, Copy)]
pub struct Generator<'a> {
    /// Who answers.
    pub policy: &'a Policy,
    /// Its tokenizer and chat template.
    pub processor: &'a Processor,
    /// How tokens are drawn, and when a completion is over.
    pub sampling: &'a Sampling,
    /// Completions of each prompt.
    pub group_size: usize,
}

impl Generator<'_> {
    /// As [`generate`], watched while the completions grow.
    ///
    /// # Errors
    /// As [`generate`].
    pub fn watched(
        &self,
        prompts: &[&EncodedPrompt],
        seeds: &Seeds,
        watch: &Watch,
    ) -> Result<Vec<Vec<Completion>>, RolloutError> {
        self.run(prompts, seeds, watch, &mut Alone)
    }

    /// As [`generate`], where completions may pause for what a partner says.
    ///
    /// A completion that pauses waits until each of the others has finished or waits too. Then all calls go to the partner
    /// at once, and the completions go on together: what is decoded beside what is the same in every run, however long
    /// a tool takes.
    ///
    /// # Errors
    /// As [`generate`], and what the partner says went wrong.
    pub fn in_turns(
        &self,
        prompts: &[&EncodedPrompt],
        seeds: &Seeds,
        partner: &mut dyn Partner,
    ) -> Result<Vec<Vec<Completion>>, RolloutError> {
        self.run(prompts, seeds, &|_, _, _| true, partner)
    }

    fn run(
        &self,
        prompts: &[&EncodedPrompt],
        seeds: &Seeds,
        watch: &Watch,
        partner: &mut dyn Partner,
    ) -> Result<Vec<Vec<Completion>>, RolloutError> {
        self.sampling.check()?;
        if prompts.is_empty() || self.group_size == 0 {
            return Ok(vec![Vec::new(); prompts.len()]);
        }
        let of_prompt = |prompt| (0..self.group_size).map(move |idx| (prompt, idx));
        let places = (0..prompts.len()).flat_map(of_prompt);
        let rows = places.map(|(prompt, idx)| Row::new(prompt, idx, seeds(prompt, idx))).collect();
        vrft_kernels::on_worker(self.policy.backend(), || {
            Batch::new(self, prompts, rows, watch, partner)?.run()
        })
    }
}
