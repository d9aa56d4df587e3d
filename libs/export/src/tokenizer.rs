//! The vocabulary: tokens with their kinds, merges, and which tokens mean what.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value as Json;
use vrft_checkpoint::{CheckpointError, JsonFile};

use crate::ExportError;
use crate::gguf::Value;

/// Kinds of tokens, by their numbers in the format.
const NORMAL: i32 = 1;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;

/// Tokens with a meaning: the word for it in the files of a checkpoint, and in GGUF.
const MEANINGS: [(&str, &str); 7] = [
    ("bos", "bos"),
    ("eos", "eos"),
    ("unk", "unknown"),
    ("sep", "seperator"),
    ("pad", "padding"),
    ("cls", "cls"),
    ("mask", "mask"),
];

/// How texts are cut before merges, as `tokenizer.json` says it, and llama.cpp's word for that.
pub(crate) type Splitting = fn(&Json) -> Option<&'static str>;

/// The files of a checkpoint that say how text becomes tokens.
pub(crate) struct Vocabulary {
    tokenizer: JsonFile,
    settings: Option<JsonFile>,
    config: JsonFile,
    template: Option<String>,
}

impl Vocabulary {
    /// Reads the files in a folder.
    ///
    /// # Errors
    /// A folder without `tokenizer.json`, a file that is damaged.
    pub(crate) fn read(dir: &Path, config: &JsonFile) -> Result<Self, ExportError> {
        let path = dir.join("tokenizer.json");
        let absent = || CheckpointError::damaged(&path, "it is not there");
        let tokenizer = JsonFile::read(&path)?.ok_or_else(absent)?;
        let settings = JsonFile::read(&dir.join("tokenizer_config.json"))?;
        let template = std::fs::read_to_string(dir.join("chat_template.jinja")).ok();
        let template = match template {
            Some(template) => Some(template),
            None => JsonFile::read(&dir.join("chat_template.json"))?
                .and_then(|file| Some(file.value()["chat_template"].as_str()?.to_owned())),
        };
        Ok(Self { tokenizer, settings, config: config.clone(), template })
    }

    /// Everything for a model with so many rows of embeddings. `pre` is llama.cpp's word for how texts are cut, where
    /// somebody named one.
    ///
    /// # Errors
    /// A vocabulary of another kind than byte pairs, or larger than the embeddings; texts that are cut by rules for
    /// which llama.cpp has no word.
    pub(crate) fn metadata(
        &self,
        n_rows: usize,
        splitting: Splitting,
        pre: Option<&str>,
    ) -> Result<Vec<(String, Value)>, ExportError> {
        let model = &self.tokenizer.value()["model"];
        if model["type"] != "BPE" {
            let got = model["type"].to_string();
            return Err(ExportError::unsupported("tokenizer.json: model.type", "\"BPE\"", got));
        }
        let text = |text: &str| Value::Text(text.to_owned());
        let mut out = Vec::new();
        let mut add = |key: &str, value: Value| out.push((format!("tokenizer.{key}"), value));
        if let Some(space) = self.setting("add_prefix_space").and_then(Json::as_bool) {
            add("ggml.add_space_prefix", Value::Bool(space));
        }
        add("ggml.model", text("gpt2"));
        add("ggml.pre", text(self.pre(splitting, pre)?));
        let (tokens, kinds) = self.tokens(n_rows)?;
        add("ggml.tokens", Value::List(tokens.iter().map(|token| text(token)).collect()));
        add("ggml.token_type", Value::List(kinds.into_iter().map(Value::I32).collect()));
        let merges: Vec<Value> = self.merges()?.into_iter().map(Value::Text).collect();
        if !merges.is_empty() {
            add("ggml.merges", Value::List(merges));
        }
        for (word, told) in MEANINGS {
            if let Some(id) = self.token_with_meaning(word) {
                add(&format!("ggml.{told}_token_id"), Value::U32(id));
            }
        }
        for word in ["bos", "eos", "sep"] {
            let is_added = self.setting(&format!("add_{word}_token")).and_then(Json::as_bool);
            if let Some(is_added) = is_added {
                add(&format!("ggml.add_{word}_token"), Value::Bool(is_added));
            }
        }
        let own = self.setting("chat_template").and_then(Json::as_str);
        if let Some(template) = own.or(self.template.as_deref()) {
            add("chat_template", text(template));
        }
        Ok(out)
    }

    fn setting(&self, key: &str) -> Option<&Json> {
        self.settings.as_ref()?.value().get(key)
    }

    fn pre<'a>(&self, splitting: Splitting, named: Option<&'a str>) -> Result<&'a str, ExportError>
    where
        'static: 'a,
    {
        if let Some(named) = named {
            let known = "a word that llama.cpp knows for byte pairs, such as gpt-2 or llama-bpe";
            return if crate::families::SPLITTINGS.contains(&named) {
                Ok(named)
            } else {
                Err(ExportError::unsupported("--pre", known, format!("{named:?}")))
            };
        }
        let rules = &self.tokenizer.value()["pre_tokenizer"];
        splitting(rules).ok_or_else(|| {
            ExportError::unsupported(
                "tokenizer.json: pre_tokenizer",
                "the rules of a published model of this family (name llama.cpp's word for others with --pre)",
                rules,
            )
        })
    }

    /// Texts and kinds of all tokens; rows of embeddings without a token have a name of their own.
    fn tokens(&self, n_rows: usize) -> Result<(Vec<String>, Vec<i32>), ExportError> {
        let mut known: BTreeMap<u64, (String, i32)> = BTreeMap::new();
        let vocabulary = self.tokenizer.value()["model"]["vocab"].as_object();
        for (token, id) in vocabulary.into_iter().flatten() {
            known.insert(id.as_u64().unwrap_or(u64::MAX), (token.clone(), NORMAL));
        }
        for added in self.added() {
            let text = added["content"].as_str().unwrap_or_default();
            let is_control = added["special"] == true || looks_special(text);
            let token = if is_control {
                (text.to_owned(), CONTROL)
            } else {
                (text.replace('\u{2581}', " "), USER_DEFINED)
            };
            known.insert(added["id"].as_u64().unwrap_or(u64::MAX), token);
        }
        if let Some((id, _)) = known.last_key_value().filter(|(id, _)| **id >= n_rows as u64) {
            let expected = format!("below {n_rows}, the rows of the embeddings");
            return Err(ExportError::unsupported(
                "the largest token of tokenizer.json",
                &expected,
                id,
            ));
        }
        let token = |id: u64| known.remove(&id).unwrap_or_else(|| (format!("[PAD{id}]"), UNUSED));
        Ok((0..n_rows as u64).map(token).unzip())
    }

    fn added(&self) -> impl Iterator<Item = &Json> {
        self.tokenizer.value()["added_tokens"].as_array().into_iter().flatten()
    }

    /// Pairs with a blank between their halves; a blank within a half is written as byte-level vocabularies do.
    fn merges(&self) -> Result<Vec<String>, ExportError> {
        let merges = self.tokenizer.value()["model"]["merges"].as_array();
        let half = |half: &Json| half.as_str().map(|half| half.replace(' ', "\u{120}"));
        let merge = |merge: &Json| match merge {
            Json::String(text) => Some(text.clone()),
            Json::Array(pair) => match &pair[..] {
                [a, b] => Some(format!("{} {}", half(a)?, half(b)?)),
                _ => None,
            },
            _ => None,
        };
        let of = |one: &Json| {
            let expected = "pairs of texts";
            merge(one).ok_or_else(|| {
                ExportError::unsupported("tokenizer.json: model.merges", expected, one)
            })
        };
        merges.into_iter().flatten().map(of).collect()
    }

    /// By its text in `tokenizer_config.json`, else by its number in `config.json`.
    fn token_with_meaning(&self, word: &str) -> Option<u32> {
        let entry = self.setting(&format!("{word}_token"));
        let text = entry.and_then(|entry| entry.as_str().or(entry["content"].as_str()));
        let named = text.and_then(|text| self.added().find(|added| added["content"] == text));
        let number = |value: &Json| u32::try_from(value.as_u64()?).ok();
        if let Some(id) = named.and_then(|added| number(&added["id"])) {
            return Some(id);
        }
        let key = format!("{word}_token_id");
        let config = self.config.value();
        number(&config[&key]).or_else(|| number(&config["text_config"][&key]))
    }
}

/// Tokens that ought to be control tokens, though some vocabularies do not say so.
fn looks_special(text: &str) -> bool {
    (text.starts_with("<|") && text.ends_with("|>")) || ["<pad>", "<mask>"].contains(&text)
}
