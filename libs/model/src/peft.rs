//! Adapter directories as Hugging Face's `peft` writes and reads them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use serde_json::{Value, json};

use crate::files::{damaged, read_json};
use crate::lora::{FACTORS, ends_with, linear_layers};
use crate::scope::Names;
use crate::weights::is_adapter;
use crate::{PolicyError, checkpoint};

const CONFIG: &str = "adapter_config.json";
const TENSORS: &str = "adapter_model.safetensors";
/// Where `peft` hangs the model below its own.
const PREFIX: &str = "base_model.model.";
/// Settings that change what the tensors mean, with the one value of each that is supported.
const SUPPORTED: [(&str, Value); 6] = [
    ("bias", Value::Null),
    ("fan_in_fan_out", Value::Bool(false)),
    ("use_dora", Value::Bool(false)),
    ("use_rslora", Value::Bool(false)),
    ("modules_to_save", Value::Null),
    ("layers_to_transform", Value::Null),
];

/// The checkpoint directory: this one, or the one that an adapter in this one is for.
pub(crate) fn model_dir(dir: &Path) -> Result<PathBuf, PolicyError> {
    Ok(PeftConfig::read(dir)?.map_or_else(|| dir.to_owned(), |adapter| adapter.base))
}

/// An `adapter_config.json`.
#[derive(Debug)]
pub(crate) struct PeftConfig {
    /// Directory of the checkpoint that the adapter is for.
    pub(crate) base: PathBuf,
    path: PathBuf,
    lora: vrft_checkpoint::LoraConfig,
}

impl PeftConfig {
    /// The configuration of an adapter that this base has.
    pub(crate) fn new(lora: &vrft_checkpoint::LoraConfig, base: &Path) -> Self {
        Self { base: base.to_owned(), path: PathBuf::from(CONFIG), lora: lora.clone() }
    }

    /// The configuration in this directory; nothing if it is not that of an adapter.
    pub(crate) fn read(dir: &Path) -> Result<Option<Self>, PolicyError> {
        let path = dir.join(CONFIG);
        let Some(json) = read_json(&path)? else { return Ok(None) };
        let wrong = |key: &str, expected: &str| {
            damaged(&path, format!("{key} should be {expected}, got {}", json[key]))
        };
        if json["peft_type"] != "LORA" {
            return Err(wrong("peft_type", "\"LORA\""));
        }
        for (key, value) in &SUPPORTED {
            let found = &json[*key];
            let none = found.is_null() || (*key == "bias" && found == "none");
            if !none && found != value {
                return Err(wrong(key, &value.to_string()));
            }
        }
        for key in ["rank_pattern", "alpha_pattern"] {
            if json[key].as_object().is_some_and(|patterns| !patterns.is_empty()) {
                return Err(wrong(key, "empty: every layer has the same rank"));
            }
        }
        let rank = json["r"].as_u64().filter(|rank| *rank > 0);
        let lora = vrft_checkpoint::LoraConfig {
            rank: rank.ok_or_else(|| wrong("r", "a positive integer"))? as usize,
            alpha: json["lora_alpha"].as_f64().ok_or_else(|| wrong("lora_alpha", "a number"))?,
            dropout: json["lora_dropout"].as_f64().unwrap_or(0.0),
            ..vrft_checkpoint::LoraConfig::default()
        };
        let base = json["base_model_name_or_path"].as_str().map(PathBuf::from);
        let base = base.ok_or_else(|| wrong("base_model_name_or_path", "a path"))?;
        if !base.is_dir() {
            let expected = "a checkpoint directory that exists";
            return Err(wrong("base_model_name_or_path", expected));
        }
        Ok(Some(Self { base, path, lora }))
    }

    /// The adapter's own settings; those that are asked for may only differ in what is about training.
    pub(crate) fn lora(
        &self,
        asked: Option<&vrft_checkpoint::LoraConfig>,
    ) -> Result<vrft_checkpoint::LoraConfig, PolicyError> {
        let Some(asked) = asked else { return Ok(self.lora.clone()) };
        if (asked.rank, asked.alpha) != (self.lora.rank, self.lora.alpha) {
            let expected = format!(
                "rank {} and alpha {} as in {:?}",
                self.lora.rank, self.lora.alpha, self.path
            );
            let got = format!("{} and {}", asked.rank, asked.alpha);
            return Err(PolicyError::input("policy.lora", expected, got));
        }
        Ok(vrft_checkpoint::LoraConfig { dropout: asked.dropout, ..self.lora.clone() })
    }

    /// The adapter's tensors under this policy's names, in f32.
    pub(crate) fn read_tensors(
        &self,
        dir: &Path,
        names: Names,
        device: &Device,
    ) -> Result<BTreeMap<String, Tensor>, PolicyError> {
        let path = dir.join(TENSORS);
        let tensors = checkpoint::read_file(&path, DType::F32, device)?;
        let rename = |(name, tensor): (String, Tensor)| {
            let module = name.strip_prefix(PREFIX).filter(|name| is_adapter(name));
            let expected = || format!("tensor {name}: only {PREFIX}….lora_A/B.weight is supported");
            Ok((names.local(module.ok_or_else(|| damaged(&path, expected()))?), tensor))
        };
        tensors.into_iter().map(rename).collect()
    }

    /// Writes the directory; `tensors` are all of the policy.
    pub(crate) fn write(
        &self,
        dir: &Path,
        tensors: &BTreeMap<String, Tensor>,
    ) -> Result<(), PolicyError> {
        let names = Names::of(tensors);
        std::fs::create_dir_all(dir).map_err(checkpoint::failed(dir))?;
        let adapters = tensors.iter().filter(|(name, _)| is_adapter(name));
        let renamed = adapters.map(|(name, t)| (format!("{PREFIX}{}", names.module(name)), t));
        checkpoint::write_file(&dir.join(TENSORS), renamed)?;
        let text = format!("{:#}\n", self.json(tensors, names));
        let path = dir.join(CONFIG);
        std::fs::write(&path, text).map_err(checkpoint::failed(&path))?;
        checkpoint::copy_companions(&self.base, dir)
    }

    fn json(&self, tensors: &BTreeMap<String, Tensor>, names: Names) -> Value {
        let base = std::path::absolute(&self.base).unwrap_or_else(|_| self.base.clone());
        json!({
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": base,
            "r": self.lora.rank,
            // peft's own type for it is an integer.
            "lora_alpha": number(self.lora.alpha),
            "lora_dropout": self.lora.dropout,
            "target_modules": target_modules(tensors, names),
            "bias": "none",
            "fan_in_fan_out": false,
            "inference_mode": true,
            "init_lora_weights": true,
            "modules_to_save": null,
            "use_dora": false,
            "use_rslora": false,
        })
    }
}

fn number(value: f64) -> Value {
    if value.fract() == 0.0 { (value as i64).into() } else { value.into() }
}

/// The last parts of the adapted modules' names where these say it exactly, else the whole names.
fn target_modules(tensors: &BTreeMap<String, Tensor>, names: Names) -> Vec<String> {
    let adapted = |module: &str| tensors.contains_key(&format!("{module}.{}", FACTORS[0]));
    let base = tensors.iter().filter(|(name, _)| !is_adapter(name));
    let base: BTreeMap<String, Tensor> = base.map(|(n, t)| (n.clone(), t.clone())).collect();
    let (with, without): (Vec<&str>, Vec<&str>) =
        linear_layers(&base, names).map(|(module, _)| module).partition(|module| adapted(module));
    let last = |module: &str| module.rsplit('.').next().unwrap_or(module).to_owned();
    let mut ends: Vec<String> = with.iter().map(|module| last(module)).collect();
    ends.sort();
    ends.dedup();
    let too_many = |end: &String| without.iter().any(|module| ends_with(module, end));
    match ends.iter().any(too_many) {
        true => with.iter().map(|module| names.module(module)).collect(),
        false => ends,
    }
}
