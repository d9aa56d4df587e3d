//! Tower and decoder put together, over one set of tensors.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use candle_core::{DType, Tensor};
use vrft_kernels::{Activation, Context, Tape};
use vrft_processor::EncodedPrompt;
use vrft_vision::Patches;

use crate::decoder::{Decoder, PredictingRows, SharedAttend};
use crate::encoded_images::{EncodedImages, Shared, put_features};
use crate::features::FeatureCache;
use crate::lora::Lora;
use crate::packing::Packed;
use crate::prefixes::{PrefixCache, Watch};
use crate::rotary::Rotary;
use crate::scope::{Names, Source};
use crate::tower::VisionTower;
use crate::{ModelConfig, PackedGroup, PolicyError, Trace};

/// The model over one version of the weights. What a pass computes, with gradients or without, is said by its context.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) config: ModelConfig,
    pub(crate) decoder: Decoder,
    tower: VisionTower,
    features: Option<Arc<FeatureCache>>,
    prefixes: Option<PrefixCache>,
    dtype: DType,
}

impl Model {
    /// Builds the model, with its adapters if there is a `lora`, and says which of the tensors it took. The
    /// tower does not encode images again that are in the cache `features`.
    pub(crate) fn new(
        config: &ModelConfig,
        tensors: &BTreeMap<String, Tensor>,
        lora: Option<&Lora>,
        dtype: DType,
        features: Option<Arc<FeatureCache>>,
    ) -> Result<(Self, BTreeSet<String>), PolicyError> {
        let names = Names::of(tensors);
        let source = Source::new(tensors, lora);
        let (tower, decoder) = Self::parts(config, &source, names)?;
        // Some writers store a tied head a second time.
        let tied = if config.text.tie_word_embeddings { names.head_weight() } else { Vec::new() };
        let used = source.finish(&tied)?;
        let config = config.clone();
        Ok((Self { config, decoder, tower, features, prefixes: None, dtype }, used))
    }

    /// The same with a cache of prompts' keys and values: its weights never change, and it computes no gradient.
    pub(crate) fn with_prefix_cache(self, prefixes: Option<PrefixCache>) -> Self {
        Self { prefixes, ..self }
    }

    /// Names and shapes of all tensors, in the layout of the published checkpoints.
    pub(crate) fn shapes(config: &ModelConfig) -> Result<Vec<(String, Vec<usize>)>, PolicyError> {
        let none = BTreeMap::new();
        let source = Source::new(&none, None);
        Self::parts(config, &source, Names::of(&none))?;
        Ok(source.into_missing())
    }

    fn parts(
        config: &ModelConfig,
        source: &Source,
        names: Names,
    ) -> Result<(VisionTower, Decoder), PolicyError> {
        let decoder = Decoder::load(source, names, &config.text)?;
        let tower = VisionTower::load(&source.at(names.visual), &config.vision)?;
        Ok((tower, decoder))
    }

    /// See [`Policy::logprobs`](crate::Policy::logprobs).
    pub(crate) fn logprobs(
        &self,
        context: &Context,
        groups: &[PackedGroup],
        temperature: f64,
    ) -> Result<vrft_kernels::TokenLogprobs, PolicyError> {
        self.logprobs_of(context, groups, temperature, |packed| {
            let forward = |watch: &mut Watch| {
                let attend = self.attend(packed);
                let (rotary, predicting) = self.angles(context, packed)?;
                let x = self.embed(context, packed)?; // (T, hidden_size)
                let attend = &mut |context: &Context, idx, qkv: [&Activation; 3]| {
                    let [_, k, v] = qkv;
                    watch(k, v);
                    attend(context, idx, qkv)
                };
                self.decoder.forward(context, x, &rotary, Some(&predicting), attend)
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
    ) -> Result<vrft_kernels::TokenLogprobs, PolicyError> {
        let kept_before: usize = encoded.iter().map(|(encoded, _)| encoded.kept_bytes).sum();
        let budget_bytes = budget_bytes.saturating_sub(kept_before);
        self.logprobs_of(context, groups, temperature, |packed| {
            let (x, kept_of_tower) = self.embed_training(context, packed, budget_bytes, encoded)?; // (T, hidden_size)
            let n_tokens = packed.token_ids.len();
            let of_layer = self.config.text.activation_bytes(n_tokens, self.dtype);
            let n_kept = (budget_bytes - kept_of_tower) / of_layer.max(1);
            let attend = self.attend(packed);
            let (rotary, predicting) = self.angles(context, packed)?;
            self.decoder.forward_training(context, x, &rotary, &predicting, attend, n_kept)
        })
    }

    fn logprobs_of(
        &self,
        context: &Context,
        groups: &[PackedGroup],
        temperature: f64,
        run: impl FnOnce(&Packed) -> Result<Activation, PolicyError>,
    ) -> Result<vrft_kernels::TokenLogprobs, PolicyError> {
        if !(temperature.is_finite() && temperature > 0.0) {
            return Err(PolicyError::input("temperature", "positive", temperature));
        }
        let packed = Packed::new(self, groups)?;
        if packed.targets.is_empty() {
            return Err(PolicyError::input("completions", "at least 1", 0));
        }
        let x = run(&packed)?; // (predicting rows, hidden_size)
        let sources = vrft_kernels::select_rows(context, &x, &packed.sources)?;
        let hidden = self.decoder.normalize(context, &sources)?; // (N, hidden_size)
        let (head, targets) = (self.decoder.head(), &packed.targets);
        Ok(vrft_kernels::token_logprobs(context, &hidden, head, targets, temperature)?)
    }

    /// See [`Policy::trace`](crate::Policy::trace).
    pub(crate) fn trace(
        &self,
        context: &Context,
        prompt: &EncodedPrompt,
    ) -> Result<Trace, PolicyError> {
        let packed = Packed::new(self, &[PackedGroup { prompt, completions: &[] }])?;
        let mut trace = Trace::default();
        let x = self.place(context, &packed, &mut |images| {
            let watch = &mut |x: &Activation| trace.vision.push(x.detach());
            self.encode(context, images, usize::MAX, watch)
        })?;
        let rotary = self.rotary(context, &packed.positions)?;
        let head_dim = self.config.text.head_dim();
        let attend = &mut |context: &Context, _, [q, k, v]: [&Activation; 3]| {
            Ok(vrft_kernels::attention(context, q, k, v, head_dim, &packed.layout)?)
        };
        let watch = &mut |x: &Activation| trace.text.push(x.detach());
        let x = self.decoder.forward_watched(context, x, &rotary, attend, watch)?; // (T, hidden_size)
        trace.logits = Some(self.decoder.logits(context, &x)?);
        Ok(trace)
    }

    /// Attention among the packed rows; in the last layer, the predicting rows alone have queries.
    pub(crate) fn attend(&self, packed: &Packed) -> Arc<SharedAttend> {
        let (head_dim, n_layers) = (self.config.text.head_dim(), self.config.text.n_layers);
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
    ) -> Result<(Rotary, PredictingRows), PolicyError> {
        let rotary = self.rotary(context, &packed.positions)?;
        let predicting = PredictingRows::new(&packed.predicting, &rotary, context.device())?;
        Ok((rotary, predicting))
    }

    /// (N, hidden_size): embeddings of the tokens, those of the image placeholders from the tower.
    pub(crate) fn embed(
        &self,
        context: &Context,
        packed: &Packed,
    ) -> Result<Activation, PolicyError> {
        self.place(context, packed, &mut |images| self.features(context, images, usize::MAX))
    }

    /// As [`Model::embed`], with the features of images that are encoded already. Of the tower's blocks, the last so
    /// many keep what the backward pass needs as fit into the budget; returns the bytes of these too.
    fn embed_training(
        &self,
        context: &Context,
        packed: &Packed,
        budget_bytes: usize,
        encoded: &[Shared],
    ) -> Result<(Activation, usize), PolicyError> {
        let x = self.embed_tokens(context, &packed.token_ids)?;
        let n_tokens = |image: &Patches| self.n_tokens(image);
        let (images, places) = (&packed.images, &packed.placeholders);
        let (x, others) = put_features(context, x, images, places, encoded, &n_tokens)?;
        if others.images.is_empty() {
            return Ok((x, 0));
        }
        let (n_kept, bytes) = self.kept_blocks(&others.images, budget_bytes);
        let features = self.features(context, &others.images, n_kept)?;
        Ok((vrft_kernels::replace_rows(context, &x, &features, &others.places)?, bytes))
    }

    /// See [`Policy::encode_images`](crate::Policy::encode_images); the prompt has images.
    pub(crate) fn encode_images<'a>(
        &self,
        context: &Context,
        tape: Tape,
        prompt: &'a EncodedPrompt,
        budget_bytes: usize,
    ) -> Result<EncodedImages<'a>, PolicyError> {
        let images: Vec<&Patches> = prompt.images.iter().collect();
        let (n_kept, kept_bytes) = self.kept_blocks(&images, budget_bytes);
        let features = self.encode(&context.training(&tape), &images, n_kept, &mut |_| ())?;
        Ok(EncodedImages { prompt, features, tape, kept_bytes, gradient: None })
    }

    /// How many of the tower's blocks may keep what the backward pass needs, and its bytes.
    fn kept_blocks(&self, images: &[&Patches], budget_bytes: usize) -> (usize, usize) {
        let n_patches = images.iter().map(|image| image.grid.n_patches()).sum();
        let of_block = self.config.vision.block_activation_bytes(n_patches, self.dtype).max(1);
        let n_kept = (budget_bytes / of_block).min(self.config.vision.depth);
        (n_kept, n_kept * of_block)
    }

    /// (tokens of all images, hidden_size), from the cache where the tower is not trained.
    fn features(
        &self,
        context: &Context,
        images: &[&Patches],
        n_kept: usize,
    ) -> Result<Activation, PolicyError> {
        let encode = |images: &[&Patches]| self.encode(context, images, n_kept, &mut |_| ());
        match self.features.as_ref().filter(|cache| cache.is_on()) {
            // The tower is not trained, so no gradient is lost.
            Some(cache) => {
                let encode = |images: &[&Patches]| Ok(encode(images)?.detach());
                let features = cache.features(images, &|image| self.n_tokens(image), &encode)?;
                Ok(Activation::constant(&features)?)
            }
            None => encode(images),
        }
    }

    /// (tokens of all images, hidden_size), by the tower.
    fn encode(
        &self,
        context: &Context,
        images: &[&Patches],
        n_kept: usize,
        watch: &mut dyn FnMut(&Activation),
    ) -> Result<Activation, PolicyError> {
        self.tower.forward(context, images, n_kept, self.dtype, watch)
    }

    /// Rows of the language model that an image fills.
    fn n_tokens(&self, image: &Patches) -> usize {
        image.grid.n_tokens(self.config.vision.merge_size)
    }

    /// As [`Model::embed`], with the features that `encode` makes of the images.
    fn place(
        &self,
        context: &Context,
        packed: &Packed,
        encode: &mut dyn FnMut(&[&Patches]) -> Result<Activation, PolicyError>,
    ) -> Result<Activation, PolicyError> {
        let x = self.embed_tokens(context, &packed.token_ids)?;
        if packed.images.is_empty() {
            return Ok(x);
        }
        let features = encode(&packed.images)?;
        Ok(vrft_kernels::replace_rows(context, &x, &features, &packed.placeholders)?)
    }

    /// (N, hidden_size) of tokens alone.
    pub(crate) fn embed_tokens(
        &self,
        context: &Context,
        token_ids: &[u32],
    ) -> Result<Activation, PolicyError> {
        self.decoder.embed(context, token_ids, self.dtype)
    }

    /// Whether a token stands for a merged patch of an image or of a video.
    pub(crate) fn is_placeholder(&self, token_id: u32) -> bool {
        token_id == self.config.image_token_id || token_id == self.config.video_token_id
    }

    pub(crate) fn rotary(
        &self,
        context: &Context,
        positions: &[[u32; 3]],
    ) -> Result<Rotary, PolicyError> {
        Rotary::text(&self.config.text, positions, context.device())
    }

    /// Whether the prompt is one that this model can read; `idx` for the message.
    pub(crate) fn check_prompt(
        &self,
        idx: usize,
        prompt: &EncodedPrompt,
    ) -> Result<(), PolicyError> {
        let input = |what: &str, expected: String, got: usize| {
            Err(PolicyError::input(format!("{what} of prompt {idx}"), expected, got))
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
        let n_seen: usize = prompt.images.iter().map(|image| self.n_tokens(image)).sum();
        if n_placeholders != n_seen {
            let expected = format!("{n_seen}, as its {} images give", prompt.images.len());
            return input("image tokens", expected, n_placeholders);
        }
        self.check_tokens(&format!("prompt {idx}"), &prompt.token_ids)
    }

    /// Whether all tokens are in the vocabulary.
    pub(crate) fn check_tokens(&self, what: &str, token_ids: &[u32]) -> Result<(), PolicyError> {
        let vocab_size = self.config.text.vocab_size;
        match token_ids.iter().find(|id| **id as usize >= vocab_size) {
            Some(id) => {
                let expected = format!("below the vocabulary's {vocab_size}");
                Err(PolicyError::input(format!("tokens of {what}"), expected, id))
            }
            None => Ok(()),
        }
    }
}
