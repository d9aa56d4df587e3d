//! Attention of one new token per row over a cache: prefixes stored once per group, suffixes per row.

mod composed;
mod cpu;
#[cfg(feature = "cuda")]
pub(super) mod cuda;
mod layout;

use candle_core::{Result, Tensor, bail};

pub use layout::{DecodeGroup, DecodeLayout, DecodeTables};

use crate::{Activation, Backend, Context};

/// Keys and values of one layer.
#[derive(Clone, Copy)]
pub(super) struct Caches<'a> {
    pub(super) prefix: [&'a Tensor; 2],
    pub(super) suffix: [&'a Tensor; 2],
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
    layout: &DecodeLayout,
) -> Result<Activation> {
    if q.has_gradient() {
        bail!("decode_attention: q is recorded on a tape, and there is no gradient here")
    }
    let caches = Caches { prefix, suffix };
    check(q, caches, head_dim, layout)?;
    let y = match context.backend() {
        Backend::Cpu => cpu::forward(q.tensor(), caches, head_dim, &layout.groups)?,
        #[cfg(feature = "cuda")]
        Backend::Cuda => cuda::forward(q.tensor(), caches, head_dim, layout)?,
        _ => composed::forward(q.tensor(), caches, head_dim, &layout.groups)?,
    };
    Ok(Activation::untracked(y))
}

/// Writes the newest keys and values (R, kv_heads · head_dim) of all rows to their places in `suffix`, keys and values
/// (slots, capacity, kv_heads · head_dim).
///
/// # Errors
/// Shapes that do not fit, types that differ.
pub fn append_newest(
    context: &Context,
    suffix: [&Tensor; 2],
    newest: [&Activation; 2],
    layout: &DecodeLayout,
) -> Result<()> {
    let places: Vec<usize> = layout.newest().collect();
    for (table, new) in suffix.into_iter().zip(newest) {
        #[cfg(feature = "cuda")]
        if context.backend() == Backend::Cuda {
            super::rows::check_put(table, new.tensor(), &places)?;
            let places = layout.newest_on_gpu(table.device().as_cuda_device()?)?;
            super::rows::put_on_gpu(table, new.tensor(), places)?;
            continue;
        }
        super::put_rows(context, table, new.tensor(), &places)?;
    }
    Ok(())
}

fn check(q: &Activation, caches: Caches, head_dim: usize, layout: &DecodeLayout) -> Result<()> {
    let groups = &layout.groups;
    let Caches { prefix, suffix } = caches;
    let (n, q_width) = q.dims2()?;
    let (n_prefix, kv_width) = prefix[0].dims2()?;
    let (n_slots, capacity, suffix_width) = suffix[0].dims3()?;
    let covered = groups.iter().all(|g| {
        let has_slots = g.slots.len() == g.rows.len() && g.slots.iter().all(|slot| *slot < n_slots);
        has_slots
            && g.n_suffix <= capacity
            && layout.capacity == capacity
            && g.rows.end <= n
            && g.prefix.end <= n_prefix
    });
    let fits = suffix_width == kv_width
        && kv_width > 0
        && q_width.is_multiple_of(kv_width)
        && head_dim > 0
        && kv_width.is_multiple_of(head_dim);
    let same_type = [prefix, suffix].concat().iter().all(|cache| cache.dtype() == q.dtype());
    if !fits || !covered || !same_type {
        let prefix = prefix[0].dims();
        let suffix = suffix[0].dims();
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
        let layout = DecodeLayout::new(groups.to_vec(), 8);
        let q = random((5, 4 * head_dim), 0);
        let prefix = [random((14, 2 * head_dim), 1), random((14, 2 * head_dim), 2)];
        let suffix = [random((6, 8, 2 * head_dim), 3), random((6, 8, 2 * head_dim), 4)];
        let attend = |context: &Context, dtype: DType| {
            let of = |t: &Tensor| t.to_dtype(dtype).unwrap();
            let prefix = prefix.each_ref().map(of);
            let suffix = suffix.each_ref().map(of);
            let prefix = prefix.each_ref();
            let suffix = suffix.each_ref();
            let q = Activation::untracked(of(&q));
            let y = decode_attention(context, &q, prefix, suffix, head_dim, &layout).unwrap();
            y.detach().to_dtype(DType::F32).unwrap()
        };
        let [fused, composed] = crate::testing::contexts();
        let expected = attend(&composed, DType::F32);
        assert!(difference(&attend(&fused, DType::F32), &expected) < 1e-5);
        assert!(difference(&attend(&fused, DType::BF16), &expected) < 0.02);
    }
}
