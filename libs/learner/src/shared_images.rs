//! Images of groups that are cut into several micro-batches: the tower encodes them for the first, and its backward
//! pass runs after the last with the sum of their gradients.

use candle_core::Tensor;
use vrft_kernels::Gradients;
use vrft_model::{EncodedImages, PolicyError};
use vrft_processor::EncodedPrompt;

use crate::micro_batch::MicroBatch;

/// The prompts of an update that come more than once.
pub(crate) struct SharedImages<'a> {
    prompts: Vec<Shared<'a>>,
}

struct Shared<'a> {
    prompt: &'a EncodedPrompt,
    /// Micro-batches that are still to come.
    n_left: usize,
    encoded: Option<EncodedImages<'a>>,
}

impl<'a> SharedImages<'a> {
    pub(crate) fn new(batches: &[MicroBatch<'a>]) -> Self {
        let mut prompts: Vec<Shared<'a>> = Vec::new();
        for prompt in batches.iter().flat_map(MicroBatch::prompts) {
            match prompts.iter_mut().find(|shared| std::ptr::eq(shared.prompt, prompt)) {
                Some(shared) => shared.n_left += 1,
                None => prompts.push(Shared { prompt, n_left: 1, encoded: None }),
            }
        }
        prompts.retain(|shared| shared.n_left > 1);
        Self { prompts }
    }

    /// The images of a micro-batch that other micro-batches use too; `encode` encodes them if this is the first of
    /// these. None where the tower is not trained.
    pub(crate) fn of(
        &mut self,
        batch: &MicroBatch<'a>,
        encode: impl Fn(&'a EncodedPrompt) -> Result<Option<EncodedImages<'a>>, PolicyError>,
    ) -> Result<Vec<&EncodedImages<'a>>, PolicyError> {
        for shared in self.prompts.iter_mut().filter(|shared| batch.asks(shared.prompt)) {
            if shared.encoded.is_none() {
                shared.encoded = encode(shared.prompt)?;
            }
        }
        let shared = self.prompts.iter().filter(|shared| batch.asks(shared.prompt));
        Ok(shared.filter_map(|shared| shared.encoded.as_ref()).collect())
    }

    /// Takes the gradients that a micro-batch's pass gave for [`SharedImages::of`], in that order; after the last
    /// micro-batch of an image, the tower's backward pass runs.
    pub(crate) fn backward(
        &mut self,
        batch: &MicroBatch<'a>,
        from_pass: Vec<Option<Tensor>>,
        gradients: &mut Gradients,
    ) -> Result<(), PolicyError> {
        let mut from_pass = from_pass.into_iter();
        for shared in self.prompts.iter_mut().filter(|shared| batch.asks(shared.prompt)) {
            shared.n_left -= 1;
            let Some(mut encoded) = shared.encoded.take() else { continue };
            if let Some(gradient) = from_pass.next().flatten() {
                encoded.add(gradient)?;
            }
            match shared.n_left {
                0 => encoded.backward(gradients)?,
                _ => shared.encoded = Some(encoded),
            }
        }
        Ok(())
    }
}
