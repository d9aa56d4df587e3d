//! The sections `[optimizer]` and `[sft]`.

use serde::{Deserialize, Serialize};
use vrft_config::{ConfigError, Section, require};
use vrft_objective::config::LossConfig;
use vrft_plan::{AttackConfig, LearnerConfig, RolloutConfig};

/// AdamW and its schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OptimizerConfig {
    /// Highest learning rate of the run.
    pub learning_rate: f64,
    /// Shape after the warm-up.
    pub schedule: Schedule,
    /// Steps of linear rise from 0.
    pub warmup_steps: u64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Weight decay, apart from the gradient as in AdamW.
    pub weight_decay: f64,
    /// Gradients are scaled down to this global norm; 0 for no clipping.
    pub max_grad_norm: f64,
    /// Type in which both moments are kept between steps.
    pub state: OptimizerState,
}

/// Type of the optimizer's moments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerState {
    /// 8 bytes for each trained value.
    #[default]
    F32,
    /// 4 bytes, rounded by chance, so that small changes are not lost on average.
    Bf16,
    /// 2 bytes: 8 bits each with a scale for every 256 ([arXiv 2110.02861](https://arxiv.org/abs/2110.02861)).
    Int8,
}

/// Shape of the learning rate over the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// Stays at the peak.
    Constant,
    /// Straight line to 0, as in the official runs of Visual-RFT.
    Linear,
    /// Half a cosine to 0.
    Cosine,
}

/// Settings of the supervised baseline.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SftConfig {
    /// Text put before the answer of a sample, so that demonstrations have the format that is asked for. Also where
    /// reinforcement shows the answer (`[advantage.truth]`, `[loss.chord]`).
    pub answer_prefix: String,
    /// Optimizer of the supervised baseline.
    pub optimizer: OptimizerConfig,
    /// Learns from attacked pictures instead of the pictures themselves. With `[policy.lora]` beside it this is adversarial
    /// training of low-rank adapters, after AdvCLIP-LoRA ([arXiv 2505.15130](https://arxiv.org/abs/2505.15130)); there a
    /// batch shares one perturbation, here each picture has its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adversarial: Option<AttackConfig>,
}

impl SftConfig {
    /// The whole completion that shows an answer: the prefix goes before one that has no thinking of its own.
    pub fn demonstration(&self, answer: &str) -> String {
        let has_thinking = answer.trim_start().starts_with("<think>");
        if has_thinking { answer.to_owned() } else { format!("{}{answer}", self.answer_prefix) }
    }
}

impl Section for OptimizerConfig {
    const NAME: &'static str = "optimizer";

    fn check(&self) -> Result<(), ConfigError> {
        self.check_as(Self::NAME)
    }
}

impl Section for SftConfig {
    const NAME: &'static str = "sft";

    fn check(&self) -> Result<(), ConfigError> {
        let attack = self.adversarial.as_ref();
        attack.map_or(Ok(()), |attack| attack.check_as("sft.adversarial"))?;
        self.optimizer.check_as("sft.optimizer")
    }
}

/// Checks what `[loss.chord]` and `[loss.self_distillation]` ask of `[learner]`.
///
/// # Errors
/// Dynamic sampling beside it, which would leave out prompts that still teach by their true answers.
pub fn check_imitation(loss: &LossConfig, learner: &LearnerConfig) -> Result<(), ConfigError> {
    require(
        (loss.chord.is_none() && loss.self_distillation.is_none()) || learner.refills == 0,
        "learner.refills",
        learner.refills,
        "0 with [loss.chord] or [loss.self_distillation]: a prompt whose completions did equally well still teaches, by its \
         true answer",
    )
}

/// Checks what `rollout.group_size_adaptive` asks of `[learner]`.
///
/// # Errors
/// Dynamic sampling beside it, which leaves out the very groups that it counts.
pub fn check_group_size(
    rollout: &RolloutConfig,
    learner: &LearnerConfig,
) -> Result<(), ConfigError> {
    require(
        rollout.group_size_adaptive.is_none() || learner.refills == 0,
        "learner.refills",
        learner.refills,
        "0 with rollout.group_size_adaptive: groups that teach nothing would be replaced before they are counted",
    )
}

/// Checks that a learner from a record does not ask for other numbers of completions than were recorded.
///
/// # Errors
/// `rollout.group_size_adaptive`.
pub fn check_offline(rollout: &RolloutConfig) -> Result<(), ConfigError> {
    require(
        rollout.group_size_adaptive.is_none(),
        "rollout.group_size_adaptive",
        "a table",
        "left out with `--objective offline`: what is learned from was sampled before",
    )
}

impl OptimizerConfig {
    /// Checks the settings as those of this table.
    fn check_as(&self, table: &str) -> Result<(), ConfigError> {
        let key = |name: &str| format!("{table}.{name}");
        let rate = self.learning_rate;
        require(rate > 0.0 && rate < 1.0, key("learning_rate"), rate, "in (0, 1)")?;
        for (name, beta) in [("beta1", self.beta1), ("beta2", self.beta2)] {
            require((0.0..1.0).contains(&beta), key(name), beta, "in [0, 1)")?;
        }
        // Below what f32 holds it would be 0, and a value that never had a gradient would be divided by it.
        let eps = self.eps;
        require((1e-30..=1.0).contains(&eps), key("eps"), eps, "in [1e-30, 1]")?;
        let decay = self.weight_decay;
        require((0.0..=1.0).contains(&decay), key("weight_decay"), decay, "in [0, 1]")?;
        let norm = self.max_grad_norm;
        require(norm >= 0.0, key("max_grad_norm"), norm, "0 (off) or above")
    }
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self {
            learning_rate: 1e-6,
            schedule: Schedule::Linear,
            warmup_steps: 0,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.0,
            max_grad_norm: 1.0,
            state: OptimizerState::F32,
        }
    }
}

#[cfg(test)]
mod tests {
    use vrft_config::Document;

    use super::*;

    #[test]
    fn an_optimizer_that_would_climb_or_stand_still_is_refused() {
        let check = |change: fn(&mut OptimizerConfig)| {
            let mut config = OptimizerConfig::default();
            change(&mut config);
            config.check_as("optimizer").map_err(|error| error.to_string())
        };
        assert_eq!(check(|_| {}), Ok(()));
        let wild: [fn(&mut OptimizerConfig); 6] = [
            |c| c.eps = -1.0,
            |c| c.eps = 0.0,
            |c| c.eps = f64::INFINITY,
            |c| c.eps = f64::NAN,
            |c| c.weight_decay = -3.0,
            |c| c.weight_decay = f64::NAN,
        ];
        for (idx, change) in wild.into_iter().enumerate() {
            let key = if idx < 4 { "optimizer.eps" } else { "optimizer.weight_decay" };
            assert!(check(change).unwrap_err().contains(key), "{idx}");
        }
    }

    #[test]
    fn an_answer_with_thinking_of_its_own_gets_no_other() {
        let sft = SftConfig { answer_prefix: "<think>a</think> ".into(), ..SftConfig::default() };
        let shown = "<think>a</think> <answer>cat</answer>";
        assert_eq!(sft.demonstration("<answer>cat</answer>"), shown);
        let own = "<think>b</think><answer>cat</answer>";
        assert_eq!(sft.demonstration(own), own);
    }

    #[test]
    fn groups_that_were_sampled_before_have_the_size_that_they_have() {
        let mut rollout = RolloutConfig::default();
        check_offline(&rollout).unwrap();
        rollout.group_size_adaptive = Some(vrft_plan::AdaptiveGroupConfig::default());
        let error = check_offline(&rollout).unwrap_err().to_string();
        assert!(error.starts_with("rollout.group_size_adaptive"), "{error}");
    }

    #[test]
    fn impossible_values_are_refused_by_the_key_of_their_table() {
        let document = Document::parse(
            "[optimizer]\nbeta1 = 1.0\n[sft.optimizer]\nlearning_rate = 0.0",
            "test",
        );
        let document = document.unwrap();
        let error = document.section::<OptimizerConfig>().unwrap_err().to_string();
        assert!(error.starts_with("optimizer.beta1 = 1"), "{error}");
        let error = document.section::<SftConfig>().unwrap_err().to_string();
        assert!(error.starts_with("sft.optimizer.learning_rate = 0"), "{error}");
    }
}
