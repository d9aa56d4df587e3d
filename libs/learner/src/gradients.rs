//! Gradients of a step, summed over its micro-batches.

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{DType, Result, Tensor, Var};

use crate::elementwise::{squares_of, sum_of_squares};

/// Added to the norm in the clipping factor, as `torch.nn.utils.clip_grad_norm_` does.
const CLIP_EPS: f64 = 1e-6;

/// Gradient by the name of its variable, f32 and contiguous.
///
/// A variable that no micro-batch reached has none: the vision tower in a step without images.
#[derive(Debug, Default)]
pub(crate) struct Gradients {
    /// From candle's graph.
    by_name: BTreeMap<String, Tensor>,
    /// From recorded passes.
    recorded: kernels::Gradients,
}

impl Gradients {
    /// Adds what a backward pass left.
    pub(crate) fn add(
        &mut self,
        variables: &BTreeMap<String, Var>,
        mut store: GradStore,
    ) -> Result<()> {
        for (name, variable) in variables {
            let Some(gradient) = store.remove(variable) else { continue };
            let gradient = gradient.detach().to_dtype(DType::F32)?.contiguous()?;
            let sum = match self.by_name.remove(name) {
                Some(sum) => (sum + gradient)?,
                None => gradient,
            };
            self.by_name.insert(name.clone(), sum);
        }
        Ok(())
    }

    /// Forgets all values and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.by_name.clear();
        self.recorded.clear();
    }

    /// Where recorded passes add theirs.
    pub(crate) fn recorded(&mut self) -> &mut kernels::Gradients {
        &mut self.recorded
    }

    /// What recorded passes gave a variable.
    pub(crate) fn values(&self, variable: &Var) -> Option<&[f32]> {
        self.recorded.get(variable)
    }

    /// What candle's graph gave a variable.
    pub(crate) fn get(&self, name: &str) -> Option<&Tensor> {
        self.by_name.get(name)
    }

    /// Length of all gradients taken as one vector.
    pub(crate) fn norm(&self) -> Result<f64> {
        let squares = self.by_name.values().map(sum_of_squares).sum::<Result<f64>>()?;
        Ok((squares + self.recorded.all().map(squares_of).sum::<f64>()).sqrt())
    }
}

/// What gradients of this norm are multiplied with so that it does not exceed the maximum; 0 for no maximum.
pub(crate) fn clip_factor(norm: f64, max_norm: f64) -> f64 {
    match max_norm > 0.0 {
        true => (max_norm / (norm + CLIP_EPS)).min(1.0),
        false => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn variables() -> BTreeMap<String, Var> {
        let var = |values: &[f32]| Var::new(values, &Device::Cpu).unwrap();
        BTreeMap::from([("a".to_owned(), var(&[1., 2.])), ("b".to_owned(), var(&[3.]))])
    }

    #[test]
    fn gradients_of_micro_batches_add_up() {
        let variables = variables();
        let mut gradients = Gradients::default();
        for _ in 0..2 {
            let loss = variables["a"].sqr().unwrap().sum_all().unwrap();
            gradients.add(&variables, loss.backward().unwrap()).unwrap();
        }
        assert_eq!(gradients.get("a").unwrap().to_vec1::<f32>().unwrap(), [4., 8.]);
        assert!(gradients.get("b").is_none());
        assert!((gradients.norm().unwrap() - 80f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn long_gradients_are_cut_and_short_ones_left() {
        assert!((clip_factor(4.0, 1.0) - 0.25).abs() < 1e-6);
        assert_eq!(clip_factor(0.5, 1.0), 1.0);
        assert_eq!(clip_factor(1e9, 0.0), 1.0);
    }
}
