//! Text to token ids and back, and the ids that mean something.

use std::path::Path;
use std::sync::OnceLock;

use serde_json::{Map, Value};
use vrft_checkpoint::{CheckpointError, JsonFile, Keys};

use crate::ProcessorError;
use crate::spelled::{Piece, Spelled, unmarked};

/// The tokenizer of a checkpoint with its special tokens.
#[derive(Debug)]
pub(crate) struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// The same, but special tokens are plain text. Hardly anybody spells one, and it takes as much memory again.
    plain: OnceLock<tokenizers::Tokenizer>,
    spelled: Spelled,
    /// Ids that end a completion; the first is the end of a turn.
    end_ids: Vec<u32>,
    special_tokens: Map<String, Value>,
}

/// Special tokens that a chat template may name.
const TEMPLATE_TOKENS: [&str; 4] = ["bos_token", "eos_token", "pad_token", "unk_token"];

impl Tokenizer {
    /// Reads `tokenizer.json`, and the special tokens from `tokenizer_config.json`,
    /// `generation_config.json` and `config.json`, of which these are the keys.
    pub(crate) fn load(dir: &Path, config: &Keys) -> Result<Self, ProcessorError> {
        let path = dir.join("tokenizer.json");
        let bytes = std::fs::read(&path)
            .map_err(|source| CheckpointError::Read { path: path.clone(), source })?;
        vrft_checkpoint::refuse_pointer(&path, &bytes)?;
        let damaged = |error| ProcessorError::damaged(&path, error);
        let mut inner = tokenizers::Tokenizer::from_bytes(bytes).map_err(damaged)?;
        inner.with_padding(None);
        inner.with_truncation(None).map_err(damaged)?;
        check_vocabulary(config, &inner)?;
        let special_tokens = special_tokens(dir)?;
        let end_ids = end_ids(dir, config, &inner, special_tokens.get("eos_token"))?;
        let added = inner.get_added_tokens_decoder().into_values().filter(|token| token.special);
        let spelled = Spelled::new(added.map(|token| token.content).collect());
        Ok(Self { inner, plain: OnceLock::new(), spelled, end_ids, special_tokens })
    }

    /// Ids of a text; special tokens in it become their id, none are added.
    pub(crate) fn encode(&self, text: &str) -> Result<Vec<u32>, ProcessorError> {
        ids(&self.inner, text)
    }

    /// Ids of a text that spells no special token, whatever is in it.
    pub(crate) fn encode_plain(&self, text: &str) -> Result<Vec<u32>, ProcessorError> {
        if !self.spelled.is_in(text) {
            return self.encode(text);
        }
        let plain = self.plain.get_or_init(|| {
            let mut plain = self.inner.clone();
            plain.set_encode_special_tokens(true);
            plain
        });
        ids(plain, text)
    }

    /// Ids of a rendered conversation in which special tokens that people spell are marked, if there are any.
    pub(crate) fn encode_marked(
        &self,
        text: &str,
        mark: Option<char>,
    ) -> Result<Vec<u32>, ProcessorError> {
        let Some(mark) = mark else { return self.encode(text) };
        let mut ids = Vec::new();
        for piece in self.spelled.pieces(text, mark) {
            ids.extend(match piece {
                Piece::Template(text) => self.encode(text)?,
                Piece::Said(text) => self.encode_plain(&unmarked(text, Some(mark)))?,
            });
        }
        Ok(ids)
    }

    /// The special tokens, to be found where people spell them.
    pub(crate) fn spelled(&self) -> &Spelled {
        &self.spelled
    }

    /// Text of ids, special tokens left out.
    pub(crate) fn decode(&self, ids: &[u32]) -> Result<String, ProcessorError> {
        self.inner.decode(ids, true).map_err(tokenizer_error)
    }

    /// The token that an id stands for.
    pub(crate) fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// The id of a token.
    pub(crate) fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Ids that end a completion, the end of a turn first; never empty.
    pub(crate) fn end_ids(&self) -> &[u32] {
        &self.end_ids
    }

    /// Special tokens by the name that chat templates use.
    pub(crate) fn special_tokens(&self) -> &Map<String, Value> {
        &self.special_tokens
    }
}

/// Checks that the model has an embedding for each token, be they more for the sake of round numbers.
fn check_vocabulary(
    config: &Keys,
    tokenizer: &tokenizers::Tokenizer,
) -> Result<(), CheckpointError> {
    let n_tokens = tokenizer.get_vocab_size(true);
    let keys = config.section("text_config").or(config);
    let n = keys.size("vocab_size")?.unwrap_or(n_tokens);
    let expected = || {
        format!(
            "at least {n_tokens}, the tokens of tokenizer.json beside it (one of another model, or with tokens added that the model \
             was not resized for)"
        )
    };
    keys.ensure(n >= n_tokens, "vocab_size", expected(), n)
}

fn ids(tokenizer: &tokenizers::Tokenizer, text: &str) -> Result<Vec<u32>, ProcessorError> {
    let encoding = tokenizer.encode_fast(text, false).map_err(tokenizer_error)?;
    Ok(encoding.get_ids().to_vec())
}

fn tokenizer_error(error: tokenizers::Error) -> ProcessorError {
    ProcessorError::Tokenizer { message: error.to_string() }
}

/// Tokens in `tokenizer_config.json` are texts, or objects with a `content`.
fn special_tokens(dir: &Path) -> Result<Map<String, Value>, ProcessorError> {
    let Some(file) = JsonFile::read(&dir.join("tokenizer_config.json"))? else {
        return Ok(Map::new());
    };
    let text = |name: &str| {
        let value = &file.value()[name];
        value.as_str().or_else(|| value["content"].as_str()).map(Value::from)
    };
    Ok(TEMPLATE_TOKENS.iter().filter_map(|name| Some(((*name).into(), text(name)?))).collect())
}

/// The tokenizer's own end token, then those of the configurations, each once.
fn end_ids(
    dir: &Path,
    config: &Keys,
    tokenizer: &tokenizers::Tokenizer,
    eos_token: Option<&Value>,
) -> Result<Vec<u32>, ProcessorError> {
    let own = eos_token.and_then(Value::as_str).and_then(|token| tokenizer.token_to_id(token));
    let mut ids = Vec::from_iter(own);
    let generation = JsonFile::read(&dir.join("generation_config.json"))?;
    let listed = [
        generation.as_ref().and_then(|file| file.keys().get("eos_token_id")),
        config.get("eos_token_id"),
        config.section("text_config").get("eos_token_id"),
    ];
    for id in listed.into_iter().flatten().flat_map(ids_in) {
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    if ids.is_empty() {
        let expected = "an eos_token in tokenizer_config.json or an eos_token_id in config.json";
        return Err(ProcessorError::input("end token", expected, "neither"));
    }
    Ok(ids)
}

/// One id or a list of them.
fn ids_in(value: &Value) -> Vec<u32> {
    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    match value.as_array() {
        Some(list) => list.iter().filter_map(id).collect(),
        None => id(value).into_iter().collect(),
    }
}
