//! Questions and answers to what the model reads, and back.

use std::path::Path;

use serde_json::{Value, json};
use vision::{Grid, Patches, Preprocessor};

use crate::files::read_json;
use crate::prompt::mrope_positions;
use crate::template::ChatTemplate;
use crate::tokenizer::Tokenizer;
use crate::{EncodedPrompt, PolicyError};

/// Chat template, tokenizer and image preprocessor of a checkpoint.
#[derive(Debug)]
pub struct Processor {
    template: ChatTemplate,
    tokenizer: Tokenizer,
    preprocessor: Preprocessor,
    image_token_id: u32,
    image_token: String,
}

impl Processor {
    /// Reads a checkpoint directory in the Hugging Face layout; the weights are not touched.
    pub fn load(dir: &Path) -> Result<Self, PolicyError> {
        let tokenizer = Tokenizer::load(dir)?;
        let image_token_id = image_token_id(dir)?;
        let image_token = tokenizer.token(image_token_id).ok_or_else(|| {
            PolicyError::input("image_token_id", "a token of tokenizer.json", image_token_id)
        })?;
        Ok(Self {
            template: ChatTemplate::load(dir)?,
            preprocessor: Preprocessor::from_dir(dir)?,
            tokenizer,
            image_token_id,
            image_token,
        })
    }

    /// One user turn (the images, then the text), after a system turn if there is one, up to where the
    /// assistant starts to speak. `images` are encoded files: PNG, JPEG, WebP or BMP.
    ///
    /// Without `system`, or with an empty one, the template's own default applies.
    ///
    /// # Errors
    /// An image that cannot be decoded, by its index; a text that itself contains the image placeholder; a
    /// template that refuses.
    pub fn encode(
        &self,
        system: Option<&str>,
        text: &str,
        images: &[&[u8]],
    ) -> Result<EncodedPrompt, PolicyError> {
        let patches = images.iter().enumerate().map(|(image_idx, bytes)| {
            let patches = self.preprocessor.patches(bytes);
            patches.map_err(|source| PolicyError::Image { image_idx, source })
        });
        let images: Vec<Patches> = patches.collect::<Result<_, _>>()?;
        let grids: Vec<Grid> = images.iter().map(|image| image.grid).collect();
        let rendered = self.render(system, text, images.len())?;
        let token_ids = self.tokenizer.encode(&self.expand(&rendered, &grids)?)?;
        let merge_size = self.preprocessor.merge_size();
        let positions = mrope_positions(&token_ids, self.image_token_id, &grids, merge_size)?;
        Ok(EncodedPrompt { token_ids, positions, images })
    }

    /// The conversation as text, with one placeholder per image.
    pub fn render(
        &self,
        system: Option<&str>,
        text: &str,
        n_images: usize,
    ) -> Result<String, PolicyError> {
        let mut parts = vec![json!({"type": "image"}); n_images];
        parts.push(json!({"type": "text", "text": text}));
        let system = system.filter(|system| !system.is_empty());
        let mut messages = Vec::from_iter(system.map(|s| json!({"role": "system", "content": s})));
        messages.push(json!({"role": "user", "content": parts}));
        let mut context = self.tokenizer.special_tokens().clone();
        context.insert("messages".into(), messages.into());
        context.insert("add_generation_prompt".into(), true.into());
        self.template.render(&context)
    }

    /// Token ids of an answer with the end of the turn after it: a target of supervised fine-tuning.
    pub fn encode_completion(&self, text: &str) -> Result<Vec<u32>, PolicyError> {
        let mut ids = self.tokenizer.encode(text)?;
        ids.extend(self.end_ids().first());
        Ok(ids)
    }

    /// Text of token ids, special tokens left out; bytes that are not UTF-8 come as `U+FFFD`.
    pub fn decode(&self, ids: &[u32]) -> Result<String, PolicyError> {
        self.tokenizer.decode(ids)
    }

    /// Token ids that end a completion, the end of a turn first; never empty.
    pub fn end_ids(&self) -> &[u32] {
        self.tokenizer.end_ids()
    }

    /// The preprocessor that images go through.
    pub fn preprocessor(&self) -> &Preprocessor {
        &self.preprocessor
    }

    /// Repeats each placeholder once per token of its image.
    fn expand(&self, rendered: &str, grids: &[Grid]) -> Result<String, PolicyError> {
        let mut pieces = rendered.split(self.image_token.as_str());
        let n_placeholders = pieces.clone().count() - 1;
        if n_placeholders != grids.len() {
            let what = format!("{} in the rendered prompt", self.image_token);
            let expected = format!("{}, one per image", grids.len());
            return Err(PolicyError::input(what, expected, n_placeholders));
        }
        let mut expanded = pieces.next().unwrap_or_default().to_owned();
        for (grid, piece) in grids.iter().zip(pieces) {
            let n_tokens = grid.n_tokens(self.preprocessor.merge_size());
            expanded += &self.image_token.repeat(n_tokens);
            expanded += piece;
        }
        Ok(expanded)
    }
}

fn image_token_id(dir: &Path) -> Result<u32, PolicyError> {
    let config = read_json(&dir.join("config.json"))?.unwrap_or_default();
    let value = &config["image_token_id"];
    value.as_u64().and_then(|id| u32::try_from(id).ok()).ok_or_else(|| PolicyError::Config {
        key: "image_token_id".into(),
        expected: "a token id".into(),
        got: if *value == Value::Null { "nothing".into() } else { value.to_string() },
    })
}
