//! The operations of a forward pass in order, and the backward pass through them.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicU64, Ordering};

use candle_core::{DType, Result, Tensor};

use crate::autograd::{Activation, Gradients, Weight};
use crate::matmul::Write;

type Backward = Box<dyn FnOnce(&mut BackwardPass) -> Result<()> + Send>;

/// Records the operations of a forward pass, so that gradients can be taken back through them.
///
/// candle's own graph allocates zeros for every gradient and adds to them, keeps all activations to the end, and makes
/// a new tensor for each gradient of a weight. A tape sums in place, adds the gradients of weights where the last
/// micro-batch left them, and frees what an operation saved as soon as its backward is done.
///
/// A [`Context`](crate::Context) is told to record by [`Context::training`](crate::Context::training).
pub struct Tape {
    /// Tells the activations of one tape from those of another.
    id: u64,
    settings: PassSettings,
    steps: RefCell<Vec<Backward>>,
    n_nodes: Cell<usize>,
    /// Without it, the tape only finds out what has a gradient.
    keeps_steps: bool,
}

/// What the tapes of one pass have in common.
#[derive(Debug, Clone, Default)]
pub(crate) struct PassSettings {
    dropout_seed: Option<u64>,
    #[cfg(feature = "cuda")]
    narrow: super::NarrowWeights,
}

/// The place of an activation on a tape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Node {
    tape: u64,
    idx: usize,
}

impl std::fmt::Debug for Tape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tape of {} steps", self.steps.borrow().len())
    }
}

impl Default for Tape {
    fn default() -> Self {
        Self::new()
    }
}

impl Tape {
    /// An empty tape of a pass without dropout.
    pub fn new() -> Self {
        /// Only to tell tapes apart: nothing that is computed depends on it.
        static NEXT_ID: AtomicU64 = AtomicU64::new(0);
        Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            settings: PassSettings::default(),
            steps: RefCell::default(),
            n_nodes: Cell::new(0),
            keeps_steps: true,
        }
    }

    /// The same for a pass with [`dropout`](crate::dropout); the same seed drops the same values.
    #[must_use]
    pub fn with_dropout(mut self, seed: Option<u64>) -> Self {
        self.settings.dropout_seed = seed;
        self
    }

    /// The same for a pass by weights some of which have been converted before.
    #[cfg(feature = "cuda")]
    #[must_use]
    pub fn with_narrow(mut self, narrow: super::NarrowWeights) -> Self {
        self.settings.narrow = narrow;
        self
    }

    #[cfg(feature = "cuda")]
    pub(crate) fn narrow(&self) -> &super::NarrowWeights {
        &self.settings.narrow
    }

    /// What a further tape of the same pass needs.
    pub(crate) fn settings(&self) -> &PassSettings {
        &self.settings
    }

    pub(crate) fn with_settings(self, settings: PassSettings) -> Self {
        Self { settings, ..self }
    }

    /// A tape that finds out what has a gradient, and keeps nothing for a backward pass.
    pub(crate) fn that_keeps_nothing() -> Self {
        Self { keeps_steps: false, ..Self::new() }
    }

    /// An input of the forward pass whose gradient [`Tape::backward`] returns.
    ///
    /// # Errors
    /// Fails if candle cannot make the tensor contiguous.
    pub fn input(&self, value: &Tensor) -> Result<Activation> {
        let value = value.detach().contiguous()?;
        Ok(Activation::tracked(value, self.next_node()))
    }

    /// The backward pass: from the gradients of some results to those of all trainable weights, which are added to
    /// `gradients`, and of `inputs` (of [`Tape::input`]), which are returned as far as they have one.
    ///
    /// # Errors
    /// A result or an input that was not recorded on this tape, a gradient of another shape than its result, or an
    /// operation that fails.
    pub fn backward(
        self,
        results: &[(&Activation, Tensor)],
        inputs: &[&Activation],
        gradients: &mut Gradients,
    ) -> Result<Vec<Option<Tensor>>> {
        let mut sums = Vec::new();
        sums.resize_with(self.n_nodes.get(), || None);
        let mut pass = BackwardPass { tape: self.id, sums, gradients };
        for (result, gradient) in results {
            pass.place(result)?;
            if result.dims() != gradient.dims() {
                let (expected, got) = (result.dims(), gradient.dims());
                candle_core::bail!("gradient of a result should be {expected:?}, got {got:?}")
            }
            pass.share(result.node(), &gradient.detach())?;
        }
        for backward in self.steps.into_inner().into_iter().rev() {
            backward(&mut pass)?;
        }
        inputs.iter().map(|input| Ok(pass.take(pass.place(input)?))).collect()
    }

    pub(crate) fn dropout_seed(&self) -> Option<u64> {
        self.settings.dropout_seed
    }

    /// Whether a node is one of this tape's.
    pub(crate) fn has(&self, node: Node) -> bool {
        node.tape == self.id
    }

    /// See [`Context::record`](crate::Context::record).
    pub(crate) fn record<const N: usize>(
        &self,
        results: [Tensor; N],
        backward: impl FnOnce([Option<Tensor>; N], &mut BackwardPass) -> Result<()> + Send + 'static,
    ) -> [Activation; N] {
        let results = results.map(|result| Activation::tracked(result, self.next_node()));
        if self.keeps_steps {
            let nodes = results.each_ref().map(Activation::node);
            self.steps.borrow_mut().push(Box::new(move |pass| {
                let gradients = nodes.map(|node| node.and_then(|node| pass.take(node.idx)));
                // A result that nothing was made of has no gradient.
                if gradients.iter().all(Option::is_none) {
                    return Ok(());
                }
                backward(gradients, pass)
            }));
        }
        results
    }

    fn next_node(&self) -> Node {
        let idx = self.n_nodes.get();
        self.n_nodes.set(idx + 1);
        Node { tape: self.id, idx }
    }
}

/// `a += b` in the memory of `a`.
fn add_in_place(a: &Tensor, b: &Tensor) -> Result<()> {
    #[cfg(feature = "cuda")]
    if a.device().is_cuda() {
        return crate::ops::add_in_place(a, b);
    }
    crate::cpu::add_in_place(a, b)
}

/// The gradient of an activation, as far as it is summed.
struct Sum {
    gradient: Tensor,
    /// Whether other tensors may share its memory: then it is not added to in place.
    is_shared: bool,
}

/// A backward pass under way: the gradients of activations that wait for their operation, and those of the weights.
pub(crate) struct BackwardPass<'a> {
    tape: u64,
    /// The sum of the gradients that reached each node so far, by the node's number.
    sums: Vec<Option<Sum>>,
    pub(crate) gradients: &'a mut Gradients,
}

impl BackwardPass<'_> {
    /// Adds to the gradient of an activation, if it has one; nothing else holds the tensor.
    pub(crate) fn add(&mut self, to: Option<Node>, gradient: Tensor) -> Result<()> {
        self.sum(to, gradient, false)
    }

    /// As [`BackwardPass::add`], with a tensor that others may hold too.
    pub(crate) fn share(&mut self, to: Option<Node>, gradient: &Tensor) -> Result<()> {
        self.sum(to, gradient.clone(), true)
    }

    /// Lets `f` write or add to the gradient of a weight, in the order of its values, if it has one.
    pub(crate) fn write_weight(&mut self, weight: &Weight, f: impl FnOnce(&mut [f32], Write)) {
        if let Some(variable) = self.wanted(weight) {
            self.gradients.write(variable, weight.dims().iter().product(), f);
        }
    }

    /// The variable of a weight whose gradient is wanted.
    fn wanted(&self, weight: &Weight) -> Option<candle_core::TensorId> {
        weight.variable().filter(|_| self.gradients.takes_weights())
    }

    /// Adds to the gradient of a weight, if it has one.
    pub(crate) fn add_to_weight(&mut self, weight: &Weight, gradient: &Tensor) -> Result<()> {
        match self.wanted(weight) {
            Some(variable) => self.gradients.add_to(variable, gradient),
            None => Ok(()),
        }
    }

    /// Where the gradient of a weight is summed on its device, if it has one.
    #[cfg(feature = "cuda")]
    pub(crate) fn sum_of(&mut self, weight: &Weight) -> Result<Option<Tensor>> {
        if !self.gradients.takes_weights() {
            return Ok(None);
        }
        let sum_of = |variable| self.gradients.sum_of(variable, weight.tensor()?);
        weight.variable().map(sum_of).transpose()
    }

    /// The gradient of an activation so far, if it may be added to in its own memory.
    #[cfg(feature = "cuda")]
    pub(crate) fn own_sum(&self, to: Option<Node>) -> Option<Tensor> {
        let sum = self.sums[to?.idx].as_ref().filter(|sum| !sum.is_shared)?;
        Some(sum.gradient.clone())
    }

    fn sum(&mut self, to: Option<Node>, gradient: Tensor, is_shared: bool) -> Result<()> {
        let Some(node) = to else { return Ok(()) };
        let new = Sum { gradient: gradient.contiguous()?, is_shared };
        self.sums[node.idx] = Some(match self.sums[node.idx].take() {
            None => new,
            Some(old) => old.plus(new)?,
        });
        Ok(())
    }

    fn place(&self, of: &Activation) -> Result<usize> {
        match of.node().filter(|node| node.tape == self.tape) {
            Some(node) => Ok(node.idx),
            None => candle_core::bail!("backward: an activation that this tape has not recorded"),
        }
    }

    fn take(&mut self, node: usize) -> Option<Tensor> {
        self.sums[node].take().map(|sum| sum.gradient)
    }
}

impl Sum {
    fn plus(self, other: Sum) -> Result<Sum> {
        let device = self.gradient.device();
        let is_ours = device.is_cpu() || (cfg!(feature = "cuda") && device.is_cuda());
        let in_place = is_ours && matches!(self.gradient.dtype(), DType::F32 | DType::BF16);
        let gradient = match (in_place, self.is_shared, other.is_shared) {
            (true, false, _) => {
                add_in_place(&self.gradient, &other.gradient)?;
                self.gradient
            }
            (true, true, false) => {
                add_in_place(&other.gradient, &self.gradient)?;
                other.gradient
            }
            (true, true, true) if device.is_cpu() => {
                crate::cpu::add(&self.gradient, &other.gradient)?
            }
            _ => (self.gradient + other.gradient)?,
        };
        Ok(Sum { gradient, is_shared: false })
    }
}
