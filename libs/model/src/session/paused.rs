//! Completions that wait for somebody else's words, and go on behind them.

use std::sync::Arc;

use candle_core::Tensor;
use vrft_kernels::{Activation, AttentionGroup, AttentionLayout, Context, DecodeGroup};
use vrft_processor::EncodedPrompt;

use crate::ModelError;
use crate::decoder::DecoderInput;
use crate::session::Session;

/// A completion that left a [`Session`] to go on later: keys and values of all that it has read.
#[derive(Debug)]
pub struct Paused {
    /// Per layer, those of the prompt: shared with the other completions of the group.
    prefix: Vec<[Tensor; 2]>,
    /// Per layer, those of the completion so far, without its last token.
    suffix: Vec<[Tensor; 2]>,
    /// Tokens that have keys and values.
    n_tokens: usize,
    /// Position of the completion's last token.
    position: u32,
}

/// A paused completion and what it goes on with.
#[derive(Debug, Clone, Copy)]
pub struct Continued<'a> {
    /// The completion as it was when it paused.
    pub paused: &'a Paused,
    /// Its last token, which the session has not been fed yet.
    pub last_token: u32,
    /// What was said meanwhile.
    pub inserted: &'a EncodedPrompt,
}

impl Session {
    /// Keeps what a live row has read, so that it may leave by [`Session::retain`] and come back by [`Session::resume`].
    /// To be called before the row's newest token is fed.
    ///
    /// # Errors
    /// A row that there is not.
    pub fn pause(&self, row: usize) -> Result<Paused, ModelError> {
        let Some(group) = self.groups.iter().find(|group| group.rows.contains(&row)) else {
            let expected = format!("below the number of live rows, {}", self.n_rows());
            return Err(ModelError::input("row to pause", expected, row));
        };
        let slot = group.slots[row - group.rows.start];
        Ok(Paused {
            prefix: self.cache.prefix_of(&group.prefix)?,
            suffix: self.cache.suffix_of(slot, group.n_suffix)?,
            n_tokens: group.prefix.len() + group.n_suffix,
            position: self.positions[row],
        })
    }

    /// Adds a row for each of these completions behind those that are there. Its last token and what was inserted are
    /// read in one pass over all of them, with images encoded as those of a prompt; [`Session::logits`] then predicts
    /// the token after.
    ///
    /// # Errors
    /// Nothing to go on with, or tokens that the model cannot read.
    pub fn resume(&mut self, continued: &[Continued]) -> Result<(), ModelError> {
        if continued.is_empty() {
            return Err(ModelError::input("completions to go on with", "at least 1", 0));
        }
        let (prefix, logits) = self.read_on(continued)?;
        self.add_prefixes(prefix)?;
        let mut end = self.groups.last().map_or(0, |group| group.prefix.end);
        for Continued { paused, inserted, .. } in continued {
            let rows = self.n_rows()..self.n_rows() + 1;
            let prefix = end..end + paused.n_tokens + 1 + inserted.token_ids.len();
            end = prefix.end;
            self.positions.push(paused.position + 1 + inserted.next_position());
            let slots = self.cache.take_slots(1)?;
            self.groups.push(DecodeGroup { rows, prefix, slots, n_suffix: 0 });
        }
        self.add_logits(logits)
    }

    /// Keys and values of all that the completions have read then, per layer in one piece, and the logits
    /// (completions, V) that follow.
    fn read_on(&self, continued: &[Continued]) -> Result<(Vec<[Tensor; 2]>, Tensor), ModelError> {
        let mut new = Inserted::default();
        for (idx, one) in continued.iter().enumerate() {
            self.model.check_inserted(&format!("paused completion {idx}"), one.inserted)?;
            self.model.check_tokens("a paused completion", &[one.last_token])?;
            new.push(one, |id| self.model.is_placeholder(id));
        }
        let context = self.context();
        let mut input = DecoderInput::from(self.model.embed_tokens(&context, &new.token_ids)?);
        let images: Vec<_> = continued.iter().flat_map(|one| &one.inserted.images).collect();
        if !images.is_empty() {
            let features = self.model.features(&context, &images, usize::MAX)?;
            input.put(&context, &features, &new.placeholders)?;
        }
        let rotary = self.model.rotary(&context, &new.positions)?;
        let head_dim = self.model.config.text.head_dim;
        let layout = Arc::new(AttentionLayout::new(new.layout));
        let mut all = Vec::new();
        let attend = &mut |context: &Context, layer: usize, [q, k, v]: [&Activation; 3]| {
            let joined = [joined(continued, layer, 0, k)?, joined(continued, layer, 1, v)?];
            let [k, v] = [Activation::constant(&joined[0])?, Activation::constant(&joined[1])?];
            all.push(joined);
            Ok(vrft_kernels::attention(context, q, &k, &v, head_dim, &layout)?)
        };
        let x = self.model.decoder.forward(&context, input, &rotary, None, attend)?;
        let x = vrft_kernels::select_rows(&context, &x, &new.last_rows)?; // (completions, hidden_size)
        Ok((all, self.model.decoder.logits(&context.decoding(), &x)?))
    }
}

/// The rows that are read when completions go on.
#[derive(Default)]
struct Inserted {
    token_ids: Vec<u32>,
    positions: Vec<[u32; 3]>,
    placeholders: Vec<usize>,
    layout: Vec<AttentionGroup>,
    /// The last row of each completion.
    last_rows: Vec<u32>,
}

impl Inserted {
    fn push(&mut self, one: &Continued, is_placeholder: impl Fn(u32) -> bool) {
        let first = one.paused.position;
        self.token_ids.push(one.last_token);
        self.positions.push([first; 3]);
        let tokens = one.inserted.token_ids.iter().zip(&one.inserted.positions);
        for (id, position) in tokens {
            let row = self.token_ids.len();
            self.placeholders.extend(is_placeholder(*id).then_some(row));
            self.token_ids.push(*id);
            self.positions.push(position.map(|axis| axis + first + 1));
        }
        self.last_rows.push(self.token_ids.len() as u32 - 1);
        self.layout.push(AttentionGroup {
            prefix: one.paused.n_tokens + 1 + one.inserted.token_ids.len(),
            suffixes: Vec::new(),
            causal: true,
            first_query: one.paused.n_tokens,
        });
    }
}

/// For each completion what it has read before, then its new rows; `idx` 0 for keys, 1 for values.
fn joined(
    continued: &[Continued],
    layer: usize,
    idx: usize,
    new: &Activation,
) -> Result<Tensor, ModelError> {
    let new = new.detach();
    let mut parts = Vec::with_capacity(3 * continued.len());
    let mut start = 0;
    for Continued { paused, inserted, .. } in continued {
        let n_new = 1 + inserted.token_ids.len();
        parts.push(paused.prefix[layer][idx].clone());
        parts.extend(paused.suffix.get(layer).map(|suffix| suffix[idx].clone()));
        parts.push(new.narrow(0, start, n_new)?);
        start += n_new;
    }
    Ok(Tensor::cat(&parts, 0)?)
}
