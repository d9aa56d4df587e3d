//! Matrices of 4-bit numbers: NF4 of [QLoRA](https://arxiv.org/abs/2305.14314), section 3.
//!
//! The values of a matrix, row after row, are cut into blocks; each is a factor, its largest value, times one of 16
//! numbers between -1 and 1 that are dense where normally distributed values are. With *double quantization* the
//! factors are 8-bit numbers themselves. Bits and order are those of `bitsandbytes`; golden numbers come from it
//! (`tests/golden/make_nf4.py`).

mod composed;
mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
mod quantize;

use std::ops::Range;
use std::sync::Arc;

use candle_core::{DType, Device, Result, Tensor, bail};

pub(crate) use self::cpu::few_rows;
#[cfg(feature = "cuda")]
pub(crate) use self::cuda::{Wide, few_rows as few_rows_on_gpu};
use crate::Backend;

/// Values of a block, as `bitsandbytes` has it by default.
const BLOCK: usize = 64;
/// Factors of a block of factors.
const FACTORS_BLOCK: usize = 256;

/// What the 16 codes stand for (appendix E of the paper): quantiles of the normal distribution, scaled to [-1, 1].
pub(crate) const VALUES: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];

/// A matrix of 4-bit numbers that nothing trains; clones share its memory.
#[derive(Debug, Clone)]
pub struct Nf4Matrix {
    parts: Arc<Nf4Parts>,
}

/// What an [`Nf4Matrix`] is made of.
#[derive(Debug, Clone)]
pub struct Nf4Parts {
    /// Rows and columns.
    pub dims: [usize; 2],
    /// Two values a byte, the first in the upper half: (⌈values / 2⌉), u8.
    pub codes: Tensor,
    /// Values that share a factor.
    pub block: usize,
    /// One for each block.
    pub factors: Nf4Factors,
}

/// The factors of an [`Nf4Matrix`].
#[derive(Debug, Clone)]
pub enum Nf4Factors {
    /// (blocks), f32.
    Plain(Tensor),
    /// 8-bit numbers: `offset + map[code] · scale`.
    Quantized {
        /// (blocks), u8.
        codes: Tensor,
        /// What the codes stand for: (256), f32.
        map: Tensor,
        /// One for each `block` factors, f32.
        scales: Tensor,
        /// Factors that share a scale.
        block: usize,
        /// Mean of the factors.
        offset: f32,
    },
}

impl Nf4Matrix {
    /// The nearest 4-bit matrix to one in f32 or bfloat16, in the memory of the same device; with `double`, its
    /// factors are 8-bit numbers.
    ///
    /// # Errors
    /// A tensor that is no matrix, or that holds a number that is not finite.
    pub fn quantize(values: &Tensor, double: bool) -> Result<Self> {
        quantize::quantize(values, BLOCK, double)
    }

    /// What the 16 codes stand for.
    pub fn values() -> &'static [f32; 16] {
        &VALUES
    }

    /// Puts a matrix together.
    ///
    /// # Errors
    /// Parts whose sizes or types do not fit each other.
    pub fn from_parts(parts: Nf4Parts) -> Result<Self> {
        let [rows, columns] = parts.dims;
        let n = rows * columns;
        if parts.block < 2 || !parts.block.is_multiple_of(2) {
            bail!("nf4: a block should have an even number of values, got {}", parts.block)
        }
        let n_blocks = n.div_ceil(parts.block);
        check(&parts.codes, "codes", DType::U8, n.div_ceil(2))?;
        match &parts.factors {
            Nf4Factors::Plain(factors) => check(factors, "factors", DType::F32, n_blocks)?,
            Nf4Factors::Quantized { codes, map, scales, block, offset } => {
                check(codes, "codes of factors", DType::U8, n_blocks)?;
                check(map, "map of factors", DType::F32, 256)?;
                check(scales, "scales of factors", DType::F32, n_blocks.div_ceil((*block).max(1)))?;
                if *block == 0 || !offset.is_finite() {
                    bail!("nf4: factors in blocks of {block} around {offset}")
                }
            }
        }
        Ok(Self { parts: Arc::new(parts) })
    }

    /// What it is made of.
    pub fn parts(&self) -> &Nf4Parts {
        &self.parts
    }

    /// Rows and columns.
    pub fn dims(&self) -> &[usize; 2] {
        &self.parts.dims
    }

    /// Where its values are.
    pub fn device(&self) -> &Device {
        self.parts.codes.device()
    }

    /// Bytes that it takes.
    pub fn n_bytes(&self) -> usize {
        let of = |tensor: &Tensor| tensor.elem_count() * tensor.dtype().size_in_bytes();
        let of_factors = match &self.parts.factors {
            Nf4Factors::Plain(factors) => of(factors),
            Nf4Factors::Quantized { codes, map, scales, .. } => of(codes) + of(map) + of(scales),
        };
        of(&self.parts.codes) + of_factors
    }

    /// The same matrix in the memory of a device. On an NVIDIA GPU its factors are f32, which its kernels read.
    ///
    /// # Errors
    /// Fails if the device has no memory left.
    pub fn to_device(&self, device: &Device) -> Result<Self> {
        if device.is_cuda() && matches!(self.parts.factors, Nf4Factors::Quantized { .. }) {
            return self.with_plain_factors()?.to_device(device);
        }
        let Nf4Parts { dims, codes, block, factors } = self.parts();
        let factors = match factors {
            Nf4Factors::Plain(factors) => Nf4Factors::Plain(factors.to_device(device)?),
            Nf4Factors::Quantized { codes, map, scales, block, offset } => Nf4Factors::Quantized {
                codes: codes.to_device(device)?,
                map: map.to_device(device)?,
                scales: scales.to_device(device)?,
                block: *block,
                offset: *offset,
            },
        };
        let codes = codes.to_device(device)?;
        Self::from_parts(Nf4Parts { dims: *dims, codes, block: *block, factors })
    }

    /// The same matrix with its factors in f32, as a GPU reads them.
    ///
    /// # Errors
    /// Fails if the device has no memory left.
    pub fn with_plain_factors(&self) -> Result<Self> {
        let factors = Nf4Factors::Plain(composed::factors(&self.parts.factors)?);
        Self::from_parts(Nf4Parts { factors, ..Nf4Parts::clone(&self.parts) })
    }

    /// Some rows as a matrix that shares the memory; a row has whole blocks.
    #[cfg(feature = "cuda")]
    pub(crate) fn some_rows(&self, start: usize, n: usize) -> Result<Self> {
        let Nf4Parts { dims: [_, width], codes, block, .. } = self.parts();
        let (width, block) = (*width, *block);
        let Nf4Factors::Plain(factors) = &self.parts.factors else { bail!("nf4: 8-bit factors") };
        let of_row = width / block;
        let codes = codes.narrow(0, start * width / 2, n * width / 2)?;
        let factors = Nf4Factors::Plain(factors.narrow(0, start * of_row, n * of_row)?);
        Self::from_parts(Nf4Parts { dims: [n, width], codes, block, factors })
    }

    /// Matrices behind each other; nothing if they differ in their width or blocks, or if a row has no whole blocks.
    #[cfg(feature = "cuda")]
    pub(crate) fn behind_each_other(matrices: &[Self]) -> Result<Option<Self>> {
        let Some(first) = matrices.first() else { return Ok(None) };
        let Nf4Parts { dims: [_, width], block, .. } = *first.parts();
        let alike = |of: &Self| of.parts.dims[1] == width && of.parts.block == block;
        if !matrices.iter().all(alike) || !width.is_multiple_of(block) {
            return Ok(None);
        }
        let mut all = [Vec::new(), Vec::new()];
        for matrix in matrices {
            let Nf4Factors::Plain(factors) = &matrix.parts.factors else { return Ok(None) };
            all[0].push(matrix.parts.codes.clone());
            all[1].push(factors.clone());
        }
        let n = matrices.iter().map(|matrix| matrix.parts.dims[0]).sum();
        let [codes, factors] = all.map(|parts| Tensor::cat(&parts, 0));
        let factors = Nf4Factors::Plain(factors?);
        Self::from_parts(Nf4Parts { dims: [n, width], codes: codes?, block, factors }).map(Some)
    }

    /// The matrix in f32 or bfloat16, (rows, columns): products of code and factor in f32, then rounded.
    ///
    /// # Errors
    /// Another type.
    pub fn dequantize(&self, dtype: DType) -> Result<Tensor> {
        self.rows(Backend::of(self.device()), 0..self.parts.dims[0], dtype)
    }

    /// As [`Nf4Matrix::dequantize`], of some rows.
    pub(crate) fn rows(
        &self,
        backend: Backend,
        rows: Range<usize>,
        dtype: DType,
    ) -> Result<Tensor> {
        if !matches!(dtype, DType::F32 | DType::BF16) {
            bail!("nf4: values are f32 or bf16, not {dtype:?}")
        }
        match backend {
            Backend::Cpu => cpu::rows(&self.parts, rows, dtype),
            #[cfg(feature = "cuda")]
            Backend::Cuda => cuda::rows(&self.parts, rows, dtype),
            _ => composed::rows(&self.parts, rows, dtype),
        }
    }
}

fn check(tensor: &Tensor, what: &str, dtype: DType, n: usize) -> Result<()> {
    if tensor.dtype() != dtype || tensor.dims() != [n] {
        let (got, dims) = (tensor.dtype(), tensor.dims());
        bail!("nf4: {what} should be {n} values of {dtype:?}, got {dims:?} of {got:?}")
    }
    Ok(())
}

#[cfg(test)]
mod tests;
