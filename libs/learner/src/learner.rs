//! The learner: a policy, its optimizer, and the step that improves it.

use vrft_model::{Policy, TokenLogprobs};
use vrft_objective::UpdateCounts;
use vrft_objective::config::LossConfig;
use vrft_plan::{AdaptiveGroupConfig, LearnerConfig};

use crate::adamw::AdamW;
use crate::batch::{check_demonstrations, check_groups};
use crate::controllers::Controllers;
use crate::grpo::Reference;
use crate::micro_batch::{MicroBatch, groups_of_demonstrations};
use crate::plan::{Plan, facts};
use crate::update::PassSettings;
use crate::{Demonstration, LearnerError, OptimizerConfig, StepGradients, StepStats, TrainGroup};

/// A policy in training.
#[derive(Debug)]
pub struct Learner {
    pub(crate) policy: Policy,
    pub(crate) reference: Reference,
    pub(crate) optimizer: AdamW,
    pub(crate) optimizer_config: OptimizerConfig,
    pub(crate) loss_config: LossConfig,
    pub(crate) controllers: Controllers,
    pub(crate) config: LearnerConfig,
    pub(crate) temperature: f64,
    max_completion_tokens: usize,
    pub(crate) group_config: Option<AdaptiveGroupConfig>,
    pub(crate) step: u64,
    /// Buffers of the step under way; between steps only their memory counts.
    gradients: StepGradients,
}

/// The settings that a learner works by.
#[derive(Debug, Clone, Copy)]
pub struct TrainSettings<'a> {
    /// AdamW and its schedule.
    pub optimizer: &'a OptimizerConfig,
    /// What a reinforcement step minimizes.
    pub loss: &'a LossConfig,
    /// Steps, updates a step, micro-batches.
    pub learner: &'a LearnerConfig,
    /// Temperature that completions are sampled at.
    pub temperature: f64,
    /// The longest completion that can be sampled.
    pub max_completion_tokens: usize,
}

impl Learner {
    /// Puts a policy in training.
    ///
    /// `reference` is the frozen policy that the KL term holds it near; a policy with adapters needs none, since
    /// it is its own reference with the adapters off.
    ///
    /// # Errors
    /// A policy without trainable variables; no reference although the KL has a weight.
    pub fn new(
        policy: Policy,
        reference: Option<Policy>,
        settings: &TrainSettings<'_>,
    ) -> Result<Self, LearnerError> {
        if policy.variables().is_empty() {
            return Err(LearnerError::input("policy", "loaded as trainable", "no variables"));
        }
        let loss = settings.loss;
        let reference = match reference {
            // Without a weight for the KL the reference would only cost memory.
            _ if !loss.needs_reference() => Reference::None,
            Some(reference) => Reference::Frozen(Box::new(reference)),
            None if policy.has_adapters() => Reference::WithoutAdapters,
            None => {
                let expected = if loss.has_kl() {
                    format!("given, as loss.kl_coef = {}", loss.kl_coef)
                } else {
                    "given, as loss.self_distillation.teacher = \"base\"".to_owned()
                };
                return Err(LearnerError::input("reference policy", expected, "none"));
            }
        };
        let gradients = StepGradients::new(&policy);
        Ok(Self {
            optimizer: AdamW::new(settings.optimizer, policy.backend()),
            policy,
            reference,
            optimizer_config: settings.optimizer.clone(),
            loss_config: loss.clone(),
            controllers: Controllers::default(),
            config: settings.learner.clone(),
            temperature: settings.temperature,
            max_completion_tokens: settings.max_completion_tokens,
            group_config: None,
            step: 0,
            gradients,
        })
    }

    /// One reinforcement step: the configured loss over these groups, its gradient, an update, and as many more
    /// as `learner.iterations` says.
    ///
    /// Completions without an advantage are skipped where nothing flows from them, that is without a KL and without
    /// an entropy bonus; a step of nothing but such completions counts, and changes no weight. So does a step whose
    /// completions are too far from the policy, where `[loss.effective_samples]` says how far they may be.
    ///
    /// # Errors
    /// A group that does not fit, a loss or gradient that is not finite, more refused steps than allowed. The weights
    /// and the optimizer are then those of the update before.
    pub fn grpo_step(&mut self, groups: &[TrainGroup]) -> Result<StepStats, LearnerError> {
        check_groups(groups, &self.loss_config)?;
        vrft_kernels::on_worker(self.policy.backend(), || self.grpo_step_here(groups))
    }

    fn grpo_step_here(&mut self, groups: &[TrainGroup]) -> Result<StepStats, LearnerError> {
        let counts = self.counts(groups);
        let mut plan = self.plan(groups, &counts);
        let mut share = None;
        if let Some(gate) = self.loss_config.effective_samples.clone() {
            let mut stats = StepStats::of_groups(groups);
            let found = self.effective_share(groups, &plan, &mut stats)?;
            if found < gate.min {
                return self.refuse(stats, found, &gate);
            }
            share = Some(found);
        }
        let mut gradients = self.take_gradients();
        let mut updates = Vec::with_capacity(self.config.iterations);
        for update_idx in 0..self.config.iterations as u64 {
            let mut stats = StepStats::of_groups(groups);
            let summed = self.grpo_gradients(&mut plan, update_idx, &mut gradients, &mut stats);
            let updated = summed.and_then(|()| self.update(&gradients, &mut stats));
            if let Err(error) = updated {
                self.gradients = gradients;
                return Err(error);
            }
            stats.scale_to_means(plan.total_weight());
            updates.push(stats);
        }
        self.gradients = gradients;
        let mut stats = match updates.len() {
            1 => updates.remove(0),
            _ => StepStats::merged(updates),
        };
        if let Some(share) = share {
            self.note_distance(&mut stats, share);
        }
        self.finish_step(&mut stats, &counts);
        self.adapt_group_size(&mut stats, groups.len());
        Ok(stats)
    }

    /// What these groups add to the counts of an update that several learners share.
    pub fn counts(&self, groups: &[TrainGroup]) -> UpdateCounts {
        UpdateCounts::of(&facts(groups), &self.loss_config.masks)
    }

    /// The gradient of one update from these groups, which may be a part of it: `counts` are those of the whole update.
    /// Summed over the learners that share it ([`StepGradients::to_flat`]), it goes to [`Learner::apply`].
    ///
    /// # Errors
    /// As [`Learner::grpo_step`].
    pub fn gradients_of(
        &mut self,
        groups: &[TrainGroup],
        counts: &UpdateCounts,
    ) -> Result<(StepGradients, StepStats), LearnerError> {
        check_groups(groups, &self.loss_config)?;
        vrft_kernels::on_worker(self.policy.backend(), || {
            let mut plan = self.plan(groups, counts);
            let mut gradients = StepGradients::new(&self.policy);
            let mut stats = StepStats::of_groups(groups);
            self.grpo_gradients(&mut plan, 0, &mut gradients, &mut stats)?;
            stats.scale_to_means(plan.total_weight());
            Ok((gradients, stats))
        })
    }

    /// Makes the step whose gradient this is.
    ///
    /// # Errors
    /// A gradient that is not finite; weights and optimizer are then as they were.
    pub fn apply(
        &mut self,
        gradients: &StepGradients,
        counts: &UpdateCounts,
        mut stats: StepStats,
    ) -> Result<StepStats, LearnerError> {
        vrft_kernels::on_worker(self.policy.backend(), || self.update(gradients, &mut stats))?;
        self.finish_step(&mut stats, counts);
        Ok(stats)
    }

    fn plan<'a>(&self, groups: &'a [TrainGroup], counts: &UpdateCounts) -> Plan<'a> {
        let loss = self.controllers.apply(&self.loss_config);
        Plan::new(groups, loss, counts, self.max_completion_tokens, self.step)
    }

    /// The buffers of the step before, to be written again.
    fn take_gradients(&mut self) -> StepGradients {
        let empty = StepGradients::new(&self.policy);
        std::mem::replace(&mut self.gradients, empty)
    }

    fn finish_step(&mut self, stats: &mut StepStats, counts: &UpdateCounts) {
        self.controllers.update(&self.loss_config, stats, counts.n_completions);
        self.step += 1;
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
        let mut stats = StepStats::of_lengths(&lengths);
        let loss_of = |batch: &MicroBatch<'_>, tokens: &TokenLogprobs, _: &mut StepStats| {
            let weights = batch.token_weights(tokens.logprobs.device())?; // (N,)
            Ok(vrft_objective::sft_loss(&tokens.logprobs, &weights)?)
        };
        let groups = groups_of_demonstrations(demos, &weights);
        let settings = PassSettings { temperature: 1.0, update_idx: 0 };
        let mut gradients = self.take_gradients();
        let summed = self.sum_gradients(groups, settings, &mut gradients, &mut stats, loss_of);
        let updated = summed.and_then(|()| self.update(&gradients, &mut stats));
        self.gradients = gradients;
        updated?;
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
}
