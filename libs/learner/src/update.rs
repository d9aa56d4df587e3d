//! One update: micro-batches through the policy, their gradients summed, one step of the optimizer.

use candle_core::{Device, Tensor};
use vrft_model::{PackedGroup, TokenLogprobs};

use crate::gradient_noise::GradientNoise;
use crate::gradients::clip_factor;
use crate::micro_batch::{GroupPart, MicroBatch, Room, micro_batches};
use crate::pass::Pass;
use crate::schedule::learning_rate;
use crate::shared_images::SharedImages;
use crate::stats::{FORWARD_BACKWARD_SECS, OPTIMIZER_SECS};
use crate::{Learner, LearnerError, StepGradients, StepStats};

/// How the tokens of an update pass through the policy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PassSettings {
    /// Temperature that logprobs are taken at.
    pub(crate) temperature: f64,
    /// Which update of its step this is, from 0.
    pub(crate) update_idx: u64,
}

impl Learner {
    /// Sums loss and gradient over micro-batches of these groups. `loss_of` makes a loss of the logprobs and entropies
    /// of a micro-batch.
    pub(crate) fn sum_gradients(
        &self,
        groups: Vec<GroupPart<'_>>,
        settings: PassSettings,
        gradients: &mut StepGradients,
        stats: &mut StepStats,
        loss_of: impl Fn(
            &MicroBatch<'_>,
            &TokenLogprobs,
            &mut StepStats,
        ) -> Result<Tensor, LearnerError>,
    ) -> Result<(), LearnerError> {
        gradients.clear();
        let mut n_trained = 0;
        let batches = micro_batches(groups, self.room());
        let mut images = SharedImages::new(&batches);
        let n_groups: usize = batches.iter().map(MicroBatch::n_groups).sum();
        let mut first = None;
        for (idx, batch) in batches.iter().enumerate() {
            let dropout_seed = Some(self.dropout_seed(stats, settings.update_idx));
            let budget = self.activation_budget();
            let encode = |prompt| self.policy.encode_images(prompt, dropout_seed, budget);
            let shared =
                stats.timed(FORWARD_BACKWARD_SECS, || images.encoded_for(batch, encode))?;
            let forward = |packed: &[PackedGroup<'_>]| {
                let temperature = settings.temperature;
                self.policy.training_pass(packed, temperature, dropout_seed, budget, &shared)
            };
            let recorded = stats.timed(FORWARD_BACKWARD_SECS, || batch.with_packed(forward))?;
            let pass = Pass::new(recorded)?;
            let tokens = pass.tokens();
            stats.add("policy/entropy", number(&tokens.entropy.sum_all()?)?);
            let loss = loss_of(batch, &tokens, stats)?; // ()
            let value = number(&loss)?;
            self.check_finite("loss", value)?;
            stats.add("policy/loss", value);
            stats.add("tokens", batch.n_tokens() as f64);
            n_trained += batch.n_completion_tokens();
            stats.timed(FORWARD_BACKWARD_SECS, || {
                let of_images = pass.backward(&loss, &mut gradients.sums)?;
                images.backward(batch, of_images, &mut gradients.sums)
            })?;
            if idx == 0 && batches.len() > 1 {
                first = Some((batch.n_groups(), gradients.norm()?));
            }
        }
        if let Some(first) = first {
            // The update asks for it again.
            let norm = stats.timed(OPTIMIZER_SECS, || gradients.norm())?;
            gradients.known_norm = Some(norm);
            if let Some(noise) = GradientNoise::new(first, (n_groups, norm)) {
                stats.set("policy/grad_signal", noise.signal);
                stats.set("policy/grad_noise", noise.noise);
            }
        }
        stats.divide("policy/entropy", n_trained);
        stats.divide("policy/ratio", n_trained);
        Ok(())
    }

    /// Clips the gradient and applies it; nothing has changed if this fails on a gradient that is not finite.
    pub(crate) fn update(
        &mut self,
        gradients: &StepGradients,
        stats: &mut StepStats,
    ) -> Result<(), LearnerError> {
        let norm = match gradients.known_norm {
            Some(norm) => norm,
            None => stats.timed(OPTIMIZER_SECS, || gradients.norm())?,
        };
        self.check_finite("gradient norm", norm)?;
        let rate = learning_rate(&self.optimizer_config, self.step, self.config.steps);
        let scale = clip_factor(norm, self.optimizer_config.max_grad_norm);
        let variables = self.policy.variables();
        let optimizer = &mut self.optimizer;
        stats.timed(OPTIMIZER_SECS, || optimizer.step(variables, &gradients.sums, rate, scale))?;
        stats.set("policy/grad_norm", norm);
        stats.set("policy/learning_rate", rate);
        Ok(())
    }

    /// How many tokens pass through the policy together.
    pub(crate) fn room(&self) -> Room {
        Room::of(&self.config)
    }

    /// Bytes of activations that may be kept.
    fn activation_budget(&self) -> usize {
        match self.config.activation_mib {
            0 => usize::MAX,
            mib => mib << 20,
        }
    }

    /// Seed of the adapters' dropout masks: another one for every pass, the same one when a run is resumed.
    fn dropout_seed(&self, stats: &StepStats, update_idx: u64) -> u64 {
        let tokens_before = stats.get("tokens").unwrap_or(0.0) as u64;
        (update_idx << 48) + ((self.step + 1) << 32) + tokens_before
    }

    fn check_finite(&self, what: &'static str, value: f64) -> Result<(), LearnerError> {
        if value.is_finite() {
            return Ok(());
        }
        Err(LearnerError::NotFinite { what, step: self.step + 1, value })
    }
}

/// A vector as numbers, fetched from its device.
pub(crate) fn numbers(vector: &Tensor) -> Result<Vec<f32>, candle_core::Error> {
    vector.to_device(&Device::Cpu)?.to_vec1()
}

/// A scalar as a number, fetched from its device.
pub(crate) fn number(scalar: &Tensor) -> Result<f64, candle_core::Error> {
    Ok(f64::from(scalar.to_device(&Device::Cpu)?.to_scalar::<f32>()?))
}
