//! What was computed, in order, so that gradients can be taken back through it.
//!
//! candle's own graph gives every gradient a tensor of zeros and a sum, keeps all activations to the end, and
//! makes a tensor anew for each gradient of a weight. A tape sums in place, adds weights' gradients where the
//! last micro-batch left them, and frees what was saved step by step. While one records, the operations of this
//! crate leave no graph behind, and only they are seen: what goes through candle's own operations on the way
//! gets no gradient.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use candle_core::{CustomOp1, CustomOp2, CustomOp3, Result, Tensor, TensorId, Var, bail};

use crate::add::{AddTo, sum_of};
use crate::buffer::{fused, like, with_values};
use crate::gradients::Gradients;
use crate::matmul::Write;

type Backward = Box<dyn FnOnce(&Tensor, &mut Adjoints) -> Result<()> + Send>;

/// The operations between a forward's inputs and its results.
#[derive(Default)]
pub struct Tape {
    steps: Vec<(TensorId, Backward)>,
    /// Results that a gradient flows through.
    tracked: HashSet<TensorId>,
}

impl std::fmt::Debug for Tape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tape of {} steps", self.steps.len())
    }
}

thread_local! {
    static TAPE: RefCell<Option<Tape>> = const { RefCell::new(None) };
}

impl Tape {
    /// Calls `forward` and records the operations that this thread makes in it.
    pub fn record<R>(forward: impl FnOnce() -> R) -> (R, Tape) {
        Self::record_from(&[], forward)
    }

    /// As [`Tape::record`], with gradients for these inputs too.
    pub fn record_from<R>(inputs: &[&Tensor], forward: impl FnOnce() -> R) -> (R, Tape) {
        let tracked = inputs.iter().map(|input| input.id()).collect();
        let outer = TAPE.replace(Some(Tape { steps: Vec::new(), tracked }));
        let result = forward();
        let tape = TAPE.replace(outer).unwrap_or_default();
        (result, tape)
    }

    /// Takes the gradient of `result` back to the weights and adds theirs to `gradients`.
    ///
    /// # Errors
    /// What an operation says.
    pub fn backward(
        self,
        result: &Tensor,
        gradient: &Tensor,
        gradients: &mut Gradients,
    ) -> Result<()> {
        self.backward_to(&[], result, gradient, gradients).map(drop)
    }

    /// As [`Tape::backward`]; returns the gradients of these inputs of [`Tape::record_from`], as far as they have one.
    ///
    /// # Errors
    /// What an operation says.
    pub fn backward_to(
        self,
        inputs: &[&Tensor],
        result: &Tensor,
        gradient: &Tensor,
        gradients: &mut Gradients,
    ) -> Result<Vec<Option<Tensor>>> {
        let first = (result.id(), Adjoint { sum: gradient.clone(), shared: true });
        let sums = HashMap::from([first]);
        let mut adjoints = Adjoints { sums, gradients, tracked: self.tracked };
        for (output, backward) in self.steps.into_iter().rev() {
            // A result that nothing was made of has no gradient.
            if let Some(adjoint) = adjoints.sums.remove(&output) {
                backward(&adjoint.sum, &mut adjoints)?;
            }
        }
        Ok(inputs
            .iter()
            .map(|input| adjoints.sums.remove(&input.id()).map(|adjoint| adjoint.sum))
            .collect())
    }
}

struct Adjoint {
    sum: Tensor,
    /// Whether other tensors may share its memory: then it is not added to in place.
    shared: bool,
}

/// Gradients on their way back.
pub(crate) struct Adjoints<'a> {
    sums: HashMap<TensorId, Adjoint>,
    gradients: &'a mut Gradients,
    tracked: HashSet<TensorId>,
}

impl Adjoints<'_> {
    /// Whether a gradient of this tensor is of use.
    pub(crate) fn wants(&self, tensor: &Tensor) -> bool {
        tensor.is_variable() || self.tracked.contains(&tensor.id())
    }

    /// Adds a gradient that nobody else holds.
    pub(crate) fn add(&mut self, to: &Tensor, gradient: Option<Tensor>) -> Result<()> {
        self.sum(to, gradient, false)
    }

    /// Adds a gradient that is also another's.
    pub(crate) fn pass(&mut self, to: &Tensor, gradient: &Tensor) -> Result<()> {
        self.sum(to, Some(gradient.clone()), true)
    }

    /// The gradient of a weight, (out, in) or any shape, written or added to where it is kept.
    pub(crate) fn weight(&mut self, weight: &Tensor, f: impl FnOnce(&mut [f32], Write)) {
        self.gradients.write(weight, f);
    }

    fn sum(&mut self, to: &Tensor, gradient: Option<Tensor>, shared: bool) -> Result<()> {
        let Some(gradient) = gradient.filter(|_| self.wants(to)) else { return Ok(()) };
        if to.is_variable() {
            return self.gradients.add_tensor(to, &gradient);
        }
        let adjoint = match self.sums.remove(&to.id()) {
            None => Adjoint { sum: gradient, shared },
            Some(old) if !fused(&[&old.sum, &gradient]) => {
                Adjoint { sum: (old.sum + gradient)?, shared: false }
            }
            Some(old) if !old.shared => {
                old.sum.inplace_op2(&gradient, &AddTo)?;
                old
            }
            Some(old) if !shared => {
                gradient.inplace_op2(&old.sum, &AddTo)?;
                Adjoint { sum: gradient, shared: false }
            }
            Some(Adjoint { sum, .. }) => {
                let values = with_values([&sum, &gradient], |[a, b]| Ok(sum_of(a, b)))?;
                Adjoint { sum: like(values, &sum)?, shared: false }
            }
        };
        self.sums.insert(to.id(), adjoint);
        Ok(())
    }
}

/// Whether this thread records.
pub(crate) fn is_recording() -> bool {
    TAPE.with_borrow(Option::is_some)
}

/// Notes how the gradient of `output` goes back to `inputs`, if any of them wants it.
pub(crate) fn note(
    inputs: &[&Tensor],
    output: &Tensor,
    backward: impl FnOnce(&Tensor, &mut Adjoints) -> Result<()> + Send + 'static,
) -> Result<()> {
    TAPE.with_borrow_mut(|tape| {
        let Some(tape) = tape else { return Ok(()) };
        let mut wanted = false;
        for input in inputs {
            if input.track_op() && !input.is_variable() {
                bail!("an input of a recorded operation was made by an operation of candle")
            }
            wanted |= input.is_variable() || tape.tracked.contains(&input.id());
        }
        if wanted {
            tape.tracked.insert(output.id());
            tape.steps.push((output.id(), Box::new(backward)));
        }
        Ok(())
    })
}

/// Applies an operation with a gradient: on the tape if one records, else in candle's graph.
pub(crate) fn apply1<C: CustomOp1 + Send + Sync + 'static>(a: &Tensor, op: C) -> Result<Tensor> {
    if !is_recording() {
        return a.apply_op1(op);
    }
    let y = a.detach().apply_op1_no_bwd(&op)?;
    let (a, result) = (a.clone(), y.clone());
    note(&[&a.clone()], &y, move |grad, adjoints| {
        let grad = op.bwd(&a, &result, grad)?;
        adjoints.add(&a, grad)
    })?;
    Ok(y)
}

/// As [`apply1`], of two arguments.
pub(crate) fn apply2<C: CustomOp2 + Send + Sync + 'static>(
    a: &Tensor,
    b: &Tensor,
    op: C,
) -> Result<Tensor> {
    if !is_recording() {
        return a.apply_op2(b, op);
    }
    let y = a.detach().apply_op2_no_bwd(&b.detach(), &op)?;
    let (a, b, result) = (a.clone(), b.clone(), y.clone());
    note(&[&a.clone(), &b.clone()], &y, move |grad, adjoints| {
        let (grad_a, grad_b) = op.bwd(&a, &b, &result, grad)?;
        adjoints.add(&a, grad_a)?;
        adjoints.add(&b, grad_b)
    })?;
    Ok(y)
}

/// As [`apply1`], of three arguments.
pub(crate) fn apply3<C: CustomOp3 + Send + Sync + 'static>(
    a: &Tensor,
    b: &Tensor,
    c: &Tensor,
    op: C,
) -> Result<Tensor> {
    if !is_recording() {
        return a.apply_op3(b, c, op);
    }
    let y = a.detach().apply_op3_no_bwd(&b.detach(), &c.detach(), &op)?;
    let (a, b, c, result) = (a.clone(), b.clone(), c.clone(), y.clone());
    note(&[&a.clone(), &b.clone(), &c.clone()], &y, move |grad, adjoints| {
        let (grad_a, grad_b, grad_c) = op.bwd(&a, &b, &c, &result, grad)?;
        adjoints.add(&a, grad_a)?;
        adjoints.add(&b, grad_b)?;
        adjoints.add(&c, grad_c)
    })?;
    Ok(y)
}

/// `f(inputs)`, composed of candle's operations, with a gradient: on the tape if one records, else in candle's graph.
///
/// On the tape only the inputs are kept; on the way back candle's graph exists for this one operation.
pub(crate) fn composed(
    inputs: &[&Tensor],
    f: impl Fn(&[Tensor]) -> Result<Tensor> + Send + 'static,
) -> Result<Tensor> {
    let inputs: Vec<Tensor> = inputs.iter().map(|input| (*input).clone()).collect();
    if !is_recording() {
        return f(&inputs);
    }
    let detached: Vec<Tensor> = inputs.iter().map(Tensor::detach).collect();
    let y = f(&detached)?;
    note(&inputs.clone().iter().collect::<Vec<_>>(), &y, move |grad, adjoints| {
        let leaf = |input: &Tensor| match adjoints.wants(input) {
            true => Ok(Var::from_tensor(input)?.into_inner()),
            false => Ok(input.detach()),
        };
        let leaves = inputs.iter().map(leaf).collect::<Result<Vec<Tensor>>>()?;
        let mut store = (f(&leaves)? * grad)?.sum_all()?.backward()?;
        for (input, leaf) in inputs.iter().zip(&leaves) {
            adjoints.add(input, store.remove(leaf))?;
        }
        Ok(())
    })?;
    Ok(y)
}

/// `f(x)`, of which only x is kept: on the way back everything within is computed again
/// ([arXiv 1604.06174](https://arxiv.org/abs/1604.06174)).
///
/// # Errors
/// What `f` says.
pub fn checkpoint<E: From<candle_core::Error> + std::fmt::Display>(
    x: &Tensor,
    f: impl Fn(&Tensor) -> std::result::Result<Tensor, E> + Send + 'static,
) -> std::result::Result<Tensor, E> {
    if !is_recording() {
        return f(x);
    }
    // What is recorded within is thrown away at once, and with it what it saved.
    let (y, within) = Tape::record_from(&[x], || f(x));
    let (x, y) = (x.clone(), y?);
    if within.steps.is_empty() {
        return Ok(y);
    }
    drop(within);
    TAPE.with_borrow_mut(|tape| {
        let Some(tape) = tape else { return };
        tape.tracked.insert(y.id());
        let backward = move |grad: &Tensor, adjoints: &mut Adjoints| {
            let (y, tape) = Tape::record_from(&[&x], || f(&x));
            let y = y.map_err(|error| candle_core::Error::Msg(error.to_string()))?;
            let mut grads = tape.backward_to(&[&x], &y, grad, adjoints.gradients)?;
            let grad = grads.pop().flatten();
            match grad {
                // It may be the very gradient of the result.
                Some(grad) => adjoints.pass(&x, &grad),
                None => Ok(()),
            }
        };
        tape.steps.push((y.id(), Box::new(backward)));
    });
    Ok(y)
}
