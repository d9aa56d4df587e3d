//! Adversarial training: each demonstration's pictures are attacked before the step that learns from them.

use vrft_plan::AttackConfig;
use vrft_vision::PixelRange;

use crate::{Demonstration, Learner, LearnerError, StepStats};

impl Learner {
    /// One supervised step on attacked pictures: min over the weights of max over the pictures, as in adversarial training
    /// ([arXiv 1706.06083](https://arxiv.org/abs/1706.06083), equation 2.1). The policy as it is before the step is attacked;
    /// a random start is drawn by the number of the step and of the demonstration, so that a resumed run attacks alike.
    /// `attack/nll_before` and `attack/nll` are the mean negative logprobs of the answers before and after the attack.
    ///
    /// # Errors
    /// As [`Learner::sft_step`]; pictures that cannot be attacked, because they are cut into tiles.
    pub fn adversarial_step(
        &mut self,
        demos: &[Demonstration],
        attack: &AttackConfig,
        range: PixelRange,
    ) -> Result<StepStats, LearnerError> {
        let attacked = vrft_kernels::on_worker(self.policy.backend(), || {
            let number = self.step << 32;
            let attacked = (number..).zip(demos).map(|(seed, demo)| {
                Ok(self.policy.attack(&demo.prompt, &demo.token_ids, attack, range, seed)?)
            });
            attacked.collect::<Result<Vec<_>, LearnerError>>()
        })?;
        let n = attacked.len().max(1) as f64;
        let before = attacked.iter().map(|it| it.before).sum::<f64>() / n;
        let after = attacked.iter().map(|it| it.after).sum::<f64>() / n;
        let demonstration = |(attacked, demo): (vrft_model::Attacked, &Demonstration)| {
            Demonstration { prompt: attacked.prompt, token_ids: demo.token_ids.clone() }
        };
        let demos: Vec<Demonstration> =
            attacked.into_iter().zip(demos).map(demonstration).collect();
        let mut stats = self.sft_step(&demos)?;
        stats.set("attack/nll_before", before);
        stats.set("attack/nll", after);
        Ok(stats)
    }
}
