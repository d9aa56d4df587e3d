//! The gradient of a step: its length, how much of it is let through, and a form that learners can exchange.

use std::collections::BTreeMap;

use candle_core::{Device, Result, Tensor, Var};
use vrft_kernels::Gradients;
use vrft_model::Policy;

use crate::elementwise::squares_of;

/// Added to the norm in the clipping factor, as `torch.nn.utils.clip_grad_norm_` does.
const CLIP_EPS: f64 = 1e-6;

/// The gradient of an update, summed over the micro-batches of one learner.
///
/// Losses are sums over tokens whose weights are those of the whole update ([`vrft_objective::UpdateCounts`]), so the
/// gradient of several learners that share an update is the sum of theirs.
#[derive(Debug)]
pub struct StepGradients {
    pub(crate) sums: Gradients,
    /// The length of all of it, where it was computed since it last changed.
    pub(crate) known_norm: Option<f64>,
}

impl StepGradients {
    /// No gradient yet, for a policy and whatever computes it.
    pub fn new(policy: &Policy) -> Self {
        Self { sums: Gradients::new(policy.backend()), known_norm: None }
    }

    /// All values, one variable after the other in the order of their names; 0 where no gradient has reached one.
    ///
    /// # Errors
    /// Fails if a gradient cannot be fetched from its device.
    pub fn to_flat(&self, variables: &BTreeMap<String, Var>) -> Result<Vec<f32>> {
        let mut flat = Vec::with_capacity(variables.values().map(|v| v.elem_count()).sum());
        for variable in variables.values() {
            match (self.sums.get(variable), self.sums.tensor(variable)) {
                (Some(values), _) => flat.extend_from_slice(values),
                (None, Some(tensor)) => {
                    let tensor = tensor.to_device(&Device::Cpu)?.flatten_all()?;
                    flat.extend(tensor.to_vec1::<f32>()?);
                }
                (None, None) => flat.resize(flat.len() + variable.elem_count(), 0.0),
            }
        }
        Ok(flat)
    }

    /// Replaces all values by those that [`StepGradients::to_flat`] gave, for example summed over learners.
    ///
    /// # Errors
    /// Fails if there are fewer values than the variables have.
    pub fn set_flat(&mut self, variables: &BTreeMap<String, Var>, mut flat: &[f32]) -> Result<()> {
        self.clear();
        for (name, variable) in variables {
            let n = variable.elem_count();
            let Some((own, rest)) = flat.split_at_checked(n) else {
                candle_core::bail!("{n} values for {name} expected, {} are left", flat.len())
            };
            let gradient = Tensor::from_slice(own, variable.shape(), variable.device())?;
            self.sums.add(variable, &gradient)?;
            flat = rest;
        }
        Ok(())
    }

    /// Forgets everything, but keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.sums.clear();
        self.known_norm = None;
    }

    /// Length of all gradients taken as one vector.
    pub(crate) fn norm(&self) -> Result<f64> {
        let mut squares = self.sums.all().map(squares_of).sum::<f64>();
        #[cfg(feature = "cuda")]
        if self.sums.backend() == vrft_kernels::Backend::Cuda {
            let tensors: Vec<&Tensor> = self.sums.tensors().collect();
            return Ok(vrft_kernels::squares_on_gpu(&tensors)?.sqrt());
        }
        // Fetched from their device all at once.
        let sums = self.sums.tensors().map(|tensor| tensor.sqr()?.sum_all());
        let sums = sums.collect::<Result<Vec<Tensor>>>()?;
        if !sums.is_empty() {
            squares +=
                Tensor::stack(&sums, 0)?.to_vec1::<f32>()?.into_iter().map(f64::from).sum::<f64>();
        }
        Ok(squares.sqrt())
    }
}

/// What gradients of this norm are multiplied with so that it does not exceed the maximum; 0 for no maximum.
pub(crate) fn clip_factor(norm: f64, max_norm: f64) -> f64 {
    if max_norm > 0.0 { (max_norm / (norm + CLIP_EPS)).min(1.0) } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use vrft_kernels::Backend;

    use super::*;

    fn var(values: &[f32]) -> Var {
        Var::new(values, &Device::Cpu).unwrap()
    }

    #[track_caller]
    fn check_norm(backend: Backend) {
        let a = var(&[1., 2.]);
        let b = var(&[3.]);
        let unreached = var(&[5.]);
        let mut gradients = StepGradients { sums: Gradients::new(backend), known_norm: None };
        for variable in [&a, &b, &a] {
            gradients.sums.add(variable, &(variable.as_tensor() * 2.0).unwrap()).unwrap();
        }
        assert!((gradients.norm().unwrap() - (16f64 + 64. + 36.).sqrt()).abs() < 1e-5);
        assert!(gradients.sums.get(&unreached).is_none());
        assert!(gradients.sums.tensor(&unreached).is_none());
    }

    #[track_caller]
    fn check_flat(backend: Backend) {
        let a = var(&[1., 2.]);
        let b = var(&[3.]);
        let unreached = var(&[5.]);
        let mut gradients = StepGradients { sums: Gradients::new(backend), known_norm: None };
        for variable in [&b, &a] {
            gradients.sums.add(variable, variable.as_tensor()).unwrap();
        }
        let named = [("a", &a), ("b", &unreached), ("c", &b)];
        let variables = named.map(|(name, variable)| (name.to_owned(), variable.clone())).into();
        assert_eq!(gradients.to_flat(&variables).unwrap(), [1., 2., 0., 3.]);
        gradients.set_flat(&variables, &[4., 5., 6., 7.]).unwrap();
        assert_eq!(gradients.to_flat(&variables).unwrap(), [4., 5., 6., 7.]);
        let error = gradients.set_flat(&variables, &[4., 5.]).unwrap_err().to_string();
        assert!(error.contains("1 values for b expected, 0 are left"), "{error}");
    }

    #[test]
    fn the_norm_is_that_of_all_sums() {
        check_norm(Backend::Cpu);
        check_norm(Backend::Composed);
    }

    #[test]
    fn gradients_can_be_exchanged_as_one_list_of_numbers() {
        check_flat(Backend::Cpu);
        check_flat(Backend::Composed);
    }

    #[test]
    fn long_gradients_are_cut_and_short_ones_left() {
        assert!((clip_factor(4.0, 1.0) - 0.25).abs() < 1e-6);
        assert_eq!(clip_factor(0.5, 1.0), 1.0);
        assert_eq!(clip_factor(1e9, 0.0), 1.0);
    }
}
