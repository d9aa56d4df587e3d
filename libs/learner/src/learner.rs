//! The learner: a policy, its optimizer, and the step that improves it.

use std::cell::RefCell;

use candle_core::{Device, Tensor};
use config::{LearnerConfig, LossConfig, OptimizerConfig};
use grpo::LossInputs;
use policy::{PackedGroup, Policy, PolicyError, TokenLogprobs};

use crate::adamw::AdamW;
use crate::batch::{check_demonstrations, check_groups};
use crate::gradients::{Gradients, clip_factor};
use crate::micro_batch::{
    MicroBatch, Unit, micro_batches, units_of_demonstrations, units_of_groups,
};
use crate::pass::Pass;
use crate::schedule::learning_rate;
use crate::{Demonstration, LearnerError, StepStats, TrainGroup};

const REFERENCE_SECS: &str = "time/learner/reference_secs";
const FORWARD_BACKWARD_SECS: &str = "time/learner/forward_backward_secs";
const OPTIMIZER_SECS: &str = "time/learner/optimizer_secs";

/// What the KL term holds the policy near.
#[derive(Debug)]
enum Reference {
    /// Nothing: it has no weight.
    None,
    /// A frozen policy.
    Frozen(Box<Policy>),
    /// The policy itself, with its adapters off.
    WithoutAdapters,
}

/// A policy in training.
#[derive(Debug)]
pub struct Learner {
    pub(crate) policy: Policy,
    reference: Reference,
    pub(crate) optimizer: AdamW,
    pub(crate) optimizer_config: OptimizerConfig,
    pub(crate) loss_config: LossConfig,
    pub(crate) config: LearnerConfig,
    pub(crate) temperature: f64,
    pub(crate) step: u64,
    /// The forward that the loss under way was made of.
    pass: RefCell<Option<Pass>>,
    /// Of the step under way; between steps only their memory counts.
    gradients: Gradients,
}

impl Learner {
    /// Puts a policy in training.
    ///
    /// `reference` is the frozen policy that the KL term holds it near; a policy with adapters needs none, since
    /// it is its own reference with the adapters off. `temperature` is the one that completions are sampled at.
    ///
    /// # Errors
    /// A policy without trainable variables; no reference although the KL has a weight.
    pub fn new(
        policy: Policy,
        reference: Option<Policy>,
        optimizer: &OptimizerConfig,
        loss: &LossConfig,
        learner: &LearnerConfig,
        temperature: f64,
    ) -> Result<Self, LearnerError> {
        if policy.variables().is_empty() {
            return Err(LearnerError::input("policy", "loaded as trainable", "no variables"));
        }
        let reference = match reference {
            // Without a weight for the KL the reference would only cost memory.
            _ if loss.kl_coef == 0.0 => Reference::None,
            Some(reference) => Reference::Frozen(Box::new(reference)),
            None if policy.has_adapters() => Reference::WithoutAdapters,
            None => {
                let expected = format!("given, as loss.kl_coef = {}", loss.kl_coef);
                return Err(LearnerError::input("reference policy", expected, "none"));
            }
        };
        Ok(Self {
            policy,
            reference,
            optimizer: AdamW::new(optimizer),
            optimizer_config: optimizer.clone(),
            loss_config: loss.clone(),
            config: learner.clone(),
            temperature,
            step: 0,
            pass: RefCell::default(),
            gradients: Gradients::default(),
        })
    }

    /// One reinforcement step: the GRPO loss over these groups, its gradient, one update.
    ///
    /// Groups whose advantages are all zero are skipped when the KL has no weight, since nothing flows from
    /// them; a step of nothing but such groups counts, and changes no weight.
    ///
    /// # Errors
    /// A group that does not fit, a loss or gradient that is not finite. The weights and the optimizer are then
    /// those of the step before.
    pub fn grpo_step(&mut self, groups: &[TrainGroup]) -> Result<StepStats, LearnerError> {
        check_groups(groups)?;
        let completions = groups.iter().flat_map(|group| &group.completions);
        let lengths: Vec<usize> = completions.map(|c| c.token_ids.len()).collect();
        let weights = grpo::token_weights(&lengths);
        let silent: Vec<bool> = groups.iter().map(TrainGroup::has_no_advantage).collect();
        let mut stats = stats_of(&lengths);
        stats.set("groups/zero_advantage", silent.iter().filter(|&&silent| silent).count() as f64);
        let units = units_of_groups(groups, &weights).into_iter().zip(silent);
        let has_reference = self.has_reference();
        let units = units.filter(|(_, silent)| has_reference || !silent);
        self.make_step(units.map(|(unit, _)| unit).collect(), stats, Self::grpo_loss)
    }

    /// One supervised step: the negative log-likelihood of the demonstrated answers, at temperature 1.
    ///
    /// # Errors
    /// As [`Learner::grpo_step`].
    pub fn sft_step(&mut self, demos: &[Demonstration]) -> Result<StepStats, LearnerError> {
        check_demonstrations(demos)?;
        let lengths: Vec<usize> = demos.iter().map(|demo| demo.token_ids.len()).collect();
        let weights = grpo::token_weights(&lengths);
        let units = units_of_demonstrations(demos, &weights);
        self.make_step(units, stats_of(&lengths), Self::sft_loss)
    }

    /// The policy as of [`Learner::step`].
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Steps made: the version of the policy.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Sums loss and gradient over micro-batches, then updates.
    fn make_step(
        &mut self,
        units: Vec<Unit<'_>>,
        mut stats: StepStats,
        loss_of: impl Fn(&Self, &MicroBatch<'_>, &mut StepStats) -> Result<Tensor, LearnerError>,
    ) -> Result<StepStats, LearnerError> {
        let mut gradients = std::mem::take(&mut self.gradients);
        gradients.clear();
        let mut n_trained = 0;
        for batch in micro_batches(units, self.config.max_tokens_per_micro_batch) {
            let loss = loss_of(self, &batch, &mut stats)?; // ()
            let value = number(&loss)?;
            self.check_finite("loss", value)?;
            stats.add("policy/loss", value);
            stats.add("tokens", batch.n_tokens() as f64);
            n_trained += batch.n_completion_tokens();
            stats.timed(FORWARD_BACKWARD_SECS, || self.backward(&loss, &mut gradients))?;
        }
        stats.divide("policy/entropy", n_trained);
        stats.divide("policy/ratio", n_trained);
        let updated = self.update(&gradients, &mut stats);
        self.gradients = gradients;
        updated?;
        Ok(stats)
    }

    /// Adds the gradient of a loss that was made of the last forward.
    fn backward(&self, loss: &Tensor, gradients: &mut Gradients) -> Result<(), LearnerError> {
        match self.pass.take() {
            Some(pass) => Ok(pass.backward(loss, gradients)?),
            None => Ok(gradients.add(self.policy.variables(), loss.backward()?)?),
        }
    }

    /// Clips the gradient and applies it; nothing has changed if this fails on a gradient that is not finite.
    fn update(&mut self, gradients: &Gradients, stats: &mut StepStats) -> Result<(), LearnerError> {
        let norm = stats.timed(OPTIMIZER_SECS, || gradients.norm())?;
        self.check_finite("gradient norm", norm)?;
        let rate = learning_rate(&self.optimizer_config, self.step, self.config.steps);
        let scale = clip_factor(norm, self.optimizer_config.max_grad_norm);
        let variables = self.policy.variables();
        let optimizer = &mut self.optimizer;
        stats.timed(OPTIMIZER_SECS, || optimizer.step(variables, gradients, rate, scale))?;
        stats.set("policy/grad_norm", norm);
        stats.set("policy/learning_rate", rate);
        self.step += 1;
        Ok(())
    }

    fn grpo_loss(
        &self,
        batch: &MicroBatch<'_>,
        stats: &mut StepStats,
    ) -> Result<Tensor, LearnerError> {
        let logprobs = self.forward(batch, self.temperature, stats)?; // (N,)
        let ref_logprobs = self.ref_logprobs(batch, stats)?; // (N,)
        let device = logprobs.device();
        let old_logprobs = batch.old_logprobs(device)?; // (N,)
        let inputs = LossInputs {
            logprobs: &logprobs,
            old_logprobs: &old_logprobs,
            ref_logprobs: ref_logprobs.as_ref(),
            advantages: &batch.advantages(device)?,
            token_weights: &batch.token_weights(device)?,
        };
        let loss = grpo::grpo_loss(&inputs, &self.loss_config)?;
        if self.has_reference() {
            stats.add("policy/kl", number(&loss.kl)?);
        }
        stats.add("policy/clip_fraction", number(&loss.clip_fraction)?);
        let ratio = (logprobs.detach() - old_logprobs)?.exp()?; // (N,)
        stats.add("policy/ratio", number(&ratio.sum_all()?)?);
        Ok(loss.loss)
    }

    fn sft_loss(
        &self,
        batch: &MicroBatch<'_>,
        stats: &mut StepStats,
    ) -> Result<Tensor, LearnerError> {
        let logprobs = self.forward(batch, 1.0, stats)?; // (N,)
        Ok(grpo::sft_loss(&logprobs, &batch.token_weights(logprobs.device())?)?)
    }

    /// (N,): logprobs under the policy, differentiable.
    fn forward(
        &self,
        batch: &MicroBatch<'_>,
        temperature: f64,
        stats: &mut StepStats,
    ) -> Result<Tensor, LearnerError> {
        let seed = self.dropout_seed(stats);
        let forward = |groups: &[PackedGroup<'_>]| self.pass(groups, temperature, seed);
        let tokens = stats.timed(FORWARD_BACKWARD_SECS, || batch.with_packed(forward))?;
        stats.add("policy/entropy", number(&tokens.entropy.sum_all()?)?);
        Ok(tokens.logprobs)
    }

    /// A forward with gradients: on the CPU recorded, elsewhere in candle's graph.
    fn pass(
        &self,
        groups: &[PackedGroup<'_>],
        temperature: f64,
        seed: u64,
    ) -> Result<TokenLogprobs, PolicyError> {
        if !self.policy.variables().values().all(|var| var.device().is_cpu()) {
            return self.policy.training_logprobs(groups, temperature, seed);
        }
        let budget = match self.config.activation_mib {
            0 => usize::MAX,
            mib => mib << 20,
        };
        let recorded = self.policy.training_pass(groups, temperature, seed, budget)?;
        let (pass, tokens) = Pass::new(recorded)?;
        self.pass.replace(Some(pass));
        Ok(tokens)
    }

    /// (N,): logprobs under the reference policy, without gradient.
    fn ref_logprobs(
        &self,
        batch: &MicroBatch<'_>,
        stats: &mut StepStats,
    ) -> Result<Option<Tensor>, PolicyError> {
        let forward = |groups: &[PackedGroup<'_>]| match &self.reference {
            Reference::None => Ok(None),
            Reference::Frozen(policy) => policy.logprobs(groups, self.temperature).map(Some),
            Reference::WithoutAdapters => {
                self.policy.base_logprobs(groups, self.temperature).map(Some)
            }
        };
        let tokens = stats.timed(REFERENCE_SECS, || batch.with_packed(forward))?;
        Ok(tokens.map(|tokens| tokens.logprobs.detach()))
    }

    fn has_reference(&self) -> bool {
        !matches!(self.reference, Reference::None)
    }

    /// Another one for every pass, the same one when a run is resumed.
    fn dropout_seed(&self, stats: &StepStats) -> u64 {
        let tokens_before = stats.metrics.get("tokens").copied().unwrap_or(0.0) as u64;
        ((self.step + 1) << 32) + tokens_before
    }

    fn check_finite(&self, what: &'static str, value: f64) -> Result<(), LearnerError> {
        match value.is_finite() {
            true => Ok(()),
            false => Err(LearnerError::NotFinite { what, step: self.step + 1, value }),
        }
    }
}

/// The metrics that every step has, before it is made.
fn stats_of(lengths: &[usize]) -> StepStats {
    let mut stats = StepStats::default();
    for path in ["policy/loss", "tokens", REFERENCE_SECS, FORWARD_BACKWARD_SECS, OPTIMIZER_SECS] {
        stats.set(path, 0.0);
    }
    let mean = lengths.iter().sum::<usize>() as f64 / lengths.len() as f64;
    stats.set("completions/length/mean", mean);
    stats
}

/// A scalar as a number, fetched from its device.
fn number(scalar: &Tensor) -> Result<f64, candle_core::Error> {
    Ok(f64::from(scalar.to_device(&Device::Cpu)?.to_scalar::<f32>()?))
}
