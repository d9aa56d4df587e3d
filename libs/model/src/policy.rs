//! The policy: weights, and the two ways to run them.

mod options;
mod saving;
mod swapping;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use candle_core::{DType, Device, Tensor, Var};
use vrft_checkpoint::{Quantization, is_adapter};
use vrft_kernels::{Activation, Backend, Context, Tape};
use vrft_processor::EncodedPrompt;
use vrft_vision::Patches;

use crate::features::FeatureCache;
use crate::lora::{self, Beside, Lora};
use crate::opened::Opened;
use crate::packing_for_gpu::GpuPacking;
use crate::peft::read_adapter;
use crate::quantized::{Quantized, is_meant};
use crate::shared::{Base, PackedBase, SharedWeights, Wanted};
use crate::soft_prompt;
use crate::weights::{Caches, Weights};
pub use options::LoadOptions;
pub(crate) use options::beside;

use crate::{
    EncodedImages, ModelConfig, ModelError, PackedGroup, Session, TokenLogprobs, Trace,
    TrainingPass,
};

/// A vision-language model with its weights.
///
/// ```no_run
/// # use candle_core::{DType, Device};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let image: &[u8] = &[];
/// let options = vrft_model::LoadOptions {
///     dtype: DType::F32,
///     device: Device::Cpu,
///     trainable: true,
///     quantization: vrft_checkpoint::Quantization::None,
///     freeze_vision: false,
///     lora: None,
///     prompt_tuning: None,
///     feature_cache_mib: 0,
///     prefix_cache_mib: 0,
/// };
/// let policy = vrft_model::Policy::load("data/starter".as_ref(), &options)?;
/// let processor = vrft_processor::Processor::load("data/starter".as_ref())?;
/// let prompt = processor.encode(None, "Where is the digit?", &[image])?;
/// let completion = processor.encode_completion("<answer>No Objects</answer>")?;
/// let group = vrft_model::PackedGroup { prompt: &prompt, completions: &[&completion], inserted: &[] };
/// let pass = policy.training_pass(&[group], 1.0, None, usize::MAX, &[])?;
/// let slope = (pass.tokens.logprobs.ones_like()? * -1.0)?; // of the loss -Σ logprob
/// let mut gradients = vrft_kernels::Gradients::new(policy.backend());
/// pass.backward(&slope, None, &mut gradients)?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Policy {
    config: ModelConfig,
    source: PathBuf,
    dtype: DType,
    device: Device,
    backend: Backend,
    lora: Option<(Lora, Beside)>,
    variables: BTreeMap<String, Var>,
    caches: Caches,
    weights: RwLock<Arc<Weights>>,
}

impl Policy {
    /// Loads a checkpoint directory in the Hugging Face layout, or the directory of a `peft` adapter together with
    /// the base that it names.
    ///
    /// # Errors
    /// A file that is absent, cut short or of another model; a tensor that is missing, unknown or of another
    /// shape than `config.json` says; an adapter of another rank than the one asked for.
    pub fn load(dir: &Path, options: &LoadOptions) -> Result<Policy, ModelError> {
        Self::load_beside(dir, None, options)
    }

    /// The same; `base` stands for the base that an adapter names.
    ///
    /// # Errors
    /// As [`Policy::load`].
    pub fn load_beside(
        dir: &Path,
        base: Option<&Path>,
        options: &LoadOptions,
    ) -> Result<Policy, ModelError> {
        Self::load_shared(dir, base, options, None)
    }

    /// The same; where adapters stand beside frozen weights on a GPU, these are shared with other processes.
    ///
    /// # Errors
    /// As [`Policy::load`].
    pub fn load_shared(
        dir: &Path,
        base: Option<&Path>,
        options: &LoadOptions,
        shared: Option<&SharedWeights>,
    ) -> Result<Policy, ModelError> {
        let Opened { adapter, source, config, files, used } =
            Opened::open(dir, base, options.dtype)?;
        let shapes = files.shapes();
        let (dtype, device) = (options.dtype, &options.device);
        let names = config.names(&shapes);
        let quantizes = |name: &str| {
            options.quantization == Quantization::Nf4 && is_meant(name, &shapes[name], names)
        };
        let lora = beside(adapter.as_ref(), options)?;
        let wanted = Wanted {
            files: &files,
            used: &used,
            names,
            dtype,
            device,
            quantization: options.quantization,
            quantizes: &quantizes,
            rank: lora.as_ref().map_or(0, Beside::rank),
        };
        // What is trained itself is nobody else's.
        let shared = shared.filter(|_| lora.is_some());
        let Base { mut tensors, quantized, packed } = wanted.load(shared)?;
        if adapter.is_some() {
            let names = config.names(&tensors);
            tensors.extend(read_adapter(dir, names, &options.device)?);
        }
        if adapter.is_none() {
            let names = config.names(&tensors);
            if let Some(lora) = &options.lora {
                tensors.extend(lora::initialize(lora, &tensors, &quantized, names)?);
            }
            if let Some(prompt) = &options.prompt_tuning {
                tensors.extend([soft_prompt::initialize(prompt, &tensors, names)?]);
            }
        }
        Self::with_tensors(config, source, tensors, quantized, packed, lora, options)
    }

    pub(crate) fn with_tensors(
        config: ModelConfig,
        source: PathBuf,
        mut tensors: BTreeMap<String, Tensor>,
        mut quantized: Quantized,
        packed: PackedBase,
        lora: Option<Beside>,
        options: &LoadOptions,
    ) -> Result<Policy, ModelError> {
        let names = config.names(&tensors);
        let has_adapters = lora.is_some();
        if options.trainable && !has_adapters && !quantized.is_empty() {
            return Err(ModelError::not_trained_in_four_bits());
        }
        let trained = |name: &str| {
            if has_adapters {
                is_adapter(name)
            } else {
                !(options.freeze_vision && names.is_visual(name))
            }
        };
        let mut variables = BTreeMap::new();
        for (name, tensor) in &mut tensors {
            if options.trainable && trained(name) {
                let variable = Var::from_tensor(&tensor.to_dtype(DType::F32)?)?;
                *tensor = variable.as_detached_tensor();
                variables.insert(name.clone(), variable);
            } else {
                *tensor = tensor.to_dtype(options.dtype)?;
            }
        }
        let packing = if variables.is_empty() {
            GpuPacking::pack(&mut tensors, &mut quantized, names, &options.device, packed)?
        } else {
            GpuPacking::default()
        };
        let lora = lora.map(|beside| (beside.lora(), beside));
        let adapters = lora.as_ref().map(|(lora, _)| lora);
        let trains_tower = variables.keys().any(|name| names.is_visual(name));
        let mib = if trains_tower { 0 } else { options.feature_cache_mib };
        let features = Arc::new(FeatureCache::new(mib << 20));
        let caches = Caches { features, prefix_bytes: options.prefix_cache_mib << 20 };
        let dtype = options.dtype;
        let quantized = Arc::new(quantized);
        let weights = Weights::new(
            &config, dtype, adapters, tensors, quantized, &variables, &caches, packing,
        )?;
        let weights = RwLock::new(Arc::new(weights));
        let device = options.device.clone();
        let backend = Backend::of(&options.device);
        Ok(Self { config, source, dtype, device, backend, lora, variables, caches, weights })
    }

    /// The same policy computed by another backend: [`Backend::Composed`] is the reference for the fast ones.
    #[must_use]
    pub fn with_backend(self, backend: Backend) -> Self {
        Self { backend, ..self }
    }

    /// What computes: the fastest backend for the policy's device, unless [`Policy::with_backend`] chose another.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// Where its weights are, and where it computes.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Widths, depths and special tokens.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Type that the model computes in.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The trainable weights by their name in the checkpoint.
    pub fn variables(&self) -> &BTreeMap<String, Var> {
        &self.variables
    }

    /// Whether low-rank adapters or a soft prompt are all that is trained.
    pub fn has_adapters(&self) -> bool {
        self.lora.is_some()
    }

    /// What a version of the policy consists of, detached, by name: the adapters if it has some, else all weights.
    /// They share the policy's memory.
    pub fn tensors(&self) -> BTreeMap<String, Tensor> {
        self.weights().versioned()
    }

    /// As [`Policy::tensors`], in the type that the policy computes in: all that whoever samples from it needs.
    ///
    /// # Errors
    /// Fails if a tensor cannot be converted.
    pub fn version(&self) -> Result<BTreeMap<String, Tensor>, ModelError> {
        let cast = |(name, tensor)| Ok((name, vrft_kernels::cast(&tensor, self.dtype)?));
        self.tensors().into_iter().map(cast).collect()
    }

    /// Logprob of each completion token under softmax(logits / temperature), without gradient and without dropout.
    ///
    /// Each prompt is processed once; its completions follow as suffixes that see it and themselves.
    ///
    /// # Errors
    /// No group, or a prompt or completion that the model cannot read.
    pub fn logprobs(
        &self,
        groups: &[PackedGroup],
        temperature: f64,
    ) -> Result<TokenLogprobs, ModelError> {
        let results = self.weights().model.logprobs(&self.context(), groups, temperature)?;
        Ok(TokenLogprobs::detached(&results))
    }

    /// As [`Policy::logprobs`], with a tape for the backward pass. With a `dropout_seed`, the adapters drop values as
    /// they are configured to; the same seed drops the same ones.
    ///
    /// Of the tower's blocks and then of the language model's layers, the last so many keep their activations as fit
    /// into `budget_bytes`; the backward pass computes the others again. Images in `encoded` are not encoded again.
    ///
    /// # Errors
    /// As [`Policy::logprobs`].
    pub fn training_pass(
        &self,
        groups: &[PackedGroup],
        temperature: f64,
        dropout_seed: Option<u64>,
        budget_bytes: usize,
        encoded: &[&EncodedImages],
    ) -> Result<TrainingPass, ModelError> {
        let tape = self.tape(dropout_seed)?;
        let inputs = |encoded: &&EncodedImages| {
            let features = encoded.features.iter();
            features.map(|features| Ok(tape.input(&features.detach())?)).collect()
        };
        let features =
            encoded.iter().map(inputs).collect::<Result<Vec<Vec<Activation>>, ModelError>>()?;
        let slices = features.iter().map(Vec::as_slice);
        let shared: Vec<_> = encoded.iter().copied().zip(slices).collect();
        let results = self.weights().model.training_logprobs(
            &self.context().training(&tape),
            groups,
            temperature,
            budget_bytes,
            &shared,
        )?;
        Ok(TrainingPass { tokens: TokenLogprobs::detached(&results), results, tape, features })
    }

    /// The tape of a training pass.
    #[cfg_attr(not(feature = "cuda"), expect(clippy::unnecessary_wraps, clippy::unused_self))]
    pub(crate) fn tape(&self, dropout_seed: Option<u64>) -> Result<Tape, ModelError> {
        let tape = Tape::new().with_dropout(dropout_seed);
        #[cfg(feature = "cuda")]
        if self.backend == Backend::Cuda {
            let narrow = vrft_kernels::NarrowWeights::new(self.variables.values(), self.dtype)?;
            return Ok(tape.with_narrow(narrow));
        }
        Ok(tape)
    }

    /// Encodes a prompt's images for several passes of one update, where the tower is trained; nothing where it is
    /// not, or where there are none. Dropout and budget as in [`Policy::training_pass`].
    ///
    /// # Errors
    /// An image that the model cannot read.
    pub fn encode_images<'a>(
        &self,
        prompt: &'a EncodedPrompt,
        dropout_seed: Option<u64>,
        budget_bytes: usize,
    ) -> Result<Option<EncodedImages<'a>>, ModelError> {
        let weights = self.weights();
        let names = self.config.names(&weights.tensors);
        if prompt.images.is_empty() || !self.variables.keys().any(|name| names.is_visual(name)) {
            return Ok(None);
        }
        let tape = self.tape(dropout_seed)?;
        weights.model.encode_images(&self.context(), tape, prompt, budget_bytes).map(Some)
    }

    /// As [`Policy::logprobs`], with the adapters off: what the policy started from, without gradient.
    ///
    /// # Errors
    /// A policy without adapters; else as [`Policy::logprobs`].
    pub fn base_logprobs(
        &self,
        groups: &[PackedGroup],
        temperature: f64,
    ) -> Result<TokenLogprobs, ModelError> {
        match &self.weights().base {
            Some(base) => {
                let results = base.logprobs(&self.context(), groups, temperature)?;
                Ok(TokenLogprobs::detached(&results))
            }
            None => Err(ModelError::input("policy", "one with adapters to switch off", "none")),
        }
    }

    /// The output of every block for a prompt, to be compared with another implementation.
    ///
    /// # Errors
    /// A prompt that the model cannot read.
    pub fn trace(&self, prompt: &EncodedPrompt) -> Result<Trace, ModelError> {
        self.weights().model.trace(&self.context(), prompt)
    }

    /// What the tower makes of each image, (tokens of the image, width), without gradient.
    ///
    /// # Errors
    /// An image that the tower cannot take.
    pub fn image_features(&self, images: &[&Patches]) -> Result<Vec<Tensor>, ModelError> {
        self.weights().model.image_features(&self.context(), images)
    }

    /// Opens a decoding session with the weights as they are now, without a row.
    ///
    /// # Errors
    /// Fails if the device has no memory left.
    pub fn session(&self) -> Result<Session, ModelError> {
        Session::new(self.weights().model.clone(), &self.context())
    }

    /// Opens a decoding session of `group_size` rows per prompt: the rows of prompt 0 first.
    ///
    /// # Errors
    /// As [`Session::admit`].
    pub fn start(
        &self,
        prompts: &[&EncodedPrompt],
        group_size: usize,
    ) -> Result<Session, ModelError> {
        let mut session = self.session()?;
        session.admit(prompts, group_size)?;
        Ok(session)
    }

    pub(crate) fn weights(&self) -> Arc<Weights> {
        self.weights.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Inference where the policy's weights are, by its backend.
    pub(crate) fn context(&self) -> Context<'static> {
        Context::new(&self.device).with_backend(self.backend)
    }
}
