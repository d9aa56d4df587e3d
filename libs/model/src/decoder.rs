//! The language model: a decoder whose attention is given from outside, so that the packed forward and the
//! cached one are the same code.

#[cfg(feature = "cuda")]
mod step;

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use vrft_kernels::{Activation, Context, Weight};

use crate::layers::{Linear, RmsNorm};
use crate::names::Names;
use crate::packing_for_gpu::GpuPacking;
use crate::rotary::Rotary;
use crate::scope::Source;
use crate::{ModelError, TextConfig};

/// The attention of a layer: called with the layer's index and its rotated queries, keys and values,
/// (N, heads · head_dim) and twice (N, kv_heads · head_dim).
pub(crate) type Attend<'a> =
    dyn FnMut(&Context, usize, [&Activation; 3]) -> Result<Activation, ModelError> + 'a;

/// As [`Attend`], for layers that may run again in the backward pass.
pub(crate) type SharedAttend =
    dyn Fn(&Context, usize, [&Activation; 3]) -> Result<Activation, ModelError> + Send + Sync;

/// The rows that predict a token: of the others the last layer computes keys and values alone.
#[derive(Debug, Clone)]
pub(crate) struct PredictingRows {
    rows: Arc<[u32]>,
    rotary: Rotary,
}

impl PredictingRows {
    /// These rows of those that `rotary` is for.
    pub(crate) fn new(rows: &[u32], rotary: &Rotary, device: &Device) -> Result<Self, ModelError> {
        let rotary = rotary.select(&Tensor::new(rows, device)?)?;
        Ok(Self { rows: rows.into(), rotary })
    }

    fn select(&self, context: &Context, x: &Activation) -> Result<Activation, ModelError> {
        Ok(vrft_kernels::select_rows(context, x, &self.rows)?)
    }
}

/// Embedding, decoder layers and output head.
#[derive(Debug)]
pub(crate) struct Decoder {
    embedding: Weight,
    padding_id: Option<u32>,
    layers: Vec<Arc<Layer>>,
    norm: RmsNorm,
    head: Weight,
    /// Layers after which further image features are added.
    added_after: Vec<usize>,
    #[cfg_attr(
        not(feature = "cuda"),
        expect(dead_code, reason = "nothing else reads packed weights")
    )]
    packing: GpuPacking,
    /// The same weights for decoding on a GPU, once they were asked for.
    #[cfg(feature = "cuda")]
    step_weights: std::sync::OnceLock<Option<Arc<vrft_kernels::StepWeights>>>,
}

/// What the layers start from, and what is added on the way.
#[derive(Debug)]
pub(crate) struct DecoderInput {
    /// (N, hidden_size)
    x: Activation,
    /// For each of the layers after which image features are added, what is added to all rows, (N, hidden_size); empty
    /// without images, and where a tower has one kind of features.
    added: Vec<Activation>,
}

impl From<Activation> for DecoderInput {
    fn from(x: Activation) -> Self {
        Self { x, added: Vec::new() }
    }
}

impl DecoderInput {
    /// Puts image features into these rows: the first replace the embeddings, the others are added after their layers.
    pub(crate) fn put(
        &mut self,
        context: &Context,
        features: &[Activation],
        rows: &[usize],
    ) -> Result<(), ModelError> {
        let Some((first, others)) = features.split_first() else { return Ok(()) };
        self.x = vrft_kernels::replace_rows(context, &self.x, first, rows)?;
        for (i, features) in others.iter().enumerate() {
            if self.added.len() == i {
                let zeros = Tensor::zeros(self.x.dims(), self.x.dtype(), context.device())?;
                self.added.push(Activation::constant(&zeros)?);
            }
            self.added[i] = vrft_kernels::replace_rows(context, &self.added[i], features, rows)?;
        }
        Ok(())
    }
}

impl Decoder {
    pub(crate) fn load(
        source: &Source,
        names: Names,
        config: &TextConfig,
        added_after: &[usize],
    ) -> Result<Self, ModelError> {
        let scope = source.at(names.text());
        let vocab_size = config.vocab_size;
        let width = config.hidden_size;
        let embedding = scope.at("embed_tokens").weight("weight", &[vocab_size, width])?;
        let head = if config.tie_word_embeddings {
            embedding.clone()
        } else {
            source.at(names.head()).weight("weight", &[vocab_size, width])?
        };
        let layers = (0..config.n_layers).map(|i| {
            let scope = scope.at("layers").at(i);
            let (attention, mlp) = (scope.at("self_attn"), scope.at("mlp"));
            let q_width = config.q_width();
            let kv_width = config.kv_width();
            let bias = config.qkv_bias;
            let mlp_bias = config.mlp_bias;
            let inner = config.intermediate_size;
            let eps = config.rms_norm_eps;
            let head_norm = |name: &str| {
                let norm = || RmsNorm::load(&attention.at(name), config.head_dim, eps);
                config.qk_norm.then(norm).transpose()
            };
            Ok(Arc::new(Layer {
                input_norm: RmsNorm::load(&scope.at("input_layernorm"), width, eps)?,
                q: Linear::load(&attention.at("q_proj"), width, q_width, bias)?,
                k: Linear::load(&attention.at("k_proj"), width, kv_width, bias)?,
                v: Linear::load(&attention.at("v_proj"), width, kv_width, bias)?,
                q_norm: head_norm("q_norm")?,
                k_norm: head_norm("k_norm")?,
                o: Linear::load(&attention.at("o_proj"), q_width, width, config.o_bias)?,
                mlp_norm: RmsNorm::load(&scope.at("post_attention_layernorm"), width, eps)?,
                gate: Linear::load(&mlp.at("gate_proj"), width, inner, mlp_bias)?,
                up: Linear::load(&mlp.at("up_proj"), width, inner, mlp_bias)?,
                down: Linear::load(&mlp.at("down_proj"), inner, width, mlp_bias)?,
            }))
        });
        let layers = layers.collect::<Result<_, ModelError>>()?;
        let norm = RmsNorm::load(&scope.at("norm"), width, config.rms_norm_eps)?;
        Ok(Self {
            embedding,
            padding_id: config.padding_id,
            layers,
            norm,
            head,
            added_after: added_after.to_vec(),
            packing: GpuPacking::default(),
            #[cfg(feature = "cuda")]
            step_weights: std::sync::OnceLock::new(),
        })
    }

    /// The same, whose layers' weights are packed.
    pub(crate) fn with_packing(self, packing: GpuPacking) -> Self {
        Self { packing, ..self }
    }

    /// (N, hidden_size) of token ids, in the type to compute in.
    pub(crate) fn embed(
        &self,
        context: &Context,
        token_ids: &[u32],
        dtype: DType,
    ) -> Result<Activation, ModelError> {
        let x = vrft_kernels::embedding(context, &self.embedding, token_ids, dtype)?;
        let is_padding = |(row, id): (usize, &u32)| (Some(*id) == self.padding_id).then_some(row);
        let padding: Vec<usize> = token_ids.iter().enumerate().filter_map(is_padding).collect();
        if padding.is_empty() || !x.has_gradient() {
            return Ok(x);
        }
        // The same values, behind which the gradient ends.
        let rows: Vec<u32> = padding.iter().map(|row| *row as u32).collect();
        let rows = Tensor::new(rows, context.device())?;
        let values = Activation::constant(&x.detach().index_select(&rows, 0)?)?;
        Ok(vrft_kernels::replace_rows(context, &x, &values, &padding)?)
    }

    /// All layers; the result is (N, hidden_size) as the input or (predicting rows, hidden_size), before the last normalization.
    pub(crate) fn forward(
        &self,
        context: &Context,
        input: DecoderInput,
        rotary: &Rotary,
        predicting: Option<&PredictingRows>,
        attend: &mut Attend,
    ) -> Result<Activation, ModelError> {
        let DecoderInput { mut x, added } = input;
        for (idx, layer) in self.layers.iter().enumerate() {
            x = layer.forward(
                context,
                idx,
                &x,
                rotary,
                predicting.filter(|_| self.is_last(idx)),
                attend,
            )?;
            x = self.with_added(context, idx, x, &added, predicting)?;
        }
        Ok(x)
    }

    /// As [`Decoder::forward`] of all rows, showing the output of each layer.
    pub(crate) fn forward_watched(
        &self,
        context: &Context,
        input: DecoderInput,
        rotary: &Rotary,
        attend: &mut Attend,
        watch: &mut dyn FnMut(&Activation),
    ) -> Result<Activation, ModelError> {
        let DecoderInput { mut x, added } = input;
        for (idx, layer) in self.layers.iter().enumerate() {
            x = layer.forward(context, idx, &x, rotary, None, attend)?;
            x = self.with_added(context, idx, x, &added, None)?;
            watch(&x);
        }
        Ok(x)
    }

    /// As [`Decoder::forward`] with `attend`; only the last `n_kept` layers keep what the backward pass needs, the
    /// others are computed again.
    pub(crate) fn forward_training(
        &self,
        context: &Context,
        input: DecoderInput,
        rotary: &Rotary,
        predicting: &PredictingRows,
        attend: Arc<SharedAttend>,
        n_kept: usize,
    ) -> Result<Activation, ModelError> {
        let DecoderInput { mut x, added } = input;
        for (idx, layer) in self.layers.iter().enumerate() {
            let of_last = Some(predicting.clone()).filter(|_| self.is_last(idx));
            let layer = layer.clone();
            let rotary = rotary.clone();
            let attend = attend.clone();
            let run = move |context: &Context, x: &Activation| {
                let attend =
                    &mut |context: &Context, idx, qkv: [&Activation; 3]| attend(context, idx, qkv);
                layer.forward(context, idx, x, &rotary, of_last.as_ref(), attend)
            };
            x = if idx + n_kept >= self.layers.len() {
                run(context, &x)?
            } else {
                vrft_kernels::checkpoint(context, &x, run)?
            };
            x = self.with_added(context, idx, x, &added, Some(predicting))?;
        }
        Ok(x)
    }

    /// The output of a layer with the image features that are added after it; `x` are the predicting rows alone, if
    /// they are given and it is the last layer.
    fn with_added(
        &self,
        context: &Context,
        idx: usize,
        x: Activation,
        added: &[Activation],
        predicting: Option<&PredictingRows>,
    ) -> Result<Activation, ModelError> {
        let place = self.added_after.iter().position(|after| *after == idx);
        let Some(features) = place.and_then(|place| added.get(place)) else { return Ok(x) };
        match predicting.filter(|_| self.is_last(idx)) {
            Some(rows) => Ok(vrft_kernels::add(context, &x, &rows.select(context, features)?)?),
            None => Ok(vrft_kernels::add(context, &x, features)?),
        }
    }

    fn is_last(&self, idx: usize) -> bool {
        idx + 1 == self.layers.len()
    }

    /// The normalization after the last decoder layer.
    pub(crate) fn normalize(
        &self,
        context: &Context,
        x: &Activation,
    ) -> Result<Activation, ModelError> {
        self.norm.forward(context, x)
    }

    /// (V, hidden_size): logits are products with its rows.
    pub(crate) fn head(&self) -> &Weight {
        &self.head
    }

    /// (N, V) in f32 from the rows of [`Decoder::forward`], without gradient.
    pub(crate) fn logits(&self, context: &Context, x: &Activation) -> Result<Tensor, ModelError> {
        let x = self.normalize(context, x)?;
        let logits = vrft_kernels::linear(context, &x, &self.head, None)?;
        Ok(logits.detach().to_dtype(DType::F32)?)
    }
}

#[derive(Debug)]
struct Layer {
    input_norm: RmsNorm,
    q: Linear,
    k: Linear,
    v: Linear,
    q_norm: Option<RmsNorm>,
    k_norm: Option<RmsNorm>,
    o: Linear,
    mlp_norm: RmsNorm,
    gate: Linear,
    up: Linear,
    down: Linear,
}

impl Layer {
    fn forward(
        &self,
        context: &Context,
        idx: usize,
        x: &Activation,
        rotary: &Rotary,
        predicting: Option<&PredictingRows>,
        attend: &mut Attend,
    ) -> Result<Activation, ModelError> {
        let normed = self.input_norm.forward(context, x)?;
        let qkv = [&self.q, &self.k, &self.v];
        let ([q, k, v], x, rotary_of_queries) = match predicting {
            None => (Linear::forward_each(qkv, context, &normed)?, x, rotary),
            Some(predicting) => {
                let [k, v] = Linear::forward_each([&self.k, &self.v], context, &normed)?;
                let q = self.q.forward(context, &predicting.select(context, &normed)?)?;
                ([q, k, v], &predicting.select(context, x)?, &predicting.rotary)
            }
        };
        let normed = |norm: &Option<RmsNorm>, x| match norm {
            Some(norm) => norm.forward_heads(context, &x),
            None => Ok(x),
        };
        let q = rotary_of_queries.apply(context, &normed(&self.q_norm, q)?)?;
        let k = rotary.apply(context, &normed(&self.k_norm, k)?)?;
        let attended = attend(context, idx, [&q, &k, &v])?;
        let x = vrft_kernels::add(context, x, &self.o.forward(context, &attended)?)?;
        let normed = self.mlp_norm.forward(context, &x)?;
        let [gate, up] = Linear::forward_each([&self.gate, &self.up], context, &normed)?;
        let inner = vrft_kernels::swiglu(context, &gate, &up)?;
        Ok(vrft_kernels::add(context, &x, &self.down.forward(context, &inner)?)?)
    }
}
