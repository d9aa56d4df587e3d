//! AdamW, with a state that can be saved.
//!
//! `candle_nn::AdamW` computes the same but keeps its moments to itself, and a run that is resumed needs them.
//! Golden numbers come from `torch.optim.AdamW` (`tests/golden/make_adamw.py`).

use std::collections::{BTreeMap, HashMap};

use candle_core::{Result, Tensor, Var, bail};
use config::OptimizerConfig;

use crate::gradients::Gradients;
use crate::moments::{Moments, Update};

/// The optimizer: [Decoupled weight decay](https://arxiv.org/abs/1711.05101), algorithm 2, with bias correction.
///
/// Only matrices decay, not biases and norms, as in the Trainer of transformers.
#[derive(Debug)]
pub(crate) struct AdamW {
    beta1: f64,
    beta2: f64,
    eps: f64,
    weight_decay: f64,
    state: BTreeMap<String, Moments>,
}

impl AdamW {
    pub(crate) fn new(config: &OptimizerConfig) -> Self {
        Self {
            beta1: config.beta1,
            beta2: config.beta2,
            eps: config.eps,
            weight_decay: config.weight_decay,
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
            let (values, gradient) = (gradients.values(variable), gradients.get(name));
            if values.is_none() && gradient.is_none() {
                continue;
            }
            if !self.state.contains_key(name) {
                self.state.insert(name.clone(), Moments::new(variable)?);
            }
            let update = self.update(name, variable, learning_rate, grad_scale);
            if let Some(moments) = self.state.get_mut(name) {
                moments.n_updates += 1;
                match (values, gradient) {
                    (Some(values), _) => moments.apply_values(variable, values, &update)?,
                    (None, Some(gradient)) => moments.apply(variable, gradient, &update)?,
                    (None, None) => {}
                }
            }
        }
        Ok(())
    }

    fn update(&self, name: &str, variable: &Var, learning_rate: f64, grad_scale: f64) -> Update {
        let n = 1 + self.state.get(name).map_or(0, |moments| moments.n_updates) as i32;
        let decay = if variable.rank() >= 2 { self.weight_decay } else { 0.0 };
        Update {
            beta1: self.beta1,
            beta2: self.beta2,
            eps: self.eps,
            grad_scale,
            keep: 1.0 - learning_rate * decay,
            rate: learning_rate / (1.0 - self.beta1.powi(n)),
            root: (1.0 - self.beta2.powi(n)).sqrt(),
        }
    }

    /// The whole state, by names such as `lm_head.weight.exp_avg`.
    pub(crate) fn tensors(&self) -> Result<HashMap<String, Tensor>> {
        let mut tensors = HashMap::new();
        for (name, moments) in &self.state {
            let parts = moments.tensors()?.into_iter();
            tensors.extend(parts.map(|(part, tensor)| (format!("{name}.{part}"), tensor)));
        }
        Ok(tensors)
    }

    /// Takes over a state that [`AdamW::tensors`] gave; on an error nothing is changed.
    pub(crate) fn restore(
        &mut self,
        variables: &BTreeMap<String, Var>,
        mut tensors: HashMap<String, Tensor>,
    ) -> Result<()> {
        let mut state = BTreeMap::new();
        for (name, variable) in variables {
            if let Some(moments) = Moments::restore(name, variable, &mut tensors)? {
                state.insert(name.clone(), moments);
            }
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
    use candle_core::{DType, Device};
    use serde::Deserialize;

    use super::*;
    use crate::gradients::clip_factor;
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

    /// Gradients by way of a loss whose gradient they are.
    fn gradients(variables: &BTreeMap<String, Var>, step: &Step) -> Gradients {
        let dot =
            |name: &str, g: Tensor| (variables[name].as_tensor() * g).unwrap().sum_all().unwrap();
        let loss = (dot("matrix", matrix(&step.matrix_grad))
            + dot("vector", vector(&step.vector_grad)))
        .unwrap();
        let mut gradients = Gradients::default();
        gradients.add(variables, loss.backward().unwrap()).unwrap();
        gradients
    }

    fn make_step(
        case: &Case,
        idx: usize,
        adamw: &mut AdamW,
        variables: &BTreeMap<String, Var>,
    ) -> (f64, f64) {
        let gradients = gradients(variables, &case.steps[idx]);
        let rate = learning_rate(&case.optimizer, idx as u64, case.n_steps);
        let norm = gradients.norm().unwrap();
        let scale = clip_factor(norm, case.optimizer.max_grad_norm);
        adamw.step(variables, &gradients, rate, scale).unwrap();
        (rate, norm)
    }

    #[track_caller]
    fn near(name: &str, variable: &Var, expect: &[f32]) {
        let got = variable.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let far = got.iter().zip(expect).any(|(a, b)| (a - b).abs() > 1e-6 * b.abs().max(0.1));
        assert!(!far, "{name}: {got:?}, not {expect:?}");
    }

    #[test]
    fn every_step_equals_torch_and_its_schedulers() {
        for (name, case) in cases() {
            let (mut adamw, variables) = (AdamW::new(&case.optimizer), variables(&case));
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
    fn composed_operations_give_the_same() {
        let case = &cases()["linear"];
        let variables = variables(case);
        let mut moments = Moments::new(&variables["matrix"]).unwrap();
        let mut weight = variables["matrix"].as_detached_tensor().copy().unwrap();
        let mut adamw = AdamW::new(&case.optimizer);
        for step in &case.steps {
            let gradients = gradients(&variables, step);
            let update = adamw.update("matrix", &variables["matrix"], 0.01, 0.7);
            let gradient = gradients.get("matrix").unwrap();
            weight = moments.apply_composed(&weight, gradient, &update).unwrap();
            adamw.step(&variables, &gradients, 0.01, 0.7).unwrap();
        }
        let expect = weight.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        near("composed", &variables["matrix"], &expect);
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
        let (mut straight, all) = (AdamW::new(&case.optimizer), variables(case));
        steps(0..6, &mut straight, &all);
        let (mut before, some) = (AdamW::new(&case.optimizer), variables(case));
        steps(0..3, &mut before, &some);
        let mut after = AdamW::new(&case.optimizer);
        after.restore(&some, before.tensors().unwrap()).unwrap();
        steps(3..6, &mut after, &some);
        for name in ["matrix", "vector"] {
            let values = |var: &Var| var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert_eq!(values(&all[name]), values(&some[name]));
        }
    }

    #[test]
    fn a_state_of_another_policy_is_refused() {
        let case = &cases()["linear"];
        let (mut adamw, variables) = (AdamW::new(&case.optimizer), variables(case));
        make_step(case, 0, &mut adamw, &variables);
        let mut other = adamw.tensors().unwrap();
        other.insert("head.exp_avg".into(), vector(&[1.]));
        let error = adamw.restore(&variables, other).unwrap_err().to_string();
        assert!(error.starts_with("head.exp_avg belongs to no variable"), "{error}");
        let mut other = adamw.tensors().unwrap();
        other.insert("vector.exp_avg".into(), vector(&[1.]));
        let error = adamw.restore(&variables, other).unwrap_err().to_string();
        assert!(error.starts_with("the state of vector should be f32 [4], got F32 [1]"), "{error}");
    }

    #[test]
    fn updates_too_small_for_bf16_are_not_lost() {
        let variable = Var::ones((1, 2), DType::BF16, &Device::Cpu).unwrap();
        let variables = BTreeMap::from([("w".to_owned(), variable)]);
        let mut adamw = AdamW::new(&OptimizerConfig::default());
        // A bf16 near 1 moves in steps of 2^-8; twenty updates of 1e-3 each are five such steps.
        for _ in 0..20 {
            let loss = variables["w"].as_tensor().sum_all().unwrap();
            let mut gradients = Gradients::default();
            gradients.add(&variables, loss.backward().unwrap()).unwrap();
            adamw.step(&variables, &gradients, 1e-3, 1.0).unwrap();
        }
        let got = variables["w"].to_dtype(DType::F32).unwrap().to_vec2::<f32>().unwrap();
        assert!((got[0][0] - 0.98).abs() < 4e-3, "{got:?}");
    }
}
