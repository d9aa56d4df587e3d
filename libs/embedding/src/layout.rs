//! The files of a sentence model, as sentence-transformers lays them out.
//!
//! `config.json`, `tokenizer.json`, `model.safetensors`; beside them may stand `1_Pooling/config.json`, which says how
//! tokens become one vector, and `sentence_bert_config.json`, which says how many tokens are read.

use std::path::Path;

use candle_transformers::models::bert::Config;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::EmbeddingError;

const POOLING: &str = "1_Pooling/config.json";
/// The one pooling we do; any other that is switched on is refused by its key.
const MEAN: &str = "pooling_mode_mean_tokens";

/// The shape of the model.
pub(crate) fn model_config(dir: &Path) -> Result<Config, EmbeddingError> {
    let path = dir.join("config.json");
    let value: Value = parse(&path, &read(&path)?)?;
    let kind = value["model_type"].as_str().unwrap_or_default();
    if kind != "bert" {
        return Err(unsupported(&path, "model_type", "\"bert\"", format!("{kind:?}")));
    }
    serde_json::from_value(value).map_err(|error| damaged(&path, error))
}

/// Most tokens of a sentence that are read; the rest is cut off.
pub(crate) fn max_tokens(dir: &Path, config: &Config) -> Result<usize, EmbeddingError> {
    let said = optional(&dir.join("sentence_bert_config.json"))?;
    let said = said.and_then(|said| said["max_seq_length"].as_u64());
    let longest = config.max_position_embeddings;
    Ok(said.map_or(longest, |said| longest.min(said as usize)))
}

/// Refuses a model whose vector is not the mean over its tokens.
pub(crate) fn check_pooling(dir: &Path) -> Result<(), EmbeddingError> {
    let path = dir.join(POOLING);
    let Some(Value::Object(pooling)) = optional(&path)? else { return Ok(()) };
    let others = pooling.iter().filter(|(key, _)| key.starts_with("pooling_mode_") && *key != MEAN);
    let on: Vec<&str> =
        others.filter(|(_, on)| **on == Value::Bool(true)).map(|(key, _)| key.as_str()).collect();
    if on.is_empty() && pooling.get(MEAN) != Some(&Value::Bool(false)) {
        Ok(())
    } else {
        Err(unsupported(&path, MEAN, "true, and every other mode false", on.join(", ")))
    }
}

/// The bytes of a file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, EmbeddingError> {
    std::fs::read(path).map_err(|source| EmbeddingError::Read { path: path.to_owned(), source })
}

/// A file that is there but is not what its name promises.
pub(crate) fn damaged(path: &Path, error: impl ToString) -> EmbeddingError {
    EmbeddingError::Damaged { path: path.to_owned(), message: error.to_string() }
}

fn optional(path: &Path) -> Result<Option<Value>, EmbeddingError> {
    path.exists().then(|| parse(path, &read(path)?)).transpose()
}

fn parse<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, EmbeddingError> {
    serde_json::from_slice(bytes).map_err(|error| damaged(path, error))
}

fn unsupported(
    path: &Path,
    key: &'static str,
    expected: &'static str,
    got: String,
) -> EmbeddingError {
    EmbeddingError::Unsupported { path: path.to_owned(), key, expected, got }
}
