//! The sampling settings that a checkpoint ships.

use std::fmt;
use std::path::Path;

use serde_json::{Map, Value};
use vrft_checkpoint::JsonFile;

use crate::ProcessorError;

const FILE: &str = "generation_config.json";

/// Keys of `generation_config.json` that change which tokens are drawn, each with the value that changes nothing.
const KEYS: [(&str, Option<f64>); 12] = [
    ("temperature", Some(1.0)),
    ("top_k", Some(0.0)),
    ("top_p", Some(1.0)),
    ("min_p", Some(0.0)),
    ("typical_p", Some(1.0)),
    ("repetition_penalty", Some(1.0)),
    ("encoder_repetition_penalty", Some(1.0)),
    ("no_repeat_ngram_size", Some(0.0)),
    ("num_beams", Some(1.0)),
    ("bad_words_ids", None),
    ("suppress_tokens", None),
    ("begin_suppress_tokens", None),
];

/// What a checkpoint would have its tokens drawn with, to be shown and not applied.
///
/// transformers applies it unasked. Some checkpoints ship `top_k = 1`: every completion of a group would be the same, no
/// reward would differ from its siblings', and nothing would be learned.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerationSettings {
    settings: Map<String, Value>,
}

impl GenerationSettings {
    /// Reads the checkpoint's `generation_config.json`; `None` without one, or if it has no such setting.
    pub fn load(dir: &Path) -> Result<Option<Self>, ProcessorError> {
        let path = dir.join(FILE);
        let Some(file) = JsonFile::read(&path)? else { return Ok(None) };
        let all = file.value().as_object();
        let all = all.ok_or_else(|| ProcessorError::damaged(&path, "expected an object"))?;
        let found = KEYS.iter().filter_map(|(key, neutral)| {
            let value = all.get(*key).filter(|value| !value.is_null())?;
            let counts = neutral.is_none() || value.as_f64() != *neutral;
            counts.then(|| ((*key).to_owned(), value.clone()))
        });
        let settings: Map<_, _> = found.collect();
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

    fn load(text: &str) -> Result<Option<GenerationSettings>, ProcessorError> {
        let dir = tempfile::tempdir().expect("temporary folder");
        std::fs::write(dir.path().join(FILE), text).expect("writes");
        GenerationSettings::load(dir.path())
    }

    /// The file of a published checkpoint.
    #[test]
    fn what_is_not_applied_is_said() {
        let text = r#"{"bos_token_id": 151643, "pad_token_id": 151643, "do_sample": true,
                       "eos_token_id": [151645, 151643], "repetition_penalty": 1.0, "temperature": 0.01,
                       "top_p": 0.001, "top_k": 1, "transformers_version": "4.37.0"}"#;
        let message = load(text).expect("reads").expect("has settings").to_string();
        assert_eq!(
            message,
            "Not applied from the checkpoint's generation_config.json: temperature = 0.01, \
             top_k = 1, top_p = 0.001. \
             Sampling follows the configuration's section rollout."
        );
    }

    #[test]
    fn there_may_be_nothing_to_say() {
        assert_eq!(
            load(r#"{"do_sample": true, "top_k": null, "temperature": 1.0, "num_beams": 1}"#)
                .expect("reads"),
            None
        );
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
