//! In main memory: the scores exist for one block of queries at a time, and the backward computes them again.

use std::ops::Range;

use candle_core::{DType, Result, Tensor};
use half::bf16;
use rayon::prelude::*;

use super::Shape;
use super::head::Head;
use super::layout::AttentionGroup;
use crate::cpu::{Element, add_all, dot, like, vectorized, with_elements};
use crate::matmul::multiplies_bf16;

pub(super) fn forward([q, k, v]: [&Tensor; 3], shape: &Shape) -> Result<Tensor> {
    let values = match q.dtype() {
        DType::BF16 if multiplies_bf16() => {
            with_elements([q, k, v], |qkv: [&[bf16]; 3]| Ok(shape.forward(qkv)))?
        }
        _ => with_elements([q, k, v], |qkv: [&[f32]; 3]| Ok(shape.forward(qkv)))?,
    };
    like(values, q)
}

/// Gradients of q, k and v.
pub(super) fn backward(
    qkv: [&Tensor; 3],
    result: &Tensor,
    gradient: &Tensor,
    shape: &Shape,
) -> Result<[Tensor; 3]> {
    let [q, k, v] = qkv;
    let tensors = [q, k, v, result, gradient];
    let [of_q, of_k, of_v] = match q.dtype() {
        DType::BF16 if multiplies_bf16() => {
            with_elements(tensors, |[q, k, v, result, g]: [&[bf16]; 5]| {
                Ok(shape.backward([q, k, v], result, g))
            })?
        }
        _ => with_elements(tensors, |[q, k, v, result, g]: [&[f32]; 5]| {
            Ok(shape.backward([q, k, v], result, g))
        })?,
    };
    Ok([like(of_q, q)?, like(of_k, k)?, like(of_v, v)?])
}

impl Shape {
    /// Widths of a row of queries and of a row of keys.
    fn strides(&self) -> (usize, usize) {
        let kv_stride = self.n_kv_heads * self.head_dim;
        (kv_stride * self.repeats, kv_stride)
    }

    fn head<'a, T>(&self, [q, k, v]: [&'a [T]; 3], place: &Place, head_idx: usize) -> Head<'a, T> {
        let (q_stride, kv_stride) = self.strides();
        let head_dim = self.head_dim;
        let first_query = place.group.first_query;
        let q = q.get(self.of_queries(place, head_idx)..).unwrap_or_default();
        let kv_at = place.first_row * kv_stride + head_idx / self.repeats * head_dim;
        Head { q, k: &k[kv_at..], v: &v[kv_at..], q_stride, kv_stride, head_dim, first_query }
    }

    /// Where a head's first query is in a matrix of queries.
    fn of_queries(&self, place: &Place, head_idx: usize) -> usize {
        place.first_query * self.strides().0 + head_idx * self.head_dim
    }

    fn places(&self) -> Vec<Place<'_>> {
        let rows = self.layout.rows().into_iter().zip(self.layout.query_rows());
        let places = self.layout.groups.iter().zip(rows).map(|(group, (rows, queries))| Place {
            group,
            first_row: rows.start,
            first_query: queries.start,
        });
        places.collect()
    }

    fn forward<T: Element>(&self, qkv: [&[T]; 3]) -> Vec<f32> {
        let places = self.places();
        let heads = tasks(&places, self.n_kv_heads * self.repeats);
        let parts: Vec<Vec<f32>> = heads
            .par_iter()
            .map(|&(place, head_idx)| {
                let head = self.head(qkv, place, head_idx);
                let mut out = vec![0.0; place.group.n_queries() * self.head_dim];
                let mut scores = Vec::new();
                let mut scratch = Vec::new();
                for block in place.group.blocks() {
                    head.probabilities(&block, &mut scores);
                    let scores = T::of(&scores, &mut scratch);
                    head.combine(&block, scores, &|keys| head.v(keys), &mut out, self.head_dim);
                }
                out
            })
            .collect();
        let n_heads = self.n_kv_heads * self.repeats;
        let mut out = Vec::with_capacity(self.layout.n_queries() * n_heads * self.head_dim);
        for (place, parts) in places.iter().zip(parts.chunks(n_heads)) {
            side_by_side(&mut out, parts.iter().map(Vec::as_slice), place.group.n_queries());
        }
        out
    }

    /// Gradients of q, k and v.
    fn backward<T: Element>(&self, qkv: [&[T]; 3], result: &[T], grad: &[T]) -> [Vec<f32>; 3] {
        let places = self.places();
        let heads = tasks(&places, self.n_kv_heads);
        let parts: Vec<[Vec<f32>; 3]> = heads
            .par_iter()
            .map(|&(place, kv_idx)| self.backward_head(qkv, result, grad, place, kv_idx))
            .collect();
        let n_queries = self.layout.n_queries();
        let n = self.layout.n_tokens();
        let kv_stride = self.n_kv_heads * self.head_dim;
        let lens = [n_queries * kv_stride * self.repeats, n * kv_stride, n * kv_stride];
        let mut out = lens.map(Vec::with_capacity);
        for (place, parts) in places.iter().zip(parts.chunks(self.n_kv_heads)) {
            let rows = [place.group.n_queries(), place.group.n_tokens(), place.group.n_tokens()];
            for (idx, (out, n_rows)) in out.iter_mut().zip(rows).enumerate() {
                side_by_side(out, parts.iter().map(|of_head| &of_head[idx][..]), n_rows);
            }
        }
        out
    }

    /// Gradients of one key head and of the query heads that share it.
    fn backward_head<T: Element>(
        &self,
        qkv: [&[T]; 3],
        result: &[T],
        grad: &[T],
        place: &Place,
        kv_idx: usize,
    ) -> [Vec<f32>; 3] {
        let repeats = (0..self.repeats).into_par_iter();
        let of_queries: Vec<[Vec<f32>; 3]> = repeats
            .map(|i| self.backward_query_head(qkv, result, grad, place, kv_idx * self.repeats + i))
            .collect();
        let mut grad_q = Vec::with_capacity(place.group.n_queries() * self.repeats * self.head_dim);
        let of_q = of_queries.iter().map(|[q, ..]| q.as_slice());
        side_by_side(&mut grad_q, of_q, place.group.n_queries());
        let mut sums: Option<[Vec<f32>; 2]> = None;
        for [_, k, v] in of_queries {
            match &mut sums {
                None => sums = Some([k, v]),
                Some(sums) => sums.iter_mut().zip([k, v]).for_each(|(sum, x)| add_all(sum, &x)),
            }
        }
        let [grad_k, grad_v] = sums.unwrap_or_default();
        [grad_q, grad_k, grad_v]
    }

    /// Gradients of one query head, and its part of those of the key head that it uses.
    fn backward_query_head<T: Element>(
        &self,
        qkv: [&[T]; 3],
        result: &[T],
        grad: &[T],
        place: &Place,
        head_idx: usize,
    ) -> [Vec<f32>; 3] {
        let head_dim = self.head_dim;
        let group = place.group;
        let [mut grad_q, mut grad_k, mut grad_v] =
            [group.n_queries(), group.n_tokens(), group.n_tokens()]
                .map(|rows| vec![0.0; rows * head_dim]);
        let mut probabilities = Vec::new();
        let mut scores = Vec::new();
        let mut scratch = Vec::new();
        let head = self.head(qkv, place, head_idx);
        let at = self.of_queries(place, head_idx);
        let [result, grad] = [result, grad].map(|all| all.get(at..).unwrap_or_default());
        let grad_of = |rows: &Range<usize>| head.of_queries(grad, rows);
        for block in group.blocks() {
            head.probabilities(&block, &mut probabilities);
            let weights = T::of(&probabilities, &mut scratch);
            head.spread(&block, weights, &grad_of, &mut grad_v);
            head.products(&block, 1.0, &grad_of, &|keys| head.v(keys), &mut scores);
            let width = block.width();
            let scale = head.scale();
            vectorized(
                #[inline(always)]
                || {
                    for (i, row_idx) in block.rows.clone().enumerate() {
                        let at = (row_idx - head.first_query) * head.q_stride;
                        let pull = dot(&result[at..at + head_dim], &grad[at..at + head_dim]);
                        let scores = &mut scores[i * width..][..width];
                        for (s, p) in scores.iter_mut().zip(&probabilities[i * width..]) {
                            *s = p * (*s - pull) * scale;
                        }
                    }
                },
            );
            let scores = T::of(&scores, &mut scratch);
            head.combine(&block, scores, &|keys| head.k(keys), &mut grad_q, head_dim);
            head.spread(&block, scores, &|rows| head.q(rows), &mut grad_k);
        }
        [grad_q, grad_k, grad_v]
    }
}

/// Where a group is.
struct Place<'a> {
    group: &'a AttentionGroup,
    /// First row of the tile, counted among all tokens.
    first_row: usize,
    /// First row of the tile, counted among the tokens that are queries.
    first_query: usize,
}

/// Every pair of group and head.
fn tasks<'a>(places: &'a [Place<'a>], n_heads: usize) -> Vec<(&'a Place<'a>, usize)> {
    places.iter().flat_map(|place| (0..n_heads).map(move |head| (place, head))).collect()
}

/// Appends the rows of these matrices of `n_rows` rows, row by row one matrix after the other.
fn side_by_side<'a>(out: &mut Vec<f32>, parts: impl Iterator<Item = &'a [f32]>, n_rows: usize) {
    let parts: Vec<(&[f32], usize)> =
        parts.map(|part| (part, part.len() / n_rows.max(1))).collect();
    for row in 0..n_rows {
        for (part, width) in &parts {
            out.extend_from_slice(&part[row * width..][..*width]);
        }
    }
}
