//! Images that several passes of an update look at: the tower encodes them once, and learns once from all passes.

use candle_core::Tensor;
use vrft_kernels::{Gradients, Tape};
use vrft_vision::Patches;

use crate::{EncodedPrompt, Policy, PolicyError};

/// What a tower in training made of a prompt's images, and its way back.
#[derive(Debug)]
pub struct SeenImages<'a> {
    pub(crate) prompt: &'a EncodedPrompt,
    /// (tokens of all images, hidden_size), without a graph.
    pub(crate) features: Tensor,
    pub(crate) tape: Tape,
    /// Of the adapters' dropout.
    pub(crate) seed: u64,
    /// Bytes that the tape keeps of the tower's blocks.
    pub(crate) kept_bytes: usize,
    /// The sum of what the passes gave, like the features.
    pub(crate) gradient: Option<Tensor>,
}

impl SeenImages<'_> {
    /// Adds the gradient of the features that [`TrainingPass::backward`](crate::TrainingPass::backward) returned.
    ///
    /// # Errors
    /// What candle says.
    pub fn add(&mut self, gradient: Tensor) -> Result<(), PolicyError> {
        self.gradient = Some(match self.gradient.take() {
            Some(sum) => (sum + gradient)?,
            None => gradient,
        });
        Ok(())
    }

    /// Takes the sum of the passes' gradients back to the tower's variables; `policy` is the one that saw.
    ///
    /// # Errors
    /// What an operation says.
    pub fn backward(self, policy: &Policy, gradients: &mut Gradients) -> Result<(), PolicyError> {
        let Some(gradient) = self.gradient else { return Ok(()) };
        // What is computed again on the way back drops what it dropped.
        policy.drop_by(Some(self.seed));
        Ok(self.tape.backward(&self.features, &gradient, gradients)?)
    }

    /// The rows of an image of this very prompt, not of one that looks the same.
    fn rows(
        &self,
        image: &Patches,
        n_tokens: &dyn Fn(&Patches) -> usize,
    ) -> Option<std::ops::Range<usize>> {
        let images = &self.prompt.images;
        let idx = images.iter().position(|own| std::ptr::eq(own, image))?;
        let start = images[..idx].iter().map(n_tokens).sum();
        Some(start..start + n_tokens(image))
    }
}

/// Puts features of images that were seen before over their placeholders in `x` (T, hidden_size); returns that,
/// and the other images with their placeholders. `places` are those of all `images`, in order.
pub(crate) fn put_seen<'a>(
    mut x: Tensor,
    images: &[&'a Patches],
    places: &[usize],
    seen: &[&SeenImages],
    n_tokens: &dyn Fn(&Patches) -> usize,
) -> Result<(Tensor, Vec<&'a Patches>, Vec<usize>), PolicyError> {
    let (mut others, mut other_places) = (Vec::new(), Vec::new());
    let mut start = 0;
    for image in images {
        let own = &places[start..start + n_tokens(image)];
        start += own.len();
        let found = seen.iter().find_map(|seen| Some((seen, seen.rows(image, n_tokens)?)));
        match found {
            Some((seen, rows)) => {
                let rows: Vec<u32> = rows.map(|row| row as u32).collect();
                let features =
                    vrft_kernels::select_rows(&seen.features, &rows, seen.features.dtype())?;
                x = vrft_kernels::replace_rows(&x, &features, own)?;
            }
            None => {
                others.push(*image);
                other_places.extend_from_slice(own);
            }
        }
    }
    Ok((x, others, other_places))
}
