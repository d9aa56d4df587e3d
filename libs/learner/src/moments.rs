//! What AdamW remembers of one variable, and the update that it makes of it.

use std::collections::HashMap;

use crate::OptimizerState;
use candle_core::{Result, Tensor, Var, bail};
use rayon::prelude::*;
use vrft_kernels::{Backend, vectorized};

use crate::elementwise::{CHUNK, with_values_mut};
use crate::moment::{Moment, Order, state_of};
use crate::noise::Noise;
use crate::saved::Saved;

const FIRST: &str = "exp_avg";
const SECOND: &str = "exp_avg_sq";
const STEP: &str = "step";
const SCALES: &str = "absmax";

/// State of one variable. Saved under the names that torch gives it.
#[derive(Debug)]
pub(crate) struct Moments {
    /// Running means of the gradient and of its square.
    values: Values,
    /// The implementation that updates the moments.
    backend: Backend,
    /// Number of updates that were made.
    pub(crate) n_updates: u64,
}

#[derive(Debug)]
enum Values {
    /// In main memory, where the update is made too.
    Main { first: Moment, second: Moment },
    /// In f32 with the variable, for other backends than [`Backend::Cpu`].
    Device { first: Tensor, second: Tensor },
    /// In any type with the variable on a GPU, where the update is made too.
    #[cfg(feature = "cuda")]
    Gpu(vrft_kernels::GpuMoments),
}

/// The gradient of one variable, f32.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Gradient<'a> {
    Values(&'a [f32]),
    Tensor(&'a Tensor),
}

/// Numbers of one update of one variable.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Update {
    pub(crate) beta1: f64,
    pub(crate) beta2: f64,
    pub(crate) eps: f64,
    pub(crate) grad_scale: f64,
    /// What is left of the weight after decay.
    pub(crate) keep: f64,
    /// Learning rate over the bias correction of the first moment.
    pub(crate) rate: f64,
    /// Root of the bias correction of the second moment.
    pub(crate) root: f64,
    /// What chance in rounding depends on.
    pub(crate) key: u32,
}

impl Moments {
    /// Moments of a variable before the first update: zeros.
    pub(crate) fn new(variable: &Var, backend: Backend, asked: OptimizerState) -> Result<Self> {
        let n = variable.elem_count();
        let zeros = |order| Moment::zeros(n, order, state_of(n, asked));
        Self::of(variable, backend, [zeros(Order::First), zeros(Order::Second)], 0)
    }

    fn of(
        variable: &Var,
        backend: Backend,
        [first, second]: [Moment; 2],
        n_updates: u64,
    ) -> Result<Self> {
        let device = variable.device();
        let values = match (first, second) {
            #[cfg(feature = "cuda")]
            (first, second) if backend == Backend::Cuda => {
                Values::Gpu(crate::gpu_moments::to_gpu([&first, &second], variable)?)
            }
            (Moment::F32(first), Moment::F32(second)) if backend != Backend::Cpu => {
                let tensor = |values: Vec<f32>| Tensor::from_vec(values, variable.shape(), device);
                Values::Device { first: tensor(first)?, second: tensor(second)? }
            }
            (first, second) => Values::Main { first, second },
        };
        Ok(Self { values, backend, n_updates })
    }

    /// The parts to save, by their names.
    pub(crate) fn saved(&self, shape: &[usize]) -> Vec<(String, Saved<'_>)> {
        let mut parts = vec![(STEP.to_owned(), Saved::i64(self.n_updates as i64))];
        match &self.values {
            Values::Main { first, second } => {
                for (name, moment) in [(FIRST, first), (SECOND, second)] {
                    let saved = moment.saved(shape).into_iter();
                    parts.extend(saved.map(|(end, saved)| (format!("{name}{end}"), saved)));
                }
            }
            #[cfg(feature = "cuda")]
            Values::Gpu(moments) => {
                let saved = crate::gpu_moments::saved(moments);
                for (name, of_moment) in [FIRST, SECOND].into_iter().zip(saved) {
                    let of_moment = of_moment.into_iter();
                    parts.extend(of_moment.map(|(end, saved)| (format!("{name}{end}"), saved)));
                }
            }
            Values::Device { first, second } => {
                parts.push((FIRST.to_owned(), Saved::Tensor(first.clone())));
                parts.push((SECOND.to_owned(), Saved::Tensor(second.clone())));
            }
        }
        parts
    }

    /// Takes the parts of a variable out of a saved state; nothing if it has none there. Moments that were kept in
    /// another type than is asked for are converted.
    pub(crate) fn restore(
        name: &str,
        variable: &Var,
        backend: Backend,
        asked: OptimizerState,
        tensors: &mut HashMap<String, Tensor>,
    ) -> Result<Option<Self>> {
        let mut take = |part: &str| tensors.remove(&format!("{name}.{part}"));
        let (step, first, second) = match (take(STEP), take(FIRST), take(SECOND)) {
            (Some(step), Some(first), Some(second)) => (step, first, second),
            (None, None, None) => return Ok(None),
            _ => bail!("the state of {name} should have {FIRST}, {SECOND} and {STEP}"),
        };
        let scales = [FIRST, SECOND].map(|part| take(&format!("{part}.{SCALES}")));
        let state = state_of(variable.elem_count(), asked);
        let moment = |values: &Tensor, scales: &Option<Tensor>, order| {
            if values.dims() != variable.dims() {
                let expected = variable.dims();
                let got = values.dims();
                bail!("the state of {name} should be of shape {expected:?}, got {got:?}")
            }
            let moment = Moment::restore(values, scales.as_ref(), order);
            let moment = moment.map_err(|error| error.context(format!("the state of {name}")))?;
            Ok(moment.into_state(order, state))
        };
        let first = moment(&first, &scales[0], Order::First)?;
        let second = moment(&second, &scales[1], Order::Second)?;
        let n_updates = step.to_vec1::<i64>()?.first().copied().unwrap_or_default() as u64;
        Ok(Some(Self::of(variable, backend, [first, second], n_updates)?))
    }

    /// Updates the moments and then the variable.
    pub(crate) fn apply(
        &mut self,
        variable: &Var,
        gradient: Gradient,
        update: &Update,
    ) -> Result<()> {
        let (first, second) = match &mut self.values {
            Values::Main { first, second } => (first, second),
            #[cfg(feature = "cuda")]
            Values::Gpu(moments) => {
                return crate::gpu_moments::apply(variable, gradient, moments, update);
            }
            Values::Device { first, second } => {
                let gradient = match gradient {
                    Gradient::Tensor(gradient) => gradient.clone(),
                    Gradient::Values(values) => {
                        Tensor::from_slice(values, variable.shape(), variable.device())?
                    }
                };
                return variable.set(&on_device(variable, [first, second], &gradient, update)?);
            }
        };
        let fetched = match gradient {
            Gradient::Values(_) => None,
            Gradient::Tensor(gradient) => Some(gradient.flatten_all()?.to_vec1::<f32>()?),
        };
        let gradient = match (&fetched, gradient) {
            (Some(values), _) => values,
            (None, Gradient::Values(values)) => values,
            (None, Gradient::Tensor(_)) => return Ok(()),
        };
        if self.backend == Backend::Cpu {
            return with_values_mut(variable, |weight| {
                in_main_memory(weight, first, second, gradient, update);
            });
        }
        // Narrow moments of a variable elsewhere: they stay in main memory, and so the weight comes to them.
        let mut weight = variable.flatten_all()?.to_vec1::<f32>()?;
        in_main_memory(&mut weight, first, second, gradient, update);
        variable.set(&Tensor::from_vec(weight, variable.shape(), variable.device())?)
    }

    /// Bytes of both moments.
    #[cfg(test)]
    pub(crate) fn n_bytes(&self) -> usize {
        match &self.values {
            Values::Main { first, second } => first.n_bytes() + second.n_bytes(),
            #[cfg(feature = "cuda")]
            Values::Gpu(_) => 0,
            Values::Device { first, .. } => 2 * first.elem_count() * first.dtype().size_in_bytes(),
        }
    }
}

/// One pass over memory, on all cores. Each value depends on its own inputs alone, or on those of its block.
fn in_main_memory(
    weight: &mut [f32],
    first: &mut Moment,
    second: &mut Moment,
    gradient: &[f32],
    update: &Update,
) {
    let scale = update.grad_scale as f32;
    let blend = (1.0 - update.beta1) as f32;
    let beta2 = update.beta2 as f32;
    let rest = (1.0 - update.beta2) as f32;
    let Update { keep, rate, root, eps, key, .. } = *update;
    let keep = keep as f32;
    let rate = rate as f32;
    let root = root as f32;
    let eps = eps as f32;
    let inverse = 1.0 / root;
    let moments = first.parts_mut(CHUNK).into_par_iter().zip(second.parts_mut(CHUNK));
    let weights = weight.par_chunks_mut(CHUNK).zip(gradient.par_chunks(CHUNK));
    moments.zip(weights).enumerate().for_each(|(idx, ((first, second), (weight, gradient)))| {
        let noise = |key| Noise::new(key, idx * CHUNK);
        first.change(noise(key), |first| {
            second.change(noise(!key), |second| {
                vectorized(
                    #[inline(always)]
                    || {
                        let moments = first.iter_mut().zip(second.iter_mut());
                        for ((w, (m, v)), g) in weight.iter_mut().zip(moments).zip(gradient) {
                            let g = scale * g;
                            *m += blend * (g - *m);
                            *v = beta2 * *v + rest * g * g;
                            *w = keep * *w - rate * *m / (v.sqrt() * inverse + eps);
                        }
                    },
                )
            });
        });
    });
}

/// The same in candle's operations, for every device: changes the moments, gives the weight.
fn on_device(
    weight: &Tensor,
    [first, second]: [&mut Tensor; 2],
    gradient: &Tensor,
    update: &Update,
) -> Result<Tensor> {
    let gradient = (gradient * update.grad_scale)?;
    *first = ((&*first * update.beta1)? + (&gradient * (1.0 - update.beta1))?)?;
    *second = ((&*second * update.beta2)? + (gradient.sqr()? * (1.0 - update.beta2))?)?;
    let root = ((second.sqrt()? / update.root)? + update.eps)?;
    (weight.detach() * update.keep)? - ((&*first / root)? * update.rate)?
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    #[track_caller]
    fn check_bytes(n: usize, backend: Backend, asked: OptimizerState, expected: usize) {
        let variable = Var::zeros(n, DType::F32, &Device::Cpu).unwrap();
        assert_eq!(Moments::new(&variable, backend, asked).unwrap().n_bytes(), expected);
    }

    #[test]
    fn fewer_bits_take_less_memory() {
        let n = 100 * 256;
        check_bytes(n, Backend::Cpu, OptimizerState::F32, 8 * n);
        check_bytes(n, Backend::Cpu, OptimizerState::Bf16, 4 * n);
        check_bytes(n, Backend::Cpu, OptimizerState::Int8, 2 * n + 2 * 4 * 100);
        check_bytes(n, Backend::Composed, OptimizerState::F32, 8 * n);
        check_bytes(n, Backend::Composed, OptimizerState::Int8, 2 * n + 2 * 4 * 100);
    }

    #[test]
    fn small_variables_stay_in_f32() {
        check_bytes(4095, Backend::Cpu, OptimizerState::Int8, 8 * 4095);
        check_bytes(4096, Backend::Cpu, OptimizerState::Int8, 2 * 4096 + 2 * 4 * 16);
    }
}
