//! Keys and values of prompts that a policy which never changes has read before.
//!
//! A reference policy is asked about the same prompts in every epoch, and about the same prompt again where a
//! group is cut into micro-batches. Only the completions are new: their rows are computed, the prompt's looked up.

use candle_core::Tensor;

use crate::features;
use crate::known::{Key, Known};
use crate::model::Model;
use crate::packing::Packed;
use crate::{EncodedPrompt, PackedGroup, PolicyError};

/// Is shown keys and values of all packed rows, layer by layer.
pub(crate) type Watch<'a> = dyn FnMut(&Tensor, &Tensor) + 'a;

/// The prompts read last, as many as fit. It belongs to one set of weights.
#[derive(Debug)]
pub(crate) struct PrefixCache(Known);

impl PrefixCache {
    /// Room for so many bytes of keys and values; nothing for 0.
    pub(crate) fn new(max_bytes: usize) -> Option<Self> {
        (max_bytes > 0).then(|| Self(Known::new(max_bytes)))
    }

    /// (tail, hidden_size): the packed groups' tail, as the decoder computes it from all rows. `see_all` does that,
    /// and is shown each layer's keys and values; it is asked where a prompt is not known.
    pub(crate) fn tail(
        &self,
        model: &Model,
        groups: &[PackedGroup],
        packed: &Packed,
        see_all: &dyn Fn(&mut Watch) -> Result<Tensor, PolicyError>,
    ) -> Result<Tensor, PolicyError> {
        let keys: Vec<Key> = groups.iter().map(|group| key(group.prompt)).collect();
        let known: Vec<_> = keys.iter().filter_map(|key| self.0.get(key)).collect();
        if known.len() == groups.len() {
            return continued(model, packed, &known);
        }
        let mut seen = Vec::new();
        let x = see_all(&mut |k, v| seen.extend([k.clone(), v.clone()]))?;
        let mut start = 0;
        for (layout, key) in packed.layout.groups.iter().zip(keys) {
            let n = layout.prefix - 1;
            if self.0.takes(model.config.text.cache_bytes(n, x.dtype())) {
                // Copies, or they would keep those of all rows alive.
                let part = |of_all: &Tensor| of_all.narrow(0, start, n)?.copy();
                let prefix = match n {
                    0 => Vec::new(),
                    _ => seen.iter().map(part).collect::<Result<_, _>>()?,
                };
                self.0.insert(key, prefix);
            }
            start += layout.n_tokens();
        }
        Ok(x)
    }
}

/// The tail from its own rows and the prompts' keys and values, layer by layer; none where a prompt is one token.
fn continued(
    model: &Model,
    packed: &Packed,
    prefixes: &[Vec<Tensor>],
) -> Result<Tensor, PolicyError> {
    let pick = |row: &u32| (packed.token_ids[*row as usize], packed.positions[*row as usize]);
    let (token_ids, positions): (Vec<u32>, Vec<[u32; 3]>) = packed.tail.iter().map(pick).unzip();
    let (x, rotary) = (model.embed_tokens(&token_ids)?, model.rotary(&positions)?);
    let (head_dim, layout) = (model.config.text.head_dim(), &packed.tail_layout);
    // The rows of each prefix, then those of its own tail.
    let joined = |idx: usize, new: &Tensor| -> Result<Tensor, PolicyError> {
        let mut start = 0;
        let mut parts = Vec::with_capacity(2 * prefixes.len());
        for (group, prefix) in layout.groups.iter().zip(prefixes) {
            parts.extend(prefix.get(idx).cloned());
            parts.push(new.narrow(0, start, group.n_queries())?);
            start += group.n_queries();
        }
        Ok(Tensor::cat(&parts, 0)?)
    };
    model.decoder.forward(x, &rotary, None, &mut |layer, q, k, v| {
        let (k, v) = (joined(2 * layer, k)?, joined(2 * layer + 1, v)?);
        Ok(vrft_kernels::attention(q, &k, &v, head_dim, layout)?)
    })
}

fn key(prompt: &EncodedPrompt) -> Key {
    let mut hasher = blake3::Hasher::new();
    for (id, position) in prompt.token_ids.iter().zip(&prompt.positions) {
        hasher.update(bytemuck::bytes_of(id));
        hasher.update(bytemuck::bytes_of(position));
    }
    for image in &prompt.images {
        hasher.update(&features::key(image));
    }
    *hasher.finalize().as_bytes()
}
