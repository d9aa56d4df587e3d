//! The reference of candle's operations.

use candle_core::{DType, Result, Tensor};

pub(super) fn select(table: &Tensor, rows: &[u32], dtype: DType) -> Result<Tensor> {
    table.index_select(&Tensor::new(rows, table.device())?, 0)?.to_dtype(dtype)
}

/// The gradient of a table of `n` rows.
pub(super) fn select_backward(gradient: &Tensor, rows: &[u32], n: usize) -> Result<Tensor> {
    let (_, width) = gradient.dims2()?;
    let zeros = Tensor::zeros((n, width), gradient.dtype(), gradient.device())?;
    zeros.index_add(&Tensor::new(rows, gradient.device())?, gradient, 0)
}

pub(super) fn replace(x: &Tensor, new: &Tensor, places: &[usize]) -> Result<Tensor> {
    let n = x.dim(0)?;
    let mut rows: Vec<u32> = (0..n as u32).collect();
    for (place, row) in places.iter().zip(n as u32..) {
        rows[*place] = row;
    }
    Tensor::cat(&[x, new], 0)?.index_select(&Tensor::new(rows, x.device())?, 0)
}

/// Gradients of x and of the new rows.
pub(super) fn replace_backward(gradient: &Tensor, places: &[usize]) -> Result<[Tensor; 2]> {
    let rows: Vec<u32> = places.iter().map(|place| *place as u32).collect();
    let of_new = gradient.index_select(&Tensor::new(rows, gradient.device())?, 0)?;
    Ok([replace(gradient, &of_new.zeros_like()?, places)?, of_new])
}

/// `table` is (N, D) in the memory of the whole.
pub(super) fn put(table: &Tensor, new: &Tensor, places: &[usize]) -> Result<()> {
    let mut rows = places.iter().enumerate();
    rows.try_for_each(|(i, place)| table.slice_set(&new.narrow(0, i, 1)?, 0, *place))
}
