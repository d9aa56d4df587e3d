//! Fused, in main memory.

use candle_core::{DType, Result, Tensor};
use half::bf16;
use rayon::prelude::*;

use super::{Caches, DecodeGroup};
use crate::cpu::exp::softmax_row;
use crate::cpu::{Element, dot, like, vectorized, with_elements};
use crate::matmul::{How, Mat, MatMut, Write, multiplies_bf16, product};

pub(super) fn forward(
    q: &Tensor,
    caches: Caches,
    head_dim: usize,
    groups: &[DecodeGroup],
) -> Result<Tensor> {
    let kv_width = caches.prefix[0].dim(1)?;
    let capacity = caches.suffix[0].dim(1)?;
    let shape = Decode { head_dim, kv_width, repeats: q.dim(1)? / kv_width, capacity };
    let Caches { prefix, suffix } = caches;
    let tensors = [q, prefix[0], prefix[1], suffix[0], suffix[1]];
    let out = match q.dtype() {
        DType::BF16 if multiplies_bf16() => {
            with_elements::<bf16, 5, _>(tensors, |values| Ok(shape.run(values, groups)))?
        }
        _ => with_elements::<f32, 5, _>(tensors, |values| Ok(shape.run(values, groups)))?,
    };
    like(out, q)
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
        let q_width = self.kv_width * self.repeats;
        let width = self.repeats * self.head_dim;
        let mut out = vec![0.0; caches[0].len()];
        for ((group, kv_idx), part) in tasks.iter().zip(parts) {
            scatter(&mut out[group.rows.start * q_width + kv_idx * width..], q_width, &part, width);
        }
        out
    }

    /// (rows, repeats · head_dim) of one key head in one group.
    fn head<T: Element>(&self, caches: [&[T]; 5], group: &DecodeGroup, kv_idx: usize) -> Vec<f32> {
        let [q, prefix_k, prefix_v, suffix_k, suffix_v] = caches;
        let head_dim = self.head_dim;
        let kv_width = self.kv_width;
        let width = self.repeats * self.head_dim;
        let n_prefix = group.prefix.len();
        let n_queries = group.rows.len() * self.repeats;
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
        T::matmul(out, Write::Overwrite, scale, queries, keys, How::SERIAL.decoding(true));
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
        let mut scratch = Vec::new();
        let weights = Mat::strided(T::of(&scores, &mut scratch), n_queries, n_prefix, n_keys);
        let prefix_v = Mat::strided(&prefix_v[prefix_at..], n_prefix, head_dim, kv_width);
        let mut out = product(1.0, weights, prefix_v, How::SERIAL);
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

/// Copies rows of `width` into rows that start `stride` apart.
fn scatter(out: &mut [f32], stride: usize, part: &[f32], width: usize) {
    for (i, row) in part.chunks_exact(width).enumerate() {
        out[i * stride..][..width].copy_from_slice(row);
    }
}

/// `a += scale * b`.
#[inline(always)]
fn add_scaled<T: Element>(a: &mut [f32], scale: f32, b: &[T]) {
    for (a, b) in a.iter_mut().zip(b) {
        *a += scale * b.widened();
    }
}
