//! AdamW, with a state that can be saved.
//!
//! `candle_nn::AdamW` computes the same but keeps its moments to itself, and a run that is resumed needs them.
//! Golden numbers come from `torch.optim.AdamW` (`tests/golden/make_adamw.py`).

use std::collections::{BTreeMap, HashMap};

use crate::{OptimizerConfig, OptimizerState};
use candle_core::{Result, Tensor, Var, bail};
use vrft_kernels::{Backend, Gradients};

use crate::moments::{Gradient, Moments, Update};
use crate::noise;
use crate::saved::Saved;

/// The optimizer: [Decoupled weight decay](https://arxiv.org/abs/1711.05101), algorithm 2, with bias correction.
///
/// Only matrices decay, not biases and norms, as in the Trainer of transformers.
#[derive(Debug)]
pub(crate) struct AdamW {
    beta1: f64,
    beta2: f64,
    eps: f64,
    weight_decay: f64,
    kept_in: OptimizerState,
    backend: Backend,
    state: BTreeMap<String, Moments>,
}

impl AdamW {
    /// `backend` is the one that computes the gradients.
    pub(crate) fn new(config: &OptimizerConfig, backend: Backend) -> Self {
        Self {
            beta1: config.beta1,
            beta2: config.beta2,
            eps: config.eps,
            weight_decay: config.weight_decay,
            kept_in: config.state,
            backend,
            state: BTreeMap::new(),
        }
    }

    /// Updates every variable that has a gradient, in place. Gradients are multiplied with `grad_scale` first.
    pub(crate) fn step(
        &mut self,
        variables: &BTreeMap<String, Var>,
        gradients: &Gradients,
        learning_rate: f64,
        grad_scale: f64,
    ) -> Result<()> {
        for (name, variable) in variables {
            let gradient = match (gradients.get(variable), gradients.tensor(variable)) {
                (Some(values), _) => Gradient::Values(values),
                (None, Some(tensor)) => Gradient::Tensor(tensor),
                // A variable that no micro-batch reached: the vision tower in a step without images.
                (None, None) => continue,
            };
            if !self.state.contains_key(name) {
                let moments = Moments::new(variable, self.backend, self.kept_in)?;
                self.state.insert(name.clone(), moments);
            }
            let update = self.update(name, variable, learning_rate, grad_scale);
            if let Some(moments) = self.state.get_mut(name) {
                moments.n_updates += 1;
                moments.apply(variable, gradient, &update)?;
            }
        }
        Ok(())
    }

    fn update(&self, name: &str, variable: &Var, learning_rate: f64, grad_scale: f64) -> Update {
        let n = 1 + self.state.get(name).map_or(0, |moments| moments.n_updates);
        let decay = if variable.rank() >= 2 { self.weight_decay } else { 0.0 };
        Update {
            beta1: self.beta1,
            beta2: self.beta2,
            eps: self.eps,
            grad_scale,
            keep: 1.0 - learning_rate * decay,
            rate: learning_rate / (1.0 - self.beta1.powi(n as i32)),
            root: (1.0 - self.beta2.powi(n as i32)).sqrt(),
            key: noise::key(name, n),
        }
    }

    /// The whole state, by names such as `lm_head.weight.exp_avg`.
    pub(crate) fn saved(&self, variables: &BTreeMap<String, Var>) -> Vec<(String, Saved<'_>)> {
        let mut all = Vec::new();
        for (name, moments) in &self.state {
            let shape = variables.get(name).map_or(&[][..], |variable| variable.dims());
            let parts = moments.saved(shape).into_iter();
            all.extend(parts.map(|(part, saved)| (format!("{name}.{part}"), saved)));
        }
        all
    }

    /// Takes over a state that [`AdamW::saved`] gave; on an error nothing is changed.
    pub(crate) fn restore(
        &mut self,
        variables: &BTreeMap<String, Var>,
        mut tensors: HashMap<String, Tensor>,
    ) -> Result<()> {
        let mut state = BTreeMap::new();
        for (name, variable) in variables {
            let moments =
                Moments::restore(name, variable, self.backend, self.kept_in, &mut tensors)?;
            state.extend(moments.map(|moments| (name.clone(), moments)));
        }
        match tensors.keys().min() {
            Some(name) => bail!("{name} belongs to no variable of the policy"),
            None => self.state = state,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use serde::Deserialize;

    use super::*;
    use crate::gradients::{StepGradients, clip_factor};
    use crate::schedule::learning_rate;

    /// What `make_adamw.py` wrote.
    #[derive(Deserialize)]
    struct Case {
        optimizer: OptimizerConfig,
        n_steps: u64,
        matrix: Vec<f32>,
        vector: Vec<f32>,
        steps: Vec<Step>,
    }

    #[derive(Deserialize)]
    struct Step {
        matrix_grad: Vec<f32>,
        vector_grad: Vec<f32>,
        learning_rate: f64,
        grad_norm: f64,
        matrix: Vec<f32>,
        vector: Vec<f32>,
    }

    fn cases() -> BTreeMap<String, Case> {
        serde_json::from_str(include_str!("../tests/golden/adamw.json")).unwrap()
    }

    fn matrix(values: &[f32]) -> Tensor {
        Tensor::new(values, &Device::Cpu).unwrap().reshape((3, 4)).unwrap()
    }

    fn vector(values: &[f32]) -> Tensor {
        Tensor::new(values, &Device::Cpu).unwrap()
    }

    fn variables(case: &Case) -> BTreeMap<String, Var> {
        let var = |tensor| Var::from_tensor(&tensor).unwrap();
        BTreeMap::from([
            ("matrix".to_owned(), var(matrix(&case.matrix))),
            ("vector".to_owned(), var(vector(&case.vector))),
        ])
    }

    fn gradients(backend: Backend, variables: &BTreeMap<String, Var>, step: &Step) -> Gradients {
        let mut gradients = Gradients::new(backend);
        gradients.add(&variables["matrix"], &matrix(&step.matrix_grad)).unwrap();
        gradients.add(&variables["vector"], &vector(&step.vector_grad)).unwrap();
        gradients
    }

    fn make_step(
        case: &Case,
        idx: usize,
        adamw: &mut AdamW,
        variables: &BTreeMap<String, Var>,
    ) -> (f64, f64) {
        let sums = gradients(adamw.backend, variables, &case.steps[idx]);
        let gradients = StepGradients { sums, known_norm: None };
        let rate = learning_rate(&case.optimizer, idx as u64, case.n_steps);
        let norm = gradients.norm().unwrap();
        let scale = clip_factor(norm, case.optimizer.max_grad_norm);
        adamw.step(variables, &gradients.sums, rate, scale).unwrap();
        (rate, norm)
    }

    #[track_caller]
    fn near(name: &str, variable: &Var, expect: &[f32]) {
        let got = variable.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let far = got.iter().zip(expect).any(|(a, b)| (a - b).abs() > 1e-6 * b.abs().max(0.1));
        assert!(!far, "{name}: {got:?}, not {expect:?}");
    }

    #[track_caller]
    fn check_against_torch(backend: Backend) {
        for (name, case) in cases() {
            let mut adamw = AdamW::new(&case.optimizer, backend);
            let variables = variables(&case);
            for (idx, step) in case.steps.iter().enumerate() {
                let (rate, norm) = make_step(&case, idx, &mut adamw, &variables);
                assert!((rate - step.learning_rate).abs() < 1e-12, "{name} step {idx}: {rate}");
                assert!((norm - step.grad_norm).abs() < 1e-5 * norm, "{name} step {idx}: {norm}");
                near(&format!("{name} step {idx}"), &variables["matrix"], &step.matrix);
                near(&format!("{name} step {idx}"), &variables["vector"], &step.vector);
            }
        }
    }

    #[test]
    fn every_step_equals_torch_and_its_schedulers() {
        check_against_torch(Backend::Cpu);
    }

    #[test]
    fn composed_operations_give_the_same() {
        check_against_torch(Backend::Composed);
    }

    /// What a file of the state would give back.
    fn reloaded(adamw: &AdamW, variables: &BTreeMap<String, Var>) -> HashMap<String, Tensor> {
        let file = tempfile::NamedTempFile::new().unwrap();
        safetensors::serialize_to_file(adamw.saved(variables), None, file.path()).unwrap();
        candle_core::safetensors::load(file.path(), &Device::Cpu).unwrap()
    }

    #[test]
    fn a_saved_state_goes_on_bit_by_bit() {
        let case = &cases()["cosine"];
        let steps =
            |range: std::ops::Range<usize>, adamw: &mut AdamW, variables: &BTreeMap<_, _>| {
                for idx in range {
                    make_step(case, idx, adamw, variables);
                }
            };
        let mut straight = AdamW::new(&case.optimizer, Backend::Cpu);
        let all = variables(case);
        steps(0..6, &mut straight, &all);
        let mut before = AdamW::new(&case.optimizer, Backend::Cpu);
        let some = variables(case);
        steps(0..3, &mut before, &some);
        let mut after = AdamW::new(&case.optimizer, Backend::Cpu);
        after.restore(&some, reloaded(&before, &some)).unwrap();
        steps(3..6, &mut after, &some);
        for name in ["matrix", "vector"] {
            let values = |var: &Var| var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert_eq!(values(&all[name]), values(&some[name]));
        }
    }

    #[test]
    fn a_state_of_another_policy_is_refused() {
        let case = &cases()["linear"];
        let mut adamw = AdamW::new(&case.optimizer, Backend::Cpu);
        let variables = variables(case);
        make_step(case, 0, &mut adamw, &variables);
        let mut other = reloaded(&adamw, &variables);
        other.insert("head.exp_avg".into(), vector(&[1.]));
        let error = adamw.restore(&variables, other).unwrap_err().to_string();
        assert!(error.starts_with("head.exp_avg belongs to no variable"), "{error}");
        let mut other = reloaded(&adamw, &variables);
        other.insert("vector.exp_avg".into(), vector(&[1.]));
        let error = adamw.restore(&variables, other).unwrap_err().to_string();
        assert!(
            error.starts_with("the state of vector should be of shape [4], got [1]"),
            "{error}"
        );
    }
}
