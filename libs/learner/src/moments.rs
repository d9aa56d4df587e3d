//! What AdamW remembers of one variable, and the update that it makes of it.

use std::collections::HashMap;

use candle_core::{DType, Device, Result, Tensor, Var, bail};

use crate::elementwise::{is_supported, update_weight, update2, update3};

/// State of one variable, f32 on its device. Saved under the names that torch gives it.
#[derive(Debug, Clone)]
pub(crate) struct Moments {
    /// `exp_avg`: running mean of the gradient.
    first: Tensor,
    /// `exp_avg_sq`: running mean of its square.
    second: Tensor,
    /// `step`: updates made.
    pub(crate) n_updates: u64,
    /// `master`: the weight in f32, if the variable itself is narrower: small updates would round to nothing.
    master: Option<Tensor>,
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
}

impl Moments {
    pub(crate) fn new(variable: &Var) -> Result<Self> {
        let zeros = || Tensor::zeros(variable.shape(), DType::F32, variable.device());
        let master = match variable.dtype() {
            DType::F32 => None,
            _ => Some(variable.as_detached_tensor().to_dtype(DType::F32)?),
        };
        Ok(Self { first: zeros()?, second: zeros()?, n_updates: 0, master })
    }

    /// The parts to save, by their names.
    pub(crate) fn tensors(&self) -> Result<Vec<(&'static str, Tensor)>> {
        let step = Tensor::new(&[self.n_updates as i64], &Device::Cpu)?;
        let mut parts = vec![
            ("exp_avg", self.first.clone()),
            ("exp_avg_sq", self.second.clone()),
            ("step", step),
        ];
        parts.extend(self.master.iter().map(|master| ("master", master.clone())));
        Ok(parts)
    }

    /// Takes the parts of a variable out of a saved state; nothing if it has none there.
    pub(crate) fn restore(
        name: &str,
        variable: &Var,
        tensors: &mut HashMap<String, Tensor>,
    ) -> Result<Option<Self>> {
        let mut take = |part: &str| tensors.remove(&format!("{name}.{part}"));
        let parts = (take("exp_avg"), take("exp_avg_sq"), take("step"), take("master"));
        let (first, second, step, master) = match parts {
            (Some(first), Some(second), Some(step), master) => (first, second, step, master),
            (None, None, None, None) => return Ok(None),
            _ => bail!("the state of {name} should have exp_avg, exp_avg_sq and step"),
        };
        let place = |tensor: Tensor| {
            if tensor.dims() != variable.dims() || tensor.dtype() != DType::F32 {
                let (dims, dtype) = (tensor.dims(), tensor.dtype());
                bail!(
                    "the state of {name} should be f32 {:?}, got {dtype:?} {dims:?}",
                    variable.dims()
                )
            }
            tensor.to_device(variable.device())
        };
        if master.is_some() != (variable.dtype() != DType::F32) {
            bail!("the state of {name} was saved for another type than {:?}", variable.dtype())
        }
        Ok(Some(Self {
            first: place(first)?,
            second: place(second)?,
            n_updates: step.to_vec1::<i64>()?.first().copied().unwrap_or_default() as u64,
            master: master.map(place).transpose()?,
        }))
    }

    /// Updates the moments and then the variable.
    pub(crate) fn apply(
        &mut self,
        variable: &Var,
        gradient: &Tensor,
        update: &Update,
    ) -> Result<()> {
        let weight = self.master.as_ref().unwrap_or(variable.as_tensor()).clone();
        if is_supported(&weight) && is_supported(gradient) {
            self.apply_in_place(&weight, gradient, update)?;
        } else {
            let updated = self.apply_composed(&weight, gradient, update)?;
            match &mut self.master {
                Some(master) => *master = updated,
                None => variable.set(&updated)?,
            }
        }
        match &self.master {
            Some(master) => variable.set(&master.to_dtype(variable.dtype())?),
            None => Ok(()),
        }
    }

    /// As [`Moments::apply`], of a gradient in a slice and a variable of f32 on the CPU.
    pub(crate) fn apply_values(
        &self,
        variable: &Var,
        gradient: &[f32],
        update: &Update,
    ) -> Result<()> {
        let scale = update.grad_scale as f32;
        let blend = (1.0 - update.beta1) as f32;
        let (beta2, rest) = (update.beta2 as f32, (1.0 - update.beta2) as f32);
        let Update { keep, rate, root, eps, .. } = *update;
        let (keep, rate, root, eps) = (keep as f32, rate as f32, root as f32, eps as f32);
        let inverse = 1.0 / root;
        let tensors = [variable.as_tensor(), &self.first, &self.second];
        update_weight(
            tensors,
            gradient,
            #[inline(always)]
            |w, m, v, g| {
                let g = scale * g;
                *m += blend * (g - *m);
                *v = beta2 * *v + rest * g * g;
                *w = keep * *w - rate * *m / (v.sqrt() * inverse + eps);
            },
        )
    }

    /// Three passes over memory and no allocation.
    fn apply_in_place(&self, weight: &Tensor, gradient: &Tensor, update: &Update) -> Result<()> {
        let scale = update.grad_scale as f32;
        let blend = (1.0 - update.beta1) as f32;
        update2(&self.first, gradient, |m, g| m + blend * (scale * g - m))?;
        let (beta2, rest) = (update.beta2 as f32, (1.0 - update.beta2) as f32);
        update2(&self.second, gradient, |v, g| beta2 * v + rest * (scale * g) * (scale * g))?;
        let Update { keep, rate, root, eps, .. } = *update;
        let (keep, rate, root, eps) = (keep as f32, rate as f32, root as f32, eps as f32);
        update3(weight, &self.first, &self.second, |w, m, v| {
            keep * w - rate * m / (v.sqrt() / root + eps)
        })
    }

    /// The same in candle's operations, for every device.
    pub(crate) fn apply_composed(
        &mut self,
        weight: &Tensor,
        gradient: &Tensor,
        update: &Update,
    ) -> Result<Tensor> {
        let gradient = (gradient * update.grad_scale)?;
        let first = (&self.first * update.beta1)? + (&gradient * (1.0 - update.beta1))?;
        let second = (&self.second * update.beta2)? + (gradient.sqr()? * (1.0 - update.beta2))?;
        (self.first, self.second) = (first?, second?);
        let root = ((self.second.sqrt()? / update.root)? + update.eps)?;
        (weight.detach() * update.keep)? - ((&self.first / root)? * update.rate)?
    }
}
