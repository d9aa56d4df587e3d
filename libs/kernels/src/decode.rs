//! Attention of one new token per row over a cache: prefixes stored once per group, suffixes per row.

use std::ops::Range;

use candle_core::{D, DType, Result, Tensor, bail};
use half::bf16;
use rayon::prelude::*;

use crate::attention::{all_heads, scatter};
use crate::buffer::{self, add_scaled, dot, with_elements};
use crate::element::Element;
use crate::exp::softmax_row;
use crate::matmul::{Mat, MatMut, Write, multiplies_bf16};
use crate::path::decoding;
use crate::simd::vectorized;

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

/// Softmax attention of q (R, heads · head_dim) over the group's rows of `prefix` (P, kv_heads · head_dim) and
/// the filled places of the row's slot in `suffix` (slots, capacity, kv_heads · head_dim); each pair is keys and
/// values. No gradient.
///
/// # Errors
/// Shapes that do not fit.
pub fn decode_attention(
    q: &Tensor,
    prefix: [&Tensor; 2],
    suffix: [&Tensor; 2],
    head_dim: usize,
    groups: &[DecodeGroup],
) -> Result<Tensor> {
    let ((n, q_width), (n_prefix, kv_width)) = (q.dims2()?, prefix[0].dims2()?);
    let (n_slots, capacity, suffix_width) = suffix[0].dims3()?;
    let covered = groups.iter().all(|g| {
        let has_slots = g.slots.len() == g.rows.len() && g.slots.iter().all(|slot| *slot < n_slots);
        has_slots && g.n_suffix <= capacity && g.rows.end <= n && g.prefix.end <= n_prefix
    });
    if suffix_width != kv_width || !covered || !q_width.is_multiple_of(kv_width) {
        let (prefix, suffix) = (prefix[0].dims(), suffix[0].dims());
        bail!("decode_attention: q is ({n}, {q_width}), prefix {prefix:?}, suffix {suffix:?}")
    }
    if !buffer::fused(&[q, prefix[0], suffix[0]]) {
        return composed(q, prefix, suffix, head_dim, groups);
    }
    let shape = Decode { head_dim, kv_width, repeats: q_width / kv_width, capacity };
    let tensors = [&q.contiguous()?, prefix[0], prefix[1], suffix[0], suffix[1]];
    let out = match q.dtype() {
        DType::BF16 if multiplies_bf16() => {
            with_elements::<bf16, 5, _>(tensors, |c| Ok(shape.run(c, groups)))?
        }
        _ => with_elements::<f32, 5, _>(tensors, |caches| Ok(shape.run(caches, groups)))?,
    };
    buffer::like(out, q)
}

struct Decode {
    head_dim: usize,
    kv_width: usize,
    repeats: usize,
    capacity: usize,
}

impl Decode {
    fn run<T: Element>(&self, caches: [&[T]; 5], groups: &[DecodeGroup]) -> Vec<f32> {
        let n_kv_heads = self.kv_width / self.head_dim;
        let tasks: Vec<(&DecodeGroup, usize)> =
            groups.iter().flat_map(|g| (0..n_kv_heads).map(move |head| (g, head))).collect();
        let parts: Vec<Vec<f32>> =
            tasks.par_iter().map(|(group, kv_idx)| self.head(caches, group, *kv_idx)).collect();
        let (q_width, width) = (self.kv_width * self.repeats, self.repeats * self.head_dim);
        let mut out = vec![0.0; caches[0].len()];
        for ((group, kv_idx), part) in tasks.iter().zip(parts) {
            scatter(&mut out[group.rows.start * q_width + kv_idx * width..], q_width, &part, width);
        }
        out
    }

    /// (rows, repeats · head_dim) of one key head in one group.
    fn head<T: Element>(&self, caches: [&[T]; 5], group: &DecodeGroup, kv_idx: usize) -> Vec<f32> {
        let [q, prefix_k, prefix_v, suffix_k, suffix_v] = caches;
        let (head_dim, kv_width, width) =
            (self.head_dim, self.kv_width, self.repeats * self.head_dim);
        let (n_prefix, n_queries) = (group.prefix.len(), group.rows.len() * self.repeats);
        let q: Vec<T> = group
            .rows
            .clone()
            .flat_map(|row| &q[row * kv_width * self.repeats + kv_idx * width..][..width])
            .copied()
            .collect(); // (queries, head_dim)
        let n_keys = n_prefix + group.n_suffix;
        let mut scores = vec![0.0; n_queries * n_keys];
        let prefix_at = group.prefix.start * kv_width + kv_idx * head_dim;
        let queries = Mat::new(&q, n_queries, head_dim);
        let keys = Mat::strided(&prefix_k[prefix_at..], n_prefix, head_dim, kv_width).t();
        let scale = 1.0 / (head_dim as f32).sqrt();
        let out = MatMut::strided(&mut scores, n_queries, n_prefix, n_keys);
        decoding(|| T::matmul(out, Write::Overwrite, scale, queries, keys, false));
        vectorized(
            #[inline(always)]
            || {
                for (i, row) in scores.chunks_exact_mut(n_keys).enumerate() {
                    let q = &q[i * head_dim..][..head_dim];
                    let keys = self.suffix(suffix_k, group, i / self.repeats, kv_idx);
                    for (j, score) in row[n_prefix..].iter_mut().enumerate() {
                        *score = scale * dot(q, &keys[j * kv_width..][..head_dim]);
                    }
                    softmax_row(row);
                }
            },
        );
        let mut out = vec![0.0; n_queries * head_dim];
        let mut scratch = Vec::new();
        let weights = Mat::strided(T::of(&scores, &mut scratch), n_queries, n_prefix, n_keys);
        let prefix_v = Mat::strided(&prefix_v[prefix_at..], n_prefix, head_dim, kv_width);
        let into = MatMut::new(&mut out, n_queries, head_dim);
        T::matmul(into, Write::Overwrite, 1.0, weights, prefix_v, false);
        vectorized(
            #[inline(always)]
            || {
                for (i, out) in out.chunks_exact_mut(head_dim).enumerate() {
                    let weights = &scores[i * n_keys + n_prefix..][..group.n_suffix];
                    let values = self.suffix(suffix_v, group, i / self.repeats, kv_idx);
                    for (j, weight) in weights.iter().enumerate() {
                        add_scaled(out, *weight, &values[j * kv_width..][..head_dim]);
                    }
                }
            },
        );
        out
    }

    /// The keys or values of a row's suffix from this head on, oldest first: rows of `kv_width`.
    #[inline(always)]
    fn suffix<'a, T>(
        &self,
        cache: &'a [T],
        group: &DecodeGroup,
        row: usize,
        kv_idx: usize,
    ) -> &'a [T] {
        let start = group.slots[row] * self.capacity * self.kv_width;
        let row = &cache[start..][..group.n_suffix * self.kv_width];
        row.get(kv_idx * self.head_dim..).unwrap_or_default()
    }
}

/// The same from candle operations, row by row.
fn composed(
    q: &Tensor,
    [prefix_k, prefix_v]: [&Tensor; 2],
    [suffix_k, suffix_v]: [&Tensor; 2],
    head_dim: usize,
    groups: &[DecodeGroup],
) -> Result<Tensor> {
    let repeats = q.dim(1)? / prefix_k.dim(1)?;
    let mut rows = Vec::new();
    for group in groups {
        for (row, slot) in group.rows.clone().zip(&group.slots) {
            let q = all_heads(&q.narrow(0, row, 1)?, head_dim, 1)?; // (H, 1, head_dim)
            let all = |prefix: &Tensor, suffix: &Tensor| {
                let prefix = prefix.narrow(0, group.prefix.start, group.prefix.len())?;
                let both =
                    Tensor::cat(&[prefix, suffix.get(*slot)?.narrow(0, 0, group.n_suffix)?], 0)?;
                all_heads(&both, head_dim, repeats)
            };
            let (k, v) = (all(prefix_k, suffix_k)?, all(prefix_v, suffix_v)?);
            let scores = q.matmul(&k.t()?)?.to_dtype(DType::F32)?; // (H, 1, keys)
            let scores = (scores / (head_dim as f64).sqrt())?;
            let scores = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?)?.exp()?;
            let weights = scores.broadcast_div(&scores.sum_keepdim(D::Minus1)?)?;
            let seen = weights.to_dtype(v.dtype())?.matmul(&v)?; // (H, 1, head_dim)
            rows.push(seen.flatten_all()?.unsqueeze(0)?);
        }
    }
    Tensor::cat(&rows, 0)
}

#[cfg(test)]
mod tests {
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
        let (prefix, suffix) = (prefix.each_ref(), suffix.each_ref());
        let got = decode_attention(&q, prefix, suffix, head_dim, &groups).unwrap();
        let expected = composed(&q, prefix, suffix, head_dim, &groups).unwrap();
        assert!(difference(&got, &expected) < 1e-5);
        let short = |t: &Tensor| t.to_dtype(DType::BF16).unwrap();
        let (short_prefix, short_suffix) = (prefix.map(short), suffix.map(short));
        let (prefix, suffix) = (short_prefix.each_ref(), short_suffix.each_ref());
        let got = decode_attention(&short(&q), prefix, suffix, head_dim, &groups).unwrap();
        assert!(difference(&got.to_dtype(DType::F32).unwrap(), &expected) < 0.02);
    }
}
