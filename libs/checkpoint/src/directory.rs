//! A checkpoint directory as a whole: its configuration, and writing one like another.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::tensor::{Dtype, View};

use serde_json::{Value, json};

use crate::nf4::{is_part, name_of};
use crate::tensors::SINGLE;
use crate::{CheckpointError, JsonFile, Manifest, write_tensors};

const CONFIG: &str = "config.json";
/// Where the configuration says how weights are quantized.
const QUANTIZATION: &str = "quantization_config";
/// What else a checkpoint directory may hold that belongs to the model.
const COMPANIONS: [&str; 12] = [
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
    "merges.txt",
    "preprocessor_config.json",
    "processor_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "video_preprocessor_config.json",
    "vocab.json",
];

/// The `config.json` of a checkpoint directory.
///
/// # Errors
/// A file that is absent, unreadable or not JSON.
pub fn config(dir: &Path) -> Result<JsonFile, CheckpointError> {
    let path = dir.join(CONFIG);
    let text = std::fs::read_to_string(&path).map_err(CheckpointError::read(&path))?;
    JsonFile::parse(path, &text)
}

/// The text of a file, or `None` if there is none.
///
/// # Errors
/// A file that cannot be read or is not UTF-8.
pub fn read_text(path: &Path) -> Result<Option<String>, CheckpointError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(CheckpointError::Read { path: path.to_owned(), source }),
    }
}

/// Writes a checkpoint directory: these tensors, and from `source` the configuration (with the tensors' type), the
/// tokenizer and the processor.
///
/// # Errors
/// A file that cannot be read or written.
pub fn write_checkpoint<T: View>(
    dir: &Path,
    tensors: &BTreeMap<String, T>,
    source: &Path,
) -> Result<(), CheckpointError>
where
    for<'a> &'a T: View,
{
    write(dir, tensors, source, None)
}

/// The same of tensors with matrices of 4-bit numbers among them, each with its parts as [`Nf4View`](crate::Nf4View) names
/// them; `others` are the modules whose weights are as they were.
///
/// # Errors
/// A file that cannot be read or written.
pub fn write_nf4_checkpoint<T: View>(
    dir: &Path,
    tensors: &BTreeMap<String, T>,
    source: &Path,
    others: &[String],
) -> Result<(), CheckpointError>
where
    for<'a> &'a T: View,
{
    let is_double = tensors.keys().any(|name| name.ends_with(".nested_absmax"));
    let quantization = json!({
        "quant_method": "bitsandbytes",
        "load_in_4bit": true,
        "load_in_8bit": false,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": is_double,
        "bnb_4bit_compute_dtype": name_of(widest(tensors)),
        "bnb_4bit_quant_storage": "uint8",
        "llm_int8_skip_modules": others,
    });
    write(dir, tensors, source, Some(quantization))
}

fn write<T: View>(
    dir: &Path,
    tensors: &BTreeMap<String, T>,
    source: &Path,
    quantization: Option<Value>,
) -> Result<(), CheckpointError>
where
    for<'a> &'a T: View,
{
    std::fs::create_dir_all(dir).map_err(CheckpointError::write(dir))?;
    write_tensors(&dir.join(SINGLE), tensors)?;
    let config = changed(&config(source)?, widest(tensors), quantization)?;
    let to = dir.join(CONFIG);
    std::fs::write(&to, config).map_err(CheckpointError::write(&to))?;
    copy_companions(source, dir)
}

/// The widest type of tensors, where what was trained is kept in more than what was frozen.
fn widest<T: View>(tensors: &BTreeMap<String, T>) -> Dtype {
    let own = tensors.iter().filter(|(name, _)| !is_part(name)).map(|(_, tensor)| tensor.dtype());
    own.filter(|dtype| *dtype != Dtype::U8).max_by_key(Dtype::bitsize).unwrap_or(Dtype::F32)
}

/// What only the learner that has written a checkpoint needs, to go on.
const OF_THE_LEARNER: [&str; 3] = ["optimizer.safetensors", "state.json", "manifest.json"];

/// How the files of a checkpoint get to another folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transfer {
    /// They are there and no longer here. Both folders are on one file system.
    Move,
    /// Both names are of the same files, or of copies where the file system has no links.
    Link,
    /// They are there twice.
    Copy,
}

/// Makes `to` a checkpoint of the policy in `from`, with a manifest and without what only its learner needs. `to` is whole
/// or not there, whatever happens meanwhile; what was there before is replaced.
///
/// # Errors
/// A file that cannot be read or written.
pub fn transfer(from: &Path, to: &Path, how: Transfer) -> Result<(), CheckpointError> {
    let partial = to.with_extension("partial");
    let parent = to.parent().unwrap_or(to);
    std::fs::create_dir_all(parent).map_err(CheckpointError::write(parent))?;
    remove(&partial)?;
    if how == Transfer::Move {
        std::fs::rename(from, &partial).map_err(CheckpointError::write(&partial))?;
        for name in OF_THE_LEARNER {
            remove(&partial.join(name))?;
        }
    } else {
        std::fs::create_dir(&partial).map_err(CheckpointError::write(&partial))?;
        for entry in std::fs::read_dir(from).map_err(CheckpointError::read(from))? {
            let file = entry.map_err(CheckpointError::read(from))?.path();
            let name = file.file_name().unwrap_or_default();
            if file.is_file() && OF_THE_LEARNER.iter().all(|other| name != *other) {
                place(&file, &partial.join(name), how)?;
            }
        }
    }
    Manifest::write(&partial)?;
    remove(to)?;
    std::fs::rename(&partial, to).map_err(CheckpointError::write(to))
}

fn place(file: &Path, to: &Path, how: Transfer) -> Result<(), CheckpointError> {
    let is_linked = how == Transfer::Link && std::fs::hard_link(file, to).is_ok();
    if is_linked {
        return Ok(());
    }
    std::fs::copy(file, to).map(drop).map_err(CheckpointError::write(to))
}

/// Removes a file or a folder if it is there.
fn remove(path: &Path) -> Result<(), CheckpointError> {
    let removed = match path {
        path if path.is_dir() => std::fs::remove_dir_all(path),
        path if path.exists() => std::fs::remove_file(path),
        _ => Ok(()),
    };
    removed.map_err(CheckpointError::write(path))
}

/// Copies tokenizer and processor files.
pub(crate) fn copy_companions(source: &Path, dir: &Path) -> Result<(), CheckpointError> {
    for name in COMPANIONS {
        let (from, to) = (source.join(name), dir.join(name));
        // Read as a whole before it is written: both may be the same file.
        if from.is_file() {
            let bytes = std::fs::read(&from).map_err(CheckpointError::read(&from))?;
            std::fs::write(&to, bytes).map_err(CheckpointError::write(&to))?;
        }
    }
    Ok(())
}

/// `config.json` names the type of the weights, and how they are quantized; loaders that follow it must find the right
/// one.
fn changed(
    config: &JsonFile,
    dtype: Dtype,
    quantization: Option<Value>,
) -> Result<Vec<u8>, CheckpointError> {
    let mut value = config.value().clone();
    for key in ["dtype", "torch_dtype"] {
        if let Some(value) = value.get_mut(key) {
            *value = name_of(dtype).into();
        }
    }
    if let Some(keys) = value.as_object_mut() {
        match quantization {
            Some(quantization) => drop(keys.insert(QUANTIZATION.to_owned(), quantization)),
            None => drop(keys.remove(QUANTIZATION)),
        }
    }
    serde_json::to_vec_pretty(&value)
        .map_err(|error| CheckpointError::damaged(config.path(), error))
}
