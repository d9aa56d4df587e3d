//! The reference of candle's operations, one stretch of queries after the other.

use std::collections::BTreeMap;
use std::ops::Range;

use candle_core::{D, DType, Result, Tensor};

use super::Shape;
use super::layout::AttentionLayout;

/// Queries that attend to the same keys, up to causality among the last of them.
struct Span {
    queries: Range<usize>,
    /// The prefix, and in a suffix its own tokens.
    keys: Vec<Range<usize>>,
    causal: bool,
}

/// All spans that have a query, in the order of the queries.
fn spans(layout: &AttentionLayout) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut end = 0;
    let mut push = |n_queries: usize, keys: Vec<Range<usize>>, causal| {
        let queries = end..end + n_queries;
        end = queries.end;
        if n_queries > 0 {
            spans.push(Span { queries, keys, causal });
        }
    };
    for (group, rows) in layout.groups.iter().zip(layout.rows()) {
        let first_query = rows.start + group.first_query;
        let with_query = |keys: &Range<usize>| keys.end - first_query.clamp(keys.start, keys.end);
        let mut stretches = stretches(group.prefix, &group.suffixes, rows.start).into_iter();
        let prefix = stretches.next().unwrap_or_default();
        push(with_query(&prefix), vec![prefix.clone()], group.causal);
        for own in stretches {
            push(with_query(&own), vec![prefix.clone(), own], true);
        }
    }
    spans
}

/// The rows of a prefix and of each of its suffixes.
fn stretches(prefix: usize, suffixes: &[usize], start: usize) -> Vec<Range<usize>> {
    let mut end = start;
    let lens = std::iter::once(&prefix).chain(suffixes);
    let stretches = lens.map(|len| {
        end += len;
        end - len..end
    });
    stretches.collect()
}

pub(super) fn forward([q, k, v]: [&Tensor; 3], shape: &Shape) -> Result<Tensor> {
    let of_span = |span: Span| {
        let q = heads(q, std::slice::from_ref(&span.queries), shape.head_dim, 1)?; // (H, n, head_dim)
        let k = heads(k, &span.keys, shape.head_dim, shape.repeats)?; // (H, keys, head_dim)
        let v = heads(v, &span.keys, shape.head_dim, shape.repeats)?; // (H, keys, head_dim)
        let weights = probabilities(&q, &k, span.causal)?; // (H, n, keys)
        rows(&weights.to_dtype(v.dtype())?.matmul(&v)?)
    };
    let parts = spans(&shape.layout).into_iter().map(of_span).collect::<Result<Vec<_>>>()?;
    Tensor::cat(&parts, 0)
}

/// Gradients of q, k and v.
pub(super) fn backward(qkv: [&Tensor; 3], gradient: &Tensor, shape: &Shape) -> Result<[Tensor; 3]> {
    let mut of_q = Vec::new();
    let mut of_keys = [BTreeMap::new(), BTreeMap::new()];
    for span in spans(&shape.layout) {
        let [q, k, v] = backward_of_span(qkv, gradient, &span, shape)?;
        of_q.push(q);
        for (sums, gradient) in of_keys.iter_mut().zip([k, v]) {
            let mut start = 0;
            for keys in span.keys.iter().filter(|keys| !keys.is_empty()) {
                let part = gradient.narrow(0, start, keys.len())?;
                start += keys.len();
                let sum = match sums.remove(&keys.start) {
                    Some(sum) => (sum + part)?,
                    None => part,
                };
                sums.insert(keys.start, sum);
            }
        }
    }
    let [of_k, of_v] = of_keys.map(|sums| whole(sums, qkv[1], &shape.layout));
    Ok([Tensor::cat(&of_q, 0)?, of_k?, of_v?])
}

/// Gradients of the span's rows of q, k and v, each (rows, width).
fn backward_of_span(
    [q, k, v]: [&Tensor; 3],
    gradient: &Tensor,
    span: &Span,
    shape: &Shape,
) -> Result<[Tensor; 3]> {
    let dtype = q.dtype();
    let head_dim = shape.head_dim;
    let queries = std::slice::from_ref(&span.queries);
    let q = heads(q, queries, head_dim, 1)?;
    let g = heads(gradient, queries, head_dim, 1)?; // (H, n, head_dim)
    let k = heads(k, &span.keys, head_dim, shape.repeats)?; // (H, keys, head_dim)
    let v = heads(v, &span.keys, head_dim, shape.repeats)?; // (H, keys, head_dim)
    let p = probabilities(&q, &k, span.causal)?; // (H, n, keys)
    let of_p = g.matmul(&v.t()?)?.to_dtype(DType::F32)?; // (H, n, keys)
    let pull = (&of_p * &p)?.sum_keepdim(D::Minus1)?; // (H, n, 1)
    let of_scores = (&p * of_p.broadcast_sub(&pull)?)?;
    let of_scores = (of_scores / (head_dim as f64).sqrt())?.to_dtype(dtype)?;
    let of_q = rows(&of_scores.matmul(&k)?)?;
    let of_k = of_scores.t()?.contiguous()?.matmul(&q)?; // (H, keys, head_dim)
    let of_v = p.to_dtype(dtype)?.t()?.contiguous()?.matmul(&g)?; // (H, keys, head_dim)
    let of_shared = |of_heads: Tensor| {
        let (n_heads, n_keys, _) = of_heads.dims3()?;
        let dims = (n_heads / shape.repeats, shape.repeats, n_keys, head_dim);
        rows(&of_heads.reshape(dims)?.sum(1)?)
    };
    Ok([of_q, of_shared(of_k)?, of_shared(of_v)?])
}

/// The gradient of all keys from that of each stretch, by its first row; zeros where no query attends to them.
fn whole(
    mut sums: BTreeMap<usize, Tensor>,
    like: &Tensor,
    layout: &AttentionLayout,
) -> Result<Tensor> {
    let mut parts = Vec::new();
    for (group, rows) in layout.groups.iter().zip(layout.rows()) {
        let stretches = stretches(group.prefix, &group.suffixes, rows.start).into_iter();
        for rows in stretches.filter(|rows| !rows.is_empty()) {
            match sums.remove(&rows.start) {
                Some(sum) => parts.push(sum),
                None => parts.push(like.narrow(0, rows.start, rows.len())?.zeros_like()?),
            }
        }
    }
    Tensor::cat(&parts, 0)
}

/// Softmax of the scaled scores, (H, n, keys) f32.
fn probabilities(q: &Tensor, k: &Tensor, causal: bool) -> Result<Tensor> {
    let (_, n, head_dim) = q.dims3()?;
    let n_keys = k.dim(1)?;
    let scores = (q.matmul(&k.t()?)?.to_dtype(DType::F32)? / (head_dim as f64).sqrt())?;
    let mask = (0..n).flat_map(|i| {
        (0..n_keys).map(move |j| if causal && j > n_keys - n + i { f32::NEG_INFINITY } else { 0.0 })
    });
    let mask = Tensor::from_iter(mask, q.device())?.reshape((n, n_keys))?;
    let scores = scores.broadcast_add(&mask)?;
    let powers = scores.broadcast_sub(&scores.detach().max_keepdim(D::Minus1)?)?.exp()?;
    powers.broadcast_div(&powers.sum_keepdim(D::Minus1)?)
}

/// (H, n, head_dim) as rows, (n, H · head_dim).
fn rows(heads: &Tensor) -> Result<Tensor> {
    let (n_heads, n, head_dim) = heads.dims3()?;
    heads.transpose(0, 1)?.reshape((n, n_heads * head_dim))
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
