//! Attention of one new token per row over a cache: prefixes stored once per group, suffixes per row.

mod composed;
mod cpu;

use std::ops::Range;

use candle_core::{Result, Tensor, bail};

use crate::{Activation, Backend, Context};

/// Rows of the batch that continue the same prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeGroup {
    /// Rows of the queries.
    pub rows: Range<usize>,
    /// Rows of the prefix cache.
    pub prefix: Range<usize>,
    /// Where each row's own keys and values are in the suffix cache.
    pub slots: Vec<usize>,
    /// Tokens that each of them has there.
    pub n_suffix: usize,
}

/// Keys and values of one layer.
#[derive(Clone, Copy)]
struct Caches<'a> {
    prefix: [&'a Tensor; 2],
    suffix: [&'a Tensor; 2],
}

/// Softmax attention of q (R, heads · head_dim) over the group's rows of `prefix` (P, kv_heads · head_dim) and
/// the filled places of the row's slot in `suffix` (slots, capacity, kv_heads · head_dim); each pair is keys and
/// values. It has no gradient.
///
/// # Errors
/// Shapes that do not fit, types that differ, a q that is recorded on a tape.
pub fn decode_attention(
    context: &Context,
    q: &Activation,
    prefix: [&Tensor; 2],
    suffix: [&Tensor; 2],
    head_dim: usize,
    groups: &[DecodeGroup],
) -> Result<Activation> {
    if q.has_gradient() {
        bail!("decode_attention: q is recorded on a tape, and there is no gradient here")
    }
    let caches = Caches { prefix, suffix };
    check(q, caches, head_dim, groups)?;
    let y = match context.backend() {
        Backend::Cpu => cpu::forward(q.tensor(), caches, head_dim, groups)?,
        Backend::Cuda | Backend::Composed => {
            composed::forward(q.tensor(), caches, head_dim, groups)?
        }
    };
    Ok(Activation::untracked(y))
}

fn check(q: &Activation, caches: Caches, head_dim: usize, groups: &[DecodeGroup]) -> Result<()> {
    let Caches { prefix, suffix } = caches;
    let ((n, q_width), (n_prefix, kv_width)) = (q.dims2()?, prefix[0].dims2()?);
    let (n_slots, capacity, suffix_width) = suffix[0].dims3()?;
    let covered = groups.iter().all(|g| {
        let has_slots = g.slots.len() == g.rows.len() && g.slots.iter().all(|slot| *slot < n_slots);
        has_slots && g.n_suffix <= capacity && g.rows.end <= n && g.prefix.end <= n_prefix
    });
    let fits = suffix_width == kv_width
        && kv_width > 0
        && q_width.is_multiple_of(kv_width)
        && head_dim > 0
        && kv_width.is_multiple_of(head_dim);
    let same_type = [prefix, suffix].concat().iter().all(|cache| cache.dtype() == q.dtype());
    if !fits || !covered || !same_type {
        let (prefix, suffix) = (prefix[0].dims(), suffix[0].dims());
        bail!("decode_attention: q is ({n}, {q_width}), prefix {prefix:?}, suffix {suffix:?}")
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use candle_core::DType;

    use super::*;
    use crate::testing::{difference, random};

    #[test]
    fn agrees_with_candle() {
        let head_dim = 6;
        let groups = [
            DecodeGroup { rows: 0..3, prefix: 0..10, slots: vec![4, 0, 5], n_suffix: 5 },
            DecodeGroup { rows: 3..5, prefix: 10..14, slots: vec![1, 2], n_suffix: 8 },
        ];
        let q = random((5, 4 * head_dim), 0);
        let prefix = [random((14, 2 * head_dim), 1), random((14, 2 * head_dim), 2)];
        let suffix = [random((6, 8, 2 * head_dim), 3), random((6, 8, 2 * head_dim), 4)];
        let attend = |context: &Context, dtype: DType| {
            let of = |t: &Tensor| t.to_dtype(dtype).unwrap();
            let (prefix, suffix) = (prefix.each_ref().map(of), suffix.each_ref().map(of));
            let (prefix, suffix) = (prefix.each_ref(), suffix.each_ref());
            let q = Activation::untracked(of(&q));
            let y = decode_attention(context, &q, prefix, suffix, head_dim, &groups).unwrap();
            y.detach().to_dtype(DType::F32).unwrap()
        };
        let [fused, composed] = crate::testing::contexts();
        let expected = attend(&composed, DType::F32);
        assert!(difference(&attend(&fused, DType::F32), &expected) < 1e-5);
        assert!(difference(&attend(&fused, DType::BF16), &expected) < 0.02);
    }
}
