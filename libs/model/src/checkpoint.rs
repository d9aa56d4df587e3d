//! From the files of a checkpoint to tensors.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{DType, Device, Tensor};
use vrft_checkpoint::{CheckpointError, StoredDtype, TensorFiles, TensorView};

use vrft_kernels::Nf4Matrix;

use crate::ModelError;
use crate::quantized::{Quantized, to_matrix};

/// All tensors, converted one by one.
pub(crate) fn read_tensors(
    files: &TensorFiles,
    dtype: DType,
    device: &Device,
) -> Result<BTreeMap<String, Tensor>, ModelError> {
    files.read(|name, view| to_tensor(name, &view, dtype, device))
}

/// Where weights go as they are read.
pub(crate) trait Destination {
    /// Takes a tensor in main memory.
    fn put(&mut self, name: &str, tensor: Tensor) -> Result<Tensor, ModelError>;

    /// Takes a matrix of 4-bit numbers in main memory.
    fn put_matrix(&mut self, name: &str, matrix: Nf4Matrix) -> Result<Nf4Matrix, ModelError>;
}

/// Memory of its own.
impl Destination for &Device {
    fn put(&mut self, _: &str, tensor: Tensor) -> Result<Tensor, ModelError> {
        Ok(tensor.to_device(self)?)
    }

    fn put_matrix(&mut self, _: &str, matrix: Nf4Matrix) -> Result<Nf4Matrix, ModelError> {
        Ok(matrix.to_device(self)?)
    }
}

/// The weights of these names, converted one by one: tensors, and matrices of 4-bit numbers. Those that `quantizes`
/// picks are made such matrices; no more than one of them is whole at a time.
pub(crate) fn read_weights(
    files: &TensorFiles,
    names: &BTreeSet<String>,
    dtype: DType,
    mut to: impl Destination,
    quantizes: impl Fn(&str) -> bool,
) -> Result<(BTreeMap<String, Tensor>, Quantized), ModelError> {
    let mut quantized = Quantized::new();
    let tensors = files.read_floats(|name, view| {
        if !names.contains(name) {
            return Ok(None);
        }
        if !quantizes(name) {
            return to.put(name, to_tensor(name, &view, dtype, &Device::Cpu)?).map(Some);
        }
        let dtype = if view.dtype() == StoredDtype::BF16 { DType::BF16 } else { DType::F32 };
        let values = to_tensor(name, &view, dtype, &Device::Cpu)?;
        let matrix = to.put_matrix(name, Nf4Matrix::quantize(&values, true)?)?;
        quantized.insert(name.to_owned(), matrix);
        Ok::<_, ModelError>(None)
    })?;
    quantized.extend(files.read_nf4(|name, view| to.put_matrix(name, to_matrix(name, &view)?))?);
    let tensors = tensors.into_iter().filter_map(|(name, tensor)| Some((name, tensor?))).collect();
    Ok((tensors, quantized))
}

/// The types that tensors are stored in, by name.
pub(crate) fn stored_dtypes(files: &TensorFiles) -> Result<BTreeMap<String, DType>, ModelError> {
    let mut dtypes = files.read_floats(|_, view| Ok::<_, ModelError>(of_stored(view.dtype())))?;
    // What a matrix of 4-bit numbers was made of.
    dtypes.extend(files.read_nf4(|_, view| Ok::<_, ModelError>(of_stored(view.dtype)))?);
    Ok(dtypes)
}

/// A tensor of a file in another type and place.
///
/// # Errors
/// A number that is not finite, by the tensor's name: whatever goes through such a weight is no number either.
pub(crate) fn to_tensor(
    name: &str,
    view: &TensorView,
    dtype: DType,
    device: &Device,
) -> Result<Tensor, ModelError> {
    check_finite(name, view)?;
    let own = of_stored(view.dtype());
    let tensor = Tensor::from_raw_buffer(view.data(), own, view.shape(), &Device::Cpu)?;
    Ok(tensor.to_dtype(dtype)?.to_device(device)?)
}

/// Whether all numbers of a tensor are finite; an error by its name.
pub(crate) fn check_finite(name: &str, view: &TensorView) -> Result<(), ModelError> {
    let n_bad = n_not_finite(view);
    if n_bad == 0 {
        return Ok(());
    }
    let n = view.shape().iter().product::<usize>();
    let got =
        format!("{n_bad} of {n} that are not: the file is damaged, or its training had diverged");
    Err(ModelError::input(format!("tensor {name}"), "finite numbers", got))
}

/// How many numbers of a tensor are infinite or not a number: all bits of their exponents are set.
fn n_not_finite(view: &TensorView) -> usize {
    fn count<const N: usize>(bytes: &[u8], is_bad: impl Fn([u8; N]) -> bool) -> usize {
        let (numbers, _) = bytes.as_chunks::<N>();
        numbers.iter().map(|number| usize::from(is_bad(*number))).sum()
    }
    let has = |bits: u16, mask: u16| bits & mask == mask;
    match view.dtype() {
        StoredDtype::F16 => count(view.data(), |b| has(u16::from_le_bytes(b), 0x7c00)),
        StoredDtype::BF16 => count(view.data(), |b| has(u16::from_le_bytes(b), 0x7f80)),
        StoredDtype::F64 => count(view.data(), |b| !f64::from_le_bytes(b).is_finite()),
        _ => count(view.data(), |b| !f32::from_le_bytes(b).is_finite()),
    }
}

fn of_stored(dtype: StoredDtype) -> DType {
    match dtype {
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
