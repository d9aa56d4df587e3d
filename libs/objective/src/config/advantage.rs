//! How rewards become advantages.

use serde::{Deserialize, Serialize};

/// From the rewards of a step to the advantages of its completions.
///
/// First the terms of a completion become one number ([`Aggregate`]), then that is compared with something
/// ([`Baseline`]) and divided by something ([`AdvantageScale`]); what follows is optional.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdvantageConfig {
    /// What a reward is compared with.
    pub baseline: Baseline,
    /// What the difference is divided by.
    pub scale: AdvantageScale,
    /// Whether the terms of a reward are added before or after they are normalized.
    pub aggregate: Aggregate,
    /// Added to the standard deviation; TRL uses 1e-4.
    pub eps: f32,
    /// Soft penalty on completions that come near the longest length allowed; none if left out.
    pub overlong: Option<OverlongConfig>,
    /// Lets the size of a reward survive the comparison; none if left out.
    pub absolute: Option<AbsoluteConfig>,
    /// Weighs groups by how hard and how diverse they are; none if left out.
    pub curriculum: Option<CurriculumConfig>,
}

/// What a reward is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Baseline {
    /// The mean of its group (GRPO, arXiv 2402.03300).
    Group,
    /// The mean of its siblings, itself left out (RLOO, arXiv 2402.14740).
    LeaveOneOut,
    /// The second best of its group, and only the best has an advantage: pass@k is the maximum of a group.
    RunnerUp,
    /// The mean of the whole batch, whatever the prompt (REINFORCE++, arXiv 2501.03262).
    Batch,
}

/// What the difference to the baseline is divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AdvantageScale {
    /// The group's standard deviation (GRPO, arXiv 2402.03300).
    Group,
    /// The standard deviation over all completions of the batch.
    Batch,
    /// Nothing (Dr. GRPO, arXiv 2503.20783).
    None,
}

/// Whether the terms of a reward are added before or after they are normalized.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aggregate {
    /// The weighted sum of the terms is the reward, and that is normalized.
    SumThenNormalize,
    /// Each term is normalized within its group, the weighted sum of that over the batch (GDPO): no term drowns
    /// another by its spread. Takes `baseline = "group"` and `scale = "batch"`.
    NormalizeThenSum,
}

/// DAPO's soft overlong punishment (arXiv 2503.14476, equation 13), added to the reward.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OverlongConfig {
    /// The penalty grows from 0 to its full size over the last so many tokens before
    /// `rollout.max_completion_tokens`.
    pub cushion: usize,
    /// Its full size; DAPO's is 1.
    #[serde(default = "one")]
    pub penalty: f32,
}

/// An approximation of AP-GRPO (arXiv 2601.07695): the relative advantage A meets the reward r, which is taken as
/// a share of the highest possible one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AbsoluteConfig {
    /// How they meet.
    pub mode: AbsoluteMode,
    /// Exponent α of the reward.
    #[serde(default = "one")]
    pub power: f32,
    /// Share η of the absolute part; only for `mode = "mix"`.
    pub share: Option<f32>,
}

/// How the absolute reward enters the advantage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AbsoluteMode {
    /// `(1 - η) A + η (r^α - mean(r^α))`: keeps both signs and the zero mean.
    Mix,
    /// `A · r^α`: completions without reward push nothing away any more.
    Multiply,
}

/// The weight of a group in Puzzle Curriculum GRPO (arXiv 2512.14944): `weight · d (1 - d) · d_π^power`, with the
/// difficulty d (the mean reward, as a share of the highest possible one) and the diversity d_π of the answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CurriculumConfig {
    /// How diverse answers are.
    pub diversity: Diversity,
    /// Answers to choose from; only for `diversity = "entropy"`.
    pub choices: Option<usize>,
    /// The paper's λ; its d (1 - d) is at most 1/4.
    #[serde(default = "four")]
    pub weight: f32,
    /// The paper's γ.
    #[serde(default = "half")]
    pub power: f32,
}

/// How diverse the answers of a group are, from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Diversity {
    /// Entropy of the answers given, over that of `choices` equally likely ones: for questions with options.
    Entropy,
    /// Different answers beyond the first, over those possible: for permutations.
    Distinct,
}

impl Default for AdvantageConfig {
    fn default() -> Self {
        Self {
            baseline: Baseline::Group,
            scale: AdvantageScale::Group,
            aggregate: Aggregate::SumThenNormalize,
            eps: 1e-4,
            overlong: None,
            absolute: None,
            curriculum: None,
        }
    }
}

impl AdvantageConfig {
    /// Whether more is needed than rewards: the length or the text of the completions.
    pub fn needs_completions(&self) -> bool {
        self.overlong.is_some() || self.curriculum.is_some()
    }
}

fn one() -> f32 {
    1.0
}
fn four() -> f32 {
    4.0
}
fn half() -> f32 {
    0.5
}
