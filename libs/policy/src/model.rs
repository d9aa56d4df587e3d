//! Tower and decoder put together, over one set of tensors.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{DType, Device, Tensor};

use crate::decoder::Decoder;
use crate::packing::Packed;
use crate::rotary::Rotary;
use crate::scope::{Names, Source};
use crate::tower::VisionTower;
use crate::{EncodedPrompt, ModelConfig, PolicyError};

/// The model over tensors that are either tracked (trainable forward) or detached (everything else).
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) config: ModelConfig,
    pub(crate) decoder: Decoder,
    tower: VisionTower,
    dtype: DType,
    device: Device,
}

impl Model {
    /// Builds the model and says which of the tensors it took.
    pub(crate) fn new(
        config: &ModelConfig,
        tensors: &BTreeMap<String, Tensor>,
    ) -> Result<(Self, BTreeSet<String>), PolicyError> {
        let names = Names::of(tensors);
        let source = Source::new(tensors);
        let tower = VisionTower::load(&source.at(names.visual), &config.vision)?;
        let decoder = Decoder::load(&source, names, &config.text)?;
        let first = tensors.values().next();
        let (dtype, device) = first
            .map_or((DType::F32, Device::Cpu), |tensor| (tensor.dtype(), tensor.device().clone()));
        // Some writers store a tied head a second time.
        let tied = if config.text.tie_word_embeddings { names.head_weight() } else { Vec::new() };
        let used = source.finish(&tied)?;
        Ok((Self { config: config.clone(), decoder, tower, dtype, device }, used))
    }

    /// (N, hidden_size): embeddings of the tokens, those of the image placeholders from the tower.
    pub(crate) fn embed(&self, packed: &Packed) -> Result<Tensor, PolicyError> {
        let embeddings = self.decoder.embed(&packed.token_ids)?;
        if packed.images.is_empty() {
            return Ok(embeddings);
        }
        let seen = self.tower.forward(&packed.images, self.dtype, &self.device)?;
        let n_tokens = packed.token_ids.len() as u32;
        let mut rows: Vec<u32> = (0..n_tokens).collect();
        for (row, seen_row) in packed.placeholders.iter().zip(n_tokens..) {
            rows[*row] = seen_row;
        }
        let rows = Tensor::new(rows, &self.device)?;
        Ok(Tensor::cat(&[embeddings, seen], 0)?.index_select(&rows, 0)?)
    }

    pub(crate) fn rotary(&self, positions: &[[u32; 3]]) -> Result<Rotary, PolicyError> {
        Rotary::text(&self.config.text, positions, &self.device)
    }

    /// Whether the prompt is one that this model can read; `idx` for the message.
    pub(crate) fn check_prompt(
        &self,
        idx: usize,
        prompt: &EncodedPrompt,
    ) -> Result<(), PolicyError> {
        let input = |what: &str, expected: String, got: usize| {
            Err(PolicyError::input(format!("{what} of prompt {idx}"), expected, got))
        };
        let n_tokens = prompt.token_ids.len();
        if n_tokens == 0 {
            return input("tokens", "at least 1".into(), 0);
        }
        if prompt.positions.len() != n_tokens {
            return input(
                "positions",
                format!("{n_tokens}, one per token"),
                prompt.positions.len(),
            );
        }
        let is_image = |id: &&u32| **id == self.config.image_token_id;
        let n_placeholders = prompt.token_ids.iter().filter(is_image).count();
        let merge_size = self.config.vision.merge_size;
        let n_seen: usize = prompt.images.iter().map(|i| i.grid.n_tokens(merge_size)).sum();
        if n_placeholders != n_seen {
            let expected = format!("{n_seen}, as its {} images give", prompt.images.len());
            return input("image tokens", expected, n_placeholders);
        }
        self.check_tokens(&format!("prompt {idx}"), &prompt.token_ids)
    }

    /// Whether all tokens are in the vocabulary.
    pub(crate) fn check_tokens(&self, what: &str, token_ids: &[u32]) -> Result<(), PolicyError> {
        let vocab_size = self.config.text.vocab_size;
        match token_ids.iter().find(|id| **id as usize >= vocab_size) {
            Some(id) => {
                let expected = format!("below the vocabulary's {vocab_size}");
                Err(PolicyError::input(format!("tokens of {what}"), expected, id))
            }
            None => Ok(()),
        }
    }
}
