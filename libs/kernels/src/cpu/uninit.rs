//! Results that are written before they are read, so that nothing is spent on zeros.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::cpu::CHUNK;
use crate::cpu::rows::{for_row_pairs, for_rows, for_rows_summing};
use crate::cpu::simd::vectorized;

const UNWRITTEN: &str = "a result with places that nothing was written to";

/// A stretch of a result that has no values yet.
pub(crate) struct Unset<'a, T = f32>(&'a mut [MaybeUninit<T>]);

/// The same stretch with its values. Only [`Unset::write`] makes one, so code that returns it has written all of it.
pub(crate) struct Written<'a, T = f32>(&'a mut [T]);

impl<'a, T> Unset<'a, T> {
    /// Writes these values, as many as there is room for.
    #[inline(always)]
    pub(crate) fn write(self, values: impl Iterator<Item = T>) -> Written<'a, T> {
        let mut n = 0;
        for (place, value) in self.0.iter_mut().zip(values) {
            place.write(value);
            n += 1;
        }
        assert!(n == self.0.len(), "{UNWRITTEN}");
        // SAFETY: each place has just been written.
        #[expect(unsafe_code, reason = "zeros cost as much as the operation's result")]
        Written(unsafe { self.0.assume_init_mut() })
    }
}

/// As [`Unset::write`] of two stretches at once.
#[inline(always)]
pub(crate) fn write_pairs<'a, T>(
    [first, second]: [Unset<'a, T>; 2],
    values: impl Iterator<Item = (T, T)>,
) -> [Written<'a, T>; 2] {
    let mut n = 0;
    for ((first, second), values) in first.0.iter_mut().zip(second.0.iter_mut()).zip(values) {
        first.write(values.0);
        second.write(values.1);
        n += 1;
    }
    assert!(n == first.0.len() && n == second.0.len(), "{UNWRITTEN}");
    // SAFETY: each place of both has just been written.
    #[expect(unsafe_code, reason = "zeros cost as much as the operation's result")]
    unsafe {
        [Written(first.0.assume_init_mut()), Written(second.0.assume_init_mut())]
    }
}

impl<T> Written<'_, T> {
    /// The values, to be worked on further.
    #[inline(always)]
    pub(crate) fn values(&mut self) -> &mut [T] {
        self.0
    }
}

/// `n` values that `fill` writes.
///
/// # Safety
/// `fill` writes every place that it is given.
#[expect(unsafe_code, reason = "zeros cost as much as the operation's result")]
unsafe fn filled<T, R>(n: usize, fill: impl FnOnce(&mut [MaybeUninit<T>]) -> R) -> (Vec<T>, R) {
    let mut values = Vec::new();
    // SAFETY: the caller's.
    let result = unsafe { append(&mut values, n, fill) };
    (values, result)
}

/// As [`filled`], behind the values that are there.
///
/// # Safety
/// As for [`filled`].
#[expect(unsafe_code, reason = "zeros cost as much as the operation's result")]
pub(crate) unsafe fn append<T, R>(
    values: &mut Vec<T>,
    n: usize,
    fill: impl FnOnce(&mut [MaybeUninit<T>]) -> R,
) -> R {
    values.reserve_exact(n);
    let result = fill(&mut values.spare_capacity_mut()[..n]);
    // SAFETY: there is room for them, and the caller has written them.
    unsafe { values.set_len(values.len() + n) };
    result
}

/// `n` rows of `width` values; `f(row_idx, row)` writes a row, over all cores and with the widest vector instructions
/// that are there. They reach as far as inlining does: `f` is a closure that is always inlined.
pub(crate) fn make_rows(
    n: usize,
    width: usize,
    f: impl Fn(usize, Unset<'_>) -> Written<'_> + Sync,
) -> Vec<f32> {
    let fill = |out: &mut [MaybeUninit<f32>]| {
        for_rows(
            out,
            width,
            #[inline(always)]
            |i, row| {
                f(i, Unset(row));
            },
        );
    };
    // SAFETY: the rows are all of the values, and each comes back written.
    #[expect(unsafe_code, reason = "see `filled`")]
    unsafe { filled(n * width, fill) }.0
}

/// As [`make_rows`], of two matrices of the same rows and width.
pub(crate) fn make_row_pairs(
    n: usize,
    width: usize,
    f: impl for<'r> Fn(usize, [Unset<'r>; 2]) -> [Written<'r>; 2] + Sync,
) -> [Vec<f32>; 2] {
    let fill = |first: &mut [MaybeUninit<f32>]| {
        let fill = |second: &mut [MaybeUninit<f32>]| {
            for_row_pairs(
                [first, second],
                width,
                #[inline(always)]
                |i, [first, second]| {
                    f(i, [Unset(first), Unset(second)]);
                },
            );
        };
        // SAFETY: as in `make_rows`.
        #[expect(unsafe_code, reason = "see `filled`")]
        unsafe { filled(n * width, fill) }.0
    };
    // SAFETY: as in `make_rows`.
    #[expect(unsafe_code, reason = "see `filled`")]
    let (first, second) = unsafe { filled(n * width, fill) };
    [first, second]
}

/// As [`make_rows`], and sums what `f(row_idx, row, sums)` adds to `sums`, block by block.
pub(crate) fn make_rows_summing(
    n: usize,
    width: usize,
    n_sums: usize,
    f: impl for<'r> Fn(usize, Unset<'r>, &mut [f32]) -> Written<'r> + Sync,
) -> (Vec<f32>, Vec<f32>) {
    let fill = |out: &mut [MaybeUninit<f32>]| {
        for_rows_summing(
            out,
            width,
            n_sums,
            #[inline(always)]
            |i, row, sums| {
                f(i, Unset(row), sums);
            },
        )
    };
    // SAFETY: as in `make_rows`.
    #[expect(unsafe_code, reason = "see `filled`")]
    unsafe {
        filled(n * width, fill)
    }
}

/// `n` values; `f(first, chunk)` writes a chunk that starts at value `first`, over all cores.
pub(crate) fn make_chunks<T: Send>(
    n: usize,
    f: impl Fn(usize, Unset<'_, T>) -> Written<'_, T> + Sync,
) -> Vec<T> {
    let fill = |out: &mut [MaybeUninit<T>]| {
        out.par_chunks_mut(CHUNK).enumerate().for_each(|(idx, chunk)| {
            vectorized(
                #[inline(always)]
                || {
                    f(idx * CHUNK, Unset(chunk));
                },
            )
        });
    };
    // SAFETY: the chunks are all of the values, and each comes back written.
    #[expect(unsafe_code, reason = "see `filled`")]
    unsafe { filled(n, fill) }.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_pairs_hold_what_was_written_to_each() {
        for (n, width) in [(0, 3), (3, 0), (5, 3), (700, 50)] {
            let numbers = |i: usize| (0..width).map(move |j| (i * width + j) as f32);
            let expected: Vec<f32> = (0..n * width).map(|i| i as f32).collect();
            let rows = make_rows(
                n,
                width,
                #[inline(always)]
                |i, row| row.write(numbers(i)),
            );
            assert_eq!(rows, expected);
            let [first, second] = make_row_pairs(
                n,
                width,
                #[inline(always)]
                |i, rows| write_pairs(rows, numbers(i).map(|x| (x, -x))),
            );
            assert_eq!(first, expected);
            assert!(second.iter().zip(&expected).all(|(a, b)| *a == -b));
            let chunks = make_chunks(
                n * width,
                #[inline(always)]
                |at, chunk| chunk.write(expected[at..].iter().copied()),
            );
            assert_eq!(chunks, expected);
        }
    }

    #[test]
    #[should_panic(expected = "places that nothing was written to")]
    fn a_row_that_is_written_in_part_is_not_let_through() {
        make_rows(
            2,
            3,
            #[inline(always)]
            |_, row| row.write([1.0, 2.0].into_iter()),
        );
    }
}
