//! A checkpoint directory as a whole: its configuration, and writing one like another.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::tensor::{Dtype, View};

use crate::tensors::SINGLE;
use crate::{CheckpointError, JsonFile, write_tensors};

const CONFIG: &str = "config.json";
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
    std::fs::create_dir_all(dir).map_err(CheckpointError::write(dir))?;
    write_tensors(&dir.join(SINGLE), tensors)?;
    // The widest, where what was trained is kept in more than what was frozen.
    let widest = tensors.values().map(View::dtype).max_by_key(Dtype::bitsize);
    let config = with_dtype(&config(source)?, widest.unwrap_or(Dtype::F32))?;
    let to = dir.join(CONFIG);
    std::fs::write(&to, config).map_err(CheckpointError::write(&to))?;
    copy_companions(source, dir)
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

/// `config.json` names the type of the weights; loaders that follow it must find the right one.
fn with_dtype(config: &JsonFile, dtype: Dtype) -> Result<Vec<u8>, CheckpointError> {
    let mut value = config.value().clone();
    let name = match dtype {
        Dtype::BF16 => "bfloat16",
        Dtype::F16 => "float16",
        _ => "float32",
    };
    for key in ["dtype", "torch_dtype"] {
        if let Some(value) = value.get_mut(key) {
            *value = name.into();
        }
    }
    serde_json::to_vec_pretty(&value)
        .map_err(|error| CheckpointError::damaged(config.path(), error))
}
