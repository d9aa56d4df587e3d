//! A tensor on its way to a file, written from where it lies.

use std::borrow::Cow;

use candle_core::Tensor;
use half::bf16;
use safetensors::{Dtype, View};

/// Values in main memory, or a tensor on whatever device.
pub(crate) enum Saved<'a> {
    Values { dtype: Dtype, shape: Vec<usize>, bytes: Cow<'a, [u8]> },
    Tensor(Tensor),
}

impl<'a> Saved<'a> {
    pub(crate) fn f32(values: &'a [f32], shape: &[usize]) -> Self {
        Self::of(Dtype::F32, shape, bytemuck::cast_slice(values).into())
    }

    pub(crate) fn bf16(values: &'a [bf16], shape: &[usize]) -> Self {
        use half::slice::HalfFloatSliceExt;
        let bits: &[u16] = values.reinterpret_cast();
        Self::of(Dtype::BF16, shape, bytemuck::cast_slice(bits).into())
    }

    pub(crate) fn u8(values: &'a [u8], shape: &[usize]) -> Self {
        Self::of(Dtype::U8, shape, values.into())
    }

    /// A tensor that holds one whole number.
    pub(crate) fn i64(value: i64) -> Self {
        Self::of(Dtype::I64, &[1], value.to_le_bytes().to_vec().into())
    }

    fn of(dtype: Dtype, shape: &[usize], bytes: Cow<'a, [u8]>) -> Self {
        Self::Values { dtype, shape: shape.to_vec(), bytes }
    }
}

impl View for Saved<'_> {
    fn dtype(&self) -> Dtype {
        match self {
            Self::Values { dtype, .. } => *dtype,
            Self::Tensor(tensor) => View::dtype(tensor),
        }
    }

    fn shape(&self) -> &[usize] {
        match self {
            Self::Values { shape, .. } => shape,
            Self::Tensor(tensor) => tensor.dims(),
        }
    }

    fn data(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Values { bytes, .. } => Cow::Borrowed(bytes),
            Self::Tensor(tensor) => Cow::Owned(View::data(tensor).into_owned()),
        }
    }

    fn data_len(&self) -> usize {
        match self {
            Self::Values { bytes, .. } => bytes.len(),
            Self::Tensor(tensor) => tensor.elem_count() * tensor.dtype().size_in_bytes(),
        }
    }
}
