//! Values between operations.

use candle_core::{DType, Result, Tensor};

use crate::autograd::Node;

/// A value that operations compute with, together with its place on a [`Tape`](crate::Tape) if it has a gradient.
///
/// It is no candle tensor on purpose. candle knows nothing of the tape, so what its operations make of a value has no
/// gradient; here that does not compile:
///
/// ```compile_fail,E0369
/// # fn f(x: vrft_kernels::Activation) {
/// let sum = &x + &x;
/// # }
/// ```
/// ```compile_fail,E0599
/// # fn f(x: vrft_kernels::Activation) {
/// let power = x.exp();
/// # }
/// ```
/// ```compile_fail,E0308
/// # fn f(x: vrft_kernels::Activation, weight: candle_core::Tensor) {
/// let product = weight.matmul(&x);
/// # }
/// ```
///
/// [`Activation::detach`] is the way to its values, and says by its name that the gradient ends there:
///
/// ```
/// # fn f(x: vrft_kernels::Activation) -> candle_core::Result<f32> {
/// x.detach().sum_all()?.to_scalar()
/// # }
/// ```
///
/// Its rows are contiguous.
#[derive(Debug, Clone)]
pub struct Activation {
    value: Tensor,
    node: Option<Node>,
}

impl Activation {
    /// A value that gets no gradient, whatever it was computed from.
    ///
    /// # Errors
    /// Fails if candle cannot make the tensor contiguous.
    pub fn constant(value: &Tensor) -> Result<Self> {
        Ok(Self::untracked(value.detach().contiguous()?))
    }

    /// The values as a candle tensor, without gradient. They are not copied.
    pub fn detach(&self) -> Tensor {
        self.value.clone()
    }

    /// Whether a gradient flows through it.
    pub fn has_gradient(&self) -> bool {
        self.node.is_some()
    }

    /// Sizes of its axes.
    pub fn dims(&self) -> &[usize] {
        self.value.dims()
    }

    /// Sizes of its two axes.
    ///
    /// # Errors
    /// Another number of axes.
    pub fn dims2(&self) -> Result<(usize, usize)> {
        self.value.dims2()
    }

    /// The type that its values are stored in.
    pub fn dtype(&self) -> DType {
        self.value.dtype()
    }

    /// A contiguous tensor without candle's graph.
    pub(crate) fn untracked(value: Tensor) -> Self {
        Self { value, node: None }
    }

    pub(crate) fn tracked(value: Tensor, node: Node) -> Self {
        Self { value, node: Some(node) }
    }

    pub(crate) fn tensor(&self) -> &Tensor {
        &self.value
    }

    pub(crate) fn node(&self) -> Option<Node> {
        self.node
    }
}
