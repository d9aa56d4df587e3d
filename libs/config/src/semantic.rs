//! Rewarding what an answer means.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::check::require;
use crate::{AnswerConfig, AnswerType, Config, ConfigError};

/// One more term, for graphs with the node `vrft-semantic`: how near in meaning the words of an answer are to those of
/// the truth, by the cosine of their sentence embeddings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SemanticConfig {
    /// Folder of a sentence model (BERT) as sentence-transformers lays it out.
    pub model: PathBuf,
    /// What the term is multiplied with in the sum.
    #[serde(default = "one")]
    pub weight: f64,
    /// Cosine up to which nothing is earned; the rest is stretched to 0 to 1. Sentences that have nothing to do with
    /// each other are seldom at 0.
    #[serde(default)]
    pub floor: f64,
}

impl Config {
    /// Checks `[semantic]`.
    pub(crate) fn validate_semantic(&self) -> Result<(), ConfigError> {
        let Some(semantic) = &self.semantic else { return Ok(()) };
        let (weight, floor) = (semantic.weight, semantic.floor);
        require(
            weight >= 0.0 && weight.is_finite(),
            "semantic.weight",
            weight,
            "0 or above, and finite",
        )?;
        require((0.0..1.0).contains(&floor), "semantic.floor", floor, "a cosine in [0, 1)")?;
        require(
            self.rewards().any(|reward| reward.answer.has_words()),
            "semantic.model",
            semantic.model.display(),
            "left out, or a task whose answers have words: of type label or text, or with a name for \
             reward.answer.keys.label",
        )
    }
}

impl AnswerConfig {
    /// Whether an answer says something in words that mean something.
    pub fn has_words(&self) -> bool {
        matches!(self.kind, AnswerType::Label | AnswerType::Text) || !self.keys.label.is_empty()
    }
}

fn one() -> f64 {
    1.0
}

#[cfg(test)]
mod tests {
    use crate::Config;

    const TEXT: &str =
        "[reward.answer]\ntype = \"text\"\n[reward.terms.format]\nmetric = \"format\"\n";

    #[track_caller]
    fn refused(text: &str, words: &str) {
        let error = Config::parse(text, "test").unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }

    #[test]
    fn a_model_is_enough() {
        let config = Config::parse(&format!("{TEXT}[semantic]\nmodel = \"m\""), "test").unwrap();
        let semantic = config.semantic.as_ref().unwrap();
        assert_eq!((semantic.weight, semantic.floor), (1.0, 0.0));
        assert_eq!(Config::parse(&config.to_toml(), "printed").unwrap(), config);
        assert_eq!(Config::default().semantic, None);
    }

    #[test]
    fn contradictions_are_named() {
        refused(&format!("{TEXT}[semantic]\nweight = 1.0"), "missing field `model`");
        refused(
            &format!("{TEXT}[semantic]\nmodel = \"m\"\nmodle = \"m\""),
            "unknown field `modle`",
        );
        refused(&format!("{TEXT}[semantic]\nmodel = \"m\"\nfloor = 1.0"), "semantic.floor = 1");
        refused("[semantic]\nmodel = \"m\"", "answers have words");
    }

    #[test]
    fn a_missing_model_is_named() {
        let mut config =
            Config::parse(&format!("{TEXT}[semantic]\nmodel = \"no/model\""), "test").unwrap();
        (config.policy.path, config.evaluation.test) = (".".into(), ".".into());
        config.data.train = ".".into();
        let error = config.check_files().unwrap_err().to_string();
        assert!(error.contains("semantic.model") && error.contains("no/model"), "{error}");
    }
}
