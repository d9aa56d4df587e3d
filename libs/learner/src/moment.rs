//! A moment as it is kept between steps: in f32, in bfloat16, or in 8 bits a value.

use crate::OptimizerState;
use candle_core::{DType, Result, Tensor, bail};
use half::bf16;
use vrft_kernels::dynamic_map::{DynamicMap, SIGNED, UNSIGNED};
use vrft_kernels::vectorized;

use crate::noise::Noise;
use crate::saved::Saved;

/// Values that share a scale in 8 bits ([arXiv 2110.02861](https://arxiv.org/abs/2110.02861), section 2.1).
pub(crate) const BLOCK: usize = 256;
/// Variables of fewer values stay in f32, which costs next to nothing: norms and biases, that all others hang on.
const SMALL: usize = 4096;

/// Which of the two moments: the second is never negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    First,
    Second,
}

/// The values of one moment, in main memory.
#[derive(Debug)]
pub(crate) enum Moment {
    F32(Vec<f32>),
    Bf16(Vec<bf16>),
    Int8 { codes: Vec<u8>, scales: Vec<f32>, map: &'static DynamicMap },
}

/// The type in which the moments of a variable are kept, by its number of values.
pub(crate) fn state_of(n: usize, asked: OptimizerState) -> OptimizerState {
    if n < SMALL { OptimizerState::F32 } else { asked }
}

impl Moment {
    /// A moment before the first update: zeros.
    pub(crate) fn zeros(n: usize, order: Order, state: OptimizerState) -> Self {
        match state {
            OptimizerState::F32 => Self::F32(vec![0.0; n]),
            OptimizerState::Bf16 => Self::Bf16(vec![bf16::ZERO; n]),
            OptimizerState::Int8 => Self::Int8 {
                codes: vec![map_of(order).code(0.0); n],
                scales: vec![0.0; n.div_ceil(BLOCK)],
                map: map_of(order),
            },
        }
    }

    /// The same as another type keeps it.
    pub(crate) fn into_state(self, order: Order, state: OptimizerState) -> Self {
        if self.state() == state {
            return self;
        }
        let mut values = vec![0.0; self.len()];
        let mut from = self;
        let mut to = Self::zeros(values.len(), order, state);
        from.parts_mut(values.len()).remove(0).load(&mut values);
        to.parts_mut(values.len()).remove(0).store(&values, Noise::none());
        to
    }

    fn state(&self) -> OptimizerState {
        match self {
            Self::F32(_) => OptimizerState::F32,
            Self::Bf16(_) => OptimizerState::Bf16,
            Self::Int8 { .. } => OptimizerState::Int8,
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::Bf16(values) => values.len(),
            Self::Int8 { codes, .. } => codes.len(),
        }
    }

    /// Bytes that it takes.
    #[cfg(test)]
    pub(crate) fn n_bytes(&self) -> usize {
        match self {
            Self::F32(values) => size_of_val(&values[..]),
            Self::Bf16(values) => size_of_val(&values[..]),
            Self::Int8 { codes, scales, .. } => codes.len() + size_of_val(&scales[..]),
        }
    }

    /// Parts of `n` values, a multiple of the block, to be changed one by one.
    pub(crate) fn parts_mut(&mut self, n: usize) -> Vec<Part<'_>> {
        match self {
            Self::F32(values) => values.chunks_mut(n).map(Part::F32).collect(),
            Self::Bf16(values) => values.chunks_mut(n).map(Part::Bf16).collect(),
            Self::Int8 { codes, scales, map } => {
                let map = *map;
                let parts = codes.chunks_mut(n).zip(scales.chunks_mut(n.div_ceil(BLOCK)));
                parts.map(|(codes, scales)| Part::Int8 { codes, scales, map }).collect()
            }
        }
    }

    /// What is saved of it, by the end of its name.
    pub(crate) fn saved(&self, shape: &[usize]) -> Vec<(&'static str, Saved<'_>)> {
        match self {
            Self::F32(values) => vec![("", Saved::f32(values, shape))],
            Self::Bf16(values) => vec![("", Saved::bf16(values, shape))],
            Self::Int8 { codes, scales, .. } => vec![
                ("", Saved::u8(codes, shape)),
                (".absmax", Saved::f32(scales, &[scales.len()])),
            ],
        }
    }

    /// From what was saved; scales come with 8 bits alone.
    pub(crate) fn restore(values: &Tensor, scales: Option<&Tensor>, order: Order) -> Result<Self> {
        let flat = values.flatten_all()?;
        Ok(match (values.dtype(), scales) {
            (DType::F32, None) => Self::F32(flat.to_vec1()?),
            (DType::BF16, None) => Self::Bf16(flat.to_vec1()?),
            (DType::U8, Some(scales)) => {
                let (codes, scales) = (flat.to_vec1::<u8>()?, scales.to_vec1::<f32>()?);
                if scales.len() != codes.len().div_ceil(BLOCK) {
                    bail!("{} values should have a scale for every {BLOCK}", codes.len())
                }
                Self::Int8 { codes, scales, map: map_of(order) }
            }
            (dtype, _) => {
                bail!("a moment should be f32, bf16 or u8 with its scales, got {dtype:?}")
            }
        })
    }
}

fn map_of(order: Order) -> &'static DynamicMap {
    match order {
        Order::First => &SIGNED,
        Order::Second => &UNSIGNED,
    }
}

/// Some of a moment's values.
pub(crate) enum Part<'a> {
    F32(&'a mut [f32]),
    Bf16(&'a mut [bf16]),
    Int8 { codes: &'a mut [u8], scales: &'a mut [f32], map: &'static DynamicMap },
}

impl Part<'_> {
    /// Calls `f` with the values to be changed, and keeps what it leaves.
    pub(crate) fn change(mut self, noise: Noise, f: impl FnOnce(&mut [f32])) {
        if let Self::F32(values) = self {
            return f(values);
        }
        let mut values = vec![0.0; self.len()];
        self.load(&mut values);
        f(&mut values);
        self.store(&values, noise);
    }

    fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::Bf16(values) => values.len(),
            Self::Int8 { codes, .. } => codes.len(),
        }
    }

    fn load(&self, to: &mut [f32]) {
        vectorized(
            #[inline(always)]
            || match self {
                Self::F32(values) => to.copy_from_slice(values),
                Self::Bf16(values) => {
                    to.iter_mut().zip(values.iter()).for_each(|(to, x)| *to = x.to_f32());
                }
                Self::Int8 { codes, scales, map } => {
                    let blocks = to.chunks_mut(BLOCK).zip(codes.chunks(BLOCK)).zip(scales.iter());
                    for ((to, codes), scale) in blocks {
                        for (to, code) in to.iter_mut().zip(codes) {
                            *to = scale * map.value(*code);
                        }
                    }
                }
            },
        )
    }

    fn store(&mut self, from: &[f32], noise: Noise) {
        vectorized(
            #[inline(always)]
            || match self {
                Self::F32(values) => values.copy_from_slice(from),
                Self::Bf16(values) => {
                    for (i, (to, x)) in (0..).zip(values.iter_mut().zip(from)) {
                        *to = noise.round(*x, i);
                    }
                }
                Self::Int8 { codes, scales, map } => {
                    let blocks = from.chunks(BLOCK).zip(codes.chunks_mut(BLOCK));
                    for ((from, codes), scale) in blocks.zip(scales.iter_mut()) {
                        let largest = from.iter().fold(0f32, |largest, x| largest.max(x.abs()));
                        // A block of nothing but denormals is one of zeros.
                        *scale = if largest >= f32::MIN_POSITIVE { largest } else { 0.0 };
                        let inverse = if *scale > 0.0 { 1.0 / *scale } else { 0.0 };
                        for (code, x) in codes.iter_mut().zip(from) {
                            *code = map.code(x * inverse);
                        }
                    }
                }
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of every size in [-1, 1].
    fn values(n: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 37 % 101) as f32 / 50.0 - 1.0) * 0.1f32.powi((i % 5) as i32)).collect()
    }

    fn stored(values: &[f32], order: Order, state: OptimizerState, noise: Noise) -> Vec<f32> {
        let mut moment = Moment::zeros(values.len(), order, state);
        moment.parts_mut(values.len()).remove(0).store(values, noise);
        let mut back = vec![0.0; values.len()];
        moment.parts_mut(values.len()).remove(0).load(&mut back);
        back
    }

    #[test]
    fn eight_bits_keep_the_size_of_small_values() {
        let values = values(1000);
        let back = stored(&values, Order::First, OptimizerState::Int8, Noise::none());
        for (block, back) in values.chunks(BLOCK).zip(back.chunks(BLOCK)) {
            let largest = block.iter().fold(0f32, |a, x| a.max(x.abs()));
            for (x, back) in block.iter().zip(back) {
                // Half of the widest step there is: from the last value to 1, at a tenth of the scale, and so on.
                assert!((x - back).abs() <= 0.01 * largest, "{x}, not {back}");
                assert!(
                    x.abs() < 1e-3 * largest || (x - back).abs() < 0.3 * x.abs(),
                    "{x}, {back}"
                );
            }
        }
    }

    #[test]
    fn the_largest_of_a_block_and_zeros_are_exact() {
        let mut values = values(BLOCK);
        values[7] = -3.5;
        values[8] = 0.0;
        let back = stored(&values, Order::First, OptimizerState::Int8, Noise::none());
        assert!((back[7] + 3.5).abs() < 0.03 && back[8] == 0.0, "{} {}", back[7], back[8]);
        let nothing = vec![0.0; BLOCK + 1];
        for order in [Order::First, Order::Second] {
            assert_eq!(stored(&nothing, order, OptimizerState::Int8, Noise::none()), nothing);
        }
    }

    #[test]
    fn rounding_by_chance_is_right_on_average() {
        let n = 20_000;
        let x = 1.001f32; // between 1 and the next bfloat16, 1.0078
        let back = stored(&vec![x; n], Order::Second, OptimizerState::Bf16, Noise::new(5, 0));
        let mean = back.iter().map(|x| f64::from(*x)).sum::<f64>() / n as f64;
        assert!((mean - f64::from(x)).abs() < 1e-4, "{mean}");
    }

    #[test]
    fn a_moment_can_be_kept_in_another_type() {
        let values = values(600);
        let moment = Moment::F32(values.clone());
        let narrow = moment.into_state(Order::First, OptimizerState::Int8);
        assert_eq!(narrow.n_bytes(), 600 + 3 * 4);
        let Moment::F32(back) = narrow.into_state(Order::First, OptimizerState::F32) else {
            panic!("expected f32")
        };
        assert!(back.iter().zip(&values).all(|(a, b)| (a - b).abs() < 0.01));
    }
}
