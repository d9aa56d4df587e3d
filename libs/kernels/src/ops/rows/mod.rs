//! Rows picked out of a matrix, and views of a tensor in another shape.

mod composed;
mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use candle_core::shape::ShapeWithOneHole;
use candle_core::{D, DType, Result, Tensor, bail};

#[cfg(feature = "cuda")]
pub(crate) use self::cuda::{narrow_all, put as put_on_gpu, select_to, sources_by_row};
use crate::{Activation, Backend, Context, Weight};

/// The rows `ids` of a table (V, D) in `dtype`: the embeddings of tokens. A row may be named more than once.
///
/// # Errors
/// A row outside the table.
pub fn embedding(
    context: &Context,
    table: &Weight,
    ids: &[u32],
    dtype: DType,
) -> Result<Activation> {
    check_rows("embedding", ids, table.tensor()?.dims2()?.0)?;
    let backend = context.backend();
    let y = match backend {
        Backend::Cpu => cpu::select(table.tensor()?, ids, dtype)?,
        #[cfg(feature = "cuda")]
        Backend::Cuda => cuda::select(table.tensor()?, ids, dtype)?,
        _ => composed::select(table.tensor()?, ids, dtype)?,
    };
    let table_of = table.clone();
    let ids = ids.to_vec();
    context.record_one(&[], &[table], y, move |gradient, pass| match backend {
        Backend::Cpu => {
            let mut result = Ok(());
            pass.write_weight(&table_of, |sum, write| {
                result = cpu::scatter(&gradient, &ids, sum, write);
            });
            result
        }
        #[cfg(feature = "cuda")]
        Backend::Cuda => match pass.sum_of(&table_of)? {
            Some(sum) => cuda::scatter(&gradient, &ids, &sum),
            None => Ok(()),
        },
        _ => {
            let n = table_of.n_rows();
            pass.add_to_weight(&table_of, &composed::select_backward(&gradient, &ids, n)?)
        }
    })
}

/// The rows `rows` of x (N, D). A row may be named more than once.
///
/// # Errors
/// A row outside of x.
pub fn select_rows(context: &Context, x: &Activation, rows: &[u32]) -> Result<Activation> {
    let (n, _) = x.dims2()?;
    check_rows("select_rows", rows, n)?;
    let backend = context.backend();
    let y = match backend {
        Backend::Cpu => cpu::select(x.tensor(), rows, x.dtype())?,
        #[cfg(feature = "cuda")]
        Backend::Cuda => cuda::select(x.tensor(), rows, x.dtype())?,
        _ => composed::select(x.tensor(), rows, x.dtype())?,
    };
    let to = x.node();
    let rows = rows.to_vec();
    context.record_one(&[x], &[], y, move |gradient, pass| {
        let gradient = match backend {
            Backend::Cpu => cpu::select_backward(&gradient, &rows, n)?,
            #[cfg(feature = "cuda")]
            Backend::Cuda => cuda::select_backward(&gradient, &rows, n)?,
            _ => composed::select_backward(&gradient, &rows, n)?,
        };
        pass.add(to, gradient)
    })
}

/// x (N, D) with row `places[i]` replaced by row `i` of `new`: image features put where their placeholders are.
///
/// # Errors
/// As many places as new rows are expected, all inside of x, and one type.
pub fn replace_rows(
    context: &Context,
    x: &Activation,
    new: &Activation,
    places: &[usize],
) -> Result<Activation> {
    let (n, width) = x.dims2()?;
    let new_dims = new.dims2()?;
    let fits = new_dims == (places.len(), width) && places.iter().all(|place| *place < n);
    if !fits || x.dtype() != new.dtype() {
        let expected = (places.len(), width, x.dtype());
        let got = (new_dims, new.dtype());
        bail!("replace_rows: ({n}, {width}) should get {expected:?}, got {got:?}")
    }
    let backend = context.backend();
    let y = match backend {
        Backend::Cpu => cpu::replace(x.tensor(), new.tensor(), places)?,
        #[cfg(feature = "cuda")]
        Backend::Cuda => cuda::replace(x.tensor(), new.tensor(), places)?,
        _ => composed::replace(x.tensor(), new.tensor(), places)?,
    };
    let to = [x.node(), new.node()];
    let places = places.to_vec();
    context.record_one(&[x, new], &[], y, move |gradient, pass| {
        let gradients = match backend {
            Backend::Cpu => cpu::replace_backward(&gradient, &places)?,
            #[cfg(feature = "cuda")]
            Backend::Cuda => cuda::replace_backward(&gradient, &places)?,
            _ => composed::replace_backward(&gradient, &places)?,
        };
        to.into_iter().zip(gradients).try_for_each(|(to, gradient)| pass.add(to, gradient))
    })
}

/// Writes the rows of `new` (R, D) over those of `table` (…, D) at `places`, in the table's own memory.
///
/// # Errors
/// As many places as new rows are expected, all inside the table, which is contiguous.
pub fn put_rows(context: &Context, table: &Tensor, new: &Tensor, places: &[usize]) -> Result<()> {
    check_put(table, new, places)?;
    let new = new.contiguous()?;
    match context.backend() {
        Backend::Cpu => cpu::put(table, &new, places),
        #[cfg(feature = "cuda")]
        Backend::Cuda => {
            let rows: Vec<u32> = places.iter().map(|place| *place as u32).collect();
            cuda::put(table, &new, &crate::cuda::upload(&rows, table.device().as_cuda_device()?)?)
        }
        _ => composed::put(&table.reshape(((), new.dim(1)?))?, &new, places),
    }
}

/// Whether the rows can be put there.
pub(super) fn check_put(table: &Tensor, new: &Tensor, places: &[usize]) -> Result<()> {
    let (n_new, width) = new.dims2()?;
    let n = table.elem_count() / width.max(1);
    let fits = n_new == places.len() && table.dim(D::Minus1)? == width;
    if !fits || new.dtype() != table.dtype() || places.iter().any(|place| *place >= n) {
        bail!("put_rows: ({n}, {width}) takes {} rows, got ({n_new}, {width})", places.len())
    }
    Ok(())
}

/// The same values in another shape.
///
/// # Errors
/// Another number of values.
pub fn reshape(
    context: &Context,
    x: &Activation,
    shape: impl ShapeWithOneHole,
) -> Result<Activation> {
    let y = x.tensor().reshape(shape)?;
    let to = x.node();
    let shape = x.tensor().shape().clone();
    context
        .record_one(&[x], &[], y, move |gradient, pass| pass.share(to, &gradient.reshape(&shape)?))
}

/// The same values in another type, converted over all cores where they are in main memory. For weights: no gradient.
///
/// # Errors
/// Fails if candle has no such conversion.
pub fn cast(x: &Tensor, dtype: DType) -> Result<Tensor> {
    let is_float = |dtype| matches!(dtype, DType::F32 | DType::BF16);
    let is_ours = is_float(x.dtype()) && is_float(dtype) && x.dtype() != dtype;
    if is_ours && x.device().is_cpu() && x.is_contiguous() {
        return cpu::cast(x, dtype);
    }
    #[cfg(feature = "cuda")]
    if is_ours && x.device().is_cuda() && x.is_contiguous() {
        return cuda::cast(x, dtype);
    }
    x.to_dtype(dtype)
}

fn check_rows(operation: &str, rows: &[u32], n: usize) -> Result<()> {
    match rows.iter().find(|row| **row as usize >= n) {
        Some(row) => bail!("{operation}: row {row} of {n}"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::testing::{check, random};

    #[test]
    fn a_row_named_twice_gets_both_gradients() {
        let rows = [2u32, 0, 2, 4];
        let reference = |t: &[Tensor]| t[0].index_select(&Tensor::new(&rows, t[0].device())?, 0);
        let table = random((5, 7), 0);
        let inputs = [table.clone()];
        check(&inputs, &[], |context, x, _| select_rows(context, &x[0], &rows), reference);
        let of = |context: &Context, table: &Weight| embedding(context, table, &rows, DType::F32);
        check(&[], &[table], |context, _, w| of(context, &w[0]), reference);
    }

    #[test]
    fn an_embedding_in_bfloat16_is_the_rounded_row() {
        let table = Weight::frozen(&random((9, 5), 0));
        for context in crate::testing::contexts() {
            let got = embedding(&context, &table, &[3, 8], DType::BF16).unwrap().detach();
            let rows = Tensor::new(&[3u32, 8], &Device::Cpu).unwrap();
            let expected = table.tensor().unwrap().index_select(&rows, 0).unwrap();
            let expected = expected.to_dtype(DType::BF16).unwrap();
            let wide = |t: &Tensor| t.to_dtype(DType::F32).unwrap().to_vec2::<f32>().unwrap();
            assert_eq!(wide(&got), wide(&expected));
            let narrow = Weight::frozen(&expected);
            let got = embedding(&context, &narrow, &[1], DType::F32).unwrap().detach();
            assert_eq!(got.to_vec2::<f32>().unwrap(), wide(&expected)[1..]);
        }
    }

    #[test]
    fn replaced_rows_pass_their_gradient_to_what_replaced_them() {
        let reference = |t: &[Tensor]| {
            let old = &t[0];
            let new = &t[1];
            let rows = [(old, 0), (new, 1), (old, 2), (new, 0)];
            let rows = rows.map(|(from, row)| from.narrow(0, row, 1));
            Tensor::cat(&rows.into_iter().collect::<Result<Vec<_>>>()?, 0)
        };
        check(
            &[random((4, 3), 0), random((2, 3), 1)],
            &[],
            |context, x, _| replace_rows(context, &x[0], &x[1], &[3, 1]),
            reference,
        );
    }

    #[test]
    fn another_shape_has_the_same_gradient() {
        check(
            &[random((4, 6), 0)],
            &[],
            |context, x, _| crate::scale(context, &reshape(context, &x[0], (8, 3))?, 2.0),
            |t| t[0].reshape((8, 3))? * 2.0,
        );
    }

    #[test]
    fn a_cast_rounds_to_the_nearest() {
        let x = random((40, 50), 3);
        let ours = cast(&x, DType::BF16).unwrap();
        let theirs = x.to_dtype(DType::BF16).unwrap();
        let wide = |t: &Tensor| t.to_dtype(DType::F32).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(wide(&ours), wide(&theirs));
        assert_eq!(wide(&cast(&ours, DType::F32).unwrap()), wide(&theirs));
    }

    #[test]
    fn rows_are_put_where_they_belong_in_either_type() {
        for (context, dtype) in crate::testing::contexts()
            .into_iter()
            .flat_map(|context| [DType::F32, DType::BF16].map(|dtype| (context.clone(), dtype)))
        {
            let table = Tensor::zeros((2, 2, 3), dtype, &Device::Cpu).unwrap();
            let new = random((2, 3), 0).to_dtype(dtype).unwrap();
            put_rows(&context, &table, &new, &[3, 0]).unwrap();
            let wide = |t: &Tensor| t.to_dtype(DType::F32).unwrap().to_vec2::<f32>().unwrap();
            let got = wide(&table.reshape((4, 3)).unwrap());
            let new = wide(&new);
            assert_eq!(got, [new[1].clone(), vec![0.0; 3], vec![0.0; 3], new[0].clone()]);
        }
    }

    #[test]
    fn rows_outside_are_an_error() {
        let context = Context::new(&Device::Cpu);
        let table = random((2, 3), 0);
        assert!(put_rows(&context, &table, &random((1, 3), 1), &[2]).is_err());
        assert!(put_rows(&context, &table, &random((1, 3), 1), &[0, 1]).is_err());
        let [x, new] = [table, random((1, 3), 1)].map(Activation::untracked);
        assert!(select_rows(&context, &x, &[2]).is_err());
        assert!(embedding(&context, &Weight::frozen(x.tensor()), &[2], DType::F32).is_err());
        assert!(replace_rows(&context, &x, &new, &[2]).is_err());
    }
}
