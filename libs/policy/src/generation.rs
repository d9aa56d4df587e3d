//! The sampling settings that a checkpoint ships.

use std::fmt;
use std::path::Path;

use serde_json::{Map, Value};

use crate::PolicyError;
use crate::files::{damaged, read_json};

const FILE: &str = "generation_config.json";

/// Keys of `generation_config.json` that change which tokens are drawn.
const KEYS: [&str; 13] = [
    "do_sample",
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "typical_p",
    "repetition_penalty",
    "encoder_repetition_penalty",
    "no_repeat_ngram_size",
    "num_beams",
    "bad_words_ids",
    "suppress_tokens",
    "begin_suppress_tokens",
];

/// What a checkpoint would have its tokens drawn with, to be shown and not applied.
///
/// transformers applies it unasked. Qwen2-VL ships `top_k = 1`: every completion of a group would be the same, no
/// reward would differ from its siblings', and nothing would be learned.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerationSettings {
    settings: Map<String, Value>,
}

impl GenerationSettings {
    /// Reads the checkpoint's `generation_config.json`; `None` without one, or if it has no such setting.
    pub fn load(dir: &Path) -> Result<Option<Self>, PolicyError> {
        let path = dir.join(FILE);
        let Some(json) = read_json(&path)? else { return Ok(None) };
        let all = json.as_object().ok_or_else(|| damaged(&path, "expected an object"))?;
        let found = KEYS.iter().filter_map(|key| Some(((*key).to_owned(), all.get(*key)?.clone())));
        let settings: Map<_, _> = found.filter(|(_, value)| !value.is_null()).collect();
        Ok((!settings.is_empty()).then_some(Self { settings }))
    }
}

impl fmt::Display for GenerationSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = self.settings.iter().map(|(key, value)| format!("{key} = {value}"));
        let settings = settings.collect::<Vec<_>>().join(", ");
        write!(
            formatter,
            "Not applied from the checkpoint's {FILE}: {settings}. \
             Sampling follows the configuration's section rollout."
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Option<GenerationSettings>, PolicyError> {
        let dir = tempfile::tempdir().expect("temporary folder");
        std::fs::write(dir.path().join(FILE), text).expect("writes");
        GenerationSettings::load(dir.path())
    }

    /// The file of Qwen2-VL-2B-Instruct.
    #[test]
    fn what_is_not_applied_is_said() {
        let text = r#"{"bos_token_id": 151643, "pad_token_id": 151643, "do_sample": true,
                       "eos_token_id": [151645, 151643], "repetition_penalty": 1.0, "temperature": 0.01,
                       "top_p": 0.001, "top_k": 1, "transformers_version": "4.37.0"}"#;
        let message = load(text).expect("reads").expect("has settings").to_string();
        assert_eq!(
            message,
            "Not applied from the checkpoint's generation_config.json: do_sample = true, temperature = 0.01, \
             top_k = 1, top_p = 0.001, repetition_penalty = 1.0. \
             Sampling follows the configuration's section rollout."
        );
    }

    #[test]
    fn there_may_be_nothing_to_say() {
        assert_eq!(load(r#"{"eos_token_id": 3, "top_k": null}"#).expect("reads"), None);
        let empty = tempfile::tempdir().expect("temporary folder");
        assert_eq!(GenerationSettings::load(empty.path()).expect("reads"), None);
    }

    #[test]
    fn a_file_that_is_something_else_is_named() {
        let message = load("[]").expect_err("refused").to_string();
        assert!(
            message.ends_with("generation_config.json\" is damaged: expected an object"),
            "{message}"
        );
    }
}
