//! The policy: weights, and the two ways to run them.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use candle_core::{DType, Device, Tensor, Var};

use crate::model::Model;
use crate::packing::Packed;
use crate::scope::Names;
use crate::{EncodedPrompt, ModelConfig, PackedGroup, PolicyError, Session, checkpoint};

/// How to load a checkpoint.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// Type to compute in; weights are converted as they are read.
    pub dtype: DType,
    /// Where the weights live.
    pub device: Device,
    /// Whether the weights can be trained; if not, no graph is ever built.
    pub trainable: bool,
    /// Leave the vision tower untrained.
    pub freeze_vision: bool,
}

impl LoadOptions {
    /// As the configuration says; only a trainable policy can have a frozen part.
    pub fn new(config: &config::PolicyConfig, device: Device, trainable: bool) -> LoadOptions {
        let dtype = match config.dtype {
            config::Dtype::F32 => DType::F32,
            config::Dtype::Bf16 => DType::BF16,
        };
        LoadOptions { dtype, device, trainable, freeze_vision: config.freeze_vision }
    }
}

/// Logprobs of completion tokens, all completions of all groups one after the other.
#[derive(Debug, Clone)]
pub struct TokenLogprobs {
    /// (N,) f32, differentiable.
    pub logprobs: Tensor,
    /// (N,) f32, entropy of the distribution at each of these tokens; no gradient.
    pub entropy: Tensor,
}

/// A Qwen2-VL with its weights.
///
/// ```no_run
/// # use candle_core::{DType, Device};
/// # fn main() -> Result<(), policy::PolicyError> {
/// # let image: &[u8] = &[];
/// let options = policy::LoadOptions {
///     dtype: DType::F32,
///     device: Device::Cpu,
///     trainable: true,
///     freeze_vision: false,
/// };
/// let policy = policy::Policy::load("data/starter".as_ref(), &options)?;
/// let processor = policy::Processor::load("data/starter".as_ref())?;
/// let prompt = processor.encode(None, "Where is the digit?", &[image])?;
/// let completion = processor.encode_completion("<answer>No Objects</answer>")?;
/// let group = policy::PackedGroup { prompt: &prompt, completions: &[&completion] };
/// let loss = policy.logprobs(&[group], 1.0)?.logprobs.mean_all()?.neg()?;
/// let grads = loss.backward()?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Policy {
    config: ModelConfig,
    source: PathBuf,
    variables: BTreeMap<String, Var>,
    weights: RwLock<Arc<Weights>>,
}

/// One version of the weights, and the model over them.
#[derive(Debug)]
struct Weights {
    /// All tensors, detached.
    tensors: BTreeMap<String, Tensor>,
    /// Over the variables where there are any.
    tracked: Model,
    /// Over the same storage, without a graph.
    detached: Arc<Model>,
}

impl Weights {
    fn new(
        config: &ModelConfig,
        tensors: BTreeMap<String, Tensor>,
        variables: &BTreeMap<String, Var>,
    ) -> Result<Self, PolicyError> {
        let mut tracked = tensors.clone();
        tracked.extend(variables.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())));
        let (tracked, _) = Model::new(config, &tracked)?;
        let (detached, used) = Model::new(config, &tensors)?;
        let tensors = tensors.into_iter().filter(|(name, _)| used.contains(name)).collect();
        Ok(Self { tensors, tracked, detached: Arc::new(detached) })
    }
}

impl Policy {
    /// Loads a checkpoint directory in the Hugging Face layout.
    ///
    /// # Errors
    /// A file that is absent, cut short or of another model; a tensor that is missing, unknown or of another
    /// shape than `config.json` says.
    pub fn load(dir: &Path, options: &LoadOptions) -> Result<Policy, PolicyError> {
        let config = ModelConfig::from_json(&checkpoint::read_text(&dir.join("config.json"))?)?;
        let mut tensors = checkpoint::read_tensors(dir, options.dtype, &options.device)?;
        let (_, used) = Model::new(&config, &tensors)?;
        let frozen = format!("{}.", Names::of(&tensors).visual);
        let mut variables = BTreeMap::new();
        for name in used {
            if !options.trainable || (options.freeze_vision && name.starts_with(&frozen)) {
                continue;
            }
            if let Some(tensor) = tensors.get_mut(&name) {
                let variable = Var::from_tensor(tensor)?;
                *tensor = variable.as_detached_tensor();
                variables.insert(name, variable);
            }
        }
        let weights = RwLock::new(Arc::new(Weights::new(&config, tensors, &variables)?));
        Ok(Self { config, source: dir.to_owned(), variables, weights })
    }

    /// Widths, depths and special tokens.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The trainable weights by their name in the checkpoint.
    pub fn variables(&self) -> &BTreeMap<String, Var> {
        &self.variables
    }

    /// All weights by their name in the checkpoint, detached; they share the policy's memory.
    pub fn tensors(&self) -> BTreeMap<String, Tensor> {
        self.weights().tensors.clone()
    }

    /// Swaps in a new version of all weights, copied. Open sessions keep the version they started with,
    /// unless the policy is trainable: its variables change in place.
    ///
    /// # Errors
    /// A name that is missing or unknown, a shape that differs; the policy is unchanged then.
    pub fn set_weights(&self, tensors: &HashMap<String, Tensor>) -> Result<(), PolicyError> {
        let old = self.weights();
        check_names(&old.tensors, tensors)?;
        let mut new = BTreeMap::new();
        for (name, old) in &old.tensors {
            let tensor = tensors[name].to_device(old.device())?.to_dtype(old.dtype())?;
            new.insert(name.clone(), tensor.detach());
        }
        for (name, tensor) in &mut new {
            *tensor = match self.variables.get(name) {
                Some(variable) => {
                    variable.set(&tensor.copy()?)?;
                    variable.as_detached_tensor()
                }
                None => tensor.copy()?,
            };
        }
        let weights = Arc::new(Weights::new(&self.config, new, &self.variables)?);
        *self.weights.write().unwrap_or_else(PoisonError::into_inner) = weights;
        Ok(())
    }

    /// Writes a checkpoint directory in the Hugging Face layout: the weights, and the configuration, tokenizer
    /// and processor files of the directory that the policy was loaded from.
    ///
    /// # Errors
    /// A file that cannot be read or written.
    pub fn save(&self, dir: &Path) -> Result<(), PolicyError> {
        checkpoint::write(dir, &self.weights().tensors, &self.source)
    }

    /// Logprob of each completion token under softmax(logits / temperature); differentiable.
    ///
    /// Each prompt is processed once; its completions follow as suffixes that see it and themselves.
    ///
    /// # Errors
    /// No group, or a prompt or completion that the model cannot read.
    pub fn logprobs(
        &self,
        groups: &[PackedGroup],
        temperature: f64,
    ) -> Result<TokenLogprobs, PolicyError> {
        if !(temperature.is_finite() && temperature > 0.0) {
            return Err(PolicyError::input("temperature", "positive", temperature));
        }
        let weights = self.weights();
        let model = &weights.tracked;
        let packed = Packed::new(model, groups)?;
        if packed.targets.is_empty() {
            return Err(PolicyError::input("completions", "at least 1", 0));
        }
        let x = model.embed(&packed)?; // (T, hidden_size)
        let rotary = model.rotary(&packed.positions)?;
        let head_dim = self.config.text.head_dim();
        let x = model.decoder.forward(x, &rotary, &mut |_, q, k, v| {
            Ok(kernels::attention(q, k, v, head_dim, &packed.layout)?)
        })?;
        let predicting = Tensor::new(packed.predicting, x.device())?;
        let hidden = model.decoder.normalize(&x.index_select(&predicting, 0)?)?; // (N, hidden_size)
        let head = model.decoder.head();
        let (logprobs, entropy) =
            kernels::token_logprobs(&hidden, head, &packed.targets, temperature)?;
        Ok(TokenLogprobs { logprobs, entropy })
    }

    /// Prefills each prompt once and opens a decoding session of `group_size` rows per prompt: the rows of
    /// prompt 0 first.
    ///
    /// # Errors
    /// No prompt or no row, or a prompt that the model cannot read.
    pub fn start(
        &self,
        prompts: &[&EncodedPrompt],
        group_size: usize,
    ) -> Result<Session, PolicyError> {
        Session::new(self.weights().detached.clone(), prompts, group_size)
    }

    fn weights(&self) -> Arc<Weights> {
        self.weights.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Same names, same shapes.
fn check_names(
    old: &BTreeMap<String, Tensor>,
    new: &HashMap<String, Tensor>,
) -> Result<(), PolicyError> {
    let missing: Vec<String> = old.keys().filter(|n| !new.contains_key(*n)).cloned().collect();
    if !missing.is_empty() {
        return Err(PolicyError::MissingTensors { names: missing, expected: old.len() });
    }
    let mut unknown: Vec<String> = new.keys().filter(|n| !old.contains_key(*n)).cloned().collect();
    if !unknown.is_empty() {
        unknown.sort();
        return Err(PolicyError::UnexpectedTensors { names: unknown });
    }
    match old.iter().find(|(name, tensor)| tensor.dims() != new[*name].dims()) {
        Some((name, tensor)) => Err(PolicyError::Shape {
            name: name.clone(),
            expected: tensor.dims().to_vec(),
            got: new[name].dims().to_vec(),
        }),
        None => Ok(()),
    }
}
