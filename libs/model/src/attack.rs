//! Pictures that a policy is attacked with: within a small distance of the original, those for which it says the true
//! answer least likely.

use candle_core::{DType, Device, Tensor};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use vrft_kernels::Gradients;
use vrft_plan::AttackConfig;
use vrft_processor::EncodedPrompt;
use vrft_vision::{Patches, PixelBall, PixelRange};

use crate::{ModelError, PackedGroup, Policy};

/// A prompt whose pictures were attacked.
#[derive(Debug, Clone)]
pub struct Attacked {
    /// The prompt with the attacked pictures in place of its own.
    pub prompt: EncodedPrompt,
    /// Mean negative logprob of the answer's tokens with the prompt's own pictures, in nats.
    pub before: f64,
    /// The same with the attacked ones.
    pub after: f64,
}

/// What the loss of an answer says about the pixels of its prompt.
#[derive(Debug, Clone)]
pub struct PixelGradient {
    /// Mean negative logprob of the answer's tokens, in nats.
    pub loss: f64,
    /// For each picture, the gradient of the loss with respect to each value of [`Patches::pixels`].
    pub pictures: Vec<Vec<f32>>,
}

impl Policy {
    /// Attacks the pictures of a prompt: projected gradient ascent of the answer's mean negative logprob, without dropout
    /// and at temperature 1, on the pixels that the model sees. `range` says what black and white are; `seed` draws the
    /// start, if it is a random one. A prompt without pictures stays as it is.
    ///
    /// # Errors
    /// A prompt or answer that the model cannot read, pictures that are cut into tiles, a gradient that is not finite.
    pub fn attack(
        &self,
        prompt: &EncodedPrompt,
        answer: &[u32],
        attack: &AttackConfig,
        range: PixelRange,
        seed: u64,
    ) -> Result<Attacked, ModelError> {
        let before = self.loss_of(prompt, answer)?;
        let balls = prompt.images.iter().map(|image| PixelBall::new(image, range, attack.epsilon));
        let balls: Vec<PixelBall> = balls.collect::<Result<_, _>>().map_err(ModelError::Attack)?;
        let mut current = prompt.clone();
        if attack.random_start {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let point = |ball: &PixelBall| ball.random_point(|| rng.random_range(-1.0..=1.0));
            current.images = balls.iter().map(point).collect();
        }
        let n_steps = if balls.is_empty() { 0 } else { attack.steps };
        for _ in 0..n_steps {
            let gradient = self.pixel_gradient(&current, answer)?;
            let moved = |((ball, image), slopes): ((&PixelBall, &Patches), &Vec<f32>)| {
                ball.step(image, slopes, attack.step_size)
            };
            let together = balls.iter().zip(&current.images).zip(&gradient.pictures);
            current.images = together.map(moved).collect();
        }
        let after = self.loss_of(&current, answer)?;
        Ok(Attacked { prompt: current, before, after })
    }

    /// The mean negative logprob of an answer's tokens at temperature 1 and its gradient with respect to the pixels of
    /// the prompt's pictures, of which there is at least one.
    ///
    /// # Errors
    /// A prompt or answer that the model cannot read, a gradient that is not finite.
    pub fn pixel_gradient(
        &self,
        prompt: &EncodedPrompt,
        answer: &[u32],
    ) -> Result<PixelGradient, ModelError> {
        if prompt.images.is_empty() {
            return Err(ModelError::input("pictures of the prompt", "at least 1", 0));
        }
        let weights = self.weights();
        let context = self.context();
        let mut nothing = Gradients::of_inputs_alone(self.backend());
        let (mut images, pixels) =
            weights.model.encode_pixels(&context, self.tape(None)?, prompt, usize::MAX)?;
        let group = PackedGroup { prompt, completions: &[answer], inserted: &[] };
        let pass = self.training_pass(&[group], 1.0, None, usize::MAX, &[&images])?;
        let loss = mean_loss(&pass.tokens.numbers()?);
        let logprobs = &pass.tokens.logprobs;
        let slope = -1.0 / answer.len() as f32;
        let slopes = Tensor::full(slope, answer.len(), logprobs.device())?; // (N,)
        let of_features = pass.backward(&slopes, None, &mut nothing)?;
        of_features.into_iter().try_for_each(|gradient| images.add(gradient))?;
        let found = images.backward_to(&[&pixels], &mut nothing)?.pop().flatten();
        let found = found.map_or_else(|| pixels.detach().zeros_like(), Ok)?;
        let values = found.to_dtype(DType::F32)?.to_device(&Device::Cpu)?.flatten_all()?;
        let values = values.to_vec1::<f32>()?;
        if let Some(bad) = values.iter().find(|value| !value.is_finite()) {
            return Err(ModelError::input("gradient of the pixels", "finite", bad));
        }
        let mut rest = &values[..];
        let own = |image: &Patches| {
            let (own, others) = rest.split_at(image.pixels.len());
            rest = others;
            own.to_vec()
        };
        Ok(PixelGradient { loss, pictures: prompt.images.iter().map(own).collect() })
    }

    fn loss_of(&self, prompt: &EncodedPrompt, answer: &[u32]) -> Result<f64, ModelError> {
        let group = PackedGroup { prompt, completions: &[answer], inserted: &[] };
        Ok(mean_loss(&self.logprobs(&[group], 1.0)?.numbers()?))
    }
}

fn mean_loss(logprobs: &[f32]) -> f64 {
    -logprobs.iter().map(|logprob| f64::from(*logprob)).sum::<f64>() / logprobs.len() as f64
}
