//! Image features that several passes of an update share: the tower encodes the images once, and its backward pass
//! runs once with the sum of the passes' gradients.

use candle_core::Tensor;
use vrft_kernels::{Activation, Context, Gradients, Tape};
use vrft_processor::EncodedPrompt;
use vrft_vision::Patches;

use crate::ModelError;
use crate::decoder::DecoderInput;

/// The features of a prompt's images from a tower in training, and the tape of how it computed them.
#[derive(Debug)]
pub struct EncodedImages<'a> {
    pub(crate) prompt: &'a EncodedPrompt,
    /// Each (tokens of all images, hidden_size): what replaces the embeddings, then what is added after some layers.
    pub(crate) features: Vec<Activation>,
    pub(crate) tape: Tape,
    /// Bytes that the tape keeps of the tower's blocks.
    pub(crate) kept_bytes: usize,
    /// Sums of the gradients from all passes so far, one for each of the features.
    gradients: FeatureGradients,
}

/// The gradients of the features of some [`EncodedImages`] from one pass.
#[derive(Debug, Clone, Default)]
pub struct FeatureGradients(pub(crate) Vec<Option<Tensor>>);

impl<'a> EncodedImages<'a> {
    pub(crate) fn new(
        prompt: &'a EncodedPrompt,
        features: Vec<Activation>,
        tape: Tape,
        kept_bytes: usize,
    ) -> Self {
        let gradients = FeatureGradients(vec![None; features.len()]);
        Self { prompt, features, tape, kept_bytes, gradients }
    }

    /// Adds the gradients of the features that [`TrainingPass::backward`](crate::TrainingPass::backward) returned.
    ///
    /// # Errors
    /// Fails if a gradient has another shape than the features.
    pub fn add(&mut self, gradients: FeatureGradients) -> Result<(), ModelError> {
        for (sum, gradient) in self.gradients.0.iter_mut().zip(gradients.0) {
            *sum = match (sum.take(), gradient) {
                (Some(sum), Some(gradient)) => Some((sum + gradient)?),
                (sum, gradient) => sum.or(gradient),
            };
        }
        Ok(())
    }

    /// The tower's backward pass, from the sum of the passes' gradients to the tower's variables.
    ///
    /// # Errors
    /// Fails if an operation fails.
    pub fn backward(self, gradients: &mut Gradients) -> Result<(), ModelError> {
        self.backward_to(&[], gradients).map(|_| ())
    }

    /// The same, which also returns the gradients of these inputs of the tower's tape, as far as they have one.
    pub(crate) fn backward_to(
        self,
        inputs: &[&Activation],
        gradients: &mut Gradients,
    ) -> Result<Vec<Option<Tensor>>, ModelError> {
        let with_gradient = self.features.iter().zip(self.gradients.0);
        let results: Vec<_> =
            with_gradient.filter_map(|(features, gradient)| Some((features, gradient?))).collect();
        Ok(self.tape.backward(&results, inputs, gradients)?)
    }

    /// The rows of an image among the features, if it is one of this very prompt and not one that looks the same.
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

/// Encoded images together with their features as an input of a pass.
pub(crate) type Shared<'a> = (&'a EncodedImages<'a>, &'a [Activation]);

/// Images and the rows that their placeholders fill, in order.
#[derive(Default)]
pub(crate) struct Placed<'a> {
    pub(crate) images: Vec<&'a Patches>,
    pub(crate) places: Vec<usize>,
}

/// Puts the features of images that are encoded already into the rows of their placeholders; returns the other images
/// with their placeholders. `places` are those of all `images`, in order.
pub(crate) fn put_features<'a>(
    context: &Context,
    input: &mut DecoderInput,
    images: &[&'a Patches],
    places: &[usize],
    encoded: &[Shared],
    n_tokens: &dyn Fn(&Patches) -> usize,
) -> Result<Placed<'a>, ModelError> {
    let mut others = Placed::default();
    let mut start = 0;
    for image in images {
        let own = &places[start..start + n_tokens(image)];
        start += own.len();
        let found = encoded
            .iter()
            .find_map(|(encoded, features)| Some((*features, encoded.rows(image, n_tokens)?)));
        match found {
            Some((features, rows)) => {
                let rows: Vec<u32> = rows.map(|row| row as u32).collect();
                let of_image = |features| vrft_kernels::select_rows(context, features, &rows);
                let features = features.iter().map(of_image).collect::<Result<Vec<_>, _>>()?;
                input.put(context, &features, own)?;
            }
            None => {
                others.images.push(*image);
                others.places.extend_from_slice(own);
            }
        }
    }
    Ok(others)
}
