//! Sums within a row, in lanes so that they vectorize and always add up in the same order.

use crate::cpu::Element;

/// Partial results that are kept side by side.
pub(crate) const LANES: usize = 32;

/// All lanes as one, by halves: one after the other they would each wait for the one before.
#[inline(always)]
pub(crate) fn fold_lanes(mut lanes: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] = f(lanes[i], lanes[i + half]);
        }
        half /= 2;
    }
    lanes[0]
}

/// Sum of `f(a, b)` over both slices.
#[inline(always)]
pub(crate) fn sum2<T: Copy>(a: &[T], b: &[T], f: impl Fn(T, T) -> f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 =
        a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(a, b)| f(*a, *b)).sum();
    for (a, b) in a_chunks.zip(b_chunks) {
        for i in 0..LANES {
            lanes[i] += f(a[i], b[i]);
        }
    }
    fold_lanes(lanes, |a, b| a + b) + rest
}

/// The scalar product of two slices of one length.
#[inline(always)]
pub(crate) fn dot<T: Element>(a: &[T], b: &[T]) -> f32 {
    sum2(a, b, |a, b| a.widened() * b.widened())
}
