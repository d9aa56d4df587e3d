//! The language model: a decoder whose attention is given from outside, so that the packed forward and the
//! cached one are the same code.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use crate::layers::{self, Linear, RmsNorm};
use crate::rotary::Rotary;
use crate::scope::{Names, Source};
use crate::{PolicyError, TextConfig};

/// What a layer's queries see: called with the layer's index and its turned queries, keys and values,
/// (N, heads · head_dim) and twice (N, kv_heads · head_dim).
pub(crate) type Attend<'a> =
    dyn FnMut(usize, &Tensor, &Tensor, &Tensor) -> Result<Tensor, PolicyError> + 'a;

/// As [`Attend`], for layers that may run again on the way back.
pub(crate) type SharedAttend =
    dyn Fn(usize, &Tensor, &Tensor, &Tensor) -> Result<Tensor, PolicyError> + Send + Sync;

/// The rows of which the last layer's output is wanted: of the others it computes keys and values alone.
#[derive(Debug, Clone)]
pub(crate) struct Tail {
    rows: Arc<[u32]>,
    rotary: Rotary,
}

impl Tail {
    /// These rows of those that `rotary` is for.
    pub(crate) fn new(rows: &[u32], rotary: &Rotary, device: &Device) -> Result<Self, PolicyError> {
        let rotary = rotary.select(&Tensor::new(rows, device)?)?;
        Ok(Self { rows: rows.into(), rotary })
    }

    fn select(&self, x: &Tensor) -> Result<Tensor, PolicyError> {
        Ok(vrft_kernels::select_rows(x, &self.rows, x.dtype())?)
    }
}

/// Embedding, decoder layers and output head.
#[derive(Debug)]
pub(crate) struct Decoder {
    embedding: Tensor,
    layers: Vec<Arc<Layer>>,
    norm: RmsNorm,
    head: Tensor,
}

impl Decoder {
    pub(crate) fn load(
        source: &Source,
        names: Names,
        config: &TextConfig,
    ) -> Result<Self, PolicyError> {
        let scope = source.at(names.text);
        let (vocab_size, width) = (config.vocab_size, config.hidden_size);
        let embedding = scope.at("embed_tokens").tensor("weight", &[vocab_size, width])?;
        let head = match config.tie_word_embeddings {
            true => embedding.clone(),
            false => source.at(names.head).tensor("weight", &[vocab_size, width])?,
        };
        let layers = (0..config.n_layers).map(|i| {
            let scope = scope.at("layers").at(i);
            let (attention, mlp) = (scope.at("self_attn"), scope.at("mlp"));
            let kv_width = config.n_kv_heads * config.head_dim();
            let (inner, eps) = (config.intermediate_size, config.rms_norm_eps);
            Ok(Arc::new(Layer {
                input_norm: RmsNorm::load(&scope.at("input_layernorm"), width, eps)?,
                q: Linear::load(&attention.at("q_proj"), width, width, true)?,
                k: Linear::load(&attention.at("k_proj"), width, kv_width, true)?,
                v: Linear::load(&attention.at("v_proj"), width, kv_width, true)?,
                o: Linear::load(&attention.at("o_proj"), width, width, false)?,
                mlp_norm: RmsNorm::load(&scope.at("post_attention_layernorm"), width, eps)?,
                gate: Linear::load(&mlp.at("gate_proj"), width, inner, false)?,
                up: Linear::load(&mlp.at("up_proj"), width, inner, false)?,
                down: Linear::load(&mlp.at("down_proj"), inner, width, false)?,
            }))
        });
        let layers = layers.collect::<Result<_, PolicyError>>()?;
        let norm = RmsNorm::load(&scope.at("norm"), width, config.rms_norm_eps)?;
        Ok(Self { embedding, layers, norm, head })
    }

    /// (N, hidden_size) of token ids, in the type to compute in.
    pub(crate) fn embed(&self, token_ids: &[u32], dtype: DType) -> Result<Tensor, PolicyError> {
        layers::embed(&self.embedding, token_ids, dtype)
    }

    /// All layers; x (N, hidden_size), result as x or (tail, hidden_size), before the last normalization.
    pub(crate) fn forward(
        &self,
        mut x: Tensor,
        rotary: &Rotary,
        tail: Option<&Tail>,
        attend: &mut Attend,
    ) -> Result<Tensor, PolicyError> {
        for (idx, layer) in self.layers.iter().enumerate() {
            x = layer.forward(idx, &x, rotary, tail.filter(|_| self.is_last(idx)), attend)?;
        }
        Ok(x)
    }

    /// As [`Decoder::forward`] of all rows, showing the output of each layer.
    pub(crate) fn forward_watched(
        &self,
        mut x: Tensor,
        rotary: &Rotary,
        attend: &mut Attend,
        watch: &mut dyn FnMut(&Tensor),
    ) -> Result<Tensor, PolicyError> {
        for (idx, layer) in self.layers.iter().enumerate() {
            x = layer.forward(idx, &x, rotary, None, attend)?;
            watch(&x);
        }
        Ok(x)
    }

    /// As [`Decoder::forward`] with `attend`; only the last `n_kept` layers keep what they need on the way back.
    pub(crate) fn forward_training(
        &self,
        mut x: Tensor,
        rotary: &Rotary,
        tail: &Tail,
        attend: Arc<SharedAttend>,
        n_kept: usize,
    ) -> Result<Tensor, PolicyError> {
        for (idx, layer) in self.layers.iter().enumerate() {
            let tail = Some(tail.clone()).filter(|_| self.is_last(idx));
            let (layer, rotary, attend) = (layer.clone(), rotary.clone(), attend.clone());
            let run = move |x: &Tensor| {
                layer.forward(idx, x, &rotary, tail.as_ref(), &mut |idx, q, k, v| {
                    attend(idx, q, k, v)
                })
            };
            x = match idx + n_kept >= self.layers.len() {
                true => run(&x)?,
                false => vrft_kernels::checkpoint(&x, run)?,
            };
        }
        Ok(x)
    }

    fn is_last(&self, idx: usize) -> bool {
        idx + 1 == self.layers.len()
    }

    /// The last normalization.
    pub(crate) fn normalize(&self, x: &Tensor) -> Result<Tensor, PolicyError> {
        self.norm.forward(x)
    }

    /// (V, hidden_size): logits are products with its rows.
    pub(crate) fn head(&self) -> &Tensor {
        &self.head
    }

    /// (N, V) in f32 from the rows of [`Decoder::forward`].
    pub(crate) fn logits(&self, x: &Tensor) -> Result<Tensor, PolicyError> {
        let logits = vrft_kernels::linear(&self.normalize(x)?, &self.head, None)?;
        Ok(logits.to_dtype(DType::F32)?)
    }
}

#[derive(Debug)]
struct Layer {
    input_norm: RmsNorm,
    q: Linear,
    k: Linear,
    v: Linear,
    o: Linear,
    mlp_norm: RmsNorm,
    gate: Linear,
    up: Linear,
    down: Linear,
}

impl Layer {
    fn forward(
        &self,
        idx: usize,
        x: &Tensor,
        rotary: &Rotary,
        tail: Option<&Tail>,
        attend: &mut Attend,
    ) -> Result<Tensor, PolicyError> {
        let normed = self.input_norm.forward(x)?;
        let ([q, k, v], x, of_queries) = match tail {
            None => (Linear::forward_each([&self.q, &self.k, &self.v], &normed)?, x, rotary),
            Some(tail) => {
                let [k, v] = Linear::forward_each([&self.k, &self.v], &normed)?;
                let q = self.q.forward(&tail.select(&normed)?)?;
                ([q, k, v], &tail.select(x)?, &tail.rotary)
            }
        };
        let (q, k) = (of_queries.apply(&q)?, rotary.apply(&k)?);
        let x = vrft_kernels::add(x, &self.o.forward(&attend(idx, &q, &k, &v)?)?)?;
        let normed = self.mlp_norm.forward(&x)?;
        let [gate, up] = Linear::forward_each([&self.gate, &self.up], &normed)?;
        let inner = vrft_kernels::swiglu(&gate, &up)?;
        Ok(vrft_kernels::add(&x, &self.down.forward(&inner)?)?)
    }
}
