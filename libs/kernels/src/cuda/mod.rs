//! Launching the operations' own CUDA kernels on candle's tensors.
//!
//! An operation's `cuda.cu` is compiled to PTX by `build.rs` and stands beside the `cuda.rs` that launches it.

mod device;

pub(crate) use device::open;

use std::sync::Arc;

use candle_core::cuda_backend::CudaDType;
use candle_core::cuda_backend::cudarc::driver::{
    CudaFunction, CudaSlice, CudaStream, CudaView, DeviceRepr, LaunchArgs, LaunchConfig,
};
use candle_core::op::BackpropOp;
use candle_core::{CudaDevice, CudaStorage, DType, Layout, Result, Shape, Storage, Tensor, bail};

/// The compiled kernels of an operation.
pub(crate) struct Module {
    /// The operation's folder.
    pub(crate) name: &'static str,
    /// What `build.rs` made of its `cuda.cu`.
    pub(crate) ptx: &'static str,
}

impl Module {
    /// A kernel by its name in the source; the module is loaded once per device.
    pub(crate) fn kernel(&self, device: &CudaDevice, name: &str) -> Result<Kernel> {
        let function = device.get_or_load_custom_func(name, self.name, self.ptx)?;
        Ok(Kernel { function: function.into_cuda_function(), stream: device.cuda_stream() })
    }
}

/// A kernel, and the stream of the device that it is loaded on.
pub(crate) struct Kernel {
    function: CudaFunction,
    stream: Arc<CudaStream>,
}

impl Kernel {
    /// A launch that still needs its arguments, in the kernel's order.
    pub(crate) fn builder(&self) -> LaunchArgs<'_> {
        self.stream.launch_builder(&self.function)
    }
}

/// A type of values on a GPU, by its name in the kernels.
pub(crate) trait Value: CudaDType + DeviceRepr {
    const NAME: &'static str;
}

impl Value for f32 {
    const NAME: &'static str = "f32";
}

impl Value for half::bf16 {
    const NAME: &'static str = "bf16";
}

/// The values of a contiguous tensor on the GPU.
pub(crate) fn view<'a, T: Value>(storage: &'a Storage, layout: &Layout) -> Result<CudaView<'a, T>> {
    match (storage, layout.contiguous_offsets()) {
        (Storage::Cuda(storage), Some((start, end))) => {
            Ok(storage.as_cuda_slice::<T>()?.slice(start..end))
        }
        (Storage::Cuda(_), None) => {
            bail!("a CUDA kernel needs contiguous rows, got strides {:?}", layout.stride())
        }
        _ => bail!("a CUDA kernel needs its operands on the GPU"),
    }
}

/// Room for `n` values that a kernel writes.
pub(crate) fn room<T: Value>(device: &CudaDevice, n: usize) -> Result<CudaSlice<T>> {
    // SAFETY: any bits are a value of these types; the kernels write each place before anything reads it.
    #[expect(unsafe_code, reason = "zeros cost a launch and a pass over memory")]
    unsafe {
        device.alloc::<T>(n)
    }
}

/// A tensor of values that a kernel has written.
pub(crate) fn tensor<T: Value>(
    values: CudaSlice<T>,
    shape: impl Into<Shape>,
    device: &CudaDevice,
) -> Tensor {
    let storage = Storage::Cuda(CudaStorage::wrap_cuda_slice(values, device.clone()));
    Tensor::from_storage(storage, shape, BackpropOp::none(), false)
}

/// A launch of a number of blocks and of threads in each, without dynamic shared memory.
pub(crate) fn grid(n_blocks: usize, n_threads: usize) -> LaunchConfig {
    LaunchConfig {
        grid_dim: (n_blocks as u32, 1, 1),
        block_dim: (n_threads as u32, 1, 1),
        shared_mem_bytes: 0,
    }
}

/// A size as the kernels take it.
pub(crate) fn size(n: usize) -> Result<i32> {
    match i32::try_from(n) {
        Ok(n) => Ok(n),
        Err(_) => bail!("a CUDA kernel takes sizes up to {}, got {n}", i32::MAX),
    }
}

/// The error for types that an operation has no kernel for.
pub(crate) fn no_kernel<T>(operation: &str, dtypes: &[DType]) -> Result<T> {
    bail!("{operation} has no CUDA kernel for {dtypes:?}")
}
