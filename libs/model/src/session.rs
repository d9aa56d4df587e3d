//! A decoding session: every completion of every group as one batch over a key-value cache.

mod paused;

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use vrft_kernels::{Activation, Backend, Context, DecodeGroup};
use vrft_processor::EncodedPrompt;

use crate::cache::Cache;
use crate::model::Model;
use crate::packing::Packed;
use crate::{ModelError, PackedGroup};

pub use paused::{Continued, Paused};

/// Prompts that were prefilled and the completions that grow from them.
///
/// The rows of a group lie together, groups in the order in which they were admitted. A group may join while
/// others are under way, and rows leave as they finish.
#[derive(Debug)]
pub struct Session {
    model: Arc<Model>,
    device: Device,
    backend: Backend,
    cache: Cache,
    groups: Vec<DecodeGroup>,
    /// Position of each row's next token.
    positions: Vec<u32>,
    logits: Tensor,
    /// Computes whole steps, where a GPU can.
    #[cfg(feature = "cuda")]
    on_gpu: Option<vrft_kernels::DecodeStep>,
}

impl Session {
    pub(crate) fn new(model: Arc<Model>, context: &Context) -> Result<Self, ModelError> {
        let device = context.device().clone();
        let backend = context.backend();
        // Not every device can have a tensor without values.
        let logits = Tensor::zeros((1, model.config.text.vocab_size), DType::F32, &device)?;
        let logits = logits.narrow(0, 0, 0)?;
        let cache = Cache::default();
        let groups = Vec::new();
        let positions = Vec::new();
        #[cfg(feature = "cuda")]
        let on_gpu = match backend {
            Backend::Cuda => model.decoder.step_weights(&model.config.text, &device)?,
            _ => None,
        };
        Ok(Self {
            model,
            device,
            backend,
            cache,
            groups,
            positions,
            logits,
            #[cfg(feature = "cuda")]
            on_gpu: on_gpu.map(vrft_kernels::DecodeStep::new),
        })
    }

    fn context(&self) -> Context<'static> {
        Context::new(&self.device).with_backend(self.backend)
    }

    /// Prefills each prompt once and adds `group_size` rows per prompt behind those that are there, the rows of
    /// the first prompt first.
    ///
    /// # Errors
    /// No prompt or no row, or a prompt that the model cannot read.
    pub fn admit(
        &mut self,
        prompts: &[&EncodedPrompt],
        group_size: usize,
    ) -> Result<(), ModelError> {
        if prompts.is_empty() || group_size == 0 {
            let got = format!("{} and {group_size}", prompts.len());
            return Err(ModelError::input("prompts and group size", "at least 1 each", got));
        }
        let (prefix, logits) = prefill(&self.context(), &self.model, prompts)?;
        self.add_prefixes(prefix)?;
        let mut end = self.groups.last().map_or(0, |group| group.prefix.end);
        let n_soft = self.model.n_soft();
        for prompt in prompts {
            let rows = self.n_rows()..self.n_rows() + group_size;
            let prefix = end..end + n_soft + prompt.token_ids.len();
            end = prefix.end;
            let position = n_soft as u32 + prompt.next_position();
            self.positions.extend(std::iter::repeat_n(position, group_size));
            let slots = self.cache.take_slots(group_size)?;
            self.groups.push(DecodeGroup { rows, prefix, slots, n_suffix: 0 });
        }
        let row = |idx| std::iter::repeat_n(idx, group_size);
        let rows: Vec<u32> = (0..prompts.len() as u32).flat_map(row).collect();
        let logits = logits.index_select(&Tensor::new(rows, logits.device())?, 0)?; // (new rows, V)
        self.add_logits(logits)
    }

    /// Puts the logits of new rows behind those that are there.
    fn add_logits(&mut self, new: Tensor) -> Result<(), ModelError> {
        self.logits = match self.logits.dim(0)? {
            0 => new,
            _ => Tensor::cat(&[&self.logits, &new], 0)?,
        };
        Ok(())
    }

    /// Puts new prefixes behind those of the live groups, and lets go of all others.
    fn add_prefixes(&mut self, new: Vec<[Tensor; 2]>) -> Result<(), ModelError> {
        let mut kept = Vec::new();
        for group in &mut self.groups {
            let start = kept.len();
            kept.extend(group.prefix.clone().map(|row| row as u32));
            group.prefix = start..kept.len();
        }
        self.cache.add_prefixes(&kept, new)
    }

    /// (rows, V) f32 for the next token; right after a group was admitted its rows are equal.
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
    pub fn step(&mut self, tokens: &[u32]) -> Result<(), ModelError> {
        if tokens.len() != self.n_rows() || tokens.is_empty() {
            let expected = format!("{}, one per live row", self.n_rows());
            return Err(ModelError::input("tokens of a step", expected, tokens.len()));
        }
        self.model.check_tokens("a step", tokens)?;
        self.groups.iter_mut().for_each(|group| group.n_suffix += 1);
        let longest = self.groups.iter().map(|group| group.n_suffix).max();
        self.cache.reserve(longest.unwrap_or(0))?;
        self.logits = self.next_logits(tokens)?;
        self.positions.iter_mut().for_each(|position| *position += 1);
        Ok(())
    }

    /// The logits (rows, V) after these tokens, whose keys and values go to the places that were made for them.
    fn next_logits(&mut self, tokens: &[u32]) -> Result<Tensor, ModelError> {
        let layout = self.cache.layout(&self.groups);
        #[cfg(feature = "cuda")]
        if let Some(step) = &mut self.on_gpu {
            let [prefix, suffix] = self.cache.tensors();
            return Ok(step.run(tokens, &self.positions, &layout, prefix, suffix)?);
        }
        let positions: Vec<[u32; 3]> = self.positions.iter().map(|p| [*p; 3]).collect();
        let context = self.context().decoding();
        let rotary = self.model.rotary(&context, &positions)?;
        let x = self.model.embed_tokens(&context, tokens)?; // (rows, hidden_size)
        let head_dim = self.model.config.text.head_dim;
        let cache = &self.cache;
        let decoder = &self.model.decoder;
        let attend = &mut |context: &Context, layer, [q, k, v]: [&Activation; 3]| {
            cache.append(context, layer, [k, v], &layout)?;
            cache.attend(context, layer, q, head_dim, &layout)
        };
        let x = decoder.forward(&context, x.into(), &rotary, None, attend)?;
        decoder.logits(&context, &x)
    }

    /// Keeps the rows whose flag is set, in their order.
    ///
    /// # Errors
    /// Another number of flags than rows.
    pub fn retain(&mut self, keep: &[bool]) -> Result<(), ModelError> {
        if keep.len() != self.n_rows() {
            let expected = format!("{}, one per live row", self.n_rows());
            return Err(ModelError::input("flags of retain", expected, keep.len()));
        }
        if keep.iter().all(|keep| *keep) {
            return Ok(());
        }
        let kept: Vec<u32> = (0..keep.len() as u32).filter(|row| keep[*row as usize]).collect();
        self.positions = kept.iter().map(|row| self.positions[*row as usize]).collect();
        let mut end = 0;
        for group in &mut self.groups {
            let rows = group.rows.clone().zip(std::mem::take(&mut group.slots));
            let (kept, freed): (Vec<_>, Vec<_>) = rows.partition(|(row, _)| keep[*row]);
            group.slots = kept.into_iter().map(|(_, slot)| slot).collect();
            group.rows = end..end + group.slots.len();
            end = group.rows.end;
            self.cache.free_slots(freed.into_iter().map(|(_, slot)| slot));
        }
        self.groups.retain(|group| !group.rows.is_empty());
        self.logits = if kept.is_empty() {
            // Not every device can select nothing.
            self.logits.narrow(0, 0, 0)?
        } else {
            self.logits.index_select(&Tensor::new(kept, self.logits.device())?, 0)?
        };
        Ok(())
    }
}

/// Keys and values of the prompts, per layer in one piece, and the logits (prompts, V) that follow them.
fn prefill(
    context: &Context,
    model: &Model,
    prompts: &[&EncodedPrompt],
) -> Result<(Vec<[Tensor; 2]>, Tensor), ModelError> {
    let groups: Vec<PackedGroup> = prompts
        .iter()
        .map(|prompt| PackedGroup { prompt, completions: &[], inserted: &[] })
        .collect();
    let packed = Packed::new(model, &groups)?;
    let mut prefix = Vec::new();
    let attend = model.attend(&packed);
    let input = model.embed(context, &packed)?; // (T, hidden_size)
    let (rotary, predicting) = model.angles(context, &packed)?;
    let attend = &mut |context: &Context, idx, qkv: [&Activation; 3]| {
        let [_, k, v] = qkv;
        prefix.push([k.detach(), v.detach()]);
        attend(context, idx, qkv)
    };
    let x = model.decoder.forward(context, input, &rotary, Some(&predicting), attend)?; // (prompts, hidden_size)
    Ok((prefix, model.decoder.logits(&context.decoding(), &x)?))
}
