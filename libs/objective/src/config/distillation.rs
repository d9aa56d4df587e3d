//! Objectives that look at a completion once more: with the true answer before it, or without what can be seen.

use serde::{Deserialize, Serialize};
use vrft_config::{ConfigError, require};

/// What stands for the true answer in `DistillationConfig::hint`.
const ANSWER: &str = "{answer}";

/// Self-distillation: the policy that is told the true answer teaches the policy that is not,
/// `(1 - μ) · L + μ · L_D`, where L is the configured objective with all its parts.
///
/// `L_D` is the reverse KL from the policy to its teacher on the policy's own completions, estimated from the sampled tokens:
/// its gradient is that of `Σ_t w_t · r_t · sg[log π(y_t | x) - log π_T(y_t | x, hint)] · log π(y_t | x)`, where `r_t` is the
/// importance ratio, cut at 2 and without gradient, and `w_t` the weights of L's tokens. SDFT
/// ([arXiv 2601.19897](https://arxiv.org/abs/2601.19897)) shows the teacher a demonstration, SDPO
/// ([arXiv 2601.20802](https://arxiv.org/abs/2601.20802)) a solution that earned its reward; both are `sampled_token` of TRL's
/// trainers of these names, with the teacher `live` or `base`. With a share of 1 rewards teach nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DistillationConfig {
    /// Share μ of the distillation in the loss.
    pub share: f64,
    /// Whose weights the teacher has.
    pub teacher: Teacher,
    /// What is added to the question for the teacher; `{answer}` is the true answer.
    pub hint: String,
}

/// Whose weights the teacher has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Teacher {
    /// The policy's own before the step's first update: what it learns without the hint it knows with it.
    Live,
    /// Those that the run started from, kept as a reference policy.
    Base,
}

/// Tokens count by how much the picture matters for them: the visual advantage of VA-OPD
/// ([arXiv 2605.21924](https://arxiv.org/abs/2605.21924)).
///
/// `v_t = log π(y_t | x, picture) - log π(y_t | x, the picture without detail)`, by the policy before the step's first update
/// and without gradient. As in that paper it acts on two levels. The tokens of a completion are two groups, those with the
/// highest `v_t` and all others, and each group has half of the completion's weight however few tokens it has. And the
/// completions of a prompt count in proportion to their mean `v_t`, where that is above 0. The paper weighs a distillation
/// so; here it is the whole objective. Without detail means that each patch has its mean color.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VisualConfig {
    /// Share of a completion's tokens that are the group with the highest `v_t`; at least one token.
    pub share: f64,
    /// Whether the completions of a prompt are weighed too.
    pub completions: bool,
}

impl Default for DistillationConfig {
    fn default() -> Self {
        Self {
            share: 0.5,
            teacher: Teacher::Live,
            hint: format!("\n\nThe right answer is: {ANSWER}"),
        }
    }
}

impl Default for VisualConfig {
    fn default() -> Self {
        Self { share: 0.2, completions: true }
    }
}

impl DistillationConfig {
    /// What the teacher is told beside the question.
    pub fn hint_of(&self, answer: &str) -> String {
        self.hint.replace(ANSWER, answer)
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        require(
            self.share > 0.0 && self.share <= 1.0,
            "loss.self_distillation.share",
            self.share,
            "in (0, 1]; leave [loss.self_distillation] out for 0",
        )?;
        require(
            self.hint.contains(ANSWER),
            "loss.self_distillation.hint",
            format!("{:?}", self.hint),
            "a text with {answer}: a teacher that is told nothing knows nothing more",
        )
    }
}

impl VisualConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        require(
            self.share > 0.0 && self.share < 1.0,
            "loss.visual.share",
            self.share,
            "a share of tokens in (0, 1); leave [loss.visual] out for all alike",
        )
    }
}
