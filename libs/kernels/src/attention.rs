//! Attention over packed groups with a shared prefix.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp3, D, DType, Layout, Result, Shape, Tensor, bail};
use half::bf16;
use rayon::prelude::*;

use crate::buffer::{self, add_all, dims2, dot, output, unset, with_elements};
use crate::element::Element;
use crate::head::Head;
use crate::matmul::multiplies_bf16;
use crate::simd::vectorized;
use crate::span::{AttentionGroup, AttentionLayout};
use crate::tape;

/// Softmax attention in which each token sees what `layout` says: q (Q, heads · head_dim), k and v
/// (N, kv_heads · head_dim), result as q. Consecutive query heads share a key head; Q is N where all tokens ask.
///
/// The scores exist for one block of queries at a time; the backward computes them again.
///
/// # Errors
/// Shapes that do not fit the layout.
pub fn attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    head_dim: usize,
    layout: &Arc<AttentionLayout>,
) -> Result<Tensor> {
    let ((n_queries, q_width), (n, kv_width)) = (q.dims2()?, k.dims2()?);
    let n_kv_heads = kv_width / head_dim.max(1);
    let fits = n_kv_heads > 0 && q_width.is_multiple_of(n_kv_heads * head_dim);
    let (n_asking, n_seen) = (layout.n_queries(), layout.n_tokens());
    if !fits || v.dims2()? != (n, kv_width) || (n_asking, n_seen) != (n_queries, n) {
        let shapes = format!("q is ({n_queries}, {q_width}), k is ({n}, {kv_width})");
        bail!("attention: {shapes}, layout has {n_asking} queries, {n_seen} tokens")
    }
    if !buffer::fused(&[q, k, v]) {
        let layout = layout.clone();
        let f = move |t: &[Tensor]| composed(&t[0], &t[1], &t[2], head_dim, &layout);
        return tape::composed(&[q, k, v], f);
    }
    let repeats = q_width / kv_width;
    let op = Attention { layout: layout.clone(), head_dim, n_kv_heads, repeats };
    tape::apply3(&q.contiguous()?, &k.contiguous()?, &v.contiguous()?, op)
}

struct Attention {
    layout: Arc<AttentionLayout>,
    head_dim: usize,
    n_kv_heads: usize,
    repeats: usize,
}

impl Attention {
    /// Widths of a row of queries and of a row of keys.
    fn strides(&self) -> (usize, usize) {
        let kv_stride = self.n_kv_heads * self.head_dim;
        (kv_stride * self.repeats, kv_stride)
    }

    fn head<'a, T>(&self, [q, k, v]: [&'a [T]; 3], place: &Place, head_idx: usize) -> Head<'a, T> {
        let (q_stride, kv_stride) = self.strides();
        let (head_dim, first_query) = (self.head_dim, place.group.first_query);
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
        let (q_stride, _) = self.strides();
        let places = self.places();
        let heads = tasks(&places, self.n_kv_heads * self.repeats);
        let parts: Vec<Vec<f32>> = heads
            .par_iter()
            .map(|&(place, head_idx)| {
                let head = self.head(qkv, place, head_idx);
                let mut out = vec![0.0; place.group.n_queries() * self.head_dim];
                let (mut scores, mut scratch) = (Vec::new(), Vec::new());
                for block in place.group.blocks() {
                    head.probabilities(&block, &mut scores);
                    let scores = T::of(&scores, &mut scratch);
                    head.combine(&block, scores, &|keys| head.v(keys), &mut out, self.head_dim);
                }
                out
            })
            .collect();
        let mut out = unset(self.layout.n_queries() * q_stride);
        for ((place, head_idx), part) in heads.iter().zip(parts) {
            let out = out.get_mut(self.of_queries(place, *head_idx)..).unwrap_or_default();
            scatter(out, q_stride, &part, self.head_dim);
        }
        out
    }

    fn forward_of<T: Element>(&self, qkv: [(&CpuStorage, &Layout); 3]) -> Result<Vec<f32>> {
        let [q, k, v] = qkv.map(|(storage, layout)| T::values(storage, layout));
        let (q, k, v) = (q?, k?, v?);
        Ok(self.forward([&q, &k, &v]))
    }

    /// Gradients of q, k and v.
    fn backward<T: Element>(&self, qkv: [&[T]; 3], result: &[T], grad: &[T]) -> [Vec<f32>; 3] {
        let (q_stride, kv_stride) = self.strides();
        let places = self.places();
        let heads = tasks(&places, self.n_kv_heads);
        let parts: Vec<[Vec<f32>; 3]> = heads
            .par_iter()
            .map(|&(place, kv_idx)| self.backward_head(qkv, result, grad, place, kv_idx))
            .collect();
        let (n, n_queries) = (self.layout.n_tokens(), self.layout.n_queries());
        let mut out = [n_queries * q_stride, n * kv_stride, n * kv_stride].map(unset);
        for ((place, kv_idx), [q, k, v]) in heads.iter().zip(parts) {
            let of_queries = self.of_queries(place, kv_idx * self.repeats);
            let of_queries = out[0].get_mut(of_queries..).unwrap_or_default();
            scatter(of_queries, q_stride, &q, self.repeats * self.head_dim);
            let at = place.first_row * kv_stride + kv_idx * self.head_dim;
            scatter(&mut out[1][at..], kv_stride, &k, self.head_dim);
            scatter(&mut out[2][at..], kv_stride, &v, self.head_dim);
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
        let head_dim = self.head_dim;
        let q_width = self.repeats * head_dim;
        let repeats = (0..self.repeats).into_par_iter();
        let of_queries: Vec<[Vec<f32>; 3]> = repeats
            .map(|i| self.backward_query_head(qkv, result, grad, place, kv_idx * self.repeats + i))
            .collect();
        let mut grad_q = unset(place.group.n_queries() * q_width);
        let mut sums: Option<[Vec<f32>; 2]> = None;
        for (i, [q, k, v]) in of_queries.into_iter().enumerate() {
            let columns = grad_q.get_mut(i * head_dim..).unwrap_or_default();
            scatter(columns, q_width, &q, head_dim);
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
        let (head_dim, group) = (self.head_dim, place.group);
        let [mut grad_q, mut grad_k, mut grad_v] =
            [group.n_queries(), group.n_tokens(), group.n_tokens()]
                .map(|rows| vec![0.0; rows * head_dim]);
        let (mut probabilities, mut scores, mut scratch) = (Vec::new(), Vec::new(), Vec::new());
        let head = self.head(qkv, place, head_idx);
        let at = self.of_queries(place, head_idx);
        let [result, grad] = [result, grad].map(|all| all.get(at..).unwrap_or_default());
        let grad_of = |rows: &Range<usize>| head.of_queries(grad, rows);
        for block in group.blocks() {
            head.probabilities(&block, &mut probabilities);
            let weights = T::of(&probabilities, &mut scratch);
            head.spread(&block, weights, &grad_of, &mut grad_v);
            head.products(&block, 1.0, &grad_of, &|keys| head.v(keys), &mut scores);
            let (width, scale) = (block.width(), head.scale());
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
    /// Among the tokens.
    first_row: usize,
    /// Among the queries.
    first_query: usize,
}

/// Every pair of group and head.
fn tasks<'a>(places: &'a [Place<'a>], n_heads: usize) -> Vec<(&'a Place<'a>, usize)> {
    places.iter().flat_map(|place| (0..n_heads).map(move |head| (place, head))).collect()
}

impl CustomOp3 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        q_layout: &Layout,
        k: &CpuStorage,
        k_layout: &Layout,
        v: &CpuStorage,
        v_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let qkv = [(q, q_layout), (k, k_layout), (v, v_layout)];
        let dtype = candle_core::backend::BackendStorage::dtype(q);
        let result = match dtype {
            DType::BF16 if multiplies_bf16() => self.forward_of::<bf16>(qkv)?,
            _ => self.forward_of::<f32>(qkv)?,
        };
        Ok(output(result, dims2(q_layout)?, dtype))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        result: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let tensors = [q, k, v, result, &grad.contiguous()?];
        let [grad_q, grad_k, grad_v] = match q.dtype() {
            DType::BF16 if multiplies_bf16() => {
                with_elements(tensors, |[q, k, v, result, grad]: [&[bf16]; 5]| {
                    Ok(self.backward([q, k, v], result, grad))
                })?
            }
            _ => with_elements(tensors, |[q, k, v, result, grad]: [&[f32]; 5]| {
                Ok(self.backward([q, k, v], result, grad))
            })?,
        };
        let grads = (buffer::like(grad_q, q)?, buffer::like(grad_k, k)?, buffer::like(grad_v, v)?);
        Ok((Some(grads.0), Some(grads.1), Some(grads.2)))
    }
}

/// Copies rows of `width` into rows that start `stride` apart.
pub(crate) fn scatter(out: &mut [f32], stride: usize, part: &[f32], width: usize) {
    for (i, row) in part.chunks_exact(width).enumerate() {
        out[i * stride..][..width].copy_from_slice(row);
    }
}

/// The same from candle operations, one group and suffix after the other.
fn composed(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    head_dim: usize,
    layout: &AttentionLayout,
) -> Result<Tensor> {
    let mut parts = Vec::new();
    for ((group, rows), queries) in layout.groups.iter().zip(layout.rows()).zip(layout.query_rows())
    {
        let prefix = rows.start..rows.start + group.prefix;
        let mut start = prefix.end;
        let mut asked = queries.start;
        let mut part = |n_asking: usize, keys: &[Range<usize>], causal| -> Result<()> {
            let asking = asked..asked + n_asking;
            asked = asking.end;
            if n_asking > 0 {
                parts.push(composed_span(q, k, v, head_dim, &asking, keys, causal)?);
            }
            Ok(())
        };
        let unasked = group.first_query.min(group.prefix);
        part(group.prefix - unasked, std::slice::from_ref(&prefix), group.causal)?;
        for len in &group.suffixes {
            let own = start..start + len;
            start = own.end;
            let unasked = (rows.start + group.first_query).saturating_sub(own.start).min(*len);
            part(len - unasked, &[prefix.clone(), own], true)?;
        }
    }
    Tensor::cat(&parts, 0)
}

fn composed_span(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    head_dim: usize,
    rows: &Range<usize>,
    keys: &[Range<usize>],
    causal: bool,
) -> Result<Tensor> {
    let repeats = q.dim(1)? / k.dim(1)?;
    let q = heads(q, std::slice::from_ref(rows), head_dim, 1)?; // (H, n, head_dim)
    let (k, v) = (heads(k, keys, head_dim, repeats)?, heads(v, keys, head_dim, repeats)?);
    let scores = (q.matmul(&k.t()?)?.to_dtype(DType::F32)? / (head_dim as f64).sqrt())?; // (H, n, keys)
    let (n_heads, n, n_keys) = scores.dims3()?;
    let mask = (0..n).flat_map(|i| {
        (0..n_keys).map(move |j| if causal && j > n_keys - n + i { f32::NEG_INFINITY } else { 0.0 })
    });
    let mask = Tensor::from_iter(mask, q.device())?.reshape((n, n_keys))?;
    let scores = scores.broadcast_add(&mask)?;
    let scores = scores.broadcast_sub(&scores.detach().max_keepdim(D::Minus1)?)?.exp()?;
    let weights = scores.broadcast_div(&scores.sum_keepdim(D::Minus1)?)?;
    weights.to_dtype(v.dtype())?.matmul(&v)?.transpose(0, 1)?.reshape((n, n_heads * head_dim))
}

/// (H, rows, head_dim) of all rows, each head `repeats` times.
pub(crate) fn all_heads(x: &Tensor, head_dim: usize, repeats: usize) -> Result<Tensor> {
    heads(x, std::slice::from_ref(&(0..x.dim(0)?)), head_dim, repeats)
}

/// (H, rows, head_dim) of the rows, each head `repeats` times.
fn heads(x: &Tensor, rows: &[Range<usize>], head_dim: usize, repeats: usize) -> Result<Tensor> {
    let parts: Vec<Tensor> = rows
        .iter()
        .filter(|rows| !rows.is_empty())
        .map(|rows| x.narrow(0, rows.start, rows.len()))
        .collect::<Result<_>>()?;
    let x = Tensor::cat(&parts, 0)?; // (n, kv_heads · head_dim)
    let (n, width) = x.dims2()?;
    let x = x.reshape((n, width / head_dim, 1, head_dim))?;
    let x = x.broadcast_as((n, width / head_dim, repeats, head_dim))?;
    x.reshape((n, width / head_dim * repeats, head_dim))?.transpose(0, 1)?.contiguous()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, random};

    #[track_caller]
    fn check_layout(groups: Vec<AttentionGroup>, n_heads: usize, n_kv_heads: usize) {
        let layout = Arc::new(AttentionLayout { groups });
        let (n, n_queries, head_dim) = (layout.n_tokens(), layout.n_queries(), 6);
        let inputs = [
            random((n_queries, n_heads * head_dim), 0),
            random((n, n_kv_heads * head_dim), 1),
            random((n, n_kv_heads * head_dim), 2),
        ];
        check(
            &inputs,
            |t| attention(&t[0], &t[1], &t[2], head_dim, &layout),
            |t| composed(&t[0], &t[1], &t[2], head_dim, &layout),
        );
    }

    fn group(prefix: usize, suffixes: &[usize], causal: bool) -> AttentionGroup {
        AttentionGroup { prefix, suffixes: suffixes.to_vec(), causal, first_query: 0 }
    }

    #[test]
    fn a_tail_asks_and_all_are_seen() {
        let first = AttentionGroup { first_query: 69, ..group(70, &[50, 90, 3], true) };
        let second = AttentionGroup { first_query: 4, ..group(5, &[], true) };
        check_layout(vec![first, second.clone()], 4, 2);
        let none = AttentionGroup { first_query: 5, ..second.clone() };
        check_layout(vec![second, none], 2, 1);
    }

    #[test]
    fn causal() {
        check_layout(vec![group(9, &[], true)], 2, 2)
    }

    #[test]
    fn full_within_each_image() {
        check_layout(vec![group(70, &[], false), group(5, &[], false)], 2, 2)
    }

    #[test]
    fn suffixes_share_a_prefix_and_query_heads_share_keys() {
        check_layout(vec![group(7, &[3, 1, 4], true), group(2, &[5, 0, 2], true)], 4, 2)
    }

    #[test]
    fn blocks_cross_the_borders_of_suffixes() {
        check_layout(vec![group(70, &[50, 90, 3], true)], 3, 1)
    }

    /// Odd numbers of keys, values and gradients against those of f32 at the same, rounded, inputs.
    #[test]
    fn bfloat16_is_near() {
        let group = group(131, &[3, 30, 7], true);
        let layout = Arc::new(AttentionLayout { groups: vec![group] });
        let (n, head_dim) = (layout.n_tokens(), 8);
        let shapes = [4, 2, 2].map(|heads| (n, heads * head_dim));
        let run = |dtype: DType| {
            let inputs = [0, 1, 2].map(|i| {
                let rounded = random(shapes[i], i as u64).to_dtype(DType::BF16).unwrap();
                candle_core::Var::from_tensor(&rounded.to_dtype(dtype).unwrap()).unwrap()
            });
            let y = attention(&inputs[0], &inputs[1], &inputs[2], head_dim, &layout).unwrap();
            let weights = random(y.dims2().unwrap(), 5).to_dtype(dtype).unwrap();
            let grads = (&y * weights).unwrap().sum_all().unwrap().backward().unwrap();
            let of = |var: &candle_core::Var| grads.get(var).unwrap().clone();
            [y, of(&inputs[0]), of(&inputs[1]), of(&inputs[2])]
        };
        for (got, expected) in run(DType::BF16).iter().zip(run(DType::F32)) {
            let got = got.to_dtype(DType::F32).unwrap();
            let largest = expected.abs().unwrap().flatten_all().unwrap().max(0).unwrap();
            let largest = largest.to_scalar::<f32>().unwrap();
            let off = crate::testing::difference(&got, &expected) / largest;
            assert!(off < 0.02, "off by {off}");
        }
    }

    #[test]
    fn a_layout_of_another_length_is_an_error() {
        let layout = Arc::new(AttentionLayout { groups: vec![group(4, &[], true)] });
        let x = random((3, 6), 0);
        assert!(attention(&x, &x, &x, 6, &layout).is_err());
    }
}
