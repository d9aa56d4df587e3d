//! Rows picked out of a matrix, and views of a tensor in another shape.

use candle_core::shape::ShapeWithOneHole;
use candle_core::{CpuStorage, D, DType, InplaceOp2, Layout, Result, Tensor, bail};

use crate::buffer::{self, add, for_rows, unset, with_values};
use crate::matmul::Write;
use crate::tape;

/// The rows `rows` of `table` (N, D), each as often as it is named, in the table's order of values and in
/// `dtype`: embeddings, or the tokens that predict others.
///
/// # Errors
/// A row outside the table.
pub fn select_rows(table: &Tensor, rows: &[u32], dtype: DType) -> Result<Tensor> {
    let (n, width) = table.dims2()?;
    if let Some(row) = rows.iter().find(|row| **row as usize >= n) {
        bail!("select_rows: row {row} of {n}")
    }
    if !tape::is_recording() || !buffer::fused(&[table]) {
        let rows = Tensor::new(rows, table.device())?;
        let f = move |t: &[Tensor]| t[0].index_select(&rows, 0)?.to_dtype(dtype);
        return tape::composed(&[table], f);
    }
    let values = with_values([table], |[values]| {
        let mut out = unset(rows.len() * width);
        for_rows(
            &mut out,
            width,
            #[inline(always)]
            |i, out| {
                out.copy_from_slice(&values[rows[i] as usize * width..][..width]);
            },
        );
        Ok(out)
    })?;
    let y = buffer::tensor(values, (rows.len(), width), dtype)?;
    let (from, rows) = (table.clone(), rows.to_vec());
    tape::note(&[table], &y, move |grad, adjoints| {
        with_values([grad], |[grad]| {
            let scatter = |sum: &mut [f32]| {
                for (row, grad) in rows.iter().zip(grad.chunks_exact(width)) {
                    add(&mut sum[*row as usize * width..][..width], grad);
                }
            };
            if from.is_variable() {
                adjoints.weight(&from, |sum, write| {
                    if write == Write::Overwrite {
                        sum.fill(0.0);
                    }
                    scatter(sum);
                });
                return Ok(());
            }
            let mut sum = vec![0.0; n * width];
            scatter(&mut sum);
            adjoints.add(&from, Some(buffer::like(sum, &from)?))
        })
    })?;
    Ok(y)
}

/// `table` (N, D) with row `places[i]` replaced by row `i` of `new`: images put where their placeholders are.
///
/// # Errors
/// As many places as new rows are expected, all inside the table.
pub fn replace_rows(table: &Tensor, new: &Tensor, places: &[usize]) -> Result<Tensor> {
    let ((n, width), new_dims) = (table.dims2()?, new.dims2()?);
    let fits = new_dims == (places.len(), width) && places.iter().all(|place| *place < n);
    if !fits {
        bail!("replace_rows: ({n}, {width}) takes {} rows, got {new_dims:?}", places.len())
    }
    let mut rows: Vec<u32> = (0..n as u32).collect();
    for (place, row) in places.iter().zip(n as u32..) {
        rows[*place] = row;
    }
    if !tape::is_recording() || !buffer::fused(&[table, new]) {
        let rows = Tensor::new(rows, table.device())?;
        return tape::composed(&[table, new], move |t| Tensor::cat(t, 0)?.index_select(&rows, 0));
    }
    let values = with_values([table, new], |[old, new]| {
        let mut out = unset(n * width);
        for_rows(
            &mut out,
            width,
            #[inline(always)]
            |i, out| {
                let row = rows[i] as usize;
                let (from, row) = if row < n { (old, row) } else { (new, row - n) };
                out.copy_from_slice(&from[row * width..][..width]);
            },
        );
        Ok(out)
    })?;
    let y = buffer::like(values, table)?;
    let (old, new, places) = (table.clone(), new.clone(), places.to_vec());
    tape::note(&[&old.clone(), &new.clone()], &y, move |grad, adjoints| {
        with_values([grad], |[grad]| {
            let mut of_old = grad.to_vec();
            let mut of_new = Vec::with_capacity(places.len() * width);
            for place in &places {
                let row = place * width..(place + 1) * width;
                of_new.extend_from_slice(&grad[row.clone()]);
                of_old[row].fill(0.0);
            }
            adjoints.add(&old, Some(buffer::like(of_old, &old)?))?;
            adjoints.add(&new, Some(buffer::like(of_new, &new)?))
        })
    })?;
    Ok(y)
}

/// Writes the rows of `new` (R, D) over those of `table` (…, D) at `places`, in its own memory; no gradient.
///
/// # Errors
/// As many places as new rows are expected, all inside the table, which is contiguous.
pub fn put_rows(table: &Tensor, new: &Tensor, places: &[usize]) -> Result<()> {
    let (n_new, width) = new.dims2()?;
    let n = table.elem_count() / width.max(1);
    let fits = n_new == places.len() && table.dim(D::Minus1)? == width;
    if !fits || places.iter().any(|place| *place >= n) {
        bail!("put_rows: ({n}, {width}) takes {} rows, got ({n_new}, {width})", places.len())
    }
    let new = new.contiguous()?;
    if buffer::fused(&[table, &new]) && table.dtype() == new.dtype() {
        return table.inplace_op2(&new, &PutRows { places, width });
    }
    let flat = table.reshape((n, width))?;
    let mut rows = places.iter().enumerate();
    rows.try_for_each(|(i, place)| flat.slice_set(&new.narrow(0, i, 1)?, 0, *place))
}

struct PutRows<'a> {
    places: &'a [usize],
    width: usize,
}

impl PutRows<'_> {
    fn copy<T: Copy>(&self, table: &mut [T], table_at: &Layout, new: &[T], new_at: &Layout) {
        let (table, new) = (&mut table[table_at.start_offset()..], &new[new_at.start_offset()..]);
        for (place, row) in self.places.iter().zip(new.chunks_exact(self.width)) {
            table[place * self.width..][..self.width].copy_from_slice(row);
        }
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
            _ => bail!("put_rows: a contiguous table of f32 or bf16 is expected"),
        }
        Ok(())
    }
}

/// The same values in another type, over all cores; no gradient.
///
/// # Errors
/// What candle says.
pub fn cast(x: &Tensor, dtype: DType) -> Result<Tensor> {
    let both = [x.dtype(), dtype];
    let narrows = both == [DType::F32, DType::BF16] || both == [DType::BF16, DType::F32];
    if !narrows || !x.device().is_cpu() || !x.is_contiguous() {
        return x.to_dtype(dtype);
    }
    with_values([x], |[values]| match dtype {
        DType::BF16 => Tensor::from_vec(buffer::narrow(values), x.shape(), x.device()),
        _ => Tensor::from_slice(values, x.shape(), x.device()),
    })
}

/// The same values in another shape.
///
/// # Errors
/// Another number of values.
pub fn reshape(x: &Tensor, shape: impl ShapeWithOneHole) -> Result<Tensor> {
    if !tape::is_recording() {
        return x.reshape(shape);
    }
    let y = x.detach().reshape(shape)?;
    if y.id() == x.id() {
        return Ok(y);
    }
    let from = x.clone();
    tape::note(&[x], &y, move |grad, adjoints| adjoints.pass(&from, &grad.reshape(from.shape())?))?;
    Ok(y)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check, random};

    #[test]
    fn a_row_named_twice_gets_both_gradients() {
        let rows = [2u32, 0, 2, 4];
        check(
            &[random((5, 7), 0)],
            |t| select_rows(&t[0], &rows, DType::F32),
            |t| t[0].index_select(&Tensor::new(&rows, t[0].device())?, 0),
        );
    }

    #[test]
    fn replaced_rows_pass_their_gradient_to_what_replaced_them() {
        let inputs = [random((4, 3), 0), random((2, 3), 1)];
        let composed = |t: &[Tensor]| {
            let (old, new) = (&t[0], &t[1]);
            Tensor::cat(
                &[
                    old.narrow(0, 0, 1)?,
                    new.narrow(0, 1, 1)?,
                    old.narrow(0, 2, 1)?,
                    new.narrow(0, 0, 1)?,
                ],
                0,
            )
        };
        check(&inputs, |t| replace_rows(&t[0], &t[1], &[3, 1]), composed);
    }

    #[test]
    fn another_shape_has_the_same_gradient() {
        let gelu = crate::quick_gelu;
        check(
            &[random((4, 6), 0)],
            |t| gelu(&reshape(&t[0], (8, 3))?),
            |t| gelu(&t[0].reshape((8, 3))?),
        );
    }

    #[test]
    fn a_cast_rounds_to_the_nearest() {
        let x = random((40, 50), 3);
        let (ours, theirs) = (cast(&x, DType::BF16).unwrap(), x.to_dtype(DType::BF16).unwrap());
        let wide = |t: &Tensor| t.to_dtype(DType::F32).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(wide(&ours), wide(&theirs));
        assert_eq!(wide(&cast(&ours, DType::F32).unwrap()), wide(&theirs));
    }

    #[test]
    fn rows_are_put_where_they_belong_in_either_type() {
        for dtype in [DType::F32, DType::BF16] {
            let table = Tensor::zeros((2, 2, 3), dtype, &candle_core::Device::Cpu).unwrap();
            let new = random((2, 3), 0).to_dtype(dtype).unwrap();
            put_rows(&table, &new, &[3, 0]).unwrap();
            let wide = |t: &Tensor| t.to_dtype(DType::F32).unwrap().to_vec2::<f32>().unwrap();
            let (got, new) = (wide(&table.reshape((4, 3)).unwrap()), wide(&new));
            assert_eq!(got, [new[1].clone(), vec![0.0; 3], vec![0.0; 3], new[0].clone()]);
        }
    }

    #[test]
    fn rows_outside_are_an_error() {
        let table = random((2, 3), 0);
        assert!(put_rows(&table, &random((1, 3), 1), &[2]).is_err());
        assert!(put_rows(&table, &random((1, 3), 1), &[0, 1]).is_err());
        assert!(select_rows(&random((2, 3), 0), &[2], DType::F32).is_err());
        assert!(replace_rows(&random((2, 3), 0), &random((1, 3), 1), &[2]).is_err());
    }
}
