//! Image features that several passes of an update share: the tower encodes the images once, and its backward pass
//! runs once with the sum of the passes' gradients.

use candle_core::Tensor;
use vrft_kernels::{Activation, Context, Gradients, Tape};
use vrft_processor::EncodedPrompt;
use vrft_vision::Patches;

use crate::PolicyError;

/// The features of a prompt's images from a tower in training, and the tape of how it computed them.
#[derive(Debug)]
pub struct EncodedImages<'a> {
    pub(crate) prompt: &'a EncodedPrompt,
    /// (tokens of all images, hidden_size)
    pub(crate) features: Activation,
    pub(crate) tape: Tape,
    /// Bytes that the tape keeps of the tower's blocks.
    pub(crate) kept_bytes: usize,
    /// Sum of the gradients from all passes so far, of the shape of the features.
    pub(crate) gradient: Option<Tensor>,
}

impl EncodedImages<'_> {
    /// Adds the gradient of the features that [`TrainingPass::backward`](crate::TrainingPass::backward) returned.
    ///
    /// # Errors
    /// Fails if the gradient has another shape than the features.
    pub fn add(&mut self, gradient: Tensor) -> Result<(), PolicyError> {
        self.gradient = Some(match self.gradient.take() {
            Some(sum) => (sum + gradient)?,
            None => gradient,
        });
        Ok(())
    }

    /// The tower's backward pass, from the sum of the passes' gradients to the tower's variables.
    ///
    /// # Errors
    /// Fails if an operation fails.
    pub fn backward(self, gradients: &mut Gradients) -> Result<(), PolicyError> {
        let Some(gradient) = self.gradient else { return Ok(()) };
        self.tape.backward(&[(&self.features, gradient)], &[], gradients)?;
        Ok(())
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
pub(crate) type Shared<'a> = (&'a EncodedImages<'a>, &'a Activation);

/// Images and the rows that their placeholders fill, in order.
#[derive(Default)]
pub(crate) struct Placed<'a> {
    pub(crate) images: Vec<&'a Patches>,
    pub(crate) places: Vec<usize>,
}

/// Puts the features of images that are encoded already over their placeholders in `x` (T, hidden_size); returns that,
/// and the other images with their placeholders. `places` are those of all `images`, in order.
pub(crate) fn put_features<'a>(
    context: &Context,
    mut x: Activation,
    images: &[&'a Patches],
    places: &[usize],
    encoded: &[Shared],
    n_tokens: &dyn Fn(&Patches) -> usize,
) -> Result<(Activation, Placed<'a>), PolicyError> {
    let mut others = Placed::default();
    let mut start = 0;
    for image in images {
        let own = &places[start..start + n_tokens(image)];
        start += own.len();
        let found = encoded
            .iter()
            .find_map(|(encoded, features)| Some((features, encoded.rows(image, n_tokens)?)));
        match found {
            Some((features, rows)) => {
                let rows: Vec<u32> = rows.map(|row| row as u32).collect();
                let features = vrft_kernels::select_rows(context, features, &rows)?;
                x = vrft_kernels::replace_rows(context, &x, &features, own)?;
            }
            None => {
                others.images.push(*image);
                others.places.extend_from_slice(own);
            }
        }
    }
    Ok((x, others))
}
