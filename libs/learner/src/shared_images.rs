//! Images of groups that are cut into several micro-batches: the tower encodes them for the first, and has its backward
//! pass after the last, with the sum of the gradients of all of them.

use vrft_kernels::Gradients;
use vrft_model::{EncodedImages, FeatureGradients, ModelError};
use vrft_processor::EncodedPrompt;

use crate::micro_batch::MicroBatch;

/// The prompts of an update that several micro-batches have.
pub(crate) struct SharedImages<'a> {
    prompts: Vec<SharedPrompt<'a>>,
}

struct SharedPrompt<'a> {
    prompt: &'a EncodedPrompt,
    /// Micro-batches that are still to come.
    n_left: usize,
    images: Option<EncodedImages<'a>>,
}

impl<'a> SharedImages<'a> {
    pub(crate) fn new(batches: &[MicroBatch<'a>]) -> Self {
        let mut prompts: Vec<SharedPrompt<'a>> = Vec::new();
        for prompt in batches.iter().flat_map(MicroBatch::prompts) {
            match prompts.iter_mut().find(|shared| std::ptr::eq(shared.prompt, prompt)) {
                Some(shared) => shared.n_left += 1,
                None => prompts.push(SharedPrompt { prompt, n_left: 1, images: None }),
            }
        }
        prompts.retain(|shared| shared.n_left > 1);
        Self { prompts }
    }

    /// The features of those images of a micro-batch that others have too; encoded now if this is the first of them.
    /// Nothing where the tower is not trained.
    pub(crate) fn encoded_for(
        &mut self,
        batch: &MicroBatch<'a>,
        encode: impl Fn(&'a EncodedPrompt) -> Result<Option<EncodedImages<'a>>, ModelError>,
    ) -> Result<Vec<&EncodedImages<'a>>, ModelError> {
        for shared in self.prompts.iter_mut().filter(|shared| batch.has_prompt(shared.prompt)) {
            if shared.images.is_none() {
                shared.images = encode(shared.prompt)?;
            }
        }
        let shared = self.prompts.iter().filter(|shared| batch.has_prompt(shared.prompt));
        Ok(shared.filter_map(|shared| shared.images.as_ref()).collect())
    }

    /// Takes the gradients that a micro-batch's pass gave for [`SharedImages::encoded_for`], in that order; after the
    /// last micro-batch of a prompt their sum goes back through the tower.
    pub(crate) fn backward(
        &mut self,
        batch: &MicroBatch<'a>,
        from_pass: Vec<FeatureGradients>,
        gradients: &mut Gradients,
    ) -> Result<(), ModelError> {
        let mut from_pass = from_pass.into_iter();
        for shared in self.prompts.iter_mut().filter(|shared| batch.has_prompt(shared.prompt)) {
            shared.n_left -= 1;
            let Some(mut images) = shared.images.take() else { continue };
            if let Some(gradient) = from_pass.next() {
                images.add(gradient)?;
            }
            if shared.n_left == 0 {
                images.backward(gradients)?;
            } else {
                shared.images = Some(images);
            }
        }
        Ok(())
    }
}
