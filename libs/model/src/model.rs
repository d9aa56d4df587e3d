//! The whole model: vision tower and decoder, over one set of tensors.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use candle_core::{DType, Tensor};
use vrft_kernels::{Activation, Context, Tape};
use vrft_processor::EncodedPrompt;
use vrft_vision::{Grid, Patches};

use crate::decoder::{Decoder, DecoderInput, PredictingRows, SharedAttend};
use crate::encoded_images::{EncodedImages, Shared, put_features};
use crate::features::FeatureCache;
use crate::lora::Lora;
use crate::names::Names;
use crate::packing::Packed;
use crate::packing_for_gpu::GpuPacking;
use crate::prefixes::{PrefixCache, Watch};
use crate::quantized::Quantized;
use crate::rotary::Rotary;
use crate::scope::{Scope, Source};
use crate::soft_prompt::SoftPrompt;
use crate::tower::{Tower, pixels};
use crate::{ModelConfig, ModelError, PackedGroup, Trace};

/// The model over one version of the weights. What a pass computes, with gradients or without, is said by its context.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) config: ModelConfig,
    pub(crate) decoder: Decoder,
    tower: Box<dyn Tower>,
    features: Option<Arc<FeatureCache>>,
    prefixes: Option<PrefixCache>,
    soft: Option<SoftPrompt>,
    dtype: DType,
}

impl Model {
    /// Builds the model, with its adapters if there is a `lora`, and says which of the tensors it took. The
    /// tower does not encode images again that are in the cache `features`.
    pub(crate) fn new(
        config: &ModelConfig,
        tensors: &BTreeMap<String, Tensor>,
        quantized: &Quantized,
        lora: Option<&Lora>,
        dtype: DType,
        features: Option<Arc<FeatureCache>>,
    ) -> Result<(Self, BTreeSet<String>), ModelError> {
        let names = config.names(tensors);
        let source = Source::new(tensors, quantized, lora);
        let (tower, decoder) = Self::parts(config, &source, names)?;
        let soft = SoftPrompt::load(&source, config.text.hidden_size)?;
        // Some writers store a tied head a second time.
        let tied = config.text.tie_word_embeddings.then(|| names.head_weight());
        let used = source.finish(tied.as_slice())?;
        let config = config.clone();
        Ok((Self { config, decoder, tower, features, prefixes: None, soft, dtype }, used))
    }

    /// The same with a cache of prompts' keys and values: its weights never change, and it computes no gradient.
    pub(crate) fn with_prefix_cache(self, prefixes: Option<PrefixCache>) -> Self {
        Self { prefixes, ..self }
    }

    /// The same, whose layers' weights are packed.
    pub(crate) fn with_packing(self, packing: GpuPacking) -> Self {
        Self { decoder: self.decoder.with_packing(packing), ..self }
    }

    /// Names and shapes of all tensors, in the layout of the published checkpoints.
    pub(crate) fn shapes(config: &ModelConfig) -> Result<Vec<(String, Vec<usize>)>, ModelError> {
        let (none, nothing) = (BTreeMap::new(), Quantized::new());
        let source = Source::new(&none, &nothing, None);
        Self::parts(config, &source, config.names(&none))?;
        Ok(source.into_missing())
    }

    fn parts(
        config: &ModelConfig,
        source: &Source,
        names: Names,
    ) -> Result<(Box<dyn Tower>, Decoder), ModelError> {
        let decoder = Decoder::load(source, names, &config.text, config.tower.added_after())?;
        let parts: Vec<Scope> = names.visual().iter().map(|part| source.at(part)).collect();
        let tower = config.tower.load(&parts)?;
        Ok((tower, decoder))
    }

    /// See [`Policy::logprobs`](crate::Policy::logprobs).
    pub(crate) fn logprobs(
        &self,
        context: &Context,
        groups: &[PackedGroup],
        temperature: f64,
    ) -> Result<vrft_kernels::TokenLogprobs, ModelError> {
        self.logprobs_of(context, groups, temperature, |packed| {
            let forward = |watch: &mut Watch| {
                let attend = self.attend(packed);
                let (rotary, predicting) = self.angles(context, packed)?;
                let input = self.embed(context, packed)?; // (T, hidden_size)
                let attend = &mut |context: &Context, idx, qkv: [&Activation; 3]| {
                    let [_, k, v] = qkv;
                    watch(k, v);
                    attend(context, idx, qkv)
                };
                self.decoder.forward(context, input, &rotary, Some(&predicting), attend)
            };
            match self.prefixes.as_ref().filter(|_| !packed.image_predicts()) {
                Some(prefixes) => prefixes.predicting(context, self, groups, packed, &forward),
                None => forward(&mut |_, _| ()),
            }
        })
    }

    /// See [`Policy::training_pass`](crate::Policy::training_pass).
    pub(crate) fn training_logprobs(
        &self,
        context: &Context,
        groups: &[PackedGroup],
        temperature: f64,
        budget_bytes: usize,
        encoded: &[Shared],
    ) -> Result<vrft_kernels::TokenLogprobs, ModelError> {
        let kept_before: usize = encoded.iter().map(|(encoded, _)| encoded.kept_bytes).sum();
        let budget_bytes = budget_bytes.saturating_sub(kept_before);
        self.logprobs_of(context, groups, temperature, |packed| {
            let (input, kept_of_tower) =
                self.embed_training(context, packed, budget_bytes, encoded)?; // (T, hidden_size)
            let n_tokens = packed.token_ids.len();
            let of_layer = self.config.text.activation_bytes(n_tokens, self.dtype);
            let n_kept = (budget_bytes - kept_of_tower) / of_layer.max(1);
            let attend = self.attend(packed);
            let (rotary, predicting) = self.angles(context, packed)?;
            self.decoder.forward_training(context, input, &rotary, &predicting, attend, n_kept)
        })
    }

    fn logprobs_of(
        &self,
        context: &Context,
        groups: &[PackedGroup],
        temperature: f64,
        run: impl FnOnce(&Packed) -> Result<Activation, ModelError>,
    ) -> Result<vrft_kernels::TokenLogprobs, ModelError> {
        if !(temperature.is_finite() && temperature > 0.0) {
            return Err(ModelError::input("temperature", "positive", temperature));
        }
        let packed = Packed::new(self, groups)?;
        if packed.targets.is_empty() {
            return Err(ModelError::input("completions", "at least 1", 0));
        }
        let x = run(&packed)?; // (predicting rows, hidden_size)
        let sources = vrft_kernels::select_rows(context, &x, &packed.sources)?;
        let hidden = self.decoder.normalize(context, &sources)?; // (N, hidden_size)
        let head = self.decoder.head();
        let targets = &packed.targets;
        Ok(vrft_kernels::token_logprobs(context, &hidden, head, targets, temperature)?)
    }

    /// See [`Policy::trace`](crate::Policy::trace).
    pub(crate) fn trace(
        &self,
        context: &Context,
        prompt: &EncodedPrompt,
    ) -> Result<Trace, ModelError> {
        let packed = Packed::new(self, &[PackedGroup { prompt, completions: &[], inserted: &[] }])?;
        let mut trace = Trace::default();
        let input = self.place(context, &packed, |images| {
            let watch = &mut |x: &Activation| trace.vision.push(x.detach());
            self.encode(context, images, usize::MAX, watch)
        })?;
        let rotary = self.rotary(context, &packed.positions)?;
        let head_dim = self.config.text.head_dim;
        let attend = &mut |context: &Context, _, [q, k, v]: [&Activation; 3]| {
            Ok(vrft_kernels::attention(context, q, k, v, head_dim, &packed.layout)?)
        };
        let watch = &mut |x: &Activation| trace.text.push(x.detach());
        let x = self.decoder.forward_watched(context, input, &rotary, attend, watch)?; // (T, hidden_size)
        trace.logits = Some(self.decoder.logits(context, &x)?);
        Ok(trace)
    }

    /// Attention among the packed rows; in the last layer, the predicting rows alone have queries.
    pub(crate) fn attend(&self, packed: &Packed) -> Arc<SharedAttend> {
        let head_dim = self.config.text.head_dim;
        let n_layers = self.config.text.n_layers;
        let (all, predicting) = (packed.layout.clone(), packed.predicting_layout.clone());
        Arc::new(move |context, idx, [q, k, v]| {
            let layout = if idx + 1 == n_layers { &predicting } else { &all };
            Ok(vrft_kernels::attention(context, q, k, v, head_dim, layout)?)
        })
    }

    /// The angles of all packed rows, and the predicting rows with theirs.
    pub(crate) fn angles(
        &self,
        context: &Context,
        packed: &Packed,
    ) -> Result<(Rotary, PredictingRows), ModelError> {
        let rotary = self.rotary(context, &packed.positions)?;
        let predicting = PredictingRows::new(&packed.predicting, &rotary, context.device())?;
        Ok((rotary, predicting))
    }

    /// (N, hidden_size): embeddings of the tokens, those of the image placeholders from the tower.
    pub(crate) fn embed(
        &self,
        context: &Context,
        packed: &Packed,
    ) -> Result<DecoderInput, ModelError> {
        self.place(context, packed, |images| self.features(context, images, usize::MAX))
    }

    /// As [`Model::embed`], with the features of images that are encoded already. Of the tower's blocks, the last so
    /// many keep what the backward pass needs as fit into the budget; returns the bytes of these too.
    fn embed_training(
        &self,
        context: &Context,
        packed: &Packed,
        budget_bytes: usize,
        encoded: &[Shared],
    ) -> Result<(DecoderInput, usize), ModelError> {
        let mut input = self.embed_packed(context, packed)?;
        let n_tokens = |image: &Patches| self.n_tokens(image);
        let images = &packed.images;
        let places = &packed.placeholders;
        let others = put_features(context, &mut input, images, places, encoded, &n_tokens)?;
        if others.images.is_empty() {
            return Ok((input, 0));
        }
        let (n_kept, bytes) = self.kept_blocks(&others.images, budget_bytes);
        let features = self.features(context, &others.images, n_kept)?;
        input.put(context, &features, &others.places)?;
        Ok((input, bytes))
    }

    /// See [`Policy::encode_images`](crate::Policy::encode_images); the prompt has images.
    pub(crate) fn encode_images<'a>(
        &self,
        context: &Context,
        tape: Tape,
        prompt: &'a EncodedPrompt,
        budget_bytes: usize,
    ) -> Result<EncodedImages<'a>, ModelError> {
        let images: Vec<&Patches> = prompt.images.iter().collect();
        let (n_kept, kept_bytes) = self.kept_blocks(&images, budget_bytes);
        let features = self.encode(&context.training(&tape), &images, n_kept, &mut |_| ())?;
        Ok(EncodedImages::new(prompt, features, tape, kept_bytes))
    }

    /// The same with a gradient for the pixels themselves: their place on the tape, (N, values of a patch), comes too.
    pub(crate) fn encode_pixels<'a>(
        &self,
        context: &Context,
        tape: Tape,
        prompt: &'a EncodedPrompt,
        budget_bytes: usize,
    ) -> Result<(EncodedImages<'a>, Activation), ModelError> {
        let images: Vec<&Patches> = prompt.images.iter().collect();
        let (n_kept, kept_bytes) = self.kept_blocks(&images, budget_bytes);
        let pixels = tape.input(&self.pixels(context, &images)?)?;
        let grids: Vec<Grid> = images.iter().map(|image| image.grid).collect();
        let recording = context.training(&tape);
        let features = self.tower.encode(&recording, &pixels, &grids, n_kept, &mut |_| ())?;
        Ok((EncodedImages::new(prompt, features, tape, kept_bytes), pixels))
    }

    /// See [`Policy::image_features`](crate::Policy::image_features).
    pub(crate) fn image_features(
        &self,
        context: &Context,
        images: &[&Patches],
    ) -> Result<Vec<Tensor>, ModelError> {
        let features = self.features(context, images, usize::MAX)?;
        Ok(features.iter().map(Activation::detach).collect())
    }

    /// How many of the tower's blocks may keep what the backward pass needs, and its bytes.
    fn kept_blocks(&self, images: &[&Patches], budget_bytes: usize) -> (usize, usize) {
        let n_patches = images.iter().map(|image| image.grid.n_patches()).sum();
        let of_block = self.config.tower.block_activation_bytes(n_patches, self.dtype).max(1);
        let n_kept = (budget_bytes / of_block).min(self.config.tower.depth());
        (n_kept, n_kept * of_block)
    }

    /// As [`Tower::encode`], from the cache where the tower is not trained.
    pub(crate) fn features(
        &self,
        context: &Context,
        images: &[&Patches],
        n_kept: usize,
    ) -> Result<Vec<Activation>, ModelError> {
        let encode = |images: &[&Patches]| self.encode(context, images, n_kept, &mut |_| ());
        match self.features.as_ref().filter(|cache| cache.is_on()) {
            // The tower is not trained, so no gradient is lost.
            Some(cache) => {
                let encode = |images: &[&Patches]| {
                    Ok(encode(images)?.iter().map(Activation::detach).collect())
                };
                let features = cache.features(images, &|image| self.n_tokens(image), encode)?;
                features.iter().map(|features| Ok(Activation::constant(features)?)).collect()
            }
            None => encode(images),
        }
    }

    /// See [`Tower::encode`].
    fn encode(
        &self,
        context: &Context,
        images: &[&Patches],
        n_kept: usize,
        watch: &mut dyn FnMut(&Activation),
    ) -> Result<Vec<Activation>, ModelError> {
        let pixels = Activation::constant(&self.pixels(context, images)?)?;
        let grids: Vec<Grid> = images.iter().map(|image| image.grid).collect();
        self.tower.encode(context, &pixels, &grids, n_kept, watch)
    }

    /// (N, values of a patch): the patches of all images where the model computes, in the type that it computes in.
    fn pixels(&self, context: &Context, images: &[&Patches]) -> Result<Tensor, ModelError> {
        let pixels = pixels(images, self.config.tower.patches())?;
        Ok(pixels.to_dtype(self.dtype)?.to_device(context.device())?)
    }

    /// Rows of the language model that an image fills.
    fn n_tokens(&self, image: &Patches) -> usize {
        self.config.tower.n_tokens(image.grid)
    }

    /// As [`Model::embed`], with the features that `encode` makes of the images.
    fn place(
        &self,
        context: &Context,
        packed: &Packed,
        encode: impl FnOnce(&[&Patches]) -> Result<Vec<Activation>, ModelError>,
    ) -> Result<DecoderInput, ModelError> {
        let mut input = self.embed_packed(context, packed)?;
        if !packed.images.is_empty() {
            input.put(context, &encode(&packed.images)?, &packed.placeholders)?;
        }
        Ok(input)
    }

    /// What the packed rows start from, but for images: the tokens' embeddings, and the soft prompt's vectors.
    fn embed_packed(&self, context: &Context, packed: &Packed) -> Result<DecoderInput, ModelError> {
        let mut input = DecoderInput::from(self.embed_tokens(context, &packed.token_ids)?);
        if let Some(soft) = &self.soft {
            let vectors = soft.repeated(context, packed.soft.len() / soft.len(), self.dtype)?;
            input.put(context, &[vectors], &packed.soft)?;
        }
        Ok(input)
    }

    /// Vectors that stand before every prompt.
    pub(crate) fn n_soft(&self) -> usize {
        self.soft.as_ref().map_or(0, SoftPrompt::len)
    }

    /// (N, hidden_size) of tokens alone.
    pub(crate) fn embed_tokens(
        &self,
        context: &Context,
        token_ids: &[u32],
    ) -> Result<Activation, ModelError> {
        self.decoder.embed(context, token_ids, self.dtype)
    }

    /// Whether a token stands for a merged patch of an image or of a video.
    pub(crate) fn is_placeholder(&self, token_id: u32) -> bool {
        self.config.placeholder_ids.contains(&token_id)
    }

    pub(crate) fn rotary(
        &self,
        context: &Context,
        positions: &[[u32; 3]],
    ) -> Result<Rotary, ModelError> {
        Rotary::text(&self.config.text, positions, context.device())
    }

    /// Whether the prompt is one that this model can read; `idx` for the message.
    pub(crate) fn check_prompt(
        &self,
        idx: usize,
        prompt: &EncodedPrompt,
    ) -> Result<(), ModelError> {
        self.check_read(&format!("prompt {idx}"), prompt)
    }

    /// Whether what is inserted into the completion of this name is something that this model can read.
    pub(crate) fn check_inserted(
        &self,
        completion: &str,
        inserted: &EncodedPrompt,
    ) -> Result<(), ModelError> {
        self.check_read(&format!("what is inserted into {completion}"), inserted)
    }

    fn check_read(&self, name: &str, prompt: &EncodedPrompt) -> Result<(), ModelError> {
        let input = |what: &str, expected: String, got: usize| {
            Err(ModelError::input(format!("{what} of {name}"), expected, got))
        };
        let n_tokens = prompt.token_ids.len();
        if n_tokens == 0 {
            return input("tokens", "at least 1".into(), 0);
        }
        if prompt.positions.len() != n_tokens {
            return input(
                "positions",
                format!("{n_tokens}, one per token"),
                prompt.positions.len(),
            );
        }
        let placeholders = prompt.token_ids.iter().filter(|id| self.is_placeholder(**id));
        let n_placeholders = placeholders.count();
        let n_expected: usize = prompt.images.iter().map(|image| self.n_tokens(image)).sum();
        if n_placeholders != n_expected {
            let expected = format!("{n_expected}, as its {} images give", prompt.images.len());
            return input("image tokens", expected, n_placeholders);
        }
        self.check_tokens(name, &prompt.token_ids)
    }

    /// Whether all tokens are in the vocabulary.
    pub(crate) fn check_tokens(&self, what: &str, token_ids: &[u32]) -> Result<(), ModelError> {
        let vocab_size = self.config.text.vocab_size;
        match token_ids.iter().find(|id| **id as usize >= vocab_size) {
            Some(id) => {
                let expected = format!("below the vocabulary's {vocab_size}");
                Err(ModelError::input(format!("tokens of {what}"), expected, id))
            }
            None => Ok(()),
        }
    }
}
