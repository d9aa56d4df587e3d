//! The reference of candle's operations, row by row.

use candle_core::{D, DType, Result, Tensor};

use super::{Caches, DecodeGroup};
use crate::ops::attention::all_heads;

pub(super) fn forward(
    q: &Tensor,
    caches: Caches,
    head_dim: usize,
    groups: &[DecodeGroup],
) -> Result<Tensor> {
    let Caches { prefix: [prefix_k, prefix_v], suffix: [suffix_k, suffix_v] } = caches;
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
            let k = all(prefix_k, suffix_k)?;
            let v = all(prefix_v, suffix_v)?;
            let scores = q.matmul(&k.t()?)?.to_dtype(DType::F32)?; // (H, 1, keys)
            let scores = (scores / (head_dim as f64).sqrt())?;
            let scores = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?)?.exp()?;
            let weights = scores.broadcast_div(&scores.sum_keepdim(D::Minus1)?)?;
            let attended = weights.to_dtype(v.dtype())?.matmul(&v)?; // (H, 1, head_dim)
            rows.push(attended.flatten_all()?.unsqueeze(0)?);
        }
    }
    Tensor::cat(&rows, 0)
}
