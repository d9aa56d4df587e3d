//! The tensors of a SAM, by the names of the authors' program, whatever the file calls them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Error, Result, Shape, Tensor};
use candle_nn::VarBuilder;
use candle_nn::var_builder::SimpleBackend;
use vrft_checkpoint::{JsonFile, StoredDtype, TensorFiles};

use crate::SegmentError;
use crate::names::original;
use crate::sizes::{Shapes, Sizes};

/// A model's tensors in f32, each with the name that its file has for it.
struct Weights {
    tensors: BTreeMap<String, (String, Tensor)>,
}

/// The sizes of a SAM, and its tensors for candle's builders.
///
/// # Errors
/// A file that is absent, damaged or of another model; a configuration that is not the tensors'.
pub(crate) fn load(path: &Path) -> std::result::Result<(Sizes, VarBuilder<'static>), SegmentError> {
    let wrong = |message: String| SegmentError::Weights { path: path.to_owned(), message };
    let config = JsonFile::read(&path.join("config.json")).or_else(|error| {
        // A file has nothing in it that could be a configuration.
        if path.is_file() { Ok(None) } else { Err(error) }
    })?;
    let (files, said) = match &config {
        Some(config) => (TensorFiles::open(path)?, Some(Sizes::of_config(config)?)),
        None => (TensorFiles::open_file(&single(path).map_err(wrong)?)?, None),
    };
    let rename = |name: &str| match &said {
        Some(sizes) => original(name, sizes.iou_depth),
        None => Some(name.to_owned()),
    };
    let shapes = files.shapes().into_iter();
    let shapes: Shapes = shapes.filter_map(|(name, shape)| Some((rename(&name)?, shape))).collect();
    let sizes = match said {
        Some(sizes) => sizes,
        None => Sizes::of_shapes(&shapes).map_err(wrong)?,
    };
    sizes.check_against(&shapes).map_err(wrong)?;
    let is_transformers = config.is_some();
    let read = files.read(|_, view| {
        let own = match view.dtype() {
            StoredDtype::F64 => DType::F64,
            StoredDtype::F16 => DType::F16,
            StoredDtype::BF16 => DType::BF16,
            // Files are opened only if all of their tensors are floats.
            _ => DType::F32,
        };
        let tensor = Tensor::from_raw_buffer(view.data(), own, view.shape(), &Device::Cpu)?;
        Ok::<Tensor, SegmentError>(tensor.to_dtype(DType::F32)?)
    })?;
    let named = read.into_iter().filter_map(|(name, tensor)| {
        let own = if is_transformers { original(&name, sizes.iou_depth)? } else { name.clone() };
        Some((own, (name, tensor)))
    });
    let weights = Weights { tensors: named.collect() };
    let builder = VarBuilder::from_backend(Box::new(weights), DType::F32, Device::Cpu);
    Ok((sizes, builder))
}

/// The file itself, or the one safetensors file of a folder that has no configuration.
fn single(path: &Path) -> std::result::Result<PathBuf, String> {
    if path.is_file() {
        return Ok(path.to_owned());
    }
    let entries = std::fs::read_dir(path).map_err(|error| {
        format!(
            "{error}; expected a folder with config.json and model.safetensors of a SamModel, a safetensors file with the \
             names of the authors' program, or a model of the hub such as facebook/sam-vit-base"
        )
    })?;
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let is_tensors =
        |path: &PathBuf| path.extension().is_some_and(|ending| ending == "safetensors");
    let files: Vec<PathBuf> = files.filter(is_tensors).collect();
    match &files[..] {
        [one] => Ok(one.clone()),
        several => Err(format!(
            "it has no config.json and {} safetensors files; expected config.json with model.safetensors, or one safetensors \
             file with the names of the authors' program",
            several.len()
        )),
    }
}

impl SimpleBackend for Weights {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        _init: candle_nn::Init,
        dtype: DType,
        device: &Device,
    ) -> Result<Tensor> {
        let tensor = self.get_unchecked(name, dtype, device)?;
        if tensor.shape() == &shape {
            return Ok(tensor);
        }
        let stored = self.tensors.get(name).map_or(name, |(stored, _)| stored);
        let (got, expected) = (tensor.dims(), shape.dims());
        Err(Error::Msg(format!("tensor {stored} should have shape {expected:?}, got {got:?}")))
    }

    fn get_unchecked(&self, name: &str, dtype: DType, device: &Device) -> Result<Tensor> {
        let (_, tensor) = self.tensors.get(name).ok_or_else(|| {
            Error::Msg(format!("no tensor {name}, as the authors' program calls it"))
        })?;
        tensor.to_dtype(dtype)?.to_device(device)
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }
}
