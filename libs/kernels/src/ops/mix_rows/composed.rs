//! The reference of candle's operations.

use candle_core::{DType, Device, Result, Tensor};

use super::Tap;

pub(super) fn forward(table: &Tensor, taps: &[Tap], n_taps: usize, dtype: DType) -> Result<Tensor> {
    let (_, width) = table.dims2()?;
    let mut sum = Tensor::zeros((taps.len() / n_taps, width), DType::F32, table.device())?;
    for tap in 0..n_taps {
        let (rows, shares) = column(taps, n_taps, tap, table.device())?;
        let picked = table.index_select(&rows, 0)?.to_dtype(DType::F32)?;
        sum = (sum + picked.broadcast_mul(&shares)?)?;
    }
    sum.to_dtype(dtype)
}

/// The gradient of a table of `n` rows.
pub(super) fn backward(gradient: &Tensor, taps: &[Tap], n_taps: usize, n: usize) -> Result<Tensor> {
    let (_, width) = gradient.dims2()?;
    let gradient = gradient.to_dtype(DType::F32)?;
    let mut sum = Tensor::zeros((n, width), DType::F32, gradient.device())?;
    for tap in 0..n_taps {
        let (rows, shares) = column(taps, n_taps, tap, gradient.device())?;
        sum = sum.index_add(&rows, &gradient.broadcast_mul(&shares)?, 0)?;
    }
    Ok(sum)
}

/// The rows (N,) and shares (N, 1) of one tap of all rows.
fn column(taps: &[Tap], n_taps: usize, tap: usize, device: &Device) -> Result<(Tensor, Tensor)> {
    let of_tap = taps.iter().skip(tap).step_by(n_taps).copied();
    let (rows, shares): (Vec<u32>, Vec<f32>) = of_tap.unzip();
    let n = shares.len();
    Ok((Tensor::new(rows, device)?, Tensor::from_vec(shares, (n, 1), device)?))
}
