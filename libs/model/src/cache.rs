//! Keys and values of a session: each prefix once per group, each suffix in a slot of its own.

use std::ops::Range;

use candle_core::Tensor;
use vrft_kernels::{Activation, Context, DecodeGroup, DecodeLayout};

use crate::ModelError;

/// Places for suffix tokens at the start; doubled when they are full.
const FIRST_CAPACITY: usize = 32;

/// Per layer: prefix keys and values (all live groups' tokens, kv_width), and those of the suffixes
/// (slots, capacity, kv_width).
///
/// A slot is taken while its row is decoded and given to another one afterwards, so nothing is moved when a row
/// finishes.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    prefix: Vec<[Tensor; 2]>,
    suffix: Vec<[Tensor; 2]>,
    free_slots: Vec<usize>,
    capacity: usize,
}

impl Cache {
    /// Takes in the prefixes of new groups, per layer as one piece, behind the given rows of those that are there.
    pub(crate) fn add_prefixes(
        &mut self,
        kept: &[u32],
        new: Vec<[Tensor; 2]>,
    ) -> Result<(), ModelError> {
        if kept.is_empty() {
            self.prefix = new;
            return Ok(());
        }
        let kept = Tensor::new(kept, new[0][0].device())?;
        for (old, new) in self.prefix.iter_mut().zip(new) {
            for (old, new) in old.iter_mut().zip(new) {
                *old = Tensor::cat(&[&old.index_select(&kept, 0)?, &new], 0)?;
            }
        }
        Ok(())
    }

    /// Per layer, keys and values of a group's prefix. They share the memory of all prefixes.
    pub(crate) fn prefix_of(&self, rows: &Range<usize>) -> Result<Vec<[Tensor; 2]>, ModelError> {
        let part = |of_all: &Tensor| of_all.narrow(0, rows.start, rows.len());
        self.prefix.iter().map(|[k, v]| Ok([part(k)?, part(v)?])).collect()
    }

    /// Per layer, a copy of the first so many keys and values of a slot; nothing for none.
    pub(crate) fn suffix_of(
        &self,
        slot: usize,
        n_tokens: usize,
    ) -> Result<Vec<[Tensor; 2]>, ModelError> {
        if n_tokens == 0 {
            return Ok(Vec::new());
        }
        let part = |of_all: &Tensor| of_all.get(slot)?.narrow(0, 0, n_tokens)?.copy();
        self.suffix.iter().map(|[k, v]| Ok([part(k)?, part(v)?])).collect()
    }

    /// Slots for a number of rows, free ones first.
    pub(crate) fn take_slots(&mut self, n_rows: usize) -> Result<Vec<usize>, ModelError> {
        if let Some(n_more) = n_rows.checked_sub(self.free_slots.len()).filter(|n| *n > 0) {
            let n_slots = self.suffix.first().map_or(Ok(0), |[k, _]| k.dim(0))?;
            self.capacity = self.capacity.max(FIRST_CAPACITY);
            self.resize(n_slots + n_more)?;
            self.free_slots.splice(0..0, (n_slots..n_slots + n_more).rev());
        }
        Ok(self.free_slots.split_off(self.free_slots.len() - n_rows))
    }

    /// Gives slots back, for other rows to take.
    pub(crate) fn free_slots(&mut self, slots: impl IntoIterator<Item = usize>) {
        self.free_slots.extend(slots);
    }

    /// Makes room for suffixes of a number of tokens.
    pub(crate) fn reserve(&mut self, n_tokens: usize) -> Result<(), ModelError> {
        if n_tokens <= self.capacity {
            return Ok(());
        }
        self.capacity = (2 * self.capacity).max(n_tokens);
        let n_slots = self.suffix.first().map_or(Ok(0), |[k, _]| k.dim(0))?;
        self.resize(n_slots)
    }

    /// As many slots of the present capacity, with what there is at their start.
    fn resize(&mut self, n_slots: usize) -> Result<(), ModelError> {
        let old = std::mem::take(&mut self.suffix);
        let mut old = old.into_iter();
        for of_layer in &self.prefix {
            let old = old.next();
            let larger = |idx: usize| -> Result<Tensor, ModelError> {
                let like = &of_layer[idx];
                let shape = (n_slots, self.capacity, like.dim(1)?);
                let larger = Tensor::zeros(shape, like.dtype(), like.device())?;
                let Some(old) = old.as_ref().map(|old| &old[idx]) else { return Ok(larger) };
                // Either there are more slots, or they are longer.
                let grown = if old.dim(1)? == self.capacity { 0 } else { 1 };
                larger.slice_set(old, grown, 0)?;
                Ok(larger)
            };
            self.suffix.push([larger(0)?, larger(1)?]);
        }
        Ok(())
    }

    /// Stores the new token's k and v (rows, kv_width) of a layer as the last of each row's suffix.
    pub(crate) fn append(
        &self,
        context: &Context,
        layer: usize,
        [k, v]: [&Activation; 2],
        layout: &DecodeLayout,
    ) -> Result<(), ModelError> {
        let suffix = self.suffix[layer].each_ref();
        Ok(vrft_kernels::append_newest(context, suffix, [k, v], layout)?)
    }

    /// Prefixes and suffixes of all layers.
    #[cfg(feature = "cuda")]
    pub(crate) fn tensors(&self) -> [&[[Tensor; 2]]; 2] {
        [&self.prefix, &self.suffix]
    }

    /// Which keys the rows of these groups attend to.
    pub(crate) fn layout(&self, groups: &[DecodeGroup]) -> DecodeLayout {
        DecodeLayout::new(groups.to_vec(), self.capacity)
    }

    /// Attention of q (rows, heads · head_dim) in a layer.
    pub(crate) fn attend(
        &self,
        context: &Context,
        layer: usize,
        q: &Activation,
        head_dim: usize,
        layout: &DecodeLayout,
    ) -> Result<Activation, ModelError> {
        let (prefix, suffix) = (self.prefix[layer].each_ref(), self.suffix[layer].each_ref());
        Ok(vrft_kernels::decode_attention(context, q, prefix, suffix, head_dim, layout)?)
    }
}
