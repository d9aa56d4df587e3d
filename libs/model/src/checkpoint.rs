//! Safetensors files in a checkpoint directory: one, or several with an index.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use serde::Deserialize;

use crate::PolicyError;

const SINGLE: &str = "model.safetensors";
const CONFIG: &str = "config.json";
const INDEX: &str = "model.safetensors.index.json";
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

/// All tensors of a checkpoint directory, converted one by one.
pub(crate) fn read_tensors(
    dir: &Path,
    dtype: DType,
    device: &Device,
) -> Result<BTreeMap<String, Tensor>, PolicyError> {
    let mut tensors = BTreeMap::new();
    for path in shards(dir)? {
        read_shard(&path, dtype, device, &mut tensors)?;
    }
    Ok(tensors)
}

/// The tensors of one file.
pub(crate) fn read_file(
    path: &Path,
    dtype: DType,
    device: &Device,
) -> Result<BTreeMap<String, Tensor>, PolicyError> {
    let mut tensors = BTreeMap::new();
    read_shard(path, dtype, device, &mut tensors)?;
    Ok(tensors)
}

/// Writes the tensors and copies the companions of the checkpoint that they came from.
pub(crate) fn write(
    dir: &Path,
    tensors: &BTreeMap<String, Tensor>,
    source: &Path,
) -> Result<(), PolicyError> {
    std::fs::create_dir_all(dir).map_err(failed(dir))?;
    write_file(&dir.join(SINGLE), tensors.iter())?;
    // The widest, where what was trained is kept in more than what was frozen.
    let widest = tensors.values().map(Tensor::dtype).max_by_key(DType::size_in_bytes);
    let dtype = widest.unwrap_or(DType::F32);
    let from = source.join(CONFIG);
    let config = with_dtype(&from, &read(&from)?, dtype)?;
    let to = dir.join(CONFIG);
    std::fs::write(&to, config).map_err(failed(&to))?;
    copy_companions(source, dir)
}

/// Writes one file of tensors.
pub(crate) fn write_file<N: AsRef<str> + Ord + std::fmt::Display, T: safetensors::View>(
    path: &Path,
    tensors: impl IntoIterator<Item = (N, T)>,
) -> Result<(), PolicyError> {
    // transformers refuses a file that does not say which framework it is for.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize_to_file(tensors, Some(metadata), path)
        .map_err(|e| failed(path)(std::io::Error::other(e)))
}

/// Copies tokenizer and processor files.
pub(crate) fn copy_companions(source: &Path, dir: &Path) -> Result<(), PolicyError> {
    for name in COMPANIONS {
        let (from, to) = (source.join(name), dir.join(name));
        if from.is_file() {
            std::fs::write(&to, read(&from)?).map_err(failed(&to))?;
        }
    }
    Ok(())
}

/// What to say when a file cannot be written.
pub(crate) fn failed(path: &Path) -> impl Fn(std::io::Error) -> PolicyError {
    let path = path.to_owned();
    move |source| PolicyError::Write { path: path.clone(), source }
}

/// The text of a file of the checkpoint.
pub(crate) fn read_text(path: &Path) -> Result<String, PolicyError> {
    String::from_utf8(read(path)?).map_err(|e| damaged(path, format!("not UTF-8: {e}")))
}

fn read(path: &Path) -> Result<Vec<u8>, PolicyError> {
    std::fs::read(path).map_err(|source| PolicyError::Read { path: path.to_owned(), source })
}

/// `config.json` names the type of the weights; loaders that follow it must find the right one.
fn with_dtype(path: &Path, bytes: &[u8], dtype: DType) -> Result<Vec<u8>, PolicyError> {
    let mut config: serde_json::Value =
        serde_json::from_slice(bytes).map_err(|e| damaged(path, e.to_string()))?;
    let name = match dtype {
        DType::BF16 => "bfloat16",
        DType::F16 => "float16",
        _ => "float32",
    };
    for key in ["dtype", "torch_dtype"] {
        if let Some(value) = config.get_mut(key) {
            *value = name.into();
        }
    }
    serde_json::to_vec_pretty(&config).map_err(|e| damaged(path, e.to_string()))
}

fn damaged(path: &Path, message: String) -> PolicyError {
    PolicyError::Damaged { path: path.to_owned(), message }
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The files that hold tensors.
fn shards(dir: &Path) -> Result<Vec<PathBuf>, PolicyError> {
    let index = dir.join(INDEX);
    if dir.join(SINGLE).is_file() || !index.is_file() {
        return Ok(vec![dir.join(SINGLE)]);
    }
    let parsed: Index =
        serde_json::from_slice(&read(&index)?).map_err(|e| damaged(&index, e.to_string()))?;
    let files: BTreeSet<String> = parsed.weight_map.into_values().collect();
    if let Some(outside) = files.iter().find(|file| file.contains(['/', '\\'])) {
        return Err(damaged(&index, format!("names {outside:?}, which is not a file beside it")));
    }
    Ok(files.into_iter().map(|file| dir.join(file)).collect())
}

/// Where a tensor lies in the file, counted from the end of the header.
#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (u64, u64),
}

fn read_shard(
    path: &Path,
    dtype: DType,
    device: &Device,
    tensors: &mut BTreeMap<String, Tensor>,
) -> Result<(), PolicyError> {
    let failed = |source| PolicyError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.len() == 0 {
        return Err(too_short(path, 0, 8));
    }
    // Mapped, so that a tensor is copied once, from the system's cache to its place.
    // SAFETY: a checkpoint that another program cuts short meanwhile ends this one; nothing else can go wrong,
    // since bytes of any value are numbers.
    #[expect(unsafe_code, reason = "there is no other way to map a file")]
    let bytes = unsafe { memmap2::Mmap::map(&file) }.map_err(failed)?;
    let (entries, data) = read_header(path, &bytes)?;
    for (name, entry) in entries {
        let tensor = read_tensor(path, data, &name, &entry)?;
        tensors.insert(name, tensor.to_dtype(dtype)?.to_device(device)?);
    }
    Ok(())
}

fn too_short(path: &Path, len: u64, needed: u64) -> PolicyError {
    damaged(path, format!("{len} bytes where its header promises {needed}: cut short?"))
}

/// The header's entries, checked against the length of the file, and what comes after it.
fn read_header<'a>(
    path: &Path,
    bytes: &'a [u8],
) -> Result<(BTreeMap<String, Entry>, &'a [u8]), PolicyError> {
    let len = bytes.len() as u64;
    let Some((size, rest)) = bytes.split_first_chunk() else {
        return Err(too_short(path, len, 8));
    };
    let size = u64::from_le_bytes(*size);
    let data_start = size.saturating_add(8);
    let Some((header, data)) = usize::try_from(size).ok().and_then(|n| rest.split_at_checked(n))
    else {
        return Err(too_short(path, len, data_start));
    };
    let mut header: BTreeMap<String, serde_json::Value> = serde_json::from_slice(header)
        .map_err(|e| damaged(path, format!("not a safetensors file: {e}")))?;
    header.remove("__metadata__");
    let mut entries = BTreeMap::new();
    for (name, value) in header {
        let entry: Entry = serde_json::from_value(value)
            .map_err(|e| damaged(path, format!("entry {name}: {e}")))?;
        entries.insert(name, entry);
    }
    let end = entries.values().map(|e| e.data_offsets.1).max().unwrap_or(0);
    match data_start.saturating_add(end) {
        needed if needed > len => Err(too_short(path, len, needed)),
        _ => Ok((entries, data)),
    }
}

fn read_tensor(path: &Path, data: &[u8], name: &str, entry: &Entry) -> Result<Tensor, PolicyError> {
    let dtype = match entry.dtype.as_str() {
        "F64" => DType::F64,
        "F32" => DType::F32,
        "F16" => DType::F16,
        "BF16" => DType::BF16,
        other => return Err(damaged(path, format!("tensor {name} has type {other}, not a float"))),
    };
    let n_values = entry.shape.iter().try_fold(1usize, |n, dim| n.checked_mul(*dim));
    let n_bytes = n_values.and_then(|n| n.checked_mul(dtype.size_in_bytes()));
    let (start, end) = entry.data_offsets;
    let bytes = data.get(start as usize..end as usize);
    match bytes.filter(|bytes| Some(bytes.len()) == n_bytes) {
        Some(bytes) => Ok(Tensor::from_raw_buffer(bytes, dtype, &entry.shape, &Device::Cpu)?),
        None => {
            let shape = &entry.shape;
            Err(damaged(path, format!("tensor {name} {shape:?} does not fill {start}..{end}")))
        }
    }
}
