//! The reinforcement step's side of an update: what is computed before it, and the loss of a micro-batch.

use candle_core::{Device, Tensor};
use vrft_model::{ModelError, PackedGroup, Policy, TokenLogprobs};
use vrft_objective::config::Teacher;
use vrft_objective::{Entropy, Loss, LossInputs};

use crate::micro_batch::{MicroBatch, micro_batches};
use crate::plan::Plan;
use crate::stats::{PREPARE_SECS, REFERENCE_SECS};
use crate::update::{PassSettings, number, numbers};
use crate::{Learner, LearnerError, StepGradients, StepStats};

/// What the KL term holds the policy near.
#[derive(Debug)]
pub(crate) enum Reference {
    /// Nothing: the KL has no weight.
    None,
    /// A frozen policy of its own.
    Frozen(Box<Policy>),
    /// The policy itself, with its adapters off.
    WithoutAdapters,
}

impl Learner {
    /// The gradient of one update from the plan's completions.
    pub(crate) fn grpo_gradients(
        &self,
        plan: &mut Plan<'_>,
        update_idx: u64,
        gradients: &mut StepGradients,
        stats: &mut StepStats,
    ) -> Result<(), LearnerError> {
        self.prepare(plan, stats)?;
        let settings = PassSettings { temperature: self.temperature, update_idx };
        let loss_of = |batch: &MicroBatch<'_>, tokens: &TokenLogprobs, stats: &mut StepStats| {
            self.grpo_loss(batch, tokens, plan, stats)
        };
        let groups = plan.groups_with_gradient();
        self.sum_gradients(groups, settings, gradients, stats, loss_of)
    }

    /// Passes all completions through the policies once more before an update, where its loss depends on that.
    fn prepare(&self, plan: &mut Plan<'_>, stats: &mut StepStats) -> Result<(), LearnerError> {
        self.ask_teacher(plan, stats)?;
        self.weigh_by_picture(plan, stats)?;
        if plan.wants_ref_logprobs(self.config.iterations) {
            let mut logprobs = vec![0.0; plan.n_tokens()];
            for batch in micro_batches(plan.whole_groups(), self.room()) {
                if let Some(of_batch) = self.ref_logprobs(&batch, stats)? {
                    batch.scatter(&numbers(&of_batch)?, &mut logprobs);
                }
            }
            plan.set_ref_logprobs(logprobs);
        }
        if !plan.wants_old_logprobs(self.config.iterations) && !plan.wants_entropies() {
            return Ok(());
        }
        let mut logprobs = vec![0.0; plan.n_tokens()];
        let mut entropies = vec![0.0; plan.n_tokens()];
        for batch in micro_batches(plan.whole_groups(), self.room()) {
            // As the sampler computed them: without dropout.
            let forward =
                |groups: &[PackedGroup<'_>]| self.policy.logprobs(groups, self.temperature);
            let tokens = stats.timed(PREPARE_SECS, || batch.with_packed(forward))?;
            batch.scatter(&numbers(&tokens.logprobs)?, &mut logprobs);
            batch.scatter(&numbers(&tokens.entropy)?, &mut entropies);
        }
        if plan.wants_old_logprobs(self.config.iterations) {
            plan.set_old_logprobs(logprobs);
        }
        if plan.wants_entropies() {
            plan.set_entropies(&entropies);
        }
        Ok(())
    }

    /// What the policy, or the one that the run started from, would say if it had been told the true answers.
    fn ask_teacher(&self, plan: &mut Plan<'_>, stats: &mut StepStats) -> Result<(), LearnerError> {
        let Some(prompts) = plan.unasked_hints() else { return Ok(()) };
        let teacher = plan.loss.self_distillation.as_ref().map(|config| config.teacher);
        let mut logprobs = vec![0.0; plan.n_tokens()];
        for batch in micro_batches(plan.groups_behind(&prompts), self.room()) {
            let of_batch = if teacher == Some(Teacher::Base) {
                self.ref_logprobs(&batch, stats)?
            } else {
                Some(self.own_logprobs(&batch, stats)?)
            };
            if let Some(of_batch) = of_batch {
                batch.scatter(&numbers(&of_batch)?, &mut logprobs);
            }
        }
        plan.set_teacher_logprobs(logprobs);
        Ok(())
    }

    /// Weighs tokens by how much likelier the detail of the picture makes them.
    fn weigh_by_picture(
        &self,
        plan: &mut Plan<'_>,
        stats: &mut StepStats,
    ) -> Result<(), LearnerError> {
        let Some(prompts) = plan.prompts_without_detail() else { return Ok(()) };
        let mut logprobs = vec![0.0; plan.n_tokens()];
        for batch in micro_batches(plan.groups_behind(&prompts), self.room()) {
            batch.scatter(&numbers(&self.own_logprobs(&batch, stats)?)?, &mut logprobs);
        }
        stats.set("policy/visual_advantage", plan.weigh_by_picture(&logprobs));
        Ok(())
    }

    /// (N,): logprobs under the policy as it is, without dropout, as the sampler computes them.
    fn own_logprobs(
        &self,
        batch: &MicroBatch<'_>,
        stats: &mut StepStats,
    ) -> Result<Tensor, LearnerError> {
        let forward = |groups: &[PackedGroup<'_>]| self.policy.logprobs(groups, self.temperature);
        Ok(stats.timed(PREPARE_SECS, || batch.with_packed(forward))?.logprobs)
    }

    fn grpo_loss(
        &self,
        batch: &MicroBatch<'_>,
        tokens: &TokenLogprobs,
        plan: &Plan<'_>,
        stats: &mut StepStats,
    ) -> Result<Tensor, LearnerError> {
        let logprobs = &tokens.logprobs; // (N,)
        let device = logprobs.device();
        let ref_logprobs = match batch.ref_logprobs(device)? {
            Some(known) => Some(known),
            None if plan.loss.has_kl() => self.ref_logprobs(batch, stats)?,
            None => None,
        }; // (N,)
        let old_logprobs = batch.old_logprobs(&logprobs.detach())?; // (N,)
        let sampler_logprobs = batch.sampler_logprobs(&logprobs.detach())?; // (N,)
        let inputs = LossInputs {
            logprobs,
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
        self.note(&loss, stats)?;
        let ratio = (logprobs.detach() - &old_logprobs)?.exp()?; // (N,)
        stats.add("policy/ratio", number(&ratio.sum_all()?)?);
        let loss = self.with_imitation(loss.loss, batch, logprobs, plan, stats)?;
        self.with_distillation(loss, batch, &inputs, plan, stats)
    }

    /// `(1 - μ) · loss + μ · imitation` where the configuration says so (CHORD).
    fn with_imitation(
        &self,
        loss: Tensor,
        batch: &MicroBatch<'_>,
        logprobs: &Tensor,
        plan: &Plan<'_>,
        stats: &mut StepStats,
    ) -> Result<Tensor, LearnerError> {
        let Some(chord) = &plan.loss.chord else { return Ok(loss) };
        let Some(weights) = batch.imitation_weights(logprobs.device())? else { return Ok(loss) };
        let imitation = vrft_objective::imitation_loss(logprobs, &weights, chord.token_weight)?;
        stats.add("policy/imitation_loss", number(&imitation)?);
        stats.set("policy/imitation_share", plan.imitation_share);
        let mu = plan.imitation_share;
        Ok(((loss * (1.0 - mu))? + (imitation * mu)?)?)
    }

    /// `(1 - μ) · loss + μ · distillation` where the configuration says so.
    fn with_distillation(
        &self,
        loss: Tensor,
        batch: &MicroBatch<'_>,
        inputs: &LossInputs<'_>,
        plan: &Plan<'_>,
        stats: &mut StepStats,
    ) -> Result<Tensor, LearnerError> {
        let Some(config) = &plan.loss.self_distillation else { return Ok(loss) };
        let LossInputs { logprobs, old_logprobs, token_weights, .. } = *inputs;
        let Some(teacher) = batch.teacher_logprobs(logprobs.device())? else { return Ok(loss) };
        let distilled =
            vrft_objective::distillation_loss(logprobs, old_logprobs, &teacher, token_weights)?;
        stats.add("policy/teacher_kl", number(&distilled.kl)?);
        let share = config.share;
        Ok(((loss * (1.0 - share))? + (distilled.loss * share)?)?)
    }

    fn note(&self, loss: &Loss, stats: &mut StepStats) -> Result<(), LearnerError> {
        if self.loss_config.has_kl() {
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
        Ok(())
    }

    /// (N,): logprobs under the reference policy, without gradient.
    fn ref_logprobs(
        &self,
        batch: &MicroBatch<'_>,
        stats: &mut StepStats,
    ) -> Result<Option<Tensor>, ModelError> {
        let forward = |groups: &[PackedGroup<'_>]| match &self.reference {
            Reference::None => Ok(None),
            Reference::Frozen(policy) => policy.logprobs(groups, self.temperature).map(Some),
            Reference::WithoutAdapters => {
                self.policy.base_logprobs(groups, self.temperature).map(Some)
            }
        };
        let tokens = stats.timed(REFERENCE_SECS, || batch.with_packed(forward))?;
        // The loss is made in main memory.
        let logprobs = tokens.map(|tokens| tokens.logprobs.detach().to_device(&Device::Cpu));
        Ok(logprobs.transpose()?)
    }
}
