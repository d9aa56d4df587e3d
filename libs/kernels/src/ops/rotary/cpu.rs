//! Fused, in main memory.

use candle_core::{Result, Tensor};

use super::Direction;
use crate::cpu::{like, make_rows, with_values};

pub(super) fn rotated(
    x: &Tensor,
    cos: &Tensor,
    sin: &Tensor,
    direction: Direction,
) -> Result<Tensor> {
    let (n, width) = x.dims2()?;
    let (_, half) = cos.dims2()?;
    let sign = if direction == Direction::Back { -1.0 } else { 1.0 };
    let values = with_values([x, cos, sin], |[x, cos, sin]| {
        Ok(make_rows(
            n,
            width,
            #[inline(always)]
            |i, y| {
                let cos = &cos[i * half..][..half];
                let sin = &sin[i * half..][..half];
                let x = &x[i * width..][..width];
                let mut written = y.write(x.iter().copied());
                for y in written.values().chunks_exact_mut(2 * half) {
                    let (a, b) = y.split_at_mut(half);
                    for ((a, b), (cos, sin)) in a.iter_mut().zip(b).zip(cos.iter().zip(sin)) {
                        let x_a = *a;
                        let x_b = *b;
                        *a = x_a * cos - sign * x_b * sin;
                        *b = x_b * cos + sign * x_a * sin;
                    }
                }
                written
            },
        ))
    })?;
    like(values, x)
}
