//! From the files of a checkpoint to tensors.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{DType, Device, Tensor};
use vrft_checkpoint::{CheckpointError, StoredDtype, TensorFiles, TensorView};

use crate::ModelError;

/// The tensors of these names, converted one by one.
pub(crate) fn read_tensors(
    files: &TensorFiles,
    names: Option<&BTreeSet<String>>,
    dtype: DType,
    device: &Device,
) -> Result<BTreeMap<String, Tensor>, ModelError> {
    let wanted = |name: &str| names.is_none_or(|names| names.contains(name));
    let tensors = files.read(|name, view| {
        let tensor = wanted(name).then(|| to_tensor(&view, dtype, device));
        tensor.transpose()
    })?;
    let wanted = tensors.into_iter().filter_map(|(name, tensor)| Some((name, tensor?)));
    Ok(wanted.collect())
}

/// The types that tensors are stored in, by name.
pub(crate) fn stored_dtypes(files: &TensorFiles) -> Result<BTreeMap<String, DType>, ModelError> {
    files.read(|_, view| Ok(own_dtype(&view)))
}

/// A tensor of a file in another type and place.
pub(crate) fn to_tensor(
    view: &TensorView,
    dtype: DType,
    device: &Device,
) -> Result<Tensor, ModelError> {
    let own = own_dtype(view);
    let tensor = Tensor::from_raw_buffer(view.data(), own, view.shape(), &Device::Cpu)?;
    Ok(tensor.to_dtype(dtype)?.to_device(device)?)
}

fn own_dtype(view: &TensorView) -> DType {
    match view.dtype() {
        StoredDtype::F64 => DType::F64,
        StoredDtype::F16 => DType::F16,
        StoredDtype::BF16 => DType::BF16,
        // Files are opened only if all of their tensors are floats.
        _ => DType::F32,
    }
}

/// Tensors of these names and shapes that take no memory: to see what a model would take of a file that is not read.
pub(crate) fn stand_ins(
    shapes: &BTreeMap<String, Vec<usize>>,
) -> Result<BTreeMap<String, Tensor>, ModelError> {
    let zero = Tensor::zeros((), DType::F32, &Device::Cpu)?;
    let stand_in = |(name, shape): (&String, &Vec<usize>)| {
        Ok((name.clone(), zero.broadcast_as(shape.as_slice())?))
    };
    shapes.iter().map(stand_in).collect()
}

/// The error about tensors that have another number of bytes than they should.
pub(crate) fn damaged(path: &std::path::Path, message: impl ToString) -> ModelError {
    CheckpointError::damaged(path, message).into()
}
