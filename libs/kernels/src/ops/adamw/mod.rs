//! The optimizer's update on the device that has the weights, so that neither they nor the moments leave it.

mod cuda;

use candle_core::{Result, Tensor};

/// Numbers of one update of one variable.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamwNumbers {
    /// What the gradient is multiplied with first.
    pub scale: f64,
    /// How much of the first moment is taken over from the gradient.
    pub blend: f64,
    /// How much of the second moment is kept.
    pub beta2: f64,
    /// What is left of the weight after decay.
    pub keep: f64,
    /// Learning rate over the bias correction of the first moment.
    pub rate: f64,
    /// Root of the bias correction of the second moment.
    pub root: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// What chance in rounding to bfloat16 depends on, besides a value's place.
    pub key: u32,
}

/// Both moments of a variable on a GPU, first and second.
#[derive(Debug, Clone)]
pub enum GpuMoments {
    /// Both moments in f32.
    F32([Tensor; 2]),
    /// In bfloat16, rounded by chance.
    Bf16([Tensor; 2]),
    /// Codes, and a scale for every 256 of them; `tables` (4, 256) are the values of the first moment's codes, the
    /// borders between them, and both of the second's.
    Int8 {
        /// U8.
        codes: [Tensor; 2],
        /// F32.
        scales: [Tensor; 2],
        /// F32.
        tables: Tensor,
    },
}

/// Updates both moments and then the weight, f32, in place.
///
/// # Errors
/// Tensors of another size, or that are not on one GPU.
pub fn adamw_on_gpu(
    weight: &Tensor,
    gradient: &Tensor,
    moments: &GpuMoments,
    numbers: &AdamwNumbers,
) -> Result<()> {
    cuda::update(weight, gradient, moments, numbers)
}

/// The sum of the squares of all values of these tensors, f32 on a GPU; in f64, and in one order on every GPU.
///
/// # Errors
/// Tensors that are not on one GPU.
pub fn squares_on_gpu(tensors: &[&Tensor]) -> Result<f64> {
    cuda::squares(tensors)
}
