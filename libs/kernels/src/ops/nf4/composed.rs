//! The reference of candle's operations.

use std::ops::Range;

use candle_core::{DType, Result, Tensor};

use super::{Nf4Factors, Nf4Parts, VALUES};

pub(super) fn rows(parts: &Nf4Parts, rows: Range<usize>, dtype: DType) -> Result<Tensor> {
    let [n_rows, width] = parts.dims;
    let n = n_rows * width;
    let device = parts.codes.device();
    let bytes = parts.codes.to_dtype(DType::F32)?;
    let upper = (&bytes / 16.0)?.floor()?;
    let lower = (bytes - (&upper * 16.0)?)?;
    let codes = Tensor::stack(&[upper, lower], 1)?.flatten_all()?.to_dtype(DType::U32)?;
    let values = Tensor::new(&VALUES, device)?.index_select(&codes.narrow(0, 0, n)?, 0)?;
    let factors = each_block(&factors(&parts.factors)?, parts.block, n)?;
    let matrix = (values * factors)?.reshape((n_rows, width))?;
    matrix.narrow(0, rows.start, rows.len())?.contiguous()?.to_dtype(dtype)
}

/// The factors of all blocks, f32.
pub(super) fn factors(factors: &Nf4Factors) -> Result<Tensor> {
    match factors {
        Nf4Factors::Plain(factors) => Ok(factors.clone()),
        Nf4Factors::Quantized { codes, map, scales, block, offset } => {
            let n = codes.elem_count();
            let values = map.index_select(&codes.to_dtype(DType::U32)?, 0)?;
            (values * each_block(scales, *block, n)?)? + f64::from(*offset)
        }
    }
}

/// Each of some numbers as often as its block has values, `n` altogether.
fn each_block(numbers: &Tensor, block: usize, n: usize) -> Result<Tensor> {
    let n_blocks = numbers.elem_count();
    let repeated = numbers.reshape((n_blocks, 1))?.broadcast_as((n_blocks, block))?;
    repeated.flatten_all()?.narrow(0, 0, n)
}
