//! A cache of the keys and values of prompts, for a policy that never changes.
//!
//! A reference policy reads the same prompts in every epoch, and the same prompt again where a group is cut into
//! micro-batches. Only the completions are new: their rows are computed, the prompt's keys and values looked up.

use candle_core::Tensor;
use twox_hash::XxHash3_128;
use vrft_kernels::{Activation, Context};
use vrft_processor::EncodedPrompt;

use crate::model::Model;
use crate::packing::Packed;
use crate::tensor_cache::TensorCache;
use crate::{ModelError, PackedGroup};

/// Called with the keys and values of all packed rows, layer by layer.
pub(crate) type Watch<'a> = dyn FnMut(&Activation, &Activation) + 'a;

/// Keys and values of the most recently used prompts, within a budget of bytes. It belongs to one set of weights.
#[derive(Debug)]
pub(crate) struct PrefixCache(TensorCache<PromptKey>);

/// A number by which an encoded prompt is recognized when it comes again: a hash (XXH3, 128 bits) of its tokens, their
/// positions and its images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct PromptKey(u128);

impl PrefixCache {
    /// Creates a cache that holds at most `max_bytes` of keys and values; none for 0.
    pub(crate) fn new(max_bytes: usize) -> Option<Self> {
        (max_bytes > 0).then(|| Self(TensorCache::new(max_bytes)))
    }

    /// (predicting rows, hidden_size) of the packed groups, as the decoder computes them from all rows. `forward` does
    /// that and shows each layer's keys and values; it is called where a prompt is not in the cache.
    pub(crate) fn predicting(
        &self,
        context: &Context,
        model: &Model,
        groups: &[PackedGroup],
        packed: &Packed,
        forward: &dyn Fn(&mut Watch) -> Result<Activation, ModelError>,
    ) -> Result<Activation, ModelError> {
        let keys: Vec<PromptKey> = groups.iter().map(|group| key(group.prompt)).collect();
        let found: Vec<_> = keys.iter().filter_map(|key| self.0.get(key)).collect();
        if found.len() == groups.len() {
            return continued(context, model, packed, &found);
        }
        let mut new = Vec::new();
        let x = forward(&mut |k, v| new.extend([k.detach(), v.detach()]))?;
        let mut start = 0;
        for (layout, key) in packed.layout.groups().iter().zip(keys) {
            let n = layout.prefix - 1;
            if self.0.takes(model.config.text.cache_bytes(n, x.dtype())) {
                // Copies, or they would keep those of all rows alive.
                let part = |of_all: &Tensor| of_all.narrow(0, start, n)?.copy();
                let prefix = match n {
                    0 => Vec::new(),
                    _ => new.iter().map(part).collect::<Result<_, _>>()?,
                };
                self.0.insert(key, prefix);
            }
            start += layout.n_tokens();
        }
        Ok(x)
    }
}

/// The predicting rows from themselves and the prompts' keys and values, which a prompt of one token has none of.
fn continued(
    context: &Context,
    model: &Model,
    packed: &Packed,
    prefixes: &[Vec<Tensor>],
) -> Result<Activation, ModelError> {
    let pick = |row: &u32| (packed.token_ids[*row as usize], packed.positions[*row as usize]);
    let (token_ids, positions): (Vec<u32>, Vec<[u32; 3]>) =
        packed.predicting.iter().map(pick).unzip();
    let x = model.embed_tokens(context, &token_ids)?;
    let rotary = model.rotary(context, &positions)?;
    let head_dim = model.config.text.head_dim;
    let layout = &packed.predicting_layout;
    // The rows of each prefix, then those that follow it.
    let joined = |idx: usize, new: &Activation| -> Result<Activation, ModelError> {
        let new = new.detach();
        let mut start = 0;
        let mut parts = Vec::with_capacity(2 * prefixes.len());
        for (group, prefix) in layout.groups().iter().zip(prefixes) {
            parts.extend(prefix.get(idx).cloned());
            parts.push(new.narrow(0, start, group.n_queries())?);
            start += group.n_queries();
        }
        Ok(Activation::constant(&Tensor::cat(&parts, 0)?)?)
    };
    let attend = &mut |context: &Context, layer, [q, k, v]: [&Activation; 3]| {
        let (k, v) = (joined(2 * layer, k)?, joined(2 * layer + 1, v)?);
        Ok(vrft_kernels::attention(context, q, &k, &v, head_dim, layout)?)
    };
    model.decoder.forward(context, x.into(), &rotary, None, attend)
}

fn key(prompt: &EncodedPrompt) -> PromptKey {
    let mut hasher = XxHash3_128::new();
    for (id, position) in prompt.token_ids.iter().zip(&prompt.positions) {
        hasher.write(&id.to_le_bytes());
        position.iter().for_each(|axis| hasher.write(&axis.to_le_bytes()));
    }
    for image in &prompt.images {
        hasher.write(&u128::from(image.key()).to_le_bytes());
    }
    PromptKey(hasher.finish_128())
}
