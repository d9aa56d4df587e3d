//! From sentences to vectors.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::BertModel;
use tokenizers::{Encoding, PaddingParams, Tokenizer, TruncationParams};

use crate::EmbeddingError;
use crate::layout::{check_pooling, damaged, max_tokens, model_config, read};

/// Sentences that go through the model together.
const BATCH: usize = 32;

/// A BERT that was trained to place sentences of like meaning near each other.
pub struct Encoder {
    model: BertModel,
    tokenizer: Tokenizer,
}

/// A vector of length 1 in the direction of what a sentence means.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding(Vec<f32>);

impl Encoder {
    /// Loads a folder in the layout of sentence-transformers.
    ///
    /// # Errors
    /// A folder or file that is absent or damaged; a model that is no BERT, or whose vector is not the mean over its
    /// tokens.
    pub fn load(dir: &Path) -> Result<Self, EmbeddingError> {
        if !dir.is_dir() {
            return Err(EmbeddingError::NoFolder { path: dir.to_owned() });
        }
        let config = model_config(dir)?;
        check_pooling(dir)?;
        let path = dir.join("tokenizer.json");
        let mut tokenizer =
            Tokenizer::from_bytes(read(&path)?).map_err(|error| damaged(&path, error))?;
        let truncation =
            TruncationParams { max_length: max_tokens(dir, &config)?, ..Default::default() };
        tokenizer.with_truncation(Some(truncation)).map_err(|error| damaged(&path, error))?;
        tokenizer.with_padding(Some(PaddingParams {
            pad_id: config.pad_token_id as u32,
            ..Default::default()
        }));
        let path = dir.join("model.safetensors");
        let weights = VarBuilder::from_buffered_safetensors(read(&path)?, DType::F32, &Device::Cpu);
        let weights = weights.map_err(|error| damaged(&path, error))?;
        let model = BertModel::load(weights, &config).map_err(|error| damaged(&path, error))?;
        Ok(Self { model, tokenizer })
    }

    /// The vectors of sentences, in their order.
    ///
    /// # Errors
    /// A failing tokenizer or forward pass.
    pub fn encode(&self, sentences: &[&str]) -> Result<Vec<Embedding>, EmbeddingError> {
        let mut embeddings = Vec::with_capacity(sentences.len());
        for batch in sentences.chunks(BATCH) {
            let encodings = self
                .tokenizer
                .encode_batch(batch.to_vec(), true)
                .map_err(|error| EmbeddingError::Tokenizer(error.to_string()))?;
            let means = self.means(&encodings)?.to_vec2::<f32>()?;
            embeddings.extend(means.into_iter().map(Embedding::new));
        }
        Ok(embeddings)
    }

    /// The mean of the model's output over the tokens of each sentence, padding left out.
    fn means(&self, encodings: &[Encoding]) -> candle_core::Result<Tensor> {
        let n_tokens = encodings.first().map_or(0, Encoding::len);
        let tensor = |ids: fn(&Encoding) -> &[u32]| {
            let all: Vec<u32> = encodings.iter().flat_map(ids).copied().collect();
            Tensor::from_vec(all, (encodings.len(), n_tokens), &Device::Cpu)
        };
        let ids = tensor(Encoding::get_ids)?; // (B, T)
        let mask = tensor(Encoding::get_attention_mask)?; // (B, T)
        let types = tensor(Encoding::get_type_ids)?; // (B, T)
        let hidden = self.model.forward(&ids, &types, Some(&mask))?; // (B, T, H)
        let mask = mask.to_dtype(DType::F32)?.unsqueeze(2)?; // (B, T, 1)
        let sums = hidden.broadcast_mul(&mask)?.sum(1)?; // (B, H)
        sums.broadcast_div(&mask.sum(1)?)
    }
}

impl Embedding {
    fn new(mut vector: Vec<f32>) -> Self {
        let length = vector.iter().map(|v| v * v).sum::<f32>().sqrt();
        if length > 0.0 {
            vector.iter_mut().for_each(|v| *v /= length);
        }
        Self(vector)
    }

    /// The coordinates of the embedding.
    pub fn as_slice(&self) -> &[f32] {
        &self.0
    }

    /// How alike two sentences are: the cosine of the angle between their vectors, from -1 to 1.
    pub fn cosine(&self, other: &Self) -> f32 {
        self.0.iter().zip(&other.0).map(|(a, b)| a * b).sum::<f32>().clamp(-1.0, 1.0)
    }
}
