//! Rows of a table, several mixed into one: a learned embedding of positions between those of its grid.

mod composed;
mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use candle_core::{DType, Result, bail};

use crate::{Activation, Backend, Context, Weight};

/// One of the rows that are mixed, by its number, and its share.
pub type Tap = (u32, f32);

/// For each of N rows the sum of [`Tap`]s of a table (V, D), each row times its share: (N, D) in `dtype`.
///
/// Every row of the result has the same number of taps; `taps` holds them one row after the other.
///
/// # Errors
/// A row outside the table, taps that do not make whole rows.
pub fn mix_rows(
    context: &Context,
    table: &Weight,
    taps: &[Tap],
    n_taps: usize,
    dtype: DType,
) -> Result<Activation> {
    let (n, _) = table.tensor()?.dims2()?;
    if n_taps == 0 || !taps.len().is_multiple_of(n_taps) {
        bail!("mix_rows: {} taps are no rows of {n_taps}", taps.len())
    }
    if let Some((row, _)) = taps.iter().find(|(row, _)| *row as usize >= n) {
        bail!("mix_rows: row {row} of {n}")
    }
    let backend = context.backend();
    let y = match backend {
        Backend::Cpu => cpu::forward(table.tensor()?, taps, n_taps, dtype)?,
        #[cfg(feature = "cuda")]
        Backend::Cuda => cuda::forward(table.tensor()?, taps, n_taps, dtype)?,
        _ => composed::forward(table.tensor()?, taps, n_taps, dtype)?,
    };
    let table_of = table.clone();
    let taps = taps.to_vec();
    context.record_one(&[], &[table], y, move |gradient, pass| match backend {
        Backend::Cpu => {
            let mut result = Ok(());
            pass.write_weight(&table_of, |sum, write| {
                result = cpu::backward(&gradient, &taps, n_taps, sum, write);
            });
            result
        }
        #[cfg(feature = "cuda")]
        Backend::Cuda => match pass.sum_of(&table_of)? {
            Some(sum) => cuda::backward(&gradient, &taps, n_taps, &sum),
            None => Ok(()),
        },
        _ => {
            let n = table_of.n_rows();
            pass.add_to_weight(&table_of, &composed::backward(&gradient, &taps, n_taps, n)?)
        }
    })
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::*;
    use crate::testing::{check, contexts, random};

    const TAPS: [Tap; 6] = [(2, 0.25), (0, 0.75), (4, 1.0), (4, 0.5), (1, 0.0), (2, 2.0)];

    #[test]
    fn shares_of_rows_agree_with_candle_and_with_differences() {
        let reference = |t: &[Tensor]| {
            let shares = |j: usize| {
                let taps = TAPS.iter().skip(j).step_by(2);
                let (rows, shares): (Vec<u32>, Vec<f32>) = taps.copied().unzip();
                let picked = t[0].index_select(&Tensor::new(rows, &Device::Cpu)?, 0)?;
                picked.broadcast_mul(&Tensor::from_vec(shares, (3, 1), &Device::Cpu)?)
            };
            shares(0)? + shares(1)?
        };
        let mix = |context: &Context, _: &[Activation], w: &[Weight]| {
            mix_rows(context, &w[0], &TAPS, 2, DType::F32)
        };
        check(&[], &[random((5, 7), 0)], mix, reference);
    }

    #[test]
    fn taps_outside_of_the_table_are_an_error() {
        let table = Weight::frozen(&random((4, 3), 0));
        for context in contexts() {
            assert!(mix_rows(&context, &table, &[(4, 1.0)], 1, DType::F32).is_err());
            assert!(mix_rows(&context, &table, &[(3, 1.0)], 2, DType::F32).is_err());
        }
    }
}
