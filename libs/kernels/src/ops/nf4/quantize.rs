//! From numbers to the nearest 4-bit ones, in main memory.

use candle_core::{DType, Device, Result, Tensor, bail};
use half::bf16;
use rayon::prelude::*;

use super::{FACTORS_BLOCK, Nf4Factors, Nf4Matrix, Nf4Parts, VALUES};
use crate::cpu::element::Element;
use crate::cpu::{with_elements, with_values};
use crate::dynamic_map::SIGNED;

/// A block of zeros is divided by this.
const LEAST: f32 = 1e-38;

pub(super) fn quantize(values: &Tensor, block: usize, double: bool) -> Result<Nf4Matrix> {
    let device = values.device().clone();
    let (rows, columns) = values.dims2()?;
    let values = values.to_device(&Device::Cpu)?.contiguous()?;
    let (codes, factors) = match values.dtype() {
        DType::BF16 => with_elements([&values], |[values]| quantize_values::<bf16>(values, block)),
        _ => {
            with_values([&values.to_dtype(DType::F32)?], |[values]| quantize_values(values, block))
        }
    }?;
    let n_bytes = codes.len();
    let parts = Nf4Parts {
        dims: [rows, columns],
        codes: Tensor::from_vec(codes, n_bytes, &Device::Cpu)?,
        block,
        factors: factors_of(factors, double)?,
    };
    Nf4Matrix::from_parts(parts)?.to_device(&device)
}

/// Codes, two a byte, and the factor of each block.
fn quantize_values<T: Element>(values: &[T], block: usize) -> Result<(Vec<u8>, Vec<f32>)> {
    let mut codes = vec![0; values.len().div_ceil(2)];
    let mut factors = vec![0.0; values.len().div_ceil(block)];
    let of_blocks = codes.par_chunks_mut(block / 2).zip(&mut factors);
    let scratch = || Vec::with_capacity(block);
    of_blocks.zip(values.par_chunks(block)).for_each_init(
        scratch,
        |wide, ((codes, factor), values)| {
            wide.clear();
            wide.extend(values.iter().map(|x| x.widened()));
            *factor = quantize_block(wide, block, codes);
        },
    );
    // The factor of a block is its largest value, unless that is no number.
    let is_wrong = |x: &T| !x.widened().is_finite();
    if let Some(at) = values.par_iter().position_first(is_wrong) {
        bail!("nf4: value {at} of {} is {}", values.len(), values[at].widened())
    }
    Ok((codes, factors))
}

/// Writes the codes of a block and returns its factor.
fn quantize_block(values: &[f32], block: usize, codes: &mut [u8]) -> f32 {
    let largest = values.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
    // bitsandbytes multiplies whole blocks by the inverse and divides a last, shorter one.
    let is_whole = values.len() == block;
    let inverse = 1.0 / largest.max(LEAST);
    let scaled = |x: &f32| if is_whole { x * inverse } else { x / largest.max(LEAST) };
    let code = |x: &f32| code(scaled(x).clamp(-1.0, 1.0));
    for (pair, codes) in values.chunks(2).zip(codes) {
        *codes = match pair {
            [first, second] => code(first) << 4 | code(second),
            // A pair's missing half is a zero.
            rest => code(&rest[0]) << 4 | ZERO,
        };
    }
    if is_whole { largest } else { largest.max(LEAST) }
}

const ZERO: u8 = 7;

/// The middles between two neighboring values.
const MIDDLES: [f32; 15] = {
    let mut middles = [0.0; 15];
    let mut i = 0;
    while i < middles.len() {
        middles[i] = (VALUES[i] + VALUES[i + 1]) / 2.0;
        i += 1;
    }
    middles
};

/// The code of the nearest value; in the middle between two, that of the lower one.
fn code(x: f32) -> u8 {
    MIDDLES.iter().map(|middle| u8::from(*middle < x)).sum()
}

fn factors_of(factors: Vec<f32>, double: bool) -> Result<Nf4Factors> {
    let n = factors.len();
    if !double {
        return Ok(Nf4Factors::Plain(Tensor::from_vec(factors, n, &Device::Cpu)?));
    }
    let offset = mean(&factors);
    let quantized = factors.par_chunks(FACTORS_BLOCK).map(|block| {
        let block: Vec<f32> = block.iter().map(|factor| factor - offset).collect();
        let largest = block.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
        let inverse = if largest > 0.0 { 1.0 / largest } else { 0.0 };
        let codes: Vec<u8> = block.iter().map(|x| SIGNED.code(x * inverse)).collect();
        (codes, largest)
    });
    let (codes, scales): (Vec<Vec<u8>>, Vec<f32>) = quantized.unzip();
    let codes = codes.concat();
    let n_scales = scales.len();
    Ok(Nf4Factors::Quantized {
        codes: Tensor::from_vec(codes, n, &Device::Cpu)?,
        map: Tensor::from_vec(
            (0..=255).map(|code| SIGNED.value(code)).collect(),
            256,
            &Device::Cpu,
        )?,
        scales: Tensor::from_vec(scales, n_scales, &Device::Cpu)?,
        block: FACTORS_BLOCK,
        offset,
    })
}

/// Summed in f64, so that its last bit does not depend on the order.
fn mean(values: &[f32]) -> f32 {
    let sum: f64 = values.iter().copied().map(f64::from).sum();
    (sum / values.len().max(1) as f64) as f32
}
