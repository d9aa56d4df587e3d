//! The names that papers gave to combinations of parts.

use serde::{Deserialize, Serialize};

use super::{
    Aggregation, AwrConfig, CispoConfig, ClipConfig, LossConfig, Ratio, SapoConfig, Surrogate,
    VespoConfig,
};

/// `loss.type`: a paper's objective. It stands for a ratio, a surrogate and an aggregation, and for nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// Clipped token ratios, mean over tokens, then over completions (arXiv 2402.03300).
    Grpo,
    /// Another name of `dapo`. In TRL the two differ in the batch whose tokens are counted, that of one device or of
    /// the whole update; here how an update is cut into micro-batches changes nothing, so there is only the latter.
    Bnpo,
    /// Clipped token ratios, mean over the tokens of the update (arXiv 2503.14476). What else the paper does is set
    /// on its own: `clip_epsilon_high`, `mask_truncated`, `[advantage.overlong]`, `learner.refills`.
    Dapo,
    /// Clipped token ratios, sum over tokens by a constant (arXiv 2503.20783).
    DrGrpo,
    /// Clipped ratios of whole completions (arXiv 2507.18071).
    Gspo,
    /// As `gspo`, with the gradient of each token on its own.
    GspoToken,
    /// Bounded weights on the logprobs (MiniMax-M1, arXiv 2506.13585).
    Cispo,
    /// A smooth gate instead of a clip (arXiv 2511.20347).
    Sapo,
    /// As `gspo`, each completion scaled by its length (arXiv 2602.05261).
    Luspo,
    /// A smooth weight of whole completions (arXiv 2602.10693).
    Vespo,
    /// Likelihood weighed by the exponential of the advantage, mean over tokens, then over completions: for completions
    /// that another policy sampled (AWR, arXiv 1910.00177).
    Awr,
}

impl Preset {
    /// Every name, with the word that the configuration has for it.
    pub const ALL: [(&'static str, Self); 11] = [
        ("grpo", Self::Grpo),
        ("bnpo", Self::Bnpo),
        ("dapo", Self::Dapo),
        ("dr_grpo", Self::DrGrpo),
        ("gspo", Self::Gspo),
        ("gspo_token", Self::GspoToken),
        ("cispo", Self::Cispo),
        ("sapo", Self::Sapo),
        ("luspo", Self::Luspo),
        ("vespo", Self::Vespo),
        ("awr", Self::Awr),
    ];

    /// The word that the configuration has for it.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, preset)| *preset == self).map_or("", |(name, _)| name)
    }

    /// What the name stands for.
    pub fn parts(self) -> (Ratio, Surrogate, Aggregation) {
        use Aggregation::{ConstantLength, SequenceMean, SequenceSum, TokenMean};
        let clip = || Surrogate::Clip(ClipConfig::default());
        match self {
            Self::Grpo => (Ratio::Token, clip(), SequenceMean),
            Self::Dapo | Self::Bnpo => (Ratio::Token, clip(), TokenMean),
            Self::DrGrpo => (Ratio::Token, clip(), ConstantLength { length: None }),
            Self::Gspo => (Ratio::Sequence, clip(), SequenceMean),
            Self::GspoToken => (Ratio::SequenceToken, clip(), SequenceMean),
            Self::Luspo => (Ratio::Sequence, clip(), SequenceSum),
            Self::Cispo => (Ratio::Token, Surrogate::Cispo(CispoConfig::default()), TokenMean),
            Self::Sapo => (Ratio::Token, Surrogate::Sapo(SapoConfig::default()), SequenceMean),
            Self::Vespo => (Ratio::Token, Surrogate::Vespo(VespoConfig::default()), TokenMean),
            Self::Awr => (Ratio::Token, Surrogate::Awr(AwrConfig::default()), SequenceMean),
        }
    }
}

impl LossConfig {
    /// A paper's objective, with everything that it does not name at its default.
    pub fn of(preset: Preset) -> Self {
        let (ratio, surrogate, aggregation) = preset.parts();
        Self { ratio, surrogate, aggregation, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_its_own_combination_but_for_bnpo() {
        for (i, (name, preset)) in Preset::ALL.into_iter().enumerate() {
            assert_eq!(serde_json::to_string(&preset).unwrap(), format!("\"{name}\""));
            assert_eq!(preset.name(), name);
            let same = Preset::ALL[..i].iter().filter(|(_, other)| other.parts() == preset.parts());
            let same: Vec<&str> = same.map(|(name, _)| *name).collect();
            assert_eq!(same, if name == "dapo" { vec!["bnpo"] } else { vec![] }, "{name}");
        }
    }
}
