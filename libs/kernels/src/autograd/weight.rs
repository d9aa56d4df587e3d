//! Parameters of a model.

use candle_core::{Result, Tensor, TensorId, Var};

/// A parameter: trainable, if it is one of candle's variables, or frozen.
#[derive(Debug, Clone)]
pub struct Weight {
    /// Shares the variable's memory, so that it follows the optimizer's updates.
    value: Tensor,
    variable: Option<TensorId>,
}

impl Weight {
    /// A parameter that gets a gradient.
    pub fn trainable(variable: &Var) -> Self {
        Self::new(variable.as_tensor())
    }

    /// A parameter that gets none.
    pub fn frozen(value: &Tensor) -> Self {
        Self { value: value.detach(), variable: None }
    }

    /// A trainable parameter if the tensor is that of a variable, else a frozen one.
    pub fn new(tensor: &Tensor) -> Self {
        let variable = tensor.is_variable().then(|| tensor.id());
        Self { value: tensor.detach(), variable }
    }

    /// Whether it gets a gradient.
    pub fn is_trainable(&self) -> bool {
        self.variable.is_some()
    }

    /// Its value, unless it is trainable.
    pub fn frozen_value(&self) -> Option<&Tensor> {
        (!self.is_trainable()).then_some(&self.value)
    }

    /// Sizes of its axes.
    pub fn dims(&self) -> &[usize] {
        self.value.dims()
    }

    /// Size of its first axis: the outputs of a linear layer.
    pub fn n_rows(&self) -> usize {
        self.value.dims().first().copied().unwrap_or(1)
    }

    /// As a matrix: all axes but the first are one.
    pub(crate) fn matrix(&self) -> Result<Tensor> {
        match self.value.rank() {
            2 => Ok(self.value.clone()),
            _ => self.value.flatten_from(1),
        }
    }

    pub(crate) fn tensor(&self) -> &Tensor {
        &self.value
    }

    pub(crate) fn variable(&self) -> Option<TensorId> {
        self.variable
    }
}
