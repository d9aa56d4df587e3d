//! Soft prompts ([prompt tuning](https://arxiv.org/abs/2104.08691)): vectors that stand before every prompt in place of the
//! embeddings of tokens. They take the first positions, and all that follows moves behind them.

use std::collections::BTreeMap;

use candle_core::{DType, Tensor};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use vrft_checkpoint::{PromptTuningConfig, SOFT_PROMPT};
use vrft_kernels::{Activation, Context, Weight};

use crate::ModelError;
use crate::names::Names;
use crate::scope::Source;

/// The vectors of a policy.
#[derive(Debug)]
pub(crate) struct SoftPrompt {
    /// (n, width)
    vectors: Weight,
    n: usize,
}

impl SoftPrompt {
    /// The prompt that is among the tensors, if adapters are on and there is one.
    pub(crate) fn load(source: &Source, width: usize) -> Result<Option<Self>, ModelError> {
        let Some((vectors, n)) = source.soft_prompt(width)? else { return Ok(None) };
        Ok(Some(Self { vectors, n }))
    }

    /// How many vectors.
    pub(crate) fn len(&self) -> usize {
        self.n
    }

    /// (times · n, width): all vectors in their order, so many times.
    pub(crate) fn repeated(
        &self,
        context: &Context,
        times: usize,
        dtype: DType,
    ) -> Result<Activation, ModelError> {
        let ids: Vec<u32> = (0..times).flat_map(|_| 0..self.n as u32).collect();
        Ok(vrft_kernels::embedding(context, &self.vectors, &ids, dtype)?)
    }
}

/// Whether the weights of these names have what a fresh prompt starts as.
///
/// # Errors
/// As [`initialize`].
pub(crate) fn check<T>(
    config: &PromptTuningConfig,
    base: &BTreeMap<String, T>,
    names: Names,
) -> Result<(), ModelError> {
    table(config, base, names).map(drop)
}

/// The table of embeddings.
fn table<'a, T>(
    config: &PromptTuningConfig,
    base: &'a BTreeMap<String, T>,
    names: Names,
) -> Result<&'a T, ModelError> {
    let name = format!("{}.embed_tokens.weight", names.text());
    base.get(&name).ok_or_else(|| {
        let expected = "0 for a model whose embeddings are not in the checkpoint";
        ModelError::input("policy.prompt_tuning.tokens", expected, config.tokens)
    })
}

/// A fresh prompt: the embeddings of tokens that the seed draws from the vocabulary, as `peft` does by `SAMPLE_VOCAB`.
///
/// # Errors
/// A model without a table of embeddings.
pub(crate) fn initialize(
    config: &PromptTuningConfig,
    base: &BTreeMap<String, Tensor>,
    names: Names,
) -> Result<(String, Tensor), ModelError> {
    let table = table(config, base, names)?;
    let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
    let n_rows = table.dim(0)? as u32;
    let drawn: Vec<u32> = (0..config.tokens).map(|_| rng.random_range(0..n_rows)).collect();
    let drawn = Tensor::new(drawn, table.device())?;
    Ok((SOFT_PROMPT.to_owned(), table.index_select(&drawn, 0)?.to_dtype(DType::F32)?))
}
