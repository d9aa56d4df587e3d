//! The tape as a whole, on small chains of operations.

use candle_core::{Device, Result, Tensor, Var};

use crate::testing::{contexts, difference, random};
use crate::{
    Activation, Context, Gradients, Tape, Weight, add, checkpoint, dropout, linear, scale,
};

/// An MLP of two layers with dropout between them, beside its input.
fn block(context: &Context, x: &Activation, weight: &Weight) -> Result<Activation> {
    let inner = dropout(context, &linear(context, x, weight, None)?, 0.3, 1)?;
    add(context, x, &linear(context, &inner, weight, None)?)
}

/// Gradients of x and of the weight for one chain of operations.
fn gradients(
    context: &Context,
    chain: impl Fn(&Context, &Activation, &Weight) -> Result<Activation>,
) -> (Tensor, Vec<f32>) {
    let variable = Var::from_tensor(&random((6, 6), 1)).unwrap();
    let tape = Tape::new().with_dropout(Some(3));
    let x = tape.input(&random((4, 6), 0)).unwrap();
    let y = chain(&context.training(&tape), &x, &Weight::trainable(&variable)).unwrap();
    let mut gradients = Gradients::default();
    let slopes = random((4, 6), 2);
    let of_x = tape.backward(&[(&y, slopes)], &[&x], &mut gradients).unwrap().remove(0);
    (of_x.unwrap(), gradients.get(&variable).unwrap().to_vec())
}

#[test]
fn what_is_computed_again_has_the_same_gradients_to_the_bit() {
    for context in contexts() {
        let kept = gradients(&context, |context, x, w| block(context, &block(context, x, w)?, w));
        let computed_again = gradients(&context, |context, x, w| {
            let weight = w.clone();
            let y = checkpoint(context, x, move |context, x| block(context, x, &weight))?;
            let weight = w.clone();
            checkpoint(context, &y, move |context, x| block(context, x, &weight))
        });
        assert_eq!(difference(&kept.0, &computed_again.0), 0.0);
        assert_eq!(kept.1, computed_again.1);
    }
}

#[test]
fn a_checkpoint_that_nothing_is_trained_through_records_nothing() {
    let tape = Tape::new();
    let context = Context::new(&Device::Cpu);
    let x = random((4, 6), 0);
    let weight = Weight::frozen(&random((6, 6), 1));
    let x = Activation::constant(&x).unwrap();
    let y = checkpoint(&context.training(&tape), &x, move |context, x| block(context, x, &weight));
    assert!(!y.unwrap().has_gradient());
    assert_eq!(format!("{tape:?}"), "Tape of 0 steps");
}

#[test]
fn an_activation_of_another_tape_is_refused() {
    let ours = Tape::new();
    let theirs = Tape::new();
    let context = Context::new(&Device::Cpu);
    let x = theirs.input(&random((2, 2), 0)).unwrap();
    for context in [context.training(&ours), context.clone(), context.decoding()] {
        let error = scale(&context, &x, 2.0).unwrap_err().to_string();
        assert!(error.contains("detach()"), "{error}");
    }
    let detached = Activation::constant(&x.detach()).unwrap();
    assert!(!scale(&context.training(&ours), &detached, 2.0).unwrap().has_gradient());
    let mut gradients = Gradients::default();
    assert!(ours.backward(&[(&x, random((2, 2), 0))], &[], &mut gradients).is_err());
}

#[test]
fn a_gradient_of_another_shape_than_its_result_is_refused() {
    let tape = Tape::new();
    let context = Context::new(&Device::Cpu);
    let x = tape.input(&random((2, 3), 0)).unwrap();
    let y = scale(&context.training(&tape), &x, 2.0).unwrap();
    let result = tape.backward(&[(&y, random((3, 2), 0))], &[&x], &mut Gradients::default());
    let error = result.unwrap_err().to_string();
    assert!(error.contains("should be [2, 3], got [3, 2]"), "{error}");
}

#[test]
fn an_input_that_no_result_depends_on_has_no_gradient() {
    let tape = Tape::new();
    let context = Context::new(&Device::Cpu);
    let [x, unused] = [0, 1].map(|seed| tape.input(&random((2, 3), seed)).unwrap());
    let y = scale(&context.training(&tape), &x, 2.0).unwrap();
    let slopes = y.detach().ones_like().unwrap();
    let inputs = [&x, &unused];
    let found = tape.backward(&[(&y, slopes)], &inputs, &mut Gradients::default()).unwrap();
    assert!(found[0].is_some() && found[1].is_none());
}
