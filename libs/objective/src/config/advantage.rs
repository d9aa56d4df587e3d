//! The section `[advantage]`: how rewards become advantages.

use serde::{Deserialize, Serialize};
use vrft_config::{ConfigError, Document, Section, require};

use super::TruthConfig;

/// From the rewards of a step to the advantages of its completions.
///
/// First the terms of a completion become one number ([`Aggregate`]), then that is compared with something
/// ([`Baseline`]) and divided by something ([`AdvantageScale`]); what follows is optional. A paper's name
/// (`type = "rloo"`) sets the three at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written")]
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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlong: Option<OverlongConfig>,
    /// Lets the size of a reward survive the comparison; none if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub absolute: Option<AbsoluteConfig>,
    /// Weighs groups by how hard and how diverse they are; none if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub curriculum: Option<CurriculumConfig>,
    /// Compares the completions with the true answer too, as one more of their group; not if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub truth: Option<TruthConfig>,
}

/// `advantage.type`: a paper's way to make advantages of rewards. It stands for a baseline, a scale and an aggregate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdvantagePreset {
    /// The mean of the group, divided by its deviation (arXiv 2402.03300).
    Grpo,
    /// The mean of the group, undivided (arXiv 2503.20783).
    DrGrpo,
    /// The mean of the siblings, undivided (arXiv 2402.14740).
    Rloo,
    /// The mean of the batch, divided by its deviation (arXiv 2501.03262). The paper's KL in the reward of each token
    /// is not part of it: the KL stays where `loss.kl_in` puts it.
    ReinforcePlusPlus,
    /// Each term normalized within its group, their sum over the batch.
    Gdpo,
    /// Only the best of a group counts, by what it is better than the second, divided by the group's deviation.
    GrpoPassk,
    /// The mean of the group, divided by it (MaxRL, arXiv 2602.02710).
    #[serde(rename = "maxrl")]
    MaxRl,
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
    /// The group's mean (MaxRL, arXiv 2602.02710): for rewards that are 1 or 0, an ascent of the likelihood of a right
    /// answer rather than of its probability, so that what is seldom right counts more. For rewards that are not
    /// negative; a group whose mean is not above 0 has no advantages.
    Mean,
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
    /// Tokens over which the penalty grows from 0 to its full size, the last ones before
    /// `rollout.max_completion_tokens`.
    pub cushion: usize,
    /// The penalty's full size; DAPO's is 1.
    #[serde(default = "one")]
    pub penalty: f32,
}

/// AP-GRPO (arXiv 2601.07695), from what its abstract and others' reports of it say, since its equations were not available:
/// the relative advantage A meets the reward r of the terms that say how right an answer is, as a share of the highest
/// possible one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "snake_case", deny_unknown_fields)]
pub enum AbsoluteConfig {
    /// `(1 - η) A + η (r^α - mean(r^α))`: keeps both signs and the zero mean. This form is ours.
    Mix {
        /// Share η of the absolute part.
        share: f32,
        /// Exponent α of the reward.
        #[serde(default = "one")]
        power: f32,
    },
    /// `A · r^α`: the paper's, whose ablation has GRPO at α = 0, its own choice at 1, and less at 2. Completions without
    /// reward push nothing away any more.
    Multiply {
        /// Exponent α of the reward.
        #[serde(default = "one")]
        power: f32,
    },
}

/// The weight of a group in Puzzle Curriculum GRPO (arXiv 2512.14944): `weight · d (1 - d) · d_π^power`, with the
/// difficulty d (the mean accuracy of its answers, whatever else the reward pays for) and the diversity d_π of the
/// answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "diversity", rename_all = "snake_case", deny_unknown_fields)]
pub enum CurriculumConfig {
    /// Diversity is the entropy of the answers given, over that of `choices` equally likely ones: for questions with
    /// options.
    Entropy {
        /// Answers to choose from.
        choices: usize,
        /// The paper's λ; its d (1 - d) is at most 1/4.
        #[serde(default = "four")]
        weight: f32,
        /// Exponent of the diversity, the paper's γ.
        #[serde(default = "half")]
        power: f32,
    },
    /// Diversity is the number of different answers beyond the first, over those possible: for permutations.
    Distinct {
        /// The paper's λ; its d (1 - d) is at most 1/4.
        #[serde(default = "four")]
        weight: f32,
        /// Exponent of the diversity, the paper's γ.
        #[serde(default = "half")]
        power: f32,
    },
}

/// The section as it may be written. What is left out of the parts is the preset's.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    #[serde(rename = "type")]
    preset: Option<AdvantagePreset>,
    baseline: Option<Baseline>,
    scale: Option<AdvantageScale>,
    aggregate: Option<Aggregate>,
    eps: Option<f32>,
    overlong: Option<OverlongConfig>,
    absolute: Option<AbsoluteConfig>,
    curriculum: Option<CurriculumConfig>,
    truth: Option<TruthConfig>,
}

impl AdvantagePreset {
    /// What the name stands for.
    pub fn parts(self) -> (Baseline, AdvantageScale, Aggregate) {
        use Aggregate::{NormalizeThenSum, SumThenNormalize};
        match self {
            Self::Grpo => (Baseline::Group, AdvantageScale::Group, SumThenNormalize),
            Self::DrGrpo => (Baseline::Group, AdvantageScale::None, SumThenNormalize),
            Self::Rloo => (Baseline::LeaveOneOut, AdvantageScale::None, SumThenNormalize),
            Self::ReinforcePlusPlus => (Baseline::Batch, AdvantageScale::Batch, SumThenNormalize),
            Self::Gdpo => (Baseline::Group, AdvantageScale::Batch, NormalizeThenSum),
            Self::MaxRl => (Baseline::Group, AdvantageScale::Mean, SumThenNormalize),
            Self::GrpoPassk => (Baseline::RunnerUp, AdvantageScale::Group, SumThenNormalize),
        }
    }
}

impl TryFrom<Written> for AdvantageConfig {
    type Error = ConfigError;

    fn try_from(written: Written) -> Result<Self, ConfigError> {
        let preset = written.preset;
        let (baseline, scale, aggregate) = preset.unwrap_or(AdvantagePreset::Grpo).parts();
        Ok(Self {
            baseline: part("advantage.baseline", written.baseline, baseline, preset)?,
            scale: part("advantage.scale", written.scale, scale, preset)?,
            aggregate: part("advantage.aggregate", written.aggregate, aggregate, preset)?,
            eps: written.eps.unwrap_or(1e-4),
            overlong: written.overlong,
            absolute: written.absolute,
            curriculum: written.curriculum,
            truth: written.truth,
        })
    }
}

/// A part as it is written, else the preset's; one that contradicts the preset is refused.
fn part<T: PartialEq + Copy + std::fmt::Debug>(
    key: &'static str,
    written: Option<T>,
    of_preset: T,
    preset: Option<AdvantagePreset>,
) -> Result<T, ConfigError> {
    let part = written.unwrap_or(of_preset);
    require(
        preset.is_none() || part == of_preset,
        key,
        format!("{part:?}").to_lowercase(),
        format!("it left out, as advantage.type says {of_preset:?}, or advantage.type left out"),
    )?;
    Ok(part)
}

impl Default for AdvantageConfig {
    fn default() -> Self {
        let (baseline, scale, aggregate) = AdvantagePreset::Grpo.parts();
        Self {
            baseline,
            scale,
            aggregate,
            eps: 1e-4,
            overlong: None,
            absolute: None,
            curriculum: None,
            truth: None,
        }
    }
}

impl Section for AdvantageConfig {
    const NAME: &'static str = "advantage";

    /// A part that contradicts the paper's name is an error of its key.
    fn prepare(table: toml::Table, _: &Document) -> Result<toml::Table, ConfigError> {
        if let Ok(written) = table.clone().try_into::<Written>() {
            Self::try_from(written)?;
        }
        Ok(table)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let Self { baseline, scale, aggregate, eps, .. } = self;
        require(*eps > 0.0 && eps.is_finite(), "advantage.eps", eps, "above 0")?;
        require(
            *aggregate == Aggregate::SumThenNormalize
                || (*baseline == Baseline::Group && *scale == AdvantageScale::Batch),
            "advantage.aggregate",
            "normalize_then_sum",
            "\"sum_then_normalize\", or write advantage.baseline = \"group\" and advantage.scale = \"batch\": terms \
             are normalized within groups, their sum over the batch",
        )?;
        require(
            *baseline != Baseline::Batch || *scale != AdvantageScale::Group,
            "advantage.scale",
            "group",
            "\"batch\" or \"none\" with advantage.baseline = \"batch\"",
        )?;
        require(
            *baseline == Baseline::Group || *scale != AdvantageScale::Mean,
            "advantage.scale",
            "mean",
            "another one, or write advantage.baseline = \"group\": it is the group's mean that is divided by",
        )?;
        require(
            *baseline != Baseline::LeaveOneOut || *scale != AdvantageScale::Group,
            "advantage.scale",
            "group",
            "\"none\" or \"batch\" with advantage.baseline = \"leave_one_out\"; divided by the group's deviation it \
             is the baseline \"group\" but for a factor",
        )?;
        self.check_truth()?;
        self.check_shaping()
    }
}

impl AdvantageConfig {
    /// Whether more is needed than rewards: the length or the text of the completions.
    pub fn needs_completions(&self) -> bool {
        self.overlong.is_some() || self.curriculum.is_some() || self.truth.is_some()
    }

    /// Checks that the completions come where they are needed: by some rules, and to know of which of several tasks a group is.
    ///
    /// # Errors
    /// They do not; what the graph lacks.
    pub fn check_completions(&self, come: bool, are_tasks: bool) -> Result<(), String> {
        if come || !(self.needs_completions() || are_tasks) {
            return Ok(());
        }
        Err("[advantage.overlong], [advantage.curriculum], [advantage.truth] and [[data.sources]] need the completions: give the \
             advantage node of the graph the input `groups: {source: rollout/groups, queue_size: 16, queue_policy: backpressure}`"
            .to_owned())
    }

    /// Whether advantages are linear in the rewards of their group, so that what is taken from a reward may as well
    /// be taken from the advantage.
    pub fn is_linear(&self) -> bool {
        self.baseline == Baseline::Group
            && self.scale == AdvantageScale::None
            && self.absolute.is_none()
            && self.curriculum.is_none()
            && self.truth.is_none()
    }

    fn check_truth(&self) -> Result<(), ConfigError> {
        if self.truth.is_none() {
            return Ok(());
        }
        require(
            self.aggregate == Aggregate::SumThenNormalize && self.baseline != Baseline::Batch,
            "advantage.truth",
            "given",
            "it left out, or the true answer compared with its group: advantage.baseline \"group\", \"leave_one_out\" \
             or \"runner_up\", and advantage.aggregate = \"sum_then_normalize\"",
        )?;
        require(
            self.absolute.is_none(),
            "advantage.truth",
            "given",
            "it left out beside [advantage.absolute]: a true answer that is to teach nothing would, by the size of its \
             reward",
        )
    }

    fn check_shaping(&self) -> Result<(), ConfigError> {
        let positive =
            |key, value: f32| require(value > 0.0 && value.is_finite(), key, value, "above 0");
        if let Some(overlong) = &self.overlong {
            positive("advantage.overlong.penalty", overlong.penalty)?;
            require(overlong.cushion > 0, "advantage.overlong.cushion", 0, "at least 1")?;
        }
        match self.absolute {
            Some(AbsoluteConfig::Mix { share, power }) => {
                positive("advantage.absolute.power", power)?;
                let key = "advantage.absolute.share";
                require((0.0..=1.0).contains(&share), key, share, "a share in [0, 1]")?;
            }
            Some(AbsoluteConfig::Multiply { power }) => {
                positive("advantage.absolute.power", power)?;
            }
            None => {}
        }
        let Some(curriculum) = &self.curriculum else { return Ok(()) };
        positive("advantage.curriculum.weight", curriculum.weight())?;
        positive("advantage.curriculum.power", curriculum.power())?;
        if let CurriculumConfig::Entropy { choices, .. } = curriculum {
            require(*choices >= 2, "advantage.curriculum.choices", choices, "at least 2")?;
        }
        Ok(())
    }
}

impl AbsoluteConfig {
    /// Exponent α of the reward.
    pub fn power(&self) -> f32 {
        match self {
            Self::Mix { power, .. } | Self::Multiply { power } => *power,
        }
    }
}

impl CurriculumConfig {
    /// Factor of all weights, the paper's λ.
    pub fn weight(&self) -> f32 {
        match self {
            Self::Entropy { weight, .. } | Self::Distinct { weight, .. } => *weight,
        }
    }

    /// Exponent of the diversity, the paper's γ.
    pub fn power(&self) -> f32 {
        match self {
            Self::Entropy { power, .. } | Self::Distinct { power, .. } => *power,
        }
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
