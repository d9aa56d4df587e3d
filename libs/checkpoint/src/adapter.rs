//! Adapter directories as Hugging Face's `peft` writes and reads them.

mod soft_prompt;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::directory::copy_companions;
use crate::hub;
use crate::stead::no_weights;
use crate::{
    CheckpointError, JsonFile, Keys, LoraConfig, TargetModules, TensorFiles, write_tensors,
};
use safetensors::tensor::{TensorView, View};
use serde_json::{Value, json};

pub use soft_prompt::SOFT_PROMPT;

const CONFIG: &str = "adapter_config.json";
const TENSORS: &str = "adapter_model.safetensors";
/// Where `peft` hangs the model below its own.
const PREFIX: &str = "base_model.model.";
/// Ends of the names of an adapter's two factors, A and B; the name of the adapted layer stands before them.
pub const FACTORS: [&str; 2] = ["lora_A.weight", "lora_B.weight"];
/// Settings that change what the tensors mean, with the one value of each that is supported.
const SUPPORTED: [(&str, Value); 15] = [
    ("bias", Value::Null),
    ("fan_in_fan_out", Value::Bool(false)),
    ("use_dora", Value::Bool(false)),
    ("use_qalora", Value::Bool(false)),
    ("use_bdlora", Value::Null),
    ("kasa_config", Value::Null),
    ("arrow_config", Value::Null),
    ("monteclora_config", Value::Null),
    ("lora_bias", Value::Bool(false)),
    ("modules_to_save", Value::Null),
    ("layers_to_transform", Value::Null),
    ("layer_replication", Value::Null),
    ("target_parameters", Value::Null),
    ("trainable_token_indices", Value::Null),
    ("alora_invocation_tokens", Value::Null),
];

/// Ways in which `peft` fills an adapter at first that leave the base as it is; others take from it what they put into the
/// adapter, which then means nothing beside the base as it was.
const PLAIN_STARTS: [&str; 3] = ["gaussian", "orthogonal", "eva"];

/// What names layers in an adapter's settings.
const MODULES: &str = "names of layers or a pattern";

/// The directory of the whole model: this one, or the one that the adapter in this one is for; `base` as in
/// [`Adapter::read_beside`].
///
/// # Errors
/// As [`Adapter::read`].
pub fn model_dir(dir: &Path, base: Option<&Path>) -> Result<PathBuf, CheckpointError> {
    Ok(Adapter::read_beside(dir, base)?.map_or_else(|| dir.to_owned(), |adapter| adapter.base))
}

/// Whether a tensor of this name is a factor of an adapter, or a soft prompt.
pub fn is_adapter(name: &str) -> bool {
    name == SOFT_PROMPT || FACTORS.iter().any(|factor| names_module(name, factor))
}

/// Whether a dotted name is this one or ends in it: `q_proj` names `layers.0.self_attn.q_proj`.
pub fn names_module(module: &str, name: &str) -> bool {
    module.strip_suffix(name).is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

/// An adapter directory: the settings in `adapter_config.json` and the factors in a safetensors file.
#[derive(Debug)]
pub struct Adapter {
    base: PathBuf,
    path: PathBuf,
    lora: LoraConfig,
    /// Layers that are left out of those that `lora` targets.
    excluded: Option<TargetModules>,
    /// Vectors of a soft prompt, which then is all that it has.
    prompt: Option<usize>,
}

impl Adapter {
    /// An adapter with these settings, for the checkpoint in `base`.
    pub fn new(lora: &LoraConfig, base: &Path) -> Self {
        let (base, lora) = (base.to_owned(), lora.clone());
        Self { base, path: PathBuf::from(CONFIG), lora, excluded: None, prompt: None }
    }

    /// Whether a directory is that of an adapter.
    pub fn is_in(dir: &Path) -> bool {
        dir.join(CONFIG).exists()
    }

    /// The settings in a directory, or `None` if it is not that of an adapter. The base is the directory that they name,
    /// from the working folder or from this directory on, else the model of the hub of that name.
    ///
    /// # Errors
    /// Settings that are damaged or not supported; a base that is not there.
    pub fn read(dir: &Path) -> Result<Option<Self>, CheckpointError> {
        Self::read_beside(dir, None)
    }

    /// The same, with this base in place of the one that the settings name.
    ///
    /// # Errors
    /// As [`Adapter::read`].
    pub fn read_beside(dir: &Path, base: Option<&Path>) -> Result<Option<Self>, CheckpointError> {
        let Some(file) = JsonFile::read(&dir.join(CONFIG))? else { return Ok(None) };
        let keys = file.keys();
        if let Some(n) = soft_prompt::tokens(&keys)? {
            let base = match base {
                Some(base) => given_base(dir, base)?,
                None => named_base(dir, &keys)?,
            };
            let path = file.path().to_owned();
            let lora = LoraConfig::default();
            return Ok(Some(Self { base, path, lora, excluded: None, prompt: Some(n) }));
        }
        check_supported(&keys)?;
        let alpha = keys.number("lora_alpha")?;
        let got = alpha.map_or_else(|| "nothing".to_owned(), |alpha| alpha.to_string());
        let alpha = alpha.filter(|alpha| *alpha > 0.0 && alpha.is_finite());
        let alpha = alpha.ok_or_else(|| keys.error("lora_alpha", "a number above 0", got))?;
        let dropout = keys.number("lora_dropout")?.unwrap_or(0.0);
        keys.ensure((0.0..1.0).contains(&dropout), "lora_dropout", "in [0, 1)", dropout)?;
        let target_modules = modules(&keys, "target_modules")?.ok_or_else(|| {
            keys.error("target_modules", MODULES, "nothing: it is open which layers it adapts")
        })?;
        let rank = keys.required_size("r")?;
        // Of such an adapter (rank-stabilized LoRA, 2312.03732) the output is scaled by alpha / √rank.
        let is_stabilized = keys.flag("use_rslora")?.unwrap_or(false);
        let alpha = if is_stabilized { alpha * (rank as f64).sqrt() } else { alpha };
        let lora = LoraConfig { rank, alpha, dropout, target_modules, ..LoraConfig::default() };
        let excluded = modules(&keys, "exclude_modules")?;
        let base = match base {
            Some(base) => given_base(dir, base)?,
            None => named_base(dir, &keys)?,
        };
        Ok(Some(Self { base, path: file.path().to_owned(), lora, excluded, prompt: None }))
    }

    /// The directory of the checkpoint that the adapter is for.
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// Which layers have an adapter, and which of these are left out, as `adapter_config.json` says.
    pub fn targets(&self) -> (&TargetModules, Option<&TargetModules>) {
        (&self.lora.target_modules, self.excluded.as_ref())
    }

    /// The file with the settings.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file with the tensors of the adapter in a directory.
    pub fn tensors_in(dir: &Path) -> PathBuf {
        dir.join(TENSORS)
    }

    /// The adapter's settings. Those that are asked for may differ from them only in what is about training.
    ///
    /// # Errors
    /// Another rank or alpha.
    pub fn lora(&self, asked: Option<&LoraConfig>) -> Result<LoraConfig, CheckpointError> {
        let Some(asked) = asked else { return Ok(self.lora.clone()) };
        let LoraConfig { rank, alpha, .. } = self.lora;
        if (asked.rank, asked.alpha) != (rank, alpha) {
            let expected = format!("rank {rank} and alpha {alpha} as in {:?}", self.path);
            let got = format!("{} and {}", asked.rank, asked.alpha);
            return Err(CheckpointError::Lora { expected, got });
        }
        Ok(LoraConfig { dropout: asked.dropout, ..self.lora.clone() })
    }

    /// Turns each factor of the adapter in `dir` into something else; names are those that transformers gives to the
    /// adapted layers, with one of [`FACTORS`] behind them.
    ///
    /// # Errors
    /// A file that cannot be read, a tensor that is no factor, or what `convert` returns.
    pub fn read_tensors<T, E: From<CheckpointError>>(
        dir: &Path,
        mut convert: impl FnMut(&str, TensorView) -> Result<T, E>,
    ) -> Result<BTreeMap<String, T>, E> {
        let path = dir.join(TENSORS);
        if !path.exists() {
            return Err(no_weights(dir, TENSORS).into());
        }
        let own_name = |name: &str| {
            let module = name.strip_prefix(PREFIX).unwrap_or(name);
            let is_known = is_adapter(module) && (module == SOFT_PROMPT) == (module == name);
            Some(module).filter(|_| is_known).map(str::to_owned).ok_or_else(|| {
                let only = format!(
                    "only {PREFIX}….lora_A/B.weight is read: adapters of linear layers, none of embeddings or of the head; or {SOFT_PROMPT} \
                     of a soft prompt"
                );
                CheckpointError::NotSupported { path: path.clone(), what: format!("tensor {name}: {only}") }
            })
        };
        let tensors = TensorFiles::open_file(&path)?
            .read(|name, view| Ok::<_, E>((own_name(name)?, convert(name, view)?)))?;
        Ok(tensors.into_values().collect())
    }

    /// Writes the directory, with the tokenizer and processor files of the base. `factors` are named as in
    /// [`Adapter::read_tensors`]; `others` are the modules without an adapter that `peft` could give one, by the names
    /// that transformers gives them.
    ///
    /// # Errors
    /// A file that cannot be written, or one of the base that cannot be read.
    pub fn write<T: View>(
        &self,
        dir: &Path,
        factors: &BTreeMap<String, T>,
        others: &[String],
    ) -> Result<(), CheckpointError>
    where
        for<'a> &'a T: View,
    {
        std::fs::create_dir_all(dir).map_err(CheckpointError::write(dir))?;
        let renamed = factors.iter().map(|(name, tensor)| (format!("{PREFIX}{name}"), tensor));
        write_tensors(&dir.join(TENSORS), renamed)?;
        let modules = factors.keys().filter_map(|name| name.strip_suffix(FACTORS[0]));
        let adapted: Vec<&str> = modules.map(|module| module.trim_end_matches('.')).collect();
        let text = format!("{:#}\n", self.json(&target_modules(&adapted, others)));
        let path = dir.join(CONFIG);
        std::fs::write(&path, text).map_err(CheckpointError::write(&path))?;
        copy_companions(&self.base, dir)
    }

    /// How the base is named in the settings, and its revision on the hub.
    fn named_base(&self) -> (PathBuf, Option<String>) {
        // A snapshot in the cache of one machine is a model of the hub everywhere.
        match hub::model_of_snapshot(&self.base) {
            Some((model, revision)) => (PathBuf::from(model), Some(revision.to_string())),
            None => (std::path::absolute(&self.base).unwrap_or_else(|_| self.base.clone()), None),
        }
    }

    fn json(&self, target_modules: &[String]) -> Value {
        let (base, revision) = self.named_base();
        json!({
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": base,
            "revision": revision,
            "r": self.lora.rank,
            // peft's own type for it is an integer.
            "lora_alpha": number(self.lora.alpha),
            "lora_dropout": self.lora.dropout,
            "target_modules": target_modules,
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

/// The base that somebody has named.
fn given_base(adapter: &Path, base: &Path) -> Result<PathBuf, CheckpointError> {
    let found = hub::checkpoint_dir(base)?;
    if found.is_dir() {
        return Ok(found);
    }
    Err(missing_base(adapter, base.display(), "there is no such folder"))
}

/// The base that the settings of an adapter name.
fn named_base(adapter: &Path, keys: &Keys) -> Result<PathBuf, CheckpointError> {
    let key = "base_model_name_or_path";
    let got = keys.get(key).map_or_else(|| "nothing".to_owned(), Value::to_string);
    let named = keys.get(key).and_then(Value::as_str).filter(|name| !name.is_empty());
    let named = named.ok_or_else(|| {
        keys.error(key, "the folder of the base or its name on the Hugging Face hub", got)
    })?;
    let folders = [PathBuf::from(named), adapter.join(named)];
    if let Some(found) = folders.into_iter().find(|folder| folder.is_dir()) {
        return Ok(found);
    }
    let revision = keys.get("revision").and_then(Value::as_str);
    match hub::named_model(Path::new(named), revision) {
        Some(found) => found.map_err(|error| missing_base(adapter, named, error)),
        None => Err(missing_base(adapter, named, "there is no such folder")),
    }
}

fn missing_base(
    adapter: &Path,
    base: impl std::fmt::Display,
    reason: impl std::fmt::Display,
) -> CheckpointError {
    CheckpointError::Base {
        adapter: adapter.to_owned(),
        base: base.to_string(),
        reason: reason.to_string(),
    }
}

fn check_supported(keys: &Keys) -> Result<(), CheckpointError> {
    let got = |key: &str| keys.get(key).map_or_else(|| "nothing".to_owned(), Value::to_string);
    let is_lora = keys.get("peft_type").is_some_and(|kind| kind == "LORA");
    keys.ensure(is_lora, "peft_type", "\"LORA\" or \"PROMPT_TUNING\"", got("peft_type"))?;
    for (key, supported) in &SUPPORTED {
        let asks_nothing = |found: &Value| {
            let is_empty = found.as_array().is_some_and(Vec::is_empty);
            is_empty || found.is_null() || (*key == "bias" && found == "none")
        };
        let fits = keys.get(key).is_none_or(|found| found == supported || asks_nothing(found));
        keys.ensure(fits, key, supported.to_string(), got(key))?;
    }
    let start = keys.get("init_lora_weights").and_then(Value::as_str);
    keys.ensure(
        start.is_none_or(|start| PLAIN_STARTS.contains(&start)),
        "init_lora_weights",
        "true, false or one of gaussian, orthogonal, eva: others change the base with the adapter. peft makes a plain \
         adapter of it with save_pretrained(…, path_initial_model_for_weight_conversion=…)",
        got("init_lora_weights"),
    )?;
    for key in ["rank_pattern", "alpha_pattern"] {
        let is_empty = keys.get(key).and_then(Value::as_object).is_none_or(|map| map.is_empty());
        keys.ensure(is_empty, key, "empty: every layer has the same rank", got(key))?;
    }
    Ok(())
}

/// Names of layers, or a pattern; `None` without any.
fn modules(keys: &Keys, key: &str) -> Result<Option<TargetModules>, CheckpointError> {
    let wrong = |got: &Value| keys.error(key, MODULES, got);
    match keys.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(pattern)) => Ok(Some(TargetModules::Pattern(pattern.clone()))),
        Some(Value::Array(names)) if names.is_empty() => Ok(None),
        Some(list @ Value::Array(names)) => {
            let names = names.iter().map(|name| name.as_str().map(str::to_owned));
            let names = names.collect::<Option<_>>().ok_or_else(|| wrong(list))?;
            Ok(Some(TargetModules::Names(names)))
        }
        Some(other) => Err(wrong(other)),
    }
}

fn number(value: f64) -> Value {
    if value.fract() == 0.0 { (value as i64).into() } else { value.into() }
}

/// Ends of the adapted modules' names, each as short as it can be while it names none of the other modules. `peft` adapts
/// every module whose name ends so.
fn target_modules(adapted: &[&str], others: &[String]) -> Vec<String> {
    let names_others = |end: &str| others.iter().any(|module| names_module(module, end));
    let mut ends: Vec<String> = adapted
        .iter()
        .map(|module| {
            let starts = module.rmatch_indices('.').map(|(dot, _)| dot + 1).chain([0]);
            let mut ends = starts.map(|start| &module[start..]);
            // The number of a layer says nothing without what it counts.
            let is_fit =
                |end: &&str| !end.starts_with(|c: char| c.is_ascii_digit()) && !names_others(end);
            ends.find(is_fit).unwrap_or(module).to_owned()
        })
        .collect();
    ends.sort();
    ends.dedup();
    ends
}

#[cfg(test)]
mod tests;
