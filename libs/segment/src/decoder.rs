//! From features of a picture and embeddings of boxes to logits of masks.
//!
//! The transformer is candle's. What follows it is ours, because candle's mask decoder approximates GELU by tanh there, and
//! SAM does not.

use candle_core::{IndexOp, Result, Tensor};
use candle_nn::{
    ConvTranspose2d, ConvTranspose2dConfig, Linear, Module, VarBuilder, conv_transpose2d, linear,
};
use candle_transformers::models::segment_anything::LayerNorm2d;
use candle_transformers::models::segment_anything::transformer::TwoWayTransformer;

use crate::names::HYPER_DEPTH;
use crate::sizes::Sizes;

/// Under the root of the layer normalization between the enlargements.
const EPSILON: f64 = 1e-6;

/// SAM's mask decoder.
pub(crate) struct Decoder {
    /// Tokens that are asked for the overlap and for each mask: 1 + masks, width.
    tokens: Tensor,
    transformer: TwoWayTransformer,
    enlarge: [ConvTranspose2d; 2],
    norm: LayerNorm2d,
    /// One for each mask.
    hyper: Vec<Mlp>,
    iou: Mlp,
}

/// Logits and estimates of several boxes.
pub(crate) struct Decoded {
    /// boxes, masks, 4 × grid, 4 × grid.
    pub(crate) logits: Tensor,
    /// The overlap that SAM expects of each mask: boxes, masks.
    pub(crate) iou: Tensor,
}

impl Decoder {
    /// For a model of these sizes.
    ///
    /// # Errors
    /// Tensors that are absent or of another shape.
    pub(crate) fn load(weights: &VarBuilder, sizes: &Sizes) -> Result<Self> {
        let (width, n_masks) = (sizes.width, sizes.n_proposals + 1);
        let token = |name: &str, n: usize| weights.pp(name).get((n, width), "weight");
        let upscaling = weights.pp("output_upscaling");
        let config = ConvTranspose2dConfig { stride: 2, ..ConvTranspose2dConfig::default() };
        let enlarge = |number: usize, from: usize, to: usize| {
            conv_transpose2d(from, to, 2, config, upscaling.pp(number))
        };
        let hyper = weights.pp("output_hypernetworks_mlps");
        let hyper = (0..n_masks)
            .map(|number| Mlp::load(&hyper.pp(number), width, width, width / 8, HYPER_DEPTH));
        Ok(Self {
            tokens: Tensor::cat(&[token("iou_token", 1)?, token("mask_tokens", n_masks)?], 0)?,
            transformer: TwoWayTransformer::new(
                sizes.decoder_depth,
                width,
                sizes.decoder_heads,
                sizes.decoder_mlp,
                weights.pp("transformer"),
            )?,
            enlarge: [enlarge(0, width, width / 4)?, enlarge(3, width / 4, width / 8)?],
            norm: LayerNorm2d::new(width / 4, EPSILON, upscaling.pp(1))?,
            hyper: hyper.collect::<Result<_>>()?,
            iou: Mlp::load(
                &weights.pp("iou_prediction_head"),
                width,
                sizes.iou_hidden,
                n_masks,
                sizes.iou_depth,
            )?,
        })
    }

    /// Masks of boxes (`boxes`: boxes, 2, width) in a picture with these features (1, width, grid, grid) at these places.
    ///
    /// # Errors
    /// Memory that is not there.
    pub(crate) fn decode(
        &self,
        features: &Tensor,
        places: &Tensor,
        boxes: &Tensor,
    ) -> Result<Decoded> {
        let n = boxes.dim(0)?;
        let (_, width, rows, columns) = features.dims4()?;
        let n_tokens = self.tokens.dim(0)?;
        let tokens = self.tokens.unsqueeze(0)?.expand((n, n_tokens, width))?;
        let tokens = Tensor::cat(&[&tokens, boxes], 1)?;
        let of_each = |one: &Tensor| one.expand((n, width, rows, columns))?.contiguous();
        let (answers, seen) =
            self.transformer.forward(&of_each(features)?, &of_each(places)?, &tokens)?;
        let seen = seen.transpose(1, 2)?.reshape((n, width, rows, columns))?;
        let fine = self.norm.forward(&self.enlarge[0].forward(&seen)?)?.gelu_erf()?;
        let fine = self.enlarge[1].forward(&fine)?.gelu_erf()?;
        let (_, channels, height, width) = fine.dims4()?;
        let masks = self.hyper.iter().enumerate();
        let masks = masks.map(|(number, mlp)| mlp.forward(&answers.i((.., 1 + number))?));
        let masks = Tensor::stack(&masks.collect::<Result<Vec<_>>>()?, 1)?.contiguous()?;
        let logits = masks.matmul(&fine.reshape((n, channels, height * width))?)?;
        Ok(Decoded {
            logits: logits.reshape((n, self.hyper.len(), height, width))?,
            iou: self.iou.forward(&answers.i((.., 0))?)?,
        })
    }
}

/// Linear layers with ReLU between them.
struct Mlp(Vec<Linear>);

impl Mlp {
    fn load(
        weights: &VarBuilder,
        from: usize,
        inner: usize,
        to: usize,
        depth: usize,
    ) -> Result<Self> {
        let layers = (0..depth).map(|number| {
            let from = if number == 0 { from } else { inner };
            let to = if number + 1 == depth { to } else { inner };
            linear(from, to, weights.pp("layers").pp(number))
        });
        layers.collect::<Result<_>>().map(Self)
    }

    fn forward(&self, input: &Tensor) -> Result<Tensor> {
        let mut hidden = input.contiguous()?;
        for (number, layer) in self.0.iter().enumerate() {
            hidden = layer.forward(&hidden)?;
            if number + 1 < self.0.len() {
                hidden = hidden.relu()?;
            }
        }
        Ok(hidden)
    }
}
