//! The two types that values are stored as between operations, and the products of each.

use std::borrow::Cow;

use candle_core::{CpuStorage, Layout, Result, WithDType, bail};
use half::bf16;

use crate::cpu::{self, narrow, narrow_into};
use crate::matmul::{How, Mat, MatMut, Write, matmul, matmul_bf16};

/// A type that the fused operations compute with: f32 or bfloat16.
pub(crate) trait Element: WithDType {
    fn widened(self) -> f32;

    /// See [`matmul`]; sums are f32.
    fn matmul(out: MatMut, write: Write, scale: f32, lhs: Mat<Self>, rhs: Mat<Self>, how: How);

    /// The values in this type: as they are, or converted in `scratch`, on this thread.
    fn of<'a>(values: &'a [f32], scratch: &'a mut Vec<Self>) -> &'a [Self];

    /// The values in this type: as they are, or converted over all cores.
    fn all_of(values: &[f32]) -> Cow<'_, [Self]>;

    /// The values of a contiguous storage in this type.
    fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<Cow<'a, [Self]>>;
}

impl Element for f32 {
    #[inline(always)]
    fn widened(self) -> f32 {
        self
    }

    fn matmul(out: MatMut, write: Write, scale: f32, lhs: Mat, rhs: Mat, how: How) {
        matmul(out, write, scale, lhs, rhs, how);
    }

    fn of<'a>(values: &'a [f32], _scratch: &'a mut Vec<f32>) -> &'a [f32] {
        values
    }

    fn all_of(values: &[f32]) -> Cow<'_, [f32]> {
        values.into()
    }

    fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<Cow<'a, [f32]>> {
        cpu::values(storage, layout)
    }
}

impl Element for bf16 {
    #[inline(always)]
    fn widened(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }

    fn matmul(out: MatMut, write: Write, scale: f32, lhs: Mat<bf16>, rhs: Mat<bf16>, how: How) {
        matmul_bf16(out, write, scale, lhs, rhs, how);
    }

    fn of<'a>(values: &'a [f32], scratch: &'a mut Vec<bf16>) -> &'a [bf16] {
        narrow_into(values, scratch);
        scratch
    }

    fn all_of(values: &[f32]) -> Cow<'_, [bf16]> {
        narrow(values).into()
    }

    fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<Cow<'a, [bf16]>> {
        match (storage, layout.contiguous_offsets()) {
            (CpuStorage::BF16(values), Some((start, end))) => Ok((&values[start..end]).into()),
            (_, Some(_)) => Ok(narrow(&cpu::values(storage, layout)?).into()),
            _ => bail!("a CPU operation needs contiguous rows, got {:?}", layout.stride()),
        }
    }
}
