//! Fused, in main memory. Rows are copied in the type that they are in.

use candle_core::{CpuStorage, DType, Device, InplaceOp2, Layout, Result, Tensor, bail};
use half::bf16;

use crate::cpu::{self, Element, add_to, like, narrow, with_elements, with_values};
use crate::matmul::Write;

pub(super) fn select(table: &Tensor, rows: &[u32], dtype: DType) -> Result<Tensor> {
    match table.dtype() {
        DType::BF16 => cast(&select_in::<bf16>(table, rows)?, dtype),
        _ => cast(&select_in::<f32>(table, rows)?, dtype),
    }
}

fn select_in<T: Element>(table: &Tensor, rows: &[u32]) -> Result<Tensor> {
    let (_, width) = table.dims2()?;
    let values = with_elements([table], |[values]: [&[T]; 1]| {
        let row = |row: &u32| &values[*row as usize * width..][..width];
        Ok(concat(rows.iter().map(row), rows.len() * width))
    })?;
    Tensor::from_vec(values, (rows.len(), width), &Device::Cpu)
}

/// The rows one after the other, `n` values in all.
fn concat<'a, T: Copy + 'a>(rows: impl Iterator<Item = &'a [T]>, n: usize) -> Vec<T> {
    let mut all = Vec::with_capacity(n);
    rows.for_each(|row| all.extend_from_slice(row));
    all
}

/// The gradient of a matrix of `n` rows.
pub(super) fn select_backward(gradient: &Tensor, rows: &[u32], n: usize) -> Result<Tensor> {
    let (_, width) = gradient.dims2()?;
    let mut sum = vec![0.0; n * width];
    scatter(gradient, rows, &mut sum, Write::Add)?;
    cpu::tensor(sum, (n, width), gradient.dtype())
}

/// Adds each row of the gradient to the one that it was selected from.
pub(super) fn scatter(
    gradient: &Tensor,
    rows: &[u32],
    sum: &mut [f32],
    write: Write,
) -> Result<()> {
    let (_, width) = gradient.dims2()?;
    if write == Write::Overwrite {
        sum.fill(0.0);
    }
    with_values([gradient], |[gradient]| {
        for (row, gradient) in rows.iter().zip(gradient.chunks_exact(width.max(1))) {
            add_to(&mut sum[*row as usize * width..][..width], gradient);
        }
        Ok(())
    })
}

pub(super) fn replace(x: &Tensor, new: &Tensor, places: &[usize]) -> Result<Tensor> {
    match x.dtype() {
        DType::BF16 => replace_in::<bf16>(x, new, places),
        _ => replace_in::<f32>(x, new, places),
    }
}

fn replace_in<T: Element>(x: &Tensor, new: &Tensor, places: &[usize]) -> Result<Tensor> {
    let (_, width) = x.dims2()?;
    let values = with_elements([x, new], |[old, new]: [&[T]; 2]| {
        let mut values = old.to_vec();
        copy_rows(&mut values, new, places, width);
        Ok(values)
    })?;
    Tensor::from_vec(values, x.shape(), &Device::Cpu)
}

/// Copies the rows of one matrix to these places of another of the same width.
fn copy_rows<T: Copy>(to: &mut [T], from: &[T], places: &[usize], width: usize) {
    for (place, row) in places.iter().zip(from.chunks_exact(width.max(1))) {
        to[place * width..][..width].copy_from_slice(row);
    }
}

/// Gradients of x and of the new rows.
pub(super) fn replace_backward(gradient: &Tensor, places: &[usize]) -> Result<[Tensor; 2]> {
    let (_, width) = gradient.dims2()?;
    with_values([gradient], |[values]| {
        let mut of_x = values.to_vec();
        let mut of_new = Vec::with_capacity(places.len() * width);
        for place in places {
            let row = place * width..(place + 1) * width;
            of_new.extend_from_slice(&values[row.clone()]);
            of_x[row].fill(0.0);
        }
        let of_new = cpu::tensor(of_new, (places.len(), width), gradient.dtype())?;
        Ok([like(of_x, gradient)?, of_new])
    })
}

pub(super) fn cast(x: &Tensor, dtype: DType) -> Result<Tensor> {
    if x.dtype() == dtype {
        return Ok(x.clone());
    }
    with_values([x], |[values]| match dtype {
        DType::BF16 => Tensor::from_vec(narrow(values), x.shape(), &Device::Cpu),
        _ => Tensor::from_slice(values, x.shape(), &Device::Cpu),
    })
}

pub(super) fn put(table: &Tensor, new: &Tensor, places: &[usize]) -> Result<()> {
    table.inplace_op2(new, &PutRows { places })
}

struct PutRows<'a> {
    places: &'a [usize],
}

impl PutRows<'_> {
    fn copy<T: Copy>(&self, table: &mut [T], table_at: &Layout, new: &[T], new_at: &Layout) {
        let table = &mut table[table_at.start_offset()..];
        let new = &new[new_at.start_offset()..];
        let width = new_at.dims().last().copied().unwrap_or_default();
        copy_rows(table, new, self.places, width);
    }
}

impl InplaceOp2 for PutRows<'_> {
    fn name(&self) -> &'static str {
        "put_rows"
    }

    fn cpu_fwd(
        &self,
        table: &mut CpuStorage,
        table_at: &Layout,
        new: &CpuStorage,
        new_at: &Layout,
    ) -> Result<()> {
        match (table_at.is_contiguous(), table, new) {
            (true, CpuStorage::F32(table), CpuStorage::F32(new)) => {
                self.copy(table, table_at, new, new_at);
            }
            (true, CpuStorage::BF16(table), CpuStorage::BF16(new)) => {
                self.copy(table, table_at, new, new_at);
            }
            _ => bail!("put_rows: a contiguous table is expected, of f32 or bf16 as the new rows"),
        }
        Ok(())
    }
}
