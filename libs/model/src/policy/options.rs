//! How a policy is loaded, and what stands beside its weights.

use candle_core::{DType, Device};
use vrft_checkpoint::{Adapter, PolicyConfig, PromptTuningConfig};

use crate::ModelError;
use crate::lora::Beside;

/// How to load a checkpoint.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// Type to compute in: frozen weights are converted as they are read, trained ones are kept in f32 and
    /// converted as they are used.
    pub dtype: DType,
    /// Where the weights live.
    pub device: Device,
    /// Whether the weights can be trained; if not, no graph is ever built.
    pub trainable: bool,
    /// Turn the linear layers of the language model into 4-bit numbers as they are read.
    pub quantization: vrft_checkpoint::Quantization,
    /// Leave the vision tower untrained.
    pub freeze_vision: bool,
    /// Train low-rank adapters, and nothing else; an adapter directory brings its own.
    pub lora: Option<vrft_checkpoint::LoraConfig>,
    /// Train a soft prompt, and nothing else; the directory of one brings its own.
    pub prompt_tuning: Option<PromptTuningConfig>,
    /// Memory for a cache of image features from a vision tower that is not trained, in MiB.
    pub feature_cache_mib: usize,
    /// Memory for a cache of prompts' keys and values in a policy that is not trained, in MiB.
    pub prefix_cache_mib: usize,
}

impl LoadOptions {
    /// As the configuration says; only a trainable policy can have a frozen part.
    pub fn new(config: &PolicyConfig, device: Device, trainable: bool) -> LoadOptions {
        let dtype = match config.dtype {
            vrft_checkpoint::Dtype::F32 => DType::F32,
            vrft_checkpoint::Dtype::Bf16 => DType::BF16,
        };
        let lora = Some(config.lora.clone()).filter(|lora| lora.rank > 0);
        let prompt_tuning = Some(config.prompt_tuning.clone()).filter(|prompt| prompt.tokens > 0);
        LoadOptions {
            dtype,
            device,
            trainable,
            quantization: config.quantization,
            freeze_vision: config.freeze_vision,
            lora,
            prompt_tuning,
            feature_cache_mib: config.feature_cache_mib,
            prefix_cache_mib: config.prefix_cache_mib,
        }
    }
}

/// What stands beside the weights: what the directory says, else what is asked for.
pub(crate) fn beside(
    adapter: Option<&Adapter>,
    options: &LoadOptions,
) -> Result<Option<Beside>, ModelError> {
    let tokens = options.prompt_tuning.as_ref().map(|prompt| prompt.tokens);
    let of_prompt = |expected: String| {
        let key = "policy.prompt_tuning.tokens";
        Err(ModelError::input(key, expected, tokens.unwrap_or_default()))
    };
    match (adapter, adapter.and_then(Adapter::prompt)) {
        (Some(_), Some(n)) if options.lora.is_some() => Err(ModelError::input(
            "policy.lora.rank",
            format!("0: policy.path is a soft prompt of {n} vectors"),
            options.lora.as_ref().map_or(0, |lora| lora.rank),
        )),
        (Some(_), Some(n)) if tokens.is_some_and(|tokens| tokens != n) => {
            of_prompt(format!("{n} or 0, as the soft prompt in policy.path has them"))
        }
        (Some(_), Some(n)) => Ok(Some(Beside::SoftPrompt(n))),
        (Some(_), None) if tokens.is_some() => {
            of_prompt("0: policy.path has low-rank adapters; merge them first".to_owned())
        }
        (Some(adapter), None) => Ok(Some(Beside::LowRank(adapter.lora(options.lora.as_ref())?))),
        (None, _) => {
            let of_lora = options.lora.clone().map(Beside::LowRank);
            Ok(of_lora.or(tokens.map(Beside::SoftPrompt)))
        }
    }
}
