//! Weights as a safetensors file, written and read straight from and into the tensors' memory.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::fs::FileExt;

use candle_core::{CpuStorage, DType, Device, Storage, Tensor};
use half::bf16;
use half::slice::HalfFloatSliceExt;
use half::vec::HalfBitsVecExt;
use rayon::prelude::*;
use safetensors::tensor::{Metadata, TensorInfo};
use safetensors::{Dtype, SafeTensorError};

use crate::checksum::{self, CHUNK};

/// Why weights could not be written or read.
#[derive(Debug)]
pub(crate) enum FileError {
    Io(io::Error),
    Format(SafeTensorError),
    Tensor(candle_core::Error),
}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<SafeTensorError> for FileError {
    fn from(error: SafeTensorError) -> Self {
        Self::Format(error)
    }
}

impl From<candle_core::Error> for FileError {
    fn from(error: candle_core::Error) -> Self {
        Self::Tensor(error)
    }
}

/// Writes length of the header, header, data; returns the file's size and checksum.
pub(crate) fn write(
    tensors: &BTreeMap<String, Tensor>,
    file: &File,
) -> Result<(u64, String), FileError> {
    let tensors = in_file_order(tensors);
    let header = header(&tensors)?;
    let on_cpu = tensors.iter().map(|(_, tensor)| tensor.to_device(&Device::Cpu)?.contiguous());
    let on_cpu = on_cpu.collect::<candle_core::Result<Vec<Tensor>>>()?;
    let guards: Vec<_> = on_cpu.iter().map(Tensor::storage_and_layout).collect();
    let len = (header.len() as u64).to_le_bytes();
    let mut pieces: Vec<Cow<[u8]>> = vec![[&len, &header[..]].concat().into()];
    for ((storage, layout), tensor) in guards.iter().zip(&on_cpu) {
        pieces.push(bytes_of(storage, layout.contiguous_offsets(), tensor));
    }
    // Two writers of one file wait for each other, so the other core sums meanwhile.
    let sum = || checksum::of_file(pieces.iter().flat_map(|piece| checksum::of_piece(piece)));
    let (bytes, checksum) = rayon::join(|| write_in_order(&pieces, file), sum);
    Ok((bytes?, checksum))
}

/// The values' bytes: the tensor's own memory where it is of a common type.
fn bytes_of<'a>(
    storage: &'a Storage,
    offsets: Option<(usize, usize)>,
    tensor: &'a Tensor,
) -> Cow<'a, [u8]> {
    match (storage, offsets) {
        (Storage::Cpu(CpuStorage::F32(values)), Some((start, end))) => {
            bytemuck::cast_slice(&values[start..end]).into()
        }
        (Storage::Cpu(CpuStorage::BF16(values)), Some((start, end))) => {
            let bits: &[u16] = values[start..end].reinterpret_cast();
            bytemuck::cast_slice(bits).into()
        }
        _ => safetensors::View::data(tensor),
    }
}

/// Over what the file holds, which then ends where the last piece does.
fn write_in_order(pieces: &[Cow<[u8]>], file: &File) -> io::Result<u64> {
    let mut end = 0u64;
    for piece in pieces {
        file.write_all_at(piece, end)?;
        end += piece.len() as u64;
    }
    file.set_len(end)?;
    Ok(end)
}

/// All tensors of a file of `bytes` bytes, on the CPU, and its checksum.
pub(crate) fn read(
    file: &File,
    bytes: u64,
) -> Result<(HashMap<String, Tensor>, String), FileError> {
    let head = Head::read(file, bytes)?;
    let contents = head.infos.par_iter().map(|(_, info)| Content::read(file, head.len, info));
    let contents = contents.collect::<Result<Vec<_>, FileError>>()?;
    let (contents, sums): (Vec<Content>, Vec<Vec<u128>>) = contents.into_iter().unzip();
    let checksum = checksum::of_file(head.sums.into_iter().chain(sums.into_iter().flatten()));
    let mut tensors = HashMap::new();
    for ((name, info), content) in head.infos.into_iter().zip(contents) {
        tensors.insert(name, content.into_tensor(&info)?);
    }
    Ok((tensors, checksum))
}

/// The checksum of a file of `bytes` bytes, of which little is in memory at a time.
pub(crate) fn checksum(file: &File, bytes: u64) -> Result<String, FileError> {
    let head = Head::read(file, bytes)?;
    let chunk = |at: usize, end: usize| {
        let mut chunk = vec![0; CHUNK.min(end - at)];
        file.read_exact_at(&mut chunk, (head.len + at) as u64)?;
        Ok(checksum::of_chunk(&chunk))
    };
    let chunks = head.infos.iter().flat_map(|(_, info)| {
        let (start, end) = info.data_offsets;
        (start..end).step_by(CHUNK).map(move |at| (at, end))
    });
    let chunks: Vec<(usize, usize)> = chunks.collect();
    let sums = chunks.into_par_iter().map(|(at, end)| chunk(at, end));
    let sums = sums.collect::<io::Result<Vec<u128>>>()?;
    Ok(checksum::of_file(head.sums.into_iter().chain(sums)))
}

/// What precedes the tensors.
pub(crate) struct Head {
    /// Bytes up to the first tensor.
    pub(crate) len: usize,
    pub(crate) sums: Vec<u128>,
    /// In the order of the file.
    pub(crate) infos: Vec<(String, TensorInfo)>,
}

impl Head {
    pub(crate) fn read(file: &File, bytes: u64) -> Result<Self, FileError> {
        let mut len = [0; 8];
        file.read_exact_at(&mut len, 0)?;
        let len = u64::from_le_bytes(len).saturating_add(8);
        if len > bytes {
            return Err(SafeTensorError::HeaderTooLarge.into());
        }
        let mut head = vec![0; len as usize];
        file.read_exact_at(&mut head, 0)?;
        let infos = infos(&head[8..], (bytes - len) as usize)?;
        Ok(Self { len: head.len(), sums: checksum::of_piece(&head), infos })
    }
}

/// Where the tensors lie, in the order of the file, without gap or overlap over all of its `len` bytes of data.
fn infos(header: &[u8], len: usize) -> Result<Vec<(String, TensorInfo)>, FileError> {
    let metadata: Metadata =
        serde_json::from_slice(header).map_err(SafeTensorError::InvalidHeaderDeserialization)?;
    let infos = metadata.tensors().into_iter().map(|(name, info)| (name, info.clone()));
    let mut infos: Vec<(String, TensorInfo)> = infos.collect();
    infos.sort_by_key(|(_, info)| info.data_offsets);
    let mut end = 0;
    for (name, info) in &infos {
        let n_values = info.shape.iter().try_fold(1usize, |n, dim| n.checked_mul(*dim));
        let n_bits = n_values.and_then(|n| n.checked_mul(info.dtype.bitsize()));
        let (start, next) = info.data_offsets;
        if start != end || next < start || n_bits != (next - start).checked_mul(8) {
            return Err(SafeTensorError::InvalidOffset(name.clone()).into());
        }
        end = next;
    }
    if end == len { Ok(infos) } else { Err(SafeTensorError::MetadataIncompleteBuffer.into()) }
}

/// The values of one tensor.
enum Content {
    F32(Vec<f32>),
    Bf16(Vec<u16>),
    Other(Vec<u8>),
}

impl Content {
    /// A tensor's values and the sums of its chunks.
    fn read(
        file: &File,
        data_start: usize,
        info: &TensorInfo,
    ) -> Result<(Self, Vec<u128>), FileError> {
        let n_bytes = info.data_offsets.1 - info.data_offsets.0;
        let start = (data_start + info.data_offsets.0) as u64;
        Ok(match info.dtype {
            Dtype::F32 => {
                let (values, sums) = read_values(file, start, n_bytes / 4)?;
                (Self::F32(values), sums)
            }
            Dtype::BF16 => {
                let (values, sums) = read_values(file, start, n_bytes / 2)?;
                (Self::Bf16(values), sums)
            }
            _ => {
                let (bytes, sums) = read_values(file, start, n_bytes)?;
                (Self::Other(bytes), sums)
            }
        })
    }

    fn into_tensor(self, info: &TensorInfo) -> Result<Tensor, FileError> {
        let shape = &info.shape[..];
        let device = &Device::Cpu;
        Ok(match self {
            Self::F32(values) => Tensor::from_vec(values, shape, device)?,
            Self::Bf16(values) => {
                Tensor::from_vec(values.reinterpret_into::<bf16>(), shape, device)?
            }
            Self::Other(bytes) => {
                let dtype = DType::try_from(info.dtype)?;
                Tensor::from_raw_buffer(&bytes, dtype, shape, device)?
            }
        })
    }
}

/// `n` values that lie in the file from byte `start` on, and the sums of their chunks.
///
/// The memory is not zeroed before it is read into, which would take a third of the time of reading.
fn read_values<T: bytemuck::AnyBitPattern>(
    file: &File,
    start: u64,
    n: usize,
) -> io::Result<(Vec<T>, Vec<u128>)> {
    let mut values = Vec::with_capacity(n);
    let chunks = bytes_mut(&mut values.spare_capacity_mut()[..n]).par_chunks_mut(CHUNK);
    let sums = chunks.enumerate().map(|(i, chunk)| {
        let read = read_exact_at(file, chunk, start + (i * CHUNK) as u64)?;
        Ok(checksum::of_chunk(read))
    });
    let sums = sums.collect::<io::Result<Vec<u128>>>()?;
    // SAFETY: all chunks have been read, and any bytes are a value.
    #[expect(unsafe_code, reason = "zeros cost a third of reading")]
    unsafe {
        values.set_len(n);
    }
    Ok((values, sums))
}

/// The bytes of places that hold no values yet.
fn bytes_mut<T>(places: &mut [MaybeUninit<T>]) -> &mut [MaybeUninit<u8>] {
    let n_bytes = size_of_val(places);
    // SAFETY: the same memory, and bytes that may be uninitialized have no requirement.
    #[expect(unsafe_code, reason = "values as their bytes")]
    unsafe {
        std::slice::from_raw_parts_mut(places.as_mut_ptr().cast(), n_bytes)
    }
}

/// Reads bytes into all of these places.
fn read_exact_at<'a>(
    file: &File,
    places: &'a mut [MaybeUninit<u8>],
    start: u64,
) -> io::Result<&'a [u8]> {
    let mut n = 0;
    while n < places.len() {
        match rustix::io::pread(file, &mut places[n..], start + n as u64) {
            Ok(([], _)) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok((read, _)) => n += read.len(),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // SAFETY: the loop ends when each of them has been read.
    #[expect(unsafe_code, reason = "places that have just been written")]
    Ok(unsafe { places.assume_init_ref() })
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
    use super::*;

    /// Writes the tensors, reads them with candle and with [`read`].
    fn check(tensors: &[(&str, Tensor)]) {
        let tensors: BTreeMap<_, _> =
            tensors.iter().map(|(name, tensor)| ((*name).to_owned(), tensor.clone())).collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        let (bytes, checksum) = write(&tensors, file.as_file()).unwrap();
        let theirs = candle_core::safetensors::load(file.path(), &Device::Cpu).unwrap();
        let (ours, found) = read(file.as_file(), bytes).unwrap();
        assert_eq!(checksum, found);
        assert_eq!(checksum, super::checksum(file.as_file(), bytes).unwrap());
        for read in [ours, theirs] {
            assert_eq!(read.len(), tensors.len());
            for (name, tensor) in &tensors {
                assert_eq!(read[name].dtype(), tensor.dtype());
                assert_eq!(read[name].dims(), tensor.dims());
                let data = safetensors::View::data(&read[name]);
                assert_eq!(data, safetensors::View::data(tensor), "{name}");
            }
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
        let long = Tensor::ones(1, DType::I64, &Device::Cpu).unwrap();
        check(&[("a", odd), ("b", wide), ("c", long)]);
    }

    #[test]
    fn tensors_that_do_not_fill_the_data_are_refused() {
        let header = br#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
        assert!(infos(header, 8).is_ok());
        assert!(infos(header, 12).is_err());
        let header = br#"{"w":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#;
        assert!(infos(header, 8).is_err());
    }
}
