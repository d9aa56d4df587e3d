//! The learner: a policy, its optimizer, and the step that improves it.

use std::cell::RefCell;

use crate::OptimizerConfig;
use candle_core::{Device, Tensor};
use vrft_kernels::Gradients;
use vrft_model::{EncodedImages, PackedGroup, Policy, PolicyError, TokenLogprobs};
use vrft_objective::config::LossConfig;
use vrft_objective::{Entropy, LossInputs};
use vrft_plan::LearnerConfig;

use crate::adamw::AdamW;
use crate::batch::{check_demonstrations, check_groups};
use crate::controllers::Controllers;
use crate::gradients::{clip_factor, norm};
use crate::micro_batch::{MicroBatch, Unit, micro_batches, units_of_demonstrations};
use crate::pass::Pass;
use crate::plan::Plan;
use crate::schedule::learning_rate;
use crate::shared_images::SharedImages;
use crate::{Demonstration, LearnerError, StepStats, TrainGroup};

const REFERENCE_SECS: &str = "time/learner/reference_secs";
const PREPARE_SECS: &str = "time/learner/prepare_secs";
const FORWARD_BACKWARD_SECS: &str = "time/learner/forward_backward_secs";
const OPTIMIZER_SECS: &str = "time/learner/optimizer_secs";

/// A micro-batch on its way through the policy.
struct Turn<'a> {
    batch: &'a MicroBatch<'a>,
    /// Images of it that other micro-batches use too.
    encoded: &'a [&'a EncodedImages<'a>],
    /// Seed of the adapters' dropout masks.
    dropout_seed: u64,
}

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
    pub(crate) controllers: Controllers,
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
        let gradients = Gradients::new(policy.backend());
        Ok(Self {
            policy,
            reference,
            optimizer: AdamW::new(optimizer, gradients.backend()),
            optimizer_config: optimizer.clone(),
            loss_config: loss.clone(),
            controllers: Controllers::default(),
            config: learner.clone(),
            temperature,
            step: 0,
            pass: RefCell::default(),
            gradients,
        })
    }

    /// One reinforcement step: the configured loss over these groups, its gradient, an update, and as many more
    /// as `learner.iterations` says.
    ///
    /// Completions without an advantage are skipped where nothing flows from them, that is without a KL and without
    /// an entropy bonus; a step of nothing but such completions counts, and changes no weight.
    ///
    /// # Errors
    /// A group that does not fit, a loss or gradient that is not finite. The weights and the optimizer are then
    /// those of the update before.
    pub fn grpo_step(&mut self, groups: &[TrainGroup]) -> Result<StepStats, LearnerError> {
        check_groups(groups)?;
        vrft_kernels::on_worker(self.policy.backend(), || self.grpo_step_here(groups))
    }

    fn grpo_step_here(&mut self, groups: &[TrainGroup]) -> Result<StepStats, LearnerError> {
        let completions = groups.iter().flat_map(|group| &group.completions);
        let lengths: Vec<usize> = completions.map(|c| c.token_ids.len()).collect();
        let silent = groups.iter().filter(|group| group.has_no_advantage()).count();
        let mute = groups.iter().flat_map(|group| &group.completions);
        let mute = mute.filter(|completion| completion.advantage == 0.0).count();
        let mut plan = Plan::new(groups, self.controllers.apply(&self.loss_config));
        let mut updates = Vec::with_capacity(self.config.iterations);
        for update_idx in 0..self.config.iterations as u64 {
            let mut stats = stats_of(&lengths);
            stats.set("groups/zero_advantage", silent as f64);
            stats.set("completions/zero_advantage", mute as f64);
            self.prepare(&mut plan, &mut stats)?;
            let loss_of = |learner: &Self, turn: &Turn<'_>, stats: &mut StepStats| {
                learner.grpo_loss(turn, &plan, stats)
            };
            stats = self.update_from(plan.units_with_gradient(), update_idx, stats, loss_of)?;
            scale_to_means(&mut stats, plan.total_weight());
            updates.push(stats);
        }
        let mut stats = match updates.len() {
            1 => updates.remove(0),
            _ => StepStats::merged(updates),
        };
        self.controllers.update(&self.loss_config, &mut stats, lengths.len());
        self.step += 1;
        Ok(stats)
    }

    /// Looks at all completions once more before an update, where its loss depends on that.
    fn prepare(&self, plan: &mut Plan<'_>, stats: &mut StepStats) -> Result<(), LearnerError> {
        if plan.wants_ref_logprobs(self.config.iterations) {
            let mut logprobs = vec![0.0; plan.n_tokens()];
            for batch in micro_batches(plan.units(), self.config.max_tokens_per_micro_batch) {
                if let Some(of_batch) = self.ref_logprobs(&batch, stats)? {
                    batch.scatter(&numbers(&of_batch)?, &mut logprobs);
                }
            }
            plan.set_ref_logprobs(logprobs);
        }
        if !plan.wants_old_logprobs() && !plan.wants_entropies() {
            return Ok(());
        }
        let [mut logprobs, mut entropies] = [(); 2].map(|()| vec![0.0; plan.n_tokens()]);
        for batch in micro_batches(plan.units(), self.config.max_tokens_per_micro_batch) {
            // As the sampler saw it: without dropout.
            let forward =
                |groups: &[PackedGroup<'_>]| self.policy.logprobs(groups, self.temperature);
            let tokens = stats.timed(PREPARE_SECS, || batch.with_packed(forward))?;
            batch.scatter(&numbers(&tokens.logprobs)?, &mut logprobs);
            batch.scatter(&numbers(&tokens.entropy)?, &mut entropies);
        }
        if plan.wants_old_logprobs() {
            plan.set_old_logprobs(logprobs);
        }
        if plan.wants_entropies() {
            plan.set_entropies(&entropies);
        }
        Ok(())
    }

    /// One supervised step: the negative log-likelihood of the demonstrated answers, at temperature 1.
    ///
    /// # Errors
    /// As [`Learner::grpo_step`].
    pub fn sft_step(&mut self, demos: &[Demonstration]) -> Result<StepStats, LearnerError> {
        check_demonstrations(demos)?;
        vrft_kernels::on_worker(self.policy.backend(), || self.sft_step_here(demos))
    }

    fn sft_step_here(&mut self, demos: &[Demonstration]) -> Result<StepStats, LearnerError> {
        let lengths: Vec<usize> = demos.iter().map(|demo| demo.token_ids.len()).collect();
        let weights = vrft_objective::token_weights(&lengths);
        let units = units_of_demonstrations(demos, &weights);
        let stats = self.update_from(units, 0, stats_of(&lengths), Self::sft_loss)?;
        self.step += 1;
        Ok(stats)
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
    fn update_from(
        &mut self,
        units: Vec<Unit<'_>>,
        update_idx: u64,
        mut stats: StepStats,
        loss_of: impl Fn(&Self, &Turn<'_>, &mut StepStats) -> Result<Tensor, LearnerError>,
    ) -> Result<StepStats, LearnerError> {
        let empty = Gradients::new(self.policy.backend());
        let mut gradients = std::mem::replace(&mut self.gradients, empty);
        gradients.clear();
        let mut n_trained = 0;
        let batches = micro_batches(units, self.config.max_tokens_per_micro_batch);
        let mut images = SharedImages::new(&batches);
        for batch in &batches {
            let dropout_seed = self.dropout_seed(&stats, update_idx);
            let budget = self.activation_budget();
            let encode = |prompt| self.policy.encode_images(prompt, Some(dropout_seed), budget);
            let encoded = stats.timed(FORWARD_BACKWARD_SECS, || images.of(batch, encode))?;
            let turn = Turn { batch, encoded: &encoded, dropout_seed };
            let loss = loss_of(self, &turn, &mut stats)?; // ()
            let value = number(&loss)?;
            self.check_finite("loss", value)?;
            stats.add("policy/loss", value);
            stats.add("tokens", batch.n_tokens() as f64);
            n_trained += batch.n_completion_tokens();
            stats.timed(FORWARD_BACKWARD_SECS, || {
                let of_images = self.backward(&loss, &mut gradients)?;
                Ok::<_, LearnerError>(images.backward(batch, of_images, &mut gradients)?)
            })?;
        }
        stats.divide("policy/entropy", n_trained);
        stats.divide("policy/ratio", n_trained);
        let updated = self.update(&gradients, &mut stats);
        self.gradients = gradients;
        updated?;
        Ok(stats)
    }

    /// The backward pass of a loss of the last forward pass; returns the gradients of the images encoded before it.
    fn backward(
        &self,
        loss: &Tensor,
        gradients: &mut Gradients,
    ) -> Result<Vec<Option<Tensor>>, LearnerError> {
        match self.pass.take() {
            Some(pass) => Ok(pass.backward(loss, gradients)?),
            None => Err(LearnerError::input("loss", "made of a recorded forward", "none")),
        }
    }

    /// Clips the gradient and applies it; nothing has changed if this fails on a gradient that is not finite.
    fn update(&mut self, gradients: &Gradients, stats: &mut StepStats) -> Result<(), LearnerError> {
        let norm = stats.timed(OPTIMIZER_SECS, || norm(gradients))?;
        self.check_finite("gradient norm", norm)?;
        let rate = learning_rate(&self.optimizer_config, self.step, self.config.steps);
        let scale = clip_factor(norm, self.optimizer_config.max_grad_norm);
        let variables = self.policy.variables();
        let optimizer = &mut self.optimizer;
        stats.timed(OPTIMIZER_SECS, || optimizer.step(variables, gradients, rate, scale))?;
        stats.set("policy/grad_norm", norm);
        stats.set("policy/learning_rate", rate);
        Ok(())
    }

    fn grpo_loss(
        &self,
        turn: &Turn<'_>,
        plan: &Plan<'_>,
        stats: &mut StepStats,
    ) -> Result<Tensor, LearnerError> {
        let batch = turn.batch;
        let tokens = self.forward(turn, self.temperature, stats)?;
        let logprobs = tokens.logprobs; // (N,)
        let device = logprobs.device();
        let ref_logprobs = match batch.ref_logprobs(device)? {
            Some(known) => Some(known),
            None => self.ref_logprobs(batch, stats)?,
        }; // (N,)
        let old_logprobs = batch.old_logprobs(device)?; // (N,)
        let sampler_logprobs = batch.sampler_logprobs(device)?; // (N,)
        let inputs = LossInputs {
            logprobs: &logprobs,
            old_logprobs: &old_logprobs,
            sampler_logprobs: Some(&sampler_logprobs),
            ref_logprobs: ref_logprobs.as_ref(),
            advantages: &batch.advantages(device)?,
            token_weights: &batch.token_weights(device)?,
            lengths: &batch.lengths(),
            entropy: Some(Entropy {
                per_token: &tokens.entropy,
                threshold: plan.entropy_threshold,
                n_tokens: plan.n_entropy_tokens,
            }),
        };
        let loss = vrft_objective::policy_loss(&inputs, &plan.loss)?;
        if self.has_reference() {
            stats.add("policy/kl", number(&loss.kl)?);
        }
        for (path, value) in [
            ("policy/clip_fraction", &loss.clip_fraction),
            ("policy/off_policy_fraction", &loss.off_policy_fraction),
            ("policy/sampler_correction", &loss.correction),
        ] {
            if let Some(value) = value {
                stats.add(path, number(value)?);
            }
        }
        let ratio = (logprobs.detach() - old_logprobs)?.exp()?; // (N,)
        stats.add("policy/ratio", number(&ratio.sum_all()?)?);
        Ok(loss.loss)
    }

    fn sft_loss(&self, turn: &Turn<'_>, stats: &mut StepStats) -> Result<Tensor, LearnerError> {
        let tokens = self.forward(turn, 1.0, stats)?;
        let logprobs = tokens.logprobs; // (N,)
        Ok(vrft_objective::sft_loss(&logprobs, &turn.batch.token_weights(logprobs.device())?)?)
    }

    /// Logprobs and entropies under the policy, differentiable.
    fn forward(
        &self,
        turn: &Turn<'_>,
        temperature: f64,
        stats: &mut StepStats,
    ) -> Result<TokenLogprobs, PolicyError> {
        let forward = |groups: &[PackedGroup<'_>]| self.pass(groups, temperature, turn);
        let tokens = stats.timed(FORWARD_BACKWARD_SECS, || turn.batch.with_packed(forward))?;
        stats.add("policy/entropy", number(&tokens.entropy.sum_all()?)?);
        Ok(tokens)
    }

    /// A forward pass that is recorded for its backward pass.
    fn pass(
        &self,
        groups: &[PackedGroup<'_>],
        temperature: f64,
        turn: &Turn<'_>,
    ) -> Result<TokenLogprobs, PolicyError> {
        let (seed, budget) = (Some(turn.dropout_seed), self.activation_budget());
        let recorded =
            self.policy.training_pass(groups, temperature, seed, budget, turn.encoded)?;
        let (pass, tokens) = Pass::new(recorded)?;
        self.pass.replace(Some(pass));
        Ok(tokens)
    }

    /// Bytes of activations that may be kept.
    fn activation_budget(&self) -> usize {
        match self.config.activation_mib {
            0 => usize::MAX,
            mib => mib << 20,
        }
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
    fn dropout_seed(&self, stats: &StepStats, update_idx: u64) -> u64 {
        let tokens_before = stats.get("tokens").unwrap_or(0.0) as u64;
        (update_idx << 48) + ((self.step + 1) << 32) + tokens_before
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

/// Turns sums that are weighted by token into means, where the weights of an objective do not sum to 1.
fn scale_to_means(stats: &mut StepStats, total_weight: f64) {
    const ROUNDING: f64 = 1e-3;
    if total_weight == 0.0 || (total_weight - 1.0).abs() < ROUNDING {
        return;
    }
    for path in [
        "policy/kl",
        "policy/clip_fraction",
        "policy/off_policy_fraction",
        "policy/sampler_correction",
    ] {
        if let Some(sum) = stats.get(path) {
            stats.set(path, sum / total_weight);
        }
    }
}

/// A vector as numbers, fetched from its device.
fn numbers(vector: &Tensor) -> Result<Vec<f32>, candle_core::Error> {
    vector.to_device(&Device::Cpu)?.to_vec1()
}

/// A scalar as a number, fetched from its device.
fn number(scalar: &Tensor) -> Result<f64, candle_core::Error> {
    Ok(f64::from(scalar.to_device(&Device::Cpu)?.to_scalar::<f32>()?))
}
