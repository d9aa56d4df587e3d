//! Gradients of the weights, one buffer each, kept and summed in place over micro-batches.

use std::collections::HashMap;

use candle_core::{DType, Result, Tensor, TensorId, Var, bail};

use crate::Backend;
use crate::cpu::{add_all, with_values};
use crate::matmul::Write;

/// Gradients by variable, all in f32: values in main memory for [`Backend::Cpu`], tensors on their device for others.
///
/// The buffers live on when they are cleared, so that a step finds the memory of the step before.
#[derive(Debug, Default)]
pub struct Gradients {
    backend: Backend,
    buffers: Vec<Buffer>,
    places: HashMap<TensorId, usize>,
    /// In the order in which the first of them came.
    tensors: Vec<(TensorId, Tensor)>,
    /// Whether weights are passed over.
    of_inputs_alone: bool,
}

#[derive(Debug)]
struct Buffer {
    values: Vec<f32>,
    is_set: bool,
}

impl Gradients {
    /// No gradient yet; `backend` is the one that computes them.
    pub fn new(backend: Backend) -> Self {
        Self { backend, ..Self::default() }
    }

    /// For a backward pass that is about its inputs ([`Tape::input`](crate::Tape::input)): no weight gets a gradient, and
    /// none is computed.
    pub fn of_inputs_alone(backend: Backend) -> Self {
        Self { of_inputs_alone: true, ..Self::new(backend) }
    }

    /// Whether weights get a gradient.
    pub(crate) fn takes_weights(&self) -> bool {
        !self.of_inputs_alone
    }

    /// The backend that computes them.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// Forgets the gradients of all weights.
    pub fn clear(&mut self) {
        self.buffers.iter_mut().for_each(|buffer| buffer.is_set = false);
        self.tensors.clear();
    }

    /// Adds to the gradient of a variable.
    ///
    /// # Errors
    /// A gradient of another shape than the variable.
    pub fn add(&mut self, variable: &Var, gradient: &Tensor) -> Result<()> {
        if gradient.dims() != variable.dims() {
            bail!("gradient: {:?} for a variable of {:?}", gradient.dims(), variable.dims())
        }
        self.add_to(variable.as_tensor().id(), gradient)
    }

    /// The gradient of a variable in the order of its values; nothing if none has reached it, or on another device.
    pub fn get(&self, variable: &Var) -> Option<&[f32]> {
        let buffer = &self.buffers[*self.places.get(&variable.as_tensor().id())?];
        buffer.is_set.then_some(&buffer.values)
    }

    /// The gradient of a variable as a tensor, if gradients are kept so; nothing if none has reached it.
    pub fn tensor(&self, variable: &Var) -> Option<&Tensor> {
        let id = variable.as_tensor().id();
        self.tensors.iter().find_map(|(of, tensor)| (*of == id).then_some(tensor))
    }

    /// All gradients that are values, in the order in which the first of them came.
    pub fn all(&self) -> impl Iterator<Item = &[f32]> {
        self.buffers.iter().filter(|buffer| buffer.is_set).map(|buffer| &buffer.values[..])
    }

    /// All gradients that are tensors, in the order in which they came.
    pub fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        self.tensors.iter().map(|(_, tensor)| tensor)
    }

    /// Adds a gradient of the variable's shape.
    pub(crate) fn add_to(&mut self, variable: TensorId, gradient: &Tensor) -> Result<()> {
        if self.backend == Backend::Cpu && gradient.device().is_cpu() {
            let n = gradient.elem_count();
            return with_values([&gradient.contiguous()?], |[values]| {
                self.write(variable, n, |sum, write| match write {
                    Write::Overwrite => sum.copy_from_slice(values),
                    Write::Add => add_all(sum, values),
                });
                Ok(())
            });
        }
        let gradient = gradient.detach().to_dtype(DType::F32)?;
        match self.tensors.iter_mut().find(|(of, _)| *of == variable) {
            #[cfg(feature = "cuda")]
            Some((_, sum)) if self.backend == Backend::Cuda => {
                crate::ops::add_in_place(sum, &gradient)?;
            }
            Some((_, sum)) => *sum = (&*sum + gradient)?,
            // Copied, since it is added to in place and others may hold it.
            None => self.tensors.push((variable, gradient.copy()?)),
        }
        Ok(())
    }

    /// The sum of a variable's gradient on its device, to be added to in place; zeros if none has reached it.
    #[cfg(feature = "cuda")]
    pub(crate) fn sum_of(&mut self, variable: TensorId, like: &Tensor) -> Result<Tensor> {
        let found = self.tensors.iter().find(|(of, _)| *of == variable);
        if let Some((_, sum)) = found {
            return Ok(sum.clone());
        }
        let zeros = Tensor::zeros(like.dims(), DType::F32, like.device())?;
        self.tensors.push((variable, zeros.clone()));
        Ok(zeros)
    }

    /// Lets `f` write or add to the `n` values of a variable's gradient.
    pub(crate) fn write(
        &mut self,
        variable: TensorId,
        n: usize,
        f: impl FnOnce(&mut [f32], Write),
    ) {
        let place = *self.places.entry(variable).or_insert_with(|| {
            self.buffers.push(Buffer { values: vec![0.0; n], is_set: false });
            self.buffers.len() - 1
        });
        let buffer = &mut self.buffers[place];
        f(&mut buffer.values, if buffer.is_set { Write::Add } else { Write::Overwrite });
        buffer.is_set = true;
    }
}
