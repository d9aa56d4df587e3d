//! The section `[policy]`: the checkpoint that a run starts from.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use vrft_config::{ConfigError, Section, require};

/// Which policy to load and which of its parts to train.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolicyConfig {
    /// Checkpoint directory in the Hugging Face layout, or a model of its hub as `owner/name`.
    pub path: PathBuf,
    /// The model that the adapter in `path` was trained beside, where it is no longer what the adapter's own files name;
    /// a directory or a model of the hub.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<PathBuf>,
    /// Type to compute in; the loss and the optimizer stay in f32.
    pub dtype: Dtype,
    /// Keep the linear layers of the language model in 4 bits and train adapters beside them
    /// ([QLoRA](https://arxiv.org/abs/2305.14314)). A checkpoint that is stored so needs no setting.
    pub quantization: Quantization,
    /// Leave the vision tower as it is and train the language model alone.
    pub freeze_vision: bool,
    /// System turn before every question; empty for none.
    pub system: String,
    /// Images of fewer pixels are enlarged to this; 0 for the checkpoint's own bound.
    pub min_pixels: usize,
    /// Images of more pixels are reduced to this, which bounds their tokens; 0 for the checkpoint's own bound.
    pub max_pixels: usize,
    /// Memory for what a vision tower that is not trained made of images, in MiB: an image that comes again is not
    /// encoded again. A reference policy's tower is never trained. 0 encodes every image every time.
    pub feature_cache_mib: usize,
    /// Memory for what a reference policy read of prompts (keys and values of every layer), in MiB: of a prompt that
    /// comes again, only the completions are computed. 0 reads every prompt every time.
    pub prefix_cache_mib: usize,
    /// Low-rank adapters to train instead of the weights themselves.
    pub lora: LoraConfig,
    /// A soft prompt to train instead of the weights themselves.
    pub prompt_tuning: PromptTuningConfig,
}

/// A soft prompt: vectors that stand before every prompt in place of the embeddings of tokens, and are all that is
/// trained ([prompt tuning](https://arxiv.org/abs/2104.08691)). Names and files as in Hugging Face's `peft`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PromptTuningConfig {
    /// Vectors of the prompt; 0 for none.
    pub tokens: usize,
    /// Seed that draws the tokens of the vocabulary whose embeddings the vectors start as.
    pub seed: u64,
}

/// Low-rank adapters ([LoRA](https://arxiv.org/abs/2106.09685)); names and meanings as in Hugging Face's `peft`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoraConfig {
    /// Rank of the adapters; 0 trains the weights themselves.
    pub rank: usize,
    /// The adapters' output is scaled by alpha / rank.
    pub alpha: f64,
    /// Share of an adapter's inputs dropped while it learns.
    pub dropout: f64,
    /// Layers that get an adapter.
    pub target_modules: TargetModules,
    /// Whether layers of the vision tower may be among them.
    pub vision: bool,
    /// Seed of the adapters' first values.
    pub seed: u64,
}

/// The layers that get an adapter, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TargetModules {
    /// Names, or ends of names: `q_proj` is that layer in every block.
    Names(Vec<String>),
    /// [`ALL_LINEAR`], or a regular expression for the whole name, as transformers names modules
    /// (`model.language_model.layers.0.self_attn.q_proj`).
    Pattern(String),
}

/// Greatest rank of adapters: more than a layer of any model has.
const MAX_RANK: usize = 1 << 16;

/// Longest soft prompt.
const MAX_PROMPT_TOKENS: usize = 4096;

/// Every linear layer but the output head.
pub const ALL_LINEAR: &str = "all-linear";

/// How the weights of the language model's linear layers are kept in memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quantization {
    /// As the checkpoint has them, in the type to compute in.
    #[default]
    None,
    /// In 4 bits, with 8-bit factors (double quantization): about half a byte a value.
    Nf4,
}

/// A floating-point type of the model's computation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// 32-bit floats.
    F32,
    /// bfloat16: 8 bits of exponent, 7 of mantissa.
    Bf16,
}

impl Section for PolicyConfig {
    const NAME: &'static str = "policy";

    fn check(&self) -> Result<(), ConfigError> {
        require(
            self.max_pixels == 0 || self.min_pixels <= self.max_pixels,
            "policy.min_pixels",
            self.min_pixels,
            "at most policy.max_pixels",
        )?;
        require(
            self.quantization == Quantization::None || self.lora.rank > 0,
            "policy.quantization",
            "nf4",
            "\"none\" without adapters (policy.lora.rank), since weights of 4 bits are not trained themselves",
        )?;
        require(
            self.prompt_tuning.tokens == 0 || self.lora.rank == 0,
            "policy.prompt_tuning.tokens",
            self.prompt_tuning.tokens,
            "0 beside policy.lora.rank: a soft prompt or low-rank adapters are trained",
        )?;
        require(
            self.prompt_tuning.tokens <= MAX_PROMPT_TOKENS,
            "policy.prompt_tuning.tokens",
            self.prompt_tuning.tokens,
            format!("at most {MAX_PROMPT_TOKENS}"),
        )?;
        require(
            self.prompt_tuning.tokens == 0 || self.quantization == Quantization::None,
            "policy.quantization",
            "nf4",
            "\"none\" with policy.prompt_tuning",
        )?;
        let LoraConfig { rank, alpha, dropout, .. } = self.lora;
        require(rank <= MAX_RANK, "policy.lora.rank", rank, format!("at most {MAX_RANK}"))?;
        require(alpha > 0.0 && alpha.is_finite(), "policy.lora.alpha", alpha, "above 0")?;
        require((0.0..1.0).contains(&dropout), "policy.lora.dropout", dropout, "in [0, 1)")
    }
}

impl Default for PolicyConfig {
    fn default() -> Self {
        Self {
            path: "data/starter".into(),
            base: None,
            dtype: Dtype::F32,
            quantization: Quantization::None,
            freeze_vision: false,
            system: String::new(),
            min_pixels: 0,
            max_pixels: 0,
            feature_cache_mib: 64,
            prefix_cache_mib: 64,
            lora: LoraConfig::default(),
            prompt_tuning: PromptTuningConfig::default(),
        }
    }
}

impl Default for LoraConfig {
    fn default() -> Self {
        let names = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];
        Self {
            rank: 0,
            alpha: 16.0,
            dropout: 0.0,
            target_modules: TargetModules::Names(names.map(str::to_owned).into()),
            vision: false,
            seed: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use vrft_config::Document;

    use super::*;

    #[test]
    fn impossible_values_are_refused_by_key() {
        PolicyConfig::default().check().unwrap();
        for (text, key) in [
            ("[policy]\nmin_pixels = 9\nmax_pixels = 4", "policy.min_pixels"),
            ("[policy]\nquantization = \"nf4\"", "policy.quantization"),
            (
                "[policy]\nprompt_tuning.tokens = 4\nlora.rank = 2",
                "policy.prompt_tuning.tokens = 4",
            ),
            ("[policy]\nprompt_tuning.tokens = 5000", "policy.prompt_tuning.tokens = 5000"),
            ("[policy.lora]\nalpha = 0.0", "policy.lora.alpha"),
            ("[policy.lora]\nrank = 999999", "policy.lora.rank = 999999"),
            ("[policy.lora]\ndropout = 1.0", "policy.lora.dropout"),
        ] {
            let document = Document::parse(text, "test").unwrap();
            let error = document.section::<PolicyConfig>().unwrap_err().to_string();
            assert!(error.starts_with(key), "{error}");
        }
    }
}
