//! Plain slices out of tensors in main memory, and tensors of plain vectors.
//!
//! Between operations a tensor may be bfloat16; inside one everything is f32, but for the operands of products.

use std::borrow::Cow;

use candle_core::{
    CpuStorage, DType, Device, InplaceOp2, Layout, Result, Shape, Storage, Tensor, bail,
};
use half::bf16;

use crate::cpu::element::Element;
use crate::cpu::rows::add_all;
use crate::cpu::simd::vectorized;
use crate::cpu::uninit::make_chunks;

/// Values that one task of a loop over single values takes.
pub(crate) const CHUNK: usize = 1 << 14;

/// Calls `f` with the values of contiguous tensors in main memory, in f32.
pub(crate) fn with_values<const K: usize, R>(
    tensors: [&Tensor; K],
    f: impl FnOnce([&[f32]; K]) -> Result<R>,
) -> Result<R> {
    with_elements(tensors, f)
}

/// As [`with_values`], in either type.
pub(crate) fn with_elements<T: Element, const K: usize, R>(
    tensors: [&Tensor; K],
    f: impl FnOnce([&[T]; K]) -> Result<R>,
) -> Result<R> {
    let guards = tensors.map(|t| t.storage_and_layout());
    let mut converted: [Cow<[T]>; K] = [const { Cow::Borrowed(&[]) }; K];
    for (values, (storage, layout)) in converted.iter_mut().zip(&guards) {
        let Storage::Cpu(storage) = &**storage else {
            bail!("a CPU operation needs its operands in main memory")
        };
        *values = T::values(storage, layout)?;
    }
    f(converted.each_ref().map(|values| &**values))
}

/// The values of a contiguous storage, in f32.
pub(crate) fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<Cow<'a, [f32]>> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        bail!("a CPU operation needs contiguous rows, got strides {:?}", layout.stride())
    };
    match storage {
        CpuStorage::F32(values) => Ok(Cow::Borrowed(&values[start..end])),
        CpuStorage::BF16(values) => Ok(Cow::Owned(widen(&values[start..end]))),
        other => bail!("a CPU operation needs f32 or bf16, got {:?}", dtype_of(other)),
    }
}

fn dtype_of(storage: &CpuStorage) -> DType {
    candle_core::backend::BackendStorage::dtype(storage)
}

/// A tensor of these values with the shape and type of another.
pub(crate) fn like(values: Vec<f32>, other: &Tensor) -> Result<Tensor> {
    tensor(values, other.shape(), other.dtype())
}

/// A tensor in main memory of these values, stored as `dtype`.
pub(crate) fn tensor(values: Vec<f32>, shape: impl Into<Shape>, dtype: DType) -> Result<Tensor> {
    let shape = shape.into();
    match dtype {
        DType::BF16 => Tensor::from_vec(narrow(&values), shape, &Device::Cpu),
        _ => Tensor::from_vec(values, shape, &Device::Cpu),
    }
}

/// The same values, from bfloat16 to f32.
pub(crate) fn widen(values: &[bf16]) -> Vec<f32> {
    make_chunks(
        values.len(),
        #[inline(always)]
        |at, chunk| chunk.write(values[at..].iter().map(|x| x.widened())),
    )
}

/// f32 to bfloat16, to the nearest.
pub(crate) fn narrow(values: &[f32]) -> Vec<bf16> {
    make_chunks(
        values.len(),
        #[inline(always)]
        |at, chunk| chunk.write(values[at..].iter().map(|x| round(*x))),
    )
}

/// As [`narrow`], on this thread and into a buffer that is there.
pub(crate) fn narrow_into(values: &[f32], short: &mut Vec<bf16>) {
    short.resize(values.len(), bf16::ZERO);
    vectorized(
        #[inline(always)]
        || {
            for (to, x) in short.iter_mut().zip(values) {
                *to = round(*x);
            }
        },
    )
}

#[inline(always)]
fn round(x: f32) -> bf16 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
    let kept = if x.is_nan() { (bits >> 16) | 0x40 } else { rounded };
    bf16::from_bits(kept as u16)
}

/// `a + b` of tensors of one shape and type.
pub(crate) fn add(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    with_values([a, b], |[x, y]| like(sum_of(x, y), a))
}

/// The sums `a + b` of two slices of one length.
fn sum_of(a: &[f32], b: &[f32]) -> Vec<f32> {
    make_chunks(
        a.len(),
        #[inline(always)]
        |at, chunk| chunk.write(a[at..].iter().zip(&b[at..]).map(|(a, b)| a + b)),
    )
}

/// `a += b` in the memory of `a`.
pub(crate) fn add_in_place(a: &Tensor, b: &Tensor) -> Result<()> {
    a.inplace_op2(b, &AddTo)
}

struct AddTo;

impl InplaceOp2 for AddTo {
    fn name(&self) -> &'static str {
        "add_to"
    }

    fn cpu_fwd(
        &self,
        a: &mut CpuStorage,
        a_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> Result<()> {
        let Some((start, end)) = a_layout.contiguous_offsets() else {
            bail!("add_to: the sum should be contiguous, got strides {:?}", a_layout.stride())
        };
        let b = values(b, b_layout)?;
        match a {
            CpuStorage::F32(a) => add_all(&mut a[start..end], &b),
            CpuStorage::BF16(a) => {
                let sum = sum_of(&widen(&a[start..end]), &b);
                a[start..end].copy_from_slice(&narrow(&sum));
            }
            _ => bail!("add_to: the sum should be f32 or bf16"),
        }
        Ok(())
    }
}
