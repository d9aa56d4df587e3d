//! Parameters of a model.

use candle_core::{Result, Tensor, TensorId, Var, bail};

use crate::Nf4Matrix;

/// A parameter: trainable, if it is one of candle's variables, or frozen.
#[derive(Debug, Clone)]
pub struct Weight {
    values: Values,
    variable: Option<TensorId>,
}

#[derive(Debug, Clone)]
enum Values {
    /// Shares the variable's memory, so that it follows the optimizer's updates.
    Each(Tensor),
    /// Four bits each; linear layers alone compute with these.
    Nf4(Nf4Matrix),
}

impl Weight {
    /// A parameter that gets a gradient.
    pub fn trainable(variable: &Var) -> Self {
        Self::new(variable.as_tensor())
    }

    /// A parameter that gets none.
    pub fn frozen(value: &Tensor) -> Self {
        Self { values: Values::Each(value.detach()), variable: None }
    }

    /// A frozen matrix of 4-bit numbers, which a linear layer multiplies with and nothing else.
    pub fn nf4(matrix: &Nf4Matrix) -> Self {
        Self { values: Values::Nf4(matrix.clone()), variable: None }
    }

    /// A trainable parameter if the tensor is that of a variable, else a frozen one.
    pub fn new(tensor: &Tensor) -> Self {
        let variable = tensor.is_variable().then(|| tensor.id());
        Self { values: Values::Each(tensor.detach()), variable }
    }

    /// Whether it gets a gradient.
    pub fn is_trainable(&self) -> bool {
        self.variable.is_some()
    }

    /// Its value, unless it is trainable or of 4-bit numbers.
    pub fn frozen_value(&self) -> Option<&Tensor> {
        match &self.values {
            Values::Each(value) if !self.is_trainable() => Some(value),
            _ => None,
        }
    }

    /// Its value, if it is of 4-bit numbers.
    pub fn nf4_value(&self) -> Option<&Nf4Matrix> {
        match &self.values {
            Values::Each(_) => None,
            Values::Nf4(matrix) => Some(matrix),
        }
    }

    /// Sizes of its axes.
    pub fn dims(&self) -> &[usize] {
        match &self.values {
            Values::Each(value) => value.dims(),
            Values::Nf4(matrix) => matrix.dims(),
        }
    }

    /// Size of its first axis: the outputs of a linear layer.
    pub fn n_rows(&self) -> usize {
        self.dims().first().copied().unwrap_or(1)
    }

    /// Rows and columns as a matrix: all axes but the first are one.
    pub(crate) fn matrix_dims(&self) -> (usize, usize) {
        (self.n_rows(), self.dims().iter().skip(1).product())
    }

    /// As a matrix: all axes but the first are one.
    pub(crate) fn matrix(&self) -> Result<Tensor> {
        let value = self.tensor()?;
        match value.rank() {
            2 => Ok(value.clone()),
            _ => value.flatten_from(1),
        }
    }

    /// Its value.
    ///
    /// # Errors
    /// One of 4-bit numbers, which has no tensor.
    pub(crate) fn tensor(&self) -> Result<&Tensor> {
        match &self.values {
            Values::Each(value) => Ok(value),
            Values::Nf4(matrix) => {
                bail!("a weight of 4 bits, {:?}, is read by linear layers alone", matrix.dims())
            }
        }
    }

    pub(crate) fn variable(&self) -> Option<TensorId> {
        self.variable
    }
}
