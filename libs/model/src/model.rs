//! Tower and decoder put together, over one set of tensors.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use vrft_vision::Patches;

use crate::decoder::{Decoder, SharedAttend, Tail};
use crate::features::FeatureCache;
use crate::lora::Lora;
use crate::packing::Packed;
use crate::prefixes::{PrefixCache, Watch};
use crate::rotary::Rotary;
use crate::scope::{Names, Source};
use crate::seen::{self, SeenImages};
use crate::tower::VisionTower;
use crate::{EncodedPrompt, ModelConfig, PackedGroup, PolicyError, TokenLogprobs, Trace};

/// The model over tensors that are either tracked (trainable forward) or detached (everything else).
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) config: ModelConfig,
    pub(crate) decoder: Decoder,
    tower: VisionTower,
    features: Option<Arc<FeatureCache>>,
    prefixes: Option<PrefixCache>,
    dtype: DType,
    device: Device,
}

impl Model {
    /// Builds the model, with its adapters if there is a `lora`, and says which of the tensors it took. Where there
    /// are `features`, the tower is not asked about an image that it has seen.
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
        let device = tensors.values().next().map_or(Device::Cpu, |tensor| tensor.device().clone());
        // Some writers store a tied head a second time.
        let tied = if config.text.tie_word_embeddings { names.head_weight() } else { Vec::new() };
        let used = source.finish(&tied)?;
        let config = config.clone();
        Ok((Self { config, decoder, tower, features, prefixes: None, dtype, device }, used))
    }

    /// Lets the model keep what it read of prompts: its weights never change, and it is asked for no gradient.
    pub(crate) fn keeping_prefixes(self, prefixes: Option<PrefixCache>) -> Self {
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
        groups: &[PackedGroup],
        temperature: f64,
    ) -> Result<TokenLogprobs, PolicyError> {
        self.logprobs_of(groups, temperature, |packed| {
            let see_all = |watch: &mut Watch| {
                let (attend, (rotary, tail)) = (self.attend(packed), self.angles(packed)?);
                let x = self.embed(packed)?; // (T, hidden_size)
                self.decoder.forward(x, &rotary, Some(&tail), &mut |idx, q, k, v| {
                    watch(k, v);
                    attend(idx, q, k, v)
                })
            };
            match self.prefixes.as_ref().filter(|_| !packed.tail_sees()) {
                Some(prefixes) => prefixes.tail(self, groups, packed, &see_all),
                None => see_all(&mut |_, _| ()),
            }
        })
    }

    /// See [`Policy::training_pass`](crate::Policy::training_pass).
    pub(crate) fn training_logprobs(
        &self,
        groups: &[PackedGroup],
        temperature: f64,
        budget_bytes: usize,
        seen: &[&SeenImages],
    ) -> Result<TokenLogprobs, PolicyError> {
        let kept_before: usize = seen.iter().map(|seen| seen.kept_bytes).sum();
        let budget_bytes = budget_bytes.saturating_sub(kept_before);
        self.logprobs_of(groups, temperature, |packed| {
            let (x, kept_of_tower) = self.embed_training(packed, budget_bytes, seen)?; // (T, hidden_size)
            let n_tokens = packed.token_ids.len();
            let of_layer = self.config.text.activation_bytes(n_tokens, self.dtype);
            let n_kept = (budget_bytes - kept_of_tower) / of_layer.max(1);
            let (attend, (rotary, tail)) = (self.attend(packed), self.angles(packed)?);
            self.decoder.forward_training(x, &rotary, &tail, attend, n_kept)
        })
    }

    fn logprobs_of(
        &self,
        groups: &[PackedGroup],
        temperature: f64,
        run: impl FnOnce(&Packed) -> Result<Tensor, PolicyError>,
    ) -> Result<TokenLogprobs, PolicyError> {
        if !(temperature.is_finite() && temperature > 0.0) {
            return Err(PolicyError::input("temperature", "positive", temperature));
        }
        let packed = Packed::new(self, groups)?;
        if packed.targets.is_empty() {
            return Err(PolicyError::input("completions", "at least 1", 0));
        }
        let x = run(&packed)?; // (tail, hidden_size)
        let predicting = vrft_kernels::select_rows(&x, &packed.predicting, x.dtype())?;
        let hidden = self.decoder.normalize(&predicting)?; // (N, hidden_size)
        let head = self.decoder.head();
        let (logprobs, entropy) =
            vrft_kernels::token_logprobs(&hidden, head, &packed.targets, temperature)?;
        Ok(TokenLogprobs { logprobs, entropy })
    }

    /// See [`Policy::trace`](crate::Policy::trace).
    pub(crate) fn trace(&self, prompt: &EncodedPrompt) -> Result<Trace, PolicyError> {
        let packed = Packed::new(self, &[PackedGroup { prompt, completions: &[] }])?;
        let mut trace = Trace::default();
        let x = self.place(&packed, &mut |images| {
            self.look(images, usize::MAX, &mut |x| trace.vision.push(x.clone()))
        })?;
        let (head_dim, rotary) = (self.config.text.head_dim(), self.rotary(&packed.positions)?);
        let mut attend = |_, q: &Tensor, k: &Tensor, v: &Tensor| {
            Ok(vrft_kernels::attention(q, k, v, head_dim, &packed.layout)?)
        };
        let mut watch = |x: &Tensor| trace.text.push(x.clone());
        let x = self.decoder.forward_watched(x, &rotary, &mut attend, &mut watch)?; // (T, hidden_size)
        trace.logits = Some(self.decoder.logits(&x)?);
        Ok(trace)
    }

    /// Attention among the packed rows, in the last layer of the tail's.
    pub(crate) fn attend(&self, packed: &Packed) -> Arc<SharedAttend> {
        let (head_dim, n_layers) = (self.config.text.head_dim(), self.config.text.n_layers);
        let (all, tail) = (packed.layout.clone(), packed.tail_layout.clone());
        Arc::new(move |idx, q, k, v| {
            let layout = if idx + 1 == n_layers { &tail } else { &all };
            Ok(vrft_kernels::attention(q, k, v, head_dim, layout)?)
        })
    }

    /// The angles of all packed rows, and the tail with its own.
    pub(crate) fn angles(&self, packed: &Packed) -> Result<(Rotary, Tail), PolicyError> {
        let rotary = self.rotary(&packed.positions)?;
        let tail = Tail::new(&packed.tail, &rotary, &self.device)?;
        Ok((rotary, tail))
    }

    /// (N, hidden_size): embeddings of the tokens, those of the image placeholders from the tower.
    pub(crate) fn embed(&self, packed: &Packed) -> Result<Tensor, PolicyError> {
        self.place(packed, &mut |images| self.features(images, usize::MAX))
    }

    /// As [`Model::embed`], with what was seen before, and of the tower's blocks the last so many keeping what they
    /// need on the way back as fit into the budget; returns the bytes of these too.
    fn embed_training(
        &self,
        packed: &Packed,
        budget_bytes: usize,
        seen: &[&SeenImages],
    ) -> Result<(Tensor, usize), PolicyError> {
        let x = self.embed_tokens(&packed.token_ids)?;
        let n_tokens = |image: &Patches| self.n_tokens(image);
        let (images, places) = (&packed.images[..], &packed.placeholders[..]);
        let (x, images, places) = seen::put_seen(x, images, places, seen, &n_tokens)?;
        if images.is_empty() {
            return Ok((x, 0));
        }
        let (n_kept, bytes) = self.kept_blocks(&images, budget_bytes);
        Ok((vrft_kernels::replace_rows(&x, &self.features(&images, n_kept)?, &places)?, bytes))
    }

    /// What the tower makes of a prompt's images, recorded; nothing where there are none.
    pub(crate) fn see<'a>(
        &self,
        prompt: &'a EncodedPrompt,
        seed: u64,
        budget_bytes: usize,
    ) -> Result<Option<SeenImages<'a>>, PolicyError> {
        let images: Vec<&Patches> = prompt.images.iter().collect();
        if images.is_empty() {
            return Ok(None);
        }
        let (n_kept, kept_bytes) = self.kept_blocks(&images, budget_bytes);
        let (features, tape) =
            vrft_kernels::Tape::record(|| self.look(&images, n_kept, &mut |_| ()));
        let features = features?;
        Ok(Some(SeenImages { prompt, features, tape, seed, kept_bytes, gradient: None }))
    }

    /// How many of the tower's blocks may keep what they need on the way back, and its bytes.
    fn kept_blocks(&self, images: &[&Patches], budget_bytes: usize) -> (usize, usize) {
        let n_patches = images.iter().map(|image| image.grid.n_patches()).sum();
        let of_block = self.config.vision.block_activation_bytes(n_patches, self.dtype).max(1);
        let n_kept = (budget_bytes / of_block).min(self.config.vision.depth);
        (n_kept, n_kept * of_block)
    }

    /// (tokens of all images, hidden_size), from memory where the tower is not trained.
    fn features(&self, images: &[&Patches], n_kept: usize) -> Result<Tensor, PolicyError> {
        let look = |images: &[&Patches]| self.look(images, n_kept, &mut |_| ());
        match &self.features {
            Some(known) => known.features(images, &|image| self.n_tokens(image), &look),
            None => look(images),
        }
    }

    fn look(
        &self,
        images: &[&Patches],
        n_kept: usize,
        watch: &mut dyn FnMut(&Tensor),
    ) -> Result<Tensor, PolicyError> {
        self.tower.forward(images, n_kept, self.dtype, &self.device, watch)
    }

    /// Rows of the language model that an image fills.
    fn n_tokens(&self, image: &Patches) -> usize {
        image.grid.n_tokens(self.config.vision.merge_size)
    }

    /// As [`Model::embed`], with what `see` makes of the images.
    fn place(
        &self,
        packed: &Packed,
        see: &mut dyn FnMut(&[&Patches]) -> Result<Tensor, PolicyError>,
    ) -> Result<Tensor, PolicyError> {
        let embeddings = self.embed_tokens(&packed.token_ids)?;
        if packed.images.is_empty() {
            return Ok(embeddings);
        }
        Ok(vrft_kernels::replace_rows(&embeddings, &see(&packed.images)?, &packed.placeholders)?)
    }

    /// Where the weights are.
    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// (N, hidden_size) of tokens alone.
    pub(crate) fn embed_tokens(&self, token_ids: &[u32]) -> Result<Tensor, PolicyError> {
        self.decoder.embed(token_ids, self.dtype)
    }

    /// Whether a token stands for a merged patch of an image or of a video.
    pub(crate) fn is_placeholder(&self, token_id: u32) -> bool {
        token_id == self.config.image_token_id || token_id == self.config.video_token_id
    }

    pub(crate) fn rotary(&self, positions: &[[u32; 3]]) -> Result<Rotary, PolicyError> {
        Rotary::text(&self.config.text, positions, &self.device)
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
