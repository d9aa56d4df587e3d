//! The section `[semantic]`: rewarding what an answer means.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use vrft_config::{ConfigError, Section, missing, require};

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

impl SemanticConfig {
    /// The section, where a graph has a node that works by it.
    ///
    /// # Errors
    /// There is none.
    pub fn needed(section: Option<&Self>) -> Result<&Self, ConfigError> {
        let remedy =
            "name the folder of a sentence model, or leave the node vrft-semantic out of the graph";
        section.ok_or_else(|| missing("semantic.model", remedy))
    }
}

impl Section for SemanticConfig {
    const NAME: &'static str = "semantic";

    fn check(&self) -> Result<(), ConfigError> {
        let weight = self.weight;
        let floor = self.floor;
        let fine = weight >= 0.0 && weight.is_finite();
        require(fine, "semantic.weight", weight, "0 or above, and finite")?;
        require((0.0..1.0).contains(&floor), "semantic.floor", floor, "a cosine in [0, 1)")
    }
}

fn one() -> f64 {
    1.0
}

#[cfg(test)]
mod tests {
    use vrft_config::Document;

    use super::*;

    fn read(text: &str) -> Result<Option<SemanticConfig>, ConfigError> {
        Document::parse(text, "test")?.optional()
    }

    #[track_caller]
    fn refused(text: &str, words: &str) {
        let error = read(text).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }

    #[test]
    fn a_model_is_enough() {
        let semantic = read("[semantic]\nmodel = \"m\"").unwrap().unwrap();
        assert_eq!((semantic.weight, semantic.floor), (1.0, 0.0));
        assert_eq!(read("").unwrap(), None);
        assert_eq!(SemanticConfig::needed(Some(&semantic)).unwrap(), &semantic);
        let error = SemanticConfig::needed(None).unwrap_err().to_string();
        assert!(error.starts_with("semantic.model is missing"), "{error}");
    }

    #[test]
    fn contradictions_are_named() {
        refused("[semantic]\nweight = 1.0", "missing field `model`");
        refused("[semantic]\nmodel = \"m\"\nmodle = \"m\"", "unknown field `modle`");
        refused("[semantic]\nmodel = \"m\"\nfloor = 1.0", "semantic.floor = 1");
        refused("[semantic]\nmodel = \"m\"\nweight = -1.0", "semantic.weight = -1");
    }
}
