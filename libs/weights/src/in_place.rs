//! Reading weights into the memory of those before them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, DType, InplaceOp1, Layout, Tensor};
use half::slice::HalfFloatSliceExt;
use rayon::prelude::*;
use safetensors::Dtype;
use safetensors::tensor::TensorInfo;

use crate::checksum::{self, CHUNK};
use crate::file::{FileError, Head};

/// Reads a file of `bytes` bytes into the memory of these tensors and returns its checksum; `None`, and nothing is read, unless it
/// holds just them, and they lie on the CPU, each in one piece.
pub(crate) fn read_into(
    tensors: &BTreeMap<String, Tensor>,
    file: &File,
    bytes: u64,
) -> Result<Option<String>, FileError> {
    let head = Head::read(file, bytes)?;
    let fits = |(name, info): &(String, TensorInfo)| {
        tensors.get(name).is_some_and(|tensor| {
            let is_here = tensor.device().is_cpu() && tensor.is_contiguous();
            let is_common = matches!(tensor.dtype(), DType::F32 | DType::BF16);
            let is_alike = tensor.dims() == info.shape && Dtype::from(tensor.dtype()) == info.dtype;
            is_here && is_common && is_alike
        })
    };
    if head.infos.len() != tensors.len() || !head.infos.iter().all(fits) {
        return Ok(None);
    }
    let sums = head.infos.par_iter().map(|(name, info)| {
        let start = (head.len + info.data_offsets.0) as u64;
        let place = Place { file, start, sums: Mutex::default() };
        tensors[name].inplace_op1(&place)?;
        Ok(place.sums.into_inner().unwrap_or_else(PoisonError::into_inner))
    });
    let sums = sums.collect::<Result<Vec<_>, FileError>>()?;
    Ok(Some(checksum::of_file(head.sums.into_iter().chain(sums.into_iter().flatten()))))
}

/// Where the bytes of a tensor lie in a file, and the sums of its chunks once they have been read.
struct Place<'a> {
    file: &'a File,
    start: u64,
    sums: Mutex<Vec<u128>>,
}

impl InplaceOp1 for Place<'_> {
    fn name(&self) -> &'static str {
        "read-weights"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        let Some((start, end)) = layout.contiguous_offsets() else {
            candle_core::bail!("weights are read into memory of one piece");
        };
        let bytes: &mut [u8] = match storage {
            CpuStorage::F32(values) => bytemuck::cast_slice_mut(&mut values[start..end]),
            CpuStorage::BF16(values) => {
                bytemuck::cast_slice_mut(values[start..end].reinterpret_cast_mut())
            }
            _ => candle_core::bail!("weights are read into f32 and bf16"),
        };
        let chunks = bytes.par_chunks_mut(CHUNK).enumerate().map(|(i, chunk)| {
            self.file.read_exact_at(chunk, self.start + (i * CHUNK) as u64)?;
            Ok(checksum::of_chunk(chunk))
        });
        let sums = chunks.collect::<io::Result<Vec<u128>>>().map_err(candle_core::Error::wrap)?;
        *self.sums.lock().unwrap_or_else(PoisonError::into_inner) = sums;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn what_is_written_is_read_into_memory_that_is_there_if_it_is_alike() {
        let of = |values: [f32; 4]| Tensor::new(&values, &Device::Cpu).unwrap();
        let bf16 = |tensor: Tensor| tensor.to_dtype(DType::BF16).unwrap();
        let tensors = BTreeMap::from([
            ("half".to_owned(), bf16(of([5., 6., 7., 8.]))),
            ("whole".to_owned(), of([1., 2., 3., 4.])),
        ]);
        let file = tempfile::NamedTempFile::new().unwrap();
        let (bytes, checksum) = crate::file::write(&tensors, file.as_file()).unwrap();
        let zeros = || of([0.; 4]);
        let mut places =
            BTreeMap::from([("half".to_owned(), bf16(zeros())), ("whole".to_owned(), zeros())]);
        let seen = places["whole"].clone();
        let read = |places: &BTreeMap<_, _>| read_into(places, file.as_file(), bytes).unwrap();
        assert_eq!(read(&places), Some(checksum));
        assert_eq!(seen.to_vec1::<f32>().unwrap(), [1., 2., 3., 4.]);
        let half = places["half"].to_dtype(DType::F32).unwrap();
        assert_eq!(half.to_vec1::<f32>().unwrap(), [5., 6., 7., 8.]);
        // Of another type, and of other names.
        places.insert("half".to_owned(), zeros());
        assert_eq!(read(&places), None);
        assert_eq!(places["half"].to_vec1::<f32>().unwrap(), [0.; 4]);
        places.remove("half");
        assert_eq!(read(&places), None);
    }
}
