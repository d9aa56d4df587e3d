//! Images of groups that are cut into several micro-batches: the tower encodes them for the first, and learns after
//! the last from what all of them said.

use candle_core::Tensor;
use vrft_kernels::Gradients;
use vrft_model::{EncodedPrompt, Policy, PolicyError, SeenImages};

use crate::micro_batch::MicroBatch;

/// The prompts of an update that come more than once.
pub(crate) struct SharedImages<'a> {
    prompts: Vec<Shared<'a>>,
}

struct Shared<'a> {
    prompt: &'a EncodedPrompt,
    /// Micro-batches that are still to come.
    n_left: usize,
    seen: Option<SeenImages<'a>>,
}

impl<'a> SharedImages<'a> {
    pub(crate) fn new(batches: &[MicroBatch<'a>]) -> Self {
        let mut prompts: Vec<Shared<'a>> = Vec::new();
        for prompt in batches.iter().flat_map(MicroBatch::prompts) {
            match prompts.iter_mut().find(|shared| std::ptr::eq(shared.prompt, prompt)) {
                Some(shared) => shared.n_left += 1,
                None => prompts.push(Shared { prompt, n_left: 1, seen: None }),
            }
        }
        prompts.retain(|shared| shared.n_left > 1);
        Self { prompts }
    }

    /// What the tower made of those images of a micro-batch that others look at too; encoded now if this is the
    /// first of them. Nothing where the tower is not trained.
    pub(crate) fn of(
        &mut self,
        batch: &MicroBatch<'a>,
        see: impl Fn(&'a EncodedPrompt) -> Result<Option<SeenImages<'a>>, PolicyError>,
    ) -> Result<Vec<&SeenImages<'a>>, PolicyError> {
        for shared in self.prompts.iter_mut().filter(|shared| batch.asks(shared.prompt)) {
            if shared.seen.is_none() {
                shared.seen = see(shared.prompt)?;
            }
        }
        let shared = self.prompts.iter().filter(|shared| batch.asks(shared.prompt));
        Ok(shared.filter_map(|shared| shared.seen.as_ref()).collect())
    }

    /// Takes the gradients that a micro-batch's pass gave for [`SharedImages::of`], in that order; after the last one
    /// they go back through the tower.
    pub(crate) fn learn(
        &mut self,
        batch: &MicroBatch<'a>,
        from_pass: Vec<Option<Tensor>>,
        policy: &Policy,
        gradients: &mut Gradients,
    ) -> Result<(), PolicyError> {
        let mut from_pass = from_pass.into_iter();
        for shared in self.prompts.iter_mut().filter(|shared| batch.asks(shared.prompt)) {
            shared.n_left -= 1;
            let Some(mut seen) = shared.seen.take() else { continue };
            if let Some(gradient) = from_pass.next().flatten() {
                seen.add(gradient)?;
            }
            match shared.n_left {
                0 => seen.backward(policy, gradients)?,
                _ => shared.seen = Some(seen),
            }
        }
        Ok(())
    }
}
