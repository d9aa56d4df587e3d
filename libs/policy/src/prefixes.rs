//! Keys and values of prompts that a policy which never changes has read before.
//!
//! A reference policy is asked about the same prompts in every epoch, and about the same prompt again where a
//! group is cut into micro-batches. Only the completions are new: their rows are computed, the prompt's looked up.

use candle_core::Tensor;

use crate::features;
use crate::known::{Key, Known};
use crate::model::Model;
use crate::packing::Packed;
use crate::session::prefill;
use crate::{EncodedPrompt, PackedGroup, PolicyError};

/// The prompts read last, as many as fit. It belongs to one set of weights.
#[derive(Debug)]
pub(crate) struct PrefixCache(Known);

impl PrefixCache {
    /// Room for so many bytes of keys and values; nothing for 0.
    pub(crate) fn new(max_bytes: usize) -> Option<Self> {
        (max_bytes > 0).then(|| Self(Known::new(max_bytes)))
    }

    /// (tail, hidden_size): the packed groups' tail, as the decoder computes it from all rows.
    pub(crate) fn tail(
        &self,
        model: &Model,
        groups: &[PackedGroup],
        packed: &Packed,
    ) -> Result<Tensor, PolicyError> {
        let prompts: Vec<&EncodedPrompt> = groups.iter().map(|group| group.prompt).collect();
        let prefixes = self.prefixes(model, &prompts)?;
        let pick = |row: &u32| (packed.token_ids[*row as usize], packed.positions[*row as usize]);
        let (token_ids, positions): (Vec<u32>, Vec<[u32; 3]>) =
            packed.tail.iter().map(pick).unzip();
        let (x, rotary) = (model.embed_tokens(&token_ids)?, model.rotary(&positions)?);
        let (head_dim, layout) = (model.config.text.head_dim(), &packed.tail_layout);
        // The rows of each prefix, then those of its own tail.
        let joined = |idx: usize, new: &Tensor| -> Result<Tensor, PolicyError> {
            let mut start = 0;
            let mut parts = Vec::with_capacity(2 * prefixes.len());
            for (group, prefix) in layout.groups.iter().zip(&prefixes) {
                parts.extend(prefix.get(idx).cloned());
                parts.push(new.narrow(0, start, group.n_queries())?);
                start += group.n_queries();
            }
            Ok(Tensor::cat(&parts, 0)?)
        };
        model.decoder.forward(x, &rotary, None, &mut |layer, q, k, v| {
            let (k, v) = (joined(2 * layer, k)?, joined(2 * layer + 1, v)?);
            Ok(kernels::attention(q, &k, &v, head_dim, layout)?)
        })
    }

    /// Per prompt the keys and values, layer by layer, of all its tokens but the last; none where that is the first.
    fn prefixes(
        &self,
        model: &Model,
        prompts: &[&EncodedPrompt],
    ) -> Result<Vec<Vec<Tensor>>, PolicyError> {
        let keys: Vec<Key> = prompts.iter().map(|prompt| key(prompt)).collect();
        let mut found: Vec<_> = keys.iter().map(|key| self.0.get(key)).collect();
        let missing: Vec<usize> = (0..prompts.len()).filter(|i| found[*i].is_none()).collect();
        let unread: Vec<&EncodedPrompt> = missing.iter().map(|i| prompts[*i]).collect();
        let read = if unread.is_empty() { Vec::new() } else { prefill(model, &unread)?.0 };
        let mut start = 0;
        for i in missing {
            let n_tokens = prompts[i].token_ids.len();
            // Copies, or they would keep those of the other prompts alive.
            let part = |tensor: &Tensor| tensor.narrow(0, start, n_tokens - 1)?.copy();
            let prefix: Vec<Tensor> = match n_tokens {
                1 => Vec::new(),
                _ => read.iter().flatten().map(part).collect::<Result<_, _>>()?,
            };
            self.0.insert(keys[i], prefix.clone());
            found[i] = Some(prefix);
            start += n_tokens;
        }
        Ok(found.into_iter().flatten().collect())
    }
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
