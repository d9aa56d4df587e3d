//! The section `[answer]`: how a policy in use is asked, and which version of it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use vrft_config::{ConfigError, Section, require};
use vrft_plan::Device;

/// A policy in use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AnswerConfig {
    /// Which versions take the place of the one in use.
    pub follow: Follow,
    /// Folder of the promoted policies; `current` in it names the one in use.
    pub served: PathBuf,
    /// What is asked about a frame where nobody asks anything else; `DEFAULT_QUESTION` of the environment comes first.
    pub question: String,
    /// Instead: what all objects are looked for of, asked in the words that the policy was trained with.
    pub category: String,
    /// An answer is cut after so many tokens.
    pub max_tokens: usize,
    /// Softmax temperature; 0 takes the most probable token.
    pub temperature: f64,
    /// Keep the smallest set of tokens whose probability reaches this; 1 keeps all.
    pub top_p: f64,
    /// Keep the most probable so many tokens; 0 keeps all.
    pub top_k: usize,
    /// Frames are scaled by this before the policy sees them.
    pub image_resize_ratio: f64,
    /// Earlier questions and answers that stand before each question, in words alone.
    pub history: usize,
    /// Where the policy in use computes.
    pub device: Device,
}

/// Which versions take the place of the policy in use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Follow {
    /// What `vrft promote` put into use: no version that does worse on held-out data. Before there is one, `policy.path`.
    #[default]
    Promoted,
    /// Every version of the learner as it comes, whether it is better or not.
    Learner,
    /// None: `policy.path` stays in use.
    Nothing,
}

impl Default for AnswerConfig {
    fn default() -> Self {
        Self {
            follow: Follow::Promoted,
            served: "out/served".into(),
            question: String::new(),
            category: String::new(),
            max_tokens: 128,
            temperature: 0.0,
            top_p: 1.0,
            top_k: 0,
            image_resize_ratio: 1.0,
            history: 0,
            device: Device::Cpu,
        }
    }
}

impl AnswerConfig {
    /// Whether a node that answers in a graph has something to ask and to follow; `has` says which inputs it has.
    ///
    /// # Errors
    /// What is missing, and what to write.
    pub fn check_inputs(&self, has: impl Fn(&str) -> bool) -> Result<(), String> {
        let has_question = !self.question.is_empty() || !self.category.is_empty();
        if !has_question && !has("text") {
            return Err("nothing to ask: set answer.question or answer.category, or DEFAULT_QUESTION, or connect the \
                        input `text`"
                .to_owned());
        }
        if self.follow == Follow::Learner && !has("policy") {
            return Err("answer.follow = \"learner\" needs an input `policy` from learner/policy"
                .to_owned());
        }
        Ok(())
    }
}

impl Section for AnswerConfig {
    const NAME: &'static str = "answer";

    fn check(&self) -> Result<(), ConfigError> {
        let Self { temperature, top_p, image_resize_ratio: ratio, .. } = *self;
        require(
            self.question.is_empty() || self.category.is_empty(),
            "answer.category",
            &self.category,
            "a category or a question, not both",
        )?;
        require(self.max_tokens > 0, "answer.max_tokens", 0, "at least 1")?;
        require(
            temperature == 0.0 || (1e-3..=1e3).contains(&temperature),
            "answer.temperature",
            temperature,
            "0 (the most probable token), or 0.001 to 1000",
        )?;
        require(top_p > 0.0 && top_p <= 1.0, "answer.top_p", top_p, "in (0, 1]")?;
        require(
            (0.01..=8.0).contains(&ratio),
            "answer.image_resize_ratio",
            ratio,
            "0.01 to 8, 1 for frames as they are",
        )?;
        require(self.history <= 64, "answer.history", self.history, "0 to 64 earlier questions")
    }
}

#[cfg(test)]
mod tests {
    use vrft_config::Document;

    use super::*;

    #[test]
    fn impossible_values_are_refused_by_key() {
        AnswerConfig::default().check().unwrap();
        for (line, key) in [
            ("question = \"Who?\"\ncategory = \"cup\"", "answer.category"),
            ("max_tokens = 0", "answer.max_tokens"),
            ("temperature = -0.1", "answer.temperature"),
            ("top_p = 0.0", "answer.top_p"),
            ("image_resize_ratio = 0.0", "answer.image_resize_ratio"),
            ("history = 65", "answer.history"),
        ] {
            let document = Document::parse(&format!("[answer]\n{line}"), "test").unwrap();
            let error = document.section::<AnswerConfig>().unwrap_err().to_string();
            assert!(error.starts_with(key), "{error}");
        }
    }

    #[test]
    fn a_node_without_anything_to_ask_or_to_follow_is_refused() {
        let config = AnswerConfig { follow: Follow::Learner, ..AnswerConfig::default() };
        let error =
            |inputs: &[&str]| config.check_inputs(|name| inputs.contains(&name)).unwrap_err();
        assert!(error(&["image", "tick"]).starts_with("nothing to ask"));
        assert!(error(&["image", "text"]).contains("needs an input `policy`"));
        config.check_inputs(|name| ["text", "policy"].contains(&name)).unwrap();
        let asks = AnswerConfig { category: "cup".into(), ..AnswerConfig::default() };
        asks.check_inputs(|_| false).unwrap();
    }

    #[test]
    fn what_is_followed_has_three_names() {
        for (name, follow) in [
            ("promoted", Follow::Promoted),
            ("learner", Follow::Learner),
            ("nothing", Follow::Nothing),
        ] {
            let text = format!("[answer]\nfollow = {name:?}");
            let document = Document::parse(&text, "test").unwrap();
            assert_eq!(document.section::<AnswerConfig>().unwrap().follow, follow);
        }
    }
}
