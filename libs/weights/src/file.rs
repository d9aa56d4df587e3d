//! Weights as a safetensors file, written tensor by tensor.
//!
//! The safetensors crate writes a file or a buffer, neither of which can be hashed on the way; this writes to
//! anything, and holds one tensor in memory at a time.

use std::collections::BTreeMap;
use std::io::{self, Write};

use candle_core::{Device, Tensor};
use safetensors::tensor::{Metadata, TensorInfo};
use safetensors::{Dtype, SafeTensorError};

/// Why weights could not be written.
#[derive(Debug)]
pub(crate) enum WriteError {
    Io(io::Error),
    Format(SafeTensorError),
    Tensor(candle_core::Error),
}

/// Writes the tensors: length of the header, header, data.
pub(crate) fn write(
    tensors: &BTreeMap<String, Tensor>,
    out: &mut impl Write,
) -> Result<(), WriteError> {
    let tensors = in_file_order(tensors);
    let header = header(&tensors).map_err(WriteError::Format)?;
    out.write_all(&(header.len() as u64).to_le_bytes()).map_err(WriteError::Io)?;
    out.write_all(&header).map_err(WriteError::Io)?;
    for (_, tensor) in tensors {
        let tensor = tensor.to_device(&Device::Cpu).map_err(WriteError::Tensor)?;
        out.write_all(&safetensors::View::data(&tensor)).map_err(WriteError::Io)?;
    }
    out.flush().map_err(WriteError::Io)
}

/// Wide types first, so that every tensor is aligned to its elements; by name within a type.
fn in_file_order(tensors: &BTreeMap<String, Tensor>) -> Vec<(&String, &Tensor)> {
    let mut tensors: Vec<_> = tensors.iter().collect();
    tensors.sort_by_key(|(_, tensor)| std::cmp::Reverse(tensor.dtype().size_in_bytes()));
    tensors
}

/// The JSON header, padded with spaces so that the data starts at a multiple of 8 bytes.
fn header(tensors: &[(&String, &Tensor)]) -> Result<Vec<u8>, SafeTensorError> {
    let mut end = 0;
    let infos = tensors.iter().map(|(name, tensor)| {
        let start = end;
        end += tensor.elem_count() * tensor.dtype().size_in_bytes();
        let dtype = Dtype::from(tensor.dtype());
        let info = TensorInfo { dtype, shape: tensor.dims().to_vec(), data_offsets: (start, end) };
        ((*name).clone(), info)
    });
    let metadata = Metadata::new(None, infos.collect())?;
    let mut header = serde_json::to_vec(&metadata)?;
    header.resize(header.len().next_multiple_of(8), b' ');
    Ok(header)
}

#[cfg(test)]
mod tests {
    use candle_core::DType;

    use super::*;

    fn check(tensors: &[(&str, Tensor)]) {
        let tensors: BTreeMap<_, _> =
            tensors.iter().map(|(name, tensor)| ((*name).to_owned(), tensor.clone())).collect();
        let mut ours = Vec::new();
        write(&tensors, &mut ours).unwrap();
        let read = candle_core::safetensors::load_buffer(&ours, &Device::Cpu).unwrap();
        assert_eq!(read.len(), tensors.len());
        for (name, tensor) in &tensors {
            assert_eq!(read[name].dtype(), tensor.dtype());
            assert_eq!(read[name].dims(), tensor.dims());
            assert_eq!(
                safetensors::View::data(&read[name]),
                safetensors::View::data(tensor),
                "{name}"
            );
        }
    }

    #[test]
    fn what_is_written_can_be_read() {
        let matrix = Tensor::arange(0f32, 6., &Device::Cpu).unwrap().reshape((2, 3)).unwrap();
        check(&[("matrix", matrix.clone()), ("transposed", matrix.t().unwrap())]);
    }

    #[test]
    fn narrow_types_do_not_misalign_wide_ones() {
        let odd = Tensor::ones(3, DType::BF16, &Device::Cpu).unwrap();
        let wide = Tensor::ones(2, DType::F32, &Device::Cpu).unwrap();
        check(&[("a", odd), ("b", wide)]);
    }
}
