//! A decoding session: every completion of every group as one batch over a key-value cache.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{DType, Tensor};
use kernels::DecodeGroup;

use crate::cache::Cache;
use crate::model::Model;
use crate::packing::Packed;
use crate::{EncodedPrompt, PackedGroup, PolicyError};

/// Prompts that were prefilled and the completions that grow from them.
///
/// The rows of a group lie together, groups in the order of their prompts. All rows have the same number of
/// tokens, since each step feeds every row.
#[derive(Debug)]
pub struct Session {
    model: Arc<Model>,
    cache: Cache,
    groups: Vec<DecodeGroup>,
    /// Position of each row's next token.
    positions: Vec<u32>,
    logits: Tensor,
}

impl Session {
    pub(crate) fn new(
        model: Arc<Model>,
        prompts: &[&EncodedPrompt],
        group_size: usize,
    ) -> Result<Self, PolicyError> {
        if prompts.is_empty() || group_size == 0 {
            let got = format!("{} and {group_size}", prompts.len());
            return Err(PolicyError::input("prompts and group size", "at least 1 each", got));
        }
        let without_completions: Vec<PackedGroup> =
            prompts.iter().map(|prompt| PackedGroup { prompt, completions: &[] }).collect();
        let packed = Packed::new(&model, &without_completions)?;
        let mut prefix = Vec::new();
        let head_dim = model.config.text.head_dim();
        let x = model.embed(&packed, &mut |_| ())?; // (T, hidden_size)
        let rotary = model.rotary(&packed.positions)?;
        let x = model.decoder.forward(x, &rotary, &mut |_, q, k, v| {
            prefix.push([k.clone(), v.clone()]);
            Ok(kernels::attention(q, k, v, head_dim, &packed.layout)?)
        })?;
        let groups = groups(prompts, group_size);
        let last: Vec<u32> = groups.iter().map(|g| g.prefix.end as u32 - 1).collect();
        let logits = model.decoder.logits(&x.index_select(&Tensor::new(last, x.device())?, 0)?)?;
        let group_of_row: Vec<u32> =
            (0..prompts.len() as u32).flat_map(|g| std::iter::repeat_n(g, group_size)).collect();
        let positions = group_of_row.iter().map(|g| prompts[*g as usize].next_position()).collect();
        let rows = Tensor::new(group_of_row, x.device())?;
        let logits = logits.index_select(&rows, 0)?; // (rows, V)
        let cache = Cache::new(prefix, prompts.len() * group_size)?;
        Ok(Self { model, cache, groups, positions, logits })
    }

    /// (rows, V) f32 for the next token; right after the start each group's rows are equal.
    pub fn logits(&self) -> &Tensor {
        &self.logits
    }

    /// Rows that are still decoded.
    pub fn n_rows(&self) -> usize {
        self.positions.len()
    }

    /// Feeds one token per live row; [`Session::logits`] then predicts the one after.
    ///
    /// # Errors
    /// Another number of tokens than rows, or a token outside the vocabulary.
    pub fn step(&mut self, tokens: &[u32]) -> Result<(), PolicyError> {
        if tokens.len() != self.n_rows() || tokens.is_empty() {
            let expected = format!("{}, one per live row", self.n_rows());
            return Err(PolicyError::input("tokens of a step", expected, tokens.len()));
        }
        self.model.check_tokens("a step", tokens)?;
        let positions: Vec<[u32; 3]> = self.positions.iter().map(|p| [*p; 3]).collect();
        let rotary = self.model.rotary(&positions)?;
        let x = self.model.embed_tokens(tokens)?; // (rows, hidden_size)
        let head_dim = self.model.config.text.head_dim();
        let (cache, groups) = (&mut self.cache, &self.groups);
        cache.grow()?;
        let x = self.model.decoder.forward(x, &rotary, &mut |layer, q, k, v| {
            cache.append(layer, k, v)?;
            cache.attend(layer, q, head_dim, groups)
        })?;
        self.logits = self.model.decoder.logits(&x)?;
        self.positions.iter_mut().for_each(|position| *position += 1);
        Ok(())
    }

    /// Keeps the rows whose flag is set, in their order.
    ///
    /// # Errors
    /// Another number of flags than rows.
    pub fn retain(&mut self, keep: &[bool]) -> Result<(), PolicyError> {
        if keep.len() != self.n_rows() {
            let expected = format!("{}, one per live row", self.n_rows());
            return Err(PolicyError::input("flags of retain", expected, keep.len()));
        }
        if keep.iter().all(|keep| *keep) {
            return Ok(());
        }
        let kept: Vec<u32> = (0..keep.len() as u32).filter(|row| keep[*row as usize]).collect();
        self.positions = kept.iter().map(|row| self.positions[*row as usize]).collect();
        for group in &mut self.groups {
            let before = |end: usize| kept.iter().filter(|row| (**row as usize) < end).count();
            group.rows = Range { start: before(group.rows.start), end: before(group.rows.end) };
        }
        self.groups.retain(|group| !group.rows.is_empty());
        if kept.is_empty() {
            let vocab_size = self.model.config.text.vocab_size;
            self.logits = Tensor::zeros((0, vocab_size), DType::F32, self.logits.device())?;
            return Ok(());
        }
        let kept = Tensor::new(kept, self.logits.device())?;
        self.logits = self.logits.index_select(&kept, 0)?;
        self.cache.select(&kept)
    }
}

/// Where each prompt's rows and prefix lie at the start.
fn groups(prompts: &[&EncodedPrompt], group_size: usize) -> Vec<DecodeGroup> {
    let mut end = 0;
    let groups = prompts.iter().enumerate().map(|(idx, prompt)| {
        let start = end;
        end += prompt.token_ids.len();
        DecodeGroup { rows: idx * group_size..(idx + 1) * group_size, prefix: start..end }
    });
    groups.collect()
}
