//! Matrices of 4-bit numbers, against the same matrix made whole by the CPU implementation.

use candle_core::{DType, Device, Tensor};
use vrft_kernels::{Nf4Factors, Nf4Matrix};

use crate::Case;
use crate::program::{Argument, Grid, Program};
use crate::values::{DTYPES, Outcome, compare, floats, name, random};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for dtype in DTYPES {
        for (rows, width) in [(6, 128), (5, 33)] {
            let case = format!("nf4_dequantize_{}_of_{rows}_by_{width}", name(dtype));
            cases.push(Case::new(case, move |program| dequantized(program, dtype, rows, width)));
        }
    }
    // Rows of x, outputs, inner values behind them; the grid has tiles of 8, 16, 32 and 64 rows.
    for (n, n_outputs, n_inner) in [(3, 40, 0), (8, 48, 16), (13, 37, 5), (30, 32, 8), (70, 20, 3)]
    {
        let case = format!("nf4_few_rows_{n}_by_{n_outputs}_and_{n_inner}");
        cases.push(Case::new(case, move |program| few_rows(program, n, n_outputs, n_inner)));
    }
    cases
}

/// Codes and factors of a random matrix, and the matrix.
fn operands(rows: usize, width: usize) -> candle_core::Result<(Argument, Argument, Nf4Matrix)> {
    let matrix = Nf4Matrix::quantize(&random(&[rows, width], 1, DType::F32)?, false)?;
    let parts = matrix.parts();
    let Nf4Factors::Plain(factors) = &parts.factors else { candle_core::bail!("8-bit factors") };
    let codes = Argument::Buffer(parts.codes.to_vec1::<u8>()?);
    Ok((codes, Argument::of(factors)?, matrix))
}

/// All rows but the first.
fn dequantized(program: &Program, dtype: DType, rows: usize, width: usize) -> Outcome {
    let (codes, factors, matrix) = operands(rows, width)?;
    let n = (rows - 1) * width;
    let mut arguments = vec![codes, factors, Argument::room(n, dtype)];
    arguments.extend([width, n].map(|n| Argument::count(n as u64)));
    arguments.push(Argument::size(64));
    let kernel = format!("nf4_dequantize_{}", name(dtype));
    let got = program.launch(&kernel, Grid::new(3, 32), &arguments)?;
    let expected = matrix.dequantize(dtype)?.narrow(0, 1, rows - 1)?;
    compare("values", &got[2], dtype, &floats(&expected)?)
}

fn few_rows(program: &Program, n: usize, n_outputs: usize, n_inner: usize) -> Outcome {
    // Few chunks of inputs for the warps, and many.
    let width = if n.is_multiple_of(2) { 64 * 19 } else { 64 * 3 };
    let dtype = DType::BF16;
    let (codes, factors, matrix) = operands(n_outputs, width)?;
    let x = random(&[n, width], 2, dtype)?;
    let inner = random(&[n_inner.max(1), width], 3, dtype)?;
    let n_rows = n_outputs + n_inner;
    let of_inner = if n_inner == 0 { Argument::None } else { Argument::of(&inner)? };
    let mut arguments = vec![Argument::of(&x)?, codes, factors, of_inner];
    arguments.push(Argument::room(n * n_rows, dtype));
    arguments.extend([n, width, n_outputs, n_rows, 64].map(Argument::size));
    let tiles = n.div_ceil(8).next_power_of_two().min(8);
    let grid = Grid::two([n_rows.div_ceil(16), n.div_ceil(8 * tiles)], 128);
    let got = program.launch(&format!("nf4_few_rows_{tiles}"), grid, &arguments)?;
    let wide = |t: &Tensor| t.to_dtype(DType::F32)?.to_device(&Device::Cpu);
    let weights = [matrix.dequantize(DType::F32)?, wide(&inner.narrow(0, 0, n_inner)?)?];
    let expected = wide(&x)?.matmul(&Tensor::cat(&weights, 0)?.t()?)?;
    let place = if n_inner == 0 { 3 } else { 4 };
    compare("y", &got[place], dtype, &floats(&expected)?)
}
