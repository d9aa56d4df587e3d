//! The linear layer: `x · Wᵀ + b`.

mod composed;
mod cpu;
#[cfg(feature = "cuda")]
mod cuda;

use std::ops::Range;

use candle_core::{Result, bail};

#[cfg(feature = "cuda")]
pub(crate) use self::cuda::sum_parts;
use crate::{Activation, Backend, Context, Weight};

/// `x · weightᵀ + bias`: x (N, in), weight (out, in), bias (out), result (N, out) in the type of x.
///
/// The weight may have more axes than two; all but the first are one. It may be of 4-bit numbers; then it is made whole
/// for each product, but for few rows while decoding. The gradients are products of views, g · W and
/// gᵀ · x, where candle would copy transposes; the gradient of an operand that nothing trains is not computed.
///
/// # Errors
/// Shapes that do not fit.
pub fn linear(
    context: &Context,
    x: &Activation,
    weight: &Weight,
    bias: Option<&Weight>,
) -> Result<Activation> {
    linear_part(context, x, weight, bias, 0..weight.n_rows())
}

/// As [`linear`], with these outputs alone: (N, outputs).
///
/// # Errors
/// Shapes that do not fit, outputs that the layer does not have.
pub fn linear_part(
    context: &Context,
    x: &Activation,
    weight: &Weight,
    bias: Option<&Weight>,
    outputs: Range<usize>,
) -> Result<Activation> {
    let layer = Layer::new(context, weight, bias, outputs, x)?;
    let backend = context.backend();
    let y = match backend {
        Backend::Cpu => cpu::forward(x.tensor(), &layer, context.is_decoding())?,
        #[cfg(feature = "cuda")]
        Backend::Cuda => cuda::forward(x.tensor(), &layer)?,
        _ => composed::forward(x.tensor(), &layer)?,
    };
    let from = x.detach();
    let to = x.node();
    let weights: Vec<&Weight> = [weight].into_iter().chain(bias).collect();
    context.record_one(&[x], &weights, y, move |gradient, pass| {
        if to.is_some() {
            let of_x = match backend {
                Backend::Cpu => cpu::gradient_of_x(&from, &layer, &gradient)?,
                #[cfg(feature = "cuda")]
                Backend::Cuda => return cuda::backward(&from, &layer, &gradient, to, pass),
                _ => composed::gradient_of_x(&layer, &gradient)?,
            };
            pass.add(to, of_x)?;
        }
        match backend {
            Backend::Cpu => cpu::add_gradients_of_weights(&from, &layer, &gradient, pass),
            #[cfg(feature = "cuda")]
            Backend::Cuda => cuda::backward(&from, &layer, &gradient, to, pass),
            _ => composed::add_gradients_of_weights(&from, &layer, &gradient, pass),
        }
    })
}

/// y + `scale` · x · weightᵀ, by some outputs of the layer: what an adapter's second factor adds. Nothing else uses y
/// afterwards, so that its memory may become the result's.
///
/// # Errors
/// Shapes that do not fit, outputs that the layer does not have.
pub fn add_linear(
    context: &Context,
    y: Activation,
    x: &Activation,
    weight: &Weight,
    outputs: Range<usize>,
    scale: f64,
) -> Result<Activation> {
    #[cfg(feature = "cuda")]
    if context.backend() == Backend::Cuda {
        let layer = Layer::new(context, weight, None, outputs, x)?;
        let layer = Layer { scale, ..layer };
        let sum = cuda::forward_onto(y.tensor(), x.tensor(), &layer)?;
        let (from, to, of_y) = (x.detach(), x.node(), y.node());
        return context.record_one(&[&y, x], &[weight], sum, move |gradient, pass| {
            cuda::backward(&from, &layer, &gradient, to, pass)?;
            pass.share(of_y, &gradient)
        });
    }
    let added = linear_part(context, x, weight, None, outputs)?;
    crate::add(context, &y, &crate::scale(context, &added, scale)?)
}

/// As [`linear`] of one x by several layers, each a weight and its bias.
///
/// While decoding, a layer of few rows is read faster than threads agree on who does what: those that can be computed
/// together are.
///
/// # Errors
/// Shapes that do not fit.
pub fn linears<const N: usize>(
    context: &Context,
    x: &Activation,
    layers: [(&Weight, Option<&Weight>); N],
) -> Result<[Activation; N]> {
    if context.backend() == Backend::Cpu && context.is_decoding() {
        let whole = layers.map(|(weight, bias)| Layer::whole(weight, bias));
        whole.iter().try_for_each(|layer| layer.check(x))?;
        if let Some(ys) = cpu::forward_each(x.tensor(), &whole)? {
            // Decoding records nothing; this only refuses an x that is on a tape.
            return context.record(&[x], &[], ys, |_, _| Ok(()));
        }
    }
    let mut ys = Vec::with_capacity(N);
    for (weight, bias) in layers {
        ys.push(linear(context, x, weight, bias)?);
    }
    let Ok(ys) = ys.try_into() else { bail!("linears: a layer without result") };
    Ok(ys)
}

/// Some outputs of a layer.
struct Layer {
    weight: Weight,
    bias: Option<Weight>,
    outputs: Range<usize>,
    /// What the products are multiplied with; on a GPU alone it is not 1.
    #[cfg(feature = "cuda")]
    scale: f64,
    /// A small weight in the type to compute in, for the way back too.
    #[cfg(feature = "cuda")]
    narrow: Option<candle_core::Tensor>,
}

impl Layer {
    /// Checked against its input.
    #[cfg_attr(not(feature = "cuda"), expect(unused_variables))]
    fn new(
        context: &Context,
        weight: &Weight,
        bias: Option<&Weight>,
        outputs: Range<usize>,
        x: &Activation,
    ) -> Result<Self> {
        let layer = Self { outputs, ..Self::whole(weight, bias) };
        layer.check(x)?;
        #[cfg(feature = "cuda")]
        let layer = Self { narrow: cuda::narrow(context, weight, x)?, ..layer };
        Ok(layer)
    }

    fn whole(weight: &Weight, bias: Option<&Weight>) -> Self {
        Self {
            weight: weight.clone(),
            bias: bias.cloned(),
            outputs: 0..weight.n_rows(),
            #[cfg(feature = "cuda")]
            scale: 1.0,
            #[cfg(feature = "cuda")]
            narrow: None,
        }
    }

    fn check(&self, x: &Activation) -> Result<()> {
        let (n, d_in) = x.dims2()?;
        let (n_outputs, weight_in) = self.weight.matrix_dims();
        if weight_in != d_in {
            bail!("linear: weight is ({n_outputs}, {weight_in}), x is ({n}, {d_in})")
        }
        if let Some(bias) = self.bias.as_ref().filter(|bias| bias.dims() != [n_outputs]) {
            bail!("linear: bias should have {n_outputs} values, got {:?}", bias.dims())
        }
        if self.outputs.start > self.outputs.end || self.outputs.end > n_outputs {
            bail!("linear: outputs {:?} of {n_outputs}", self.outputs)
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Tensor};

    use super::*;
    use crate::testing::{check, random};

    fn reference(t: &[Tensor]) -> Result<Tensor> {
        t[0].matmul(&t[1].t()?)?.broadcast_add(&t[2])
    }

    #[test]
    fn agrees_with_candle_and_with_differences() {
        check(
            &[random((37, 12), 0)],
            &[random((9, 12), 1), random(9, 2)],
            |context, x, w| linear(context, &x[0], &w[0], Some(&w[1])),
            reference,
        );
    }

    #[test]
    fn agrees_with_candle_without_bias() {
        check(
            &[random((5, 3), 0)],
            &[random((70, 3), 1)],
            |context, x, w| linear(context, &x[0], &w[0], None),
            |t| t[0].matmul(&t[1].t()?),
        );
    }

    #[test]
    fn layers_of_one_input_are_each_a_layer() {
        let check = |context: &Context, rows, dtype| {
            let of = |t: Tensor| t.to_dtype(dtype).unwrap();
            let x = Activation::untracked(of(random((rows, 16), 0)));
            let [v, w] = [random((9, 16), 1), random((70, 16), 2)].map(|t| Weight::frozen(&of(t)));
            let bias = Weight::frozen(&of(random(9, 3)));
            let [first, second] = linears(context, &x, [(&v, Some(&bias)), (&w, None)]).unwrap();
            let wide =
                |t: &Activation| t.detach().to_dtype(DType::F32).unwrap().to_vec2::<f32>().unwrap();
            assert_eq!(wide(&first), wide(&linear(context, &x, &v, Some(&bias)).unwrap()));
            assert_eq!(wide(&second), wide(&linear(context, &x, &w, None).unwrap()));
        };
        let context = Context::new(&Device::Cpu);
        for (rows, dtype) in [(3, DType::F32), (3, DType::BF16), (70, DType::F32)] {
            check(&context, rows, dtype);
            check(&context.decoding(), rows, dtype);
        }
        let x = Activation::untracked(random((2, 3), 0));
        let w = Weight::frozen(&random((4, 5), 1));
        assert!(linears(&context.decoding(), &x, [(&w, None)]).is_err());
    }

    #[test]
    fn a_part_of_the_outputs_leaves_the_rest_without_gradient() {
        let slice = |t: &Tensor| t.narrow(0, 4, 4);
        check(
            &[random((5, 3), 0)],
            &[random((12, 3), 1), random(12, 2)],
            |context, x, w| linear_part(context, &x[0], &w[0], Some(&w[1]), 4..8),
            |t| t[0].matmul(&slice(&t[1])?.contiguous()?.t()?)?.broadcast_add(&slice(&t[2])?),
        );
    }

    #[test]
    fn a_weight_of_more_axes_is_a_matrix() {
        check(
            &[random((5, 12), 0)],
            &[random((4, 2, 6), 1)],
            |context, x, w| linear(context, &x[0], &w[0], None),
            |t| t[0].matmul(&t[1].flatten_from(1)?.t()?),
        );
    }

    #[test]
    fn shapes_that_do_not_fit_are_an_error() {
        let context = Context::new(&Device::Cpu);
        let x = Activation::untracked(random((2, 3), 0));
        let weight = |shape: (usize, usize)| Weight::frozen(&random(shape, 1));
        assert!(linear(&context, &x, &weight((4, 5)), None).is_err());
        let bias = Weight::frozen(&random(5, 2));
        assert!(linear(&context, &x, &weight((4, 3)), Some(&bias)).is_err());
        assert!(linear_part(&context, &x, &weight((4, 3)), None, 3..5).is_err());
    }
}
