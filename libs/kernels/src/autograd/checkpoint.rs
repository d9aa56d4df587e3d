//! Activations that are computed again instead of being kept.

use candle_core::Tensor;

use crate::Context;
use crate::autograd::{Activation, BackwardPass, Tape};

/// `f(x)`, of which training keeps x alone: the backward pass computes everything within again
/// ([arXiv 1604.06174](https://arxiv.org/abs/1604.06174)).
///
/// `f` is given the context that it should compute in, and has to compute the same each time. It may only use
/// activations that it is given or makes itself.
///
/// # Errors
/// Fails if `f` fails.
pub fn checkpoint<E: From<candle_core::Error> + std::fmt::Display>(
    context: &Context,
    x: &Activation,
    f: impl Fn(&Context, &Activation) -> Result<Activation, E> + Send + 'static,
) -> Result<Activation, E> {
    let Some(tape) = context.tape() else { return f(context, x) };
    let settings = tape.settings().clone();
    let probe = Tape::that_keeps_nothing().with_settings(settings.clone());
    let y = f(&context.training(&probe), &input(&probe, x)?)?;
    let value = y.detach();
    if !y.has_gradient() {
        return Ok(Activation::untracked(value));
    }
    let x = x.clone();
    let device = context.device().clone();
    let backend = context.backend();
    let backward = move |[gradient]: [Option<Tensor>; 1], pass: &mut BackwardPass| {
        let Some(gradient) = gradient else { return Ok(()) };
        let tape = Tape::new().with_settings(settings);
        let context = Context::new(&device).with_backend(backend);
        let inner_x = input(&tape, &x)?;
        let y = f(&context.training(&tape), &inner_x);
        let y = y.map_err(|error| candle_core::Error::Msg(error.to_string()))?;
        let inputs: &[&Activation] = if x.has_gradient() { &[&inner_x] } else { &[] };
        let of_x = tape.backward(&[(&y, gradient)], inputs, pass.gradients)?;
        // It may be the very gradient of the result.
        of_x.into_iter().flatten().try_for_each(|gradient| pass.share(x.node(), &gradient))
    };
    let [y] = tape.record([value], backward);
    Ok(y)
}

/// The same value on a tape within, with a gradient if it has one outside.
fn input(tape: &Tape, x: &Activation) -> candle_core::Result<Activation> {
    if x.has_gradient() { tape.input(x.tensor()) } else { Ok(Activation::untracked(x.detach())) }
}
