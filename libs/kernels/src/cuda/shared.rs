//! Memory of a GPU that several processes have in common.
//!
//! Candle's tensors come from a pool of their process. What is here comes from the driver itself, which gives out a
//! handle for it (CUDA's interprocess communication); with the handle another process maps the same memory.

use std::mem::size_of_val;

use candle_core::cuda_backend::cudarc::driver::{DeviceRepr, result, sys};
use candle_core::cuda_backend::{CudaDType, CudaStorage, WrapErr};
use candle_core::op::BackpropOp;
use candle_core::{CpuStorage, CudaDevice, DType, Device, Result, Shape, Storage, Tensor, bail};
use half::bf16;

use super::place_of;

/// Bytes of a handle.
const HANDLE: usize = 64;

/// A piece of a GPU's memory that other processes may map. It is never freed: tensors of it may be anywhere in the
/// process, and the driver takes it back when the process ends.
#[derive(Debug)]
pub struct SharedMemory {
    /// (values)
    values: Tensor,
}

impl SharedMemory {
    /// New memory for `n` values, all zero.
    ///
    /// # Errors
    /// A device that is no GPU or that has no memory left.
    pub fn allocate(device: &Device, dtype: DType, n: usize) -> Result<Self> {
        let cuda = device.as_cuda_device()?;
        let n_bytes = n * dtype.size_in_bytes();
        cuda.cuda_stream().context().bind_to_thread().w()?;
        // SAFETY: the memory is as large as what is set of it, and nothing else knows of it yet.
        #[expect(unsafe_code, reason = "functions of the CUDA driver")]
        let at = unsafe {
            let at = result::malloc_sync(n_bytes).w()?;
            result::memset_d8_async(at, 0, n_bytes, cuda.cuda_stream().cu_stream()).w()?;
            at
        };
        Self::at(cuda, at, dtype, n)
    }

    /// The memory of a handle that another process gave out.
    ///
    /// # Errors
    /// A handle of a process that has ended, or that the driver cannot map here.
    pub fn open(device: &Device, dtype: DType, n: usize, handle: &[u8]) -> Result<Self> {
        let cuda = device.as_cuda_device()?;
        if handle.len() != HANDLE {
            bail!("a handle of GPU memory has {HANDLE} bytes, got {}", handle.len())
        }
        cuda.cuda_stream().context().bind_to_thread().w()?;
        let mut own = sys::CUipcMemHandle { reserved: [0; HANDLE] };
        for (to, from) in own.reserved.iter_mut().zip(handle) {
            *to = *from as std::ffi::c_char;
        }
        let mut at = 0;
        let lazily = sys::CUipcMem_flags_enum::CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS as u32;
        // SAFETY: the handle is plain bytes, which the driver checks.
        #[expect(unsafe_code, reason = "functions of the CUDA driver")]
        unsafe {
            sys::cuIpcOpenMemHandle_v2(&raw mut at, own, lazily).result().w()?;
        }
        Self::at(cuda, at, dtype, n)
    }

    fn at(device: &CudaDevice, at: sys::CUdeviceptr, dtype: DType, n: usize) -> Result<Self> {
        let storage = match dtype {
            DType::F32 => storage::<f32>(device, at, n),
            DType::BF16 => storage::<bf16>(device, at, n),
            DType::U8 => storage::<u8>(device, at, n),
            dtype => bail!("no shared memory of {dtype:?}"),
        };
        let storage = Storage::Cuda(storage);
        let values = Tensor::from_storage(storage, Shape::from(n), BackpropOp::none(), false);
        // One owner more than there ever are: the pool must not be given what is not its own.
        std::mem::forget(values.clone());
        Ok(Self { values })
    }

    /// What another process needs to map it.
    ///
    /// # Errors
    /// A driver that cannot share memory.
    pub fn handle(&self) -> Result<Vec<u8>> {
        let mut handle = sys::CUipcMemHandle { reserved: [0; HANDLE] };
        // SAFETY: the address is one that the driver gave.
        #[expect(unsafe_code, reason = "functions of the CUDA driver")]
        unsafe {
            sys::cuIpcGetMemHandle(&raw mut handle, place_of(&self.values)?).result().w()?;
        }
        Ok(handle.reserved.iter().map(|byte| *byte as u8).collect())
    }

    /// Some of the values as a tensor of these sizes, which shares the memory.
    ///
    /// # Errors
    /// Values that are not there.
    pub fn tensor(&self, start: usize, dims: &[usize]) -> Result<Tensor> {
        self.values.narrow(0, start, dims.iter().product())?.reshape(dims)
    }

    /// Copies a tensor from main memory to its place among the values. Other processes see it once the device has been
    /// waited for.
    ///
    /// # Errors
    /// A tensor of another type, or one that does not fit.
    pub fn write(&self, start: usize, tensor: &Tensor) -> Result<()> {
        let n = tensor.elem_count();
        if tensor.dtype() != self.values.dtype() || start + n > self.values.elem_count() {
            let (of, all) = (self.values.dtype(), self.values.elem_count());
            bail!("{n} values of {:?} at {start} of {all} of {of:?}", tensor.dtype())
        }
        let tensor = tensor.contiguous()?;
        let to = place_of(&self.values)? + (start * tensor.dtype().size_in_bytes()) as u64;
        let (storage, layout) = tensor.storage_and_layout();
        let from = layout.start_offset();
        let Storage::Cpu(storage) = &*storage else {
            bail!("shared memory is written from main memory")
        };
        let device = self.values.device().as_cuda_device()?;
        match storage {
            CpuStorage::F32(values) => copy(device, to, &values[from..from + n]),
            CpuStorage::BF16(values) => copy(device, to, &values[from..from + n]),
            CpuStorage::U8(values) => copy(device, to, &values[from..from + n]),
            _ => bail!("no shared memory of {:?}", tensor.dtype()),
        }
    }
}

fn storage<T: CudaDType + DeviceRepr>(
    device: &CudaDevice,
    at: sys::CUdeviceptr,
    n: usize,
) -> CudaStorage {
    // SAFETY: the memory holds so many values, and the slice is never dropped (see `at`).
    #[expect(unsafe_code, reason = "memory that is not of candle's pool")]
    let slice = unsafe { device.cuda_stream().upgrade_device_ptr::<T>(at, n) };
    CudaStorage::wrap_cuda_slice(slice, device.clone())
}

fn copy<T>(device: &CudaDevice, to: sys::CUdeviceptr, values: &[T]) -> Result<()> {
    debug_assert!(size_of_val(values) > 0);
    let stream = device.cuda_stream();
    stream.context().bind_to_thread().w()?;
    // SAFETY: the caller has compared the sizes. From pageable memory the call returns when the values have been read.
    #[expect(unsafe_code, reason = "memory that is not of candle's pool")]
    unsafe {
        result::memcpy_htod_async(to, values, stream.cu_stream()).w()
    }
}

/// Which GPU it is, whatever number it has in this process.
///
/// # Errors
/// A device that is no GPU.
pub fn gpu_id(device: &Device) -> Result<String> {
    let uuid = device.as_cuda_device()?.cuda_stream().context().uuid().w()?;
    Ok(uuid.bytes.iter().map(|byte| format!("{:02x}", *byte as u8)).collect())
}
