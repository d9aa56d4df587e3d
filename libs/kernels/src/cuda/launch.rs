//! Kernels by their names, with tensors as operands.

use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
use candle_core::cuda_backend::cudarc::driver::{DevicePtr, LaunchConfig, PushKernelArg};
use candle_core::cuda_backend::{CudaDType, CudaStorage};
use candle_core::op::BackpropOp;
use candle_core::{CudaDevice, DType, Result, Shape, Storage, Tensor, bail};
use half::bf16;

/// Threads of a block of the kernels that go through all values one by one.
const FLAT_THREADS: usize = 256;
/// Blocks of them at most: enough to fill a GPU, each taking several values.
const MOST_BLOCKS: usize = 4096;
/// What a kernel may use of shared memory without being told.
const USUAL_SHARED_BYTES: u32 = 48 << 10;

/// The compiled kernels of an operation.
pub(crate) struct Module {
    /// Name of the operation's folder.
    pub(crate) name: &'static str,
    /// What `build.rs` made of its `cuda.cu`.
    pub(crate) ptx: &'static str,
}

/// An argument of a kernel.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Argument {
    /// Where values are on the GPU.
    Address(u64),
    Count(u64),
    Size(i32),
    Word(u32),
    Number(f32),
}

impl Module {
    /// Launches a kernel on the device's one stream; the arguments are in the kernel's order.
    pub(crate) fn launch(
        &self,
        device: &CudaDevice,
        kernel: &str,
        grid: LaunchConfig,
        arguments: &[Argument],
    ) -> Result<()> {
        let function = device.get_or_load_custom_func(kernel, self.name, self.ptx)?;
        if grid.shared_mem_bytes > USUAL_SHARED_BYTES {
            let most = CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            function.set_attribute(most, grid.shared_mem_bytes as i32).w()?;
        }
        let mut launch = function.builder();
        for argument in arguments {
            match argument {
                Argument::Address(value) | Argument::Count(value) => launch.arg(value),
                Argument::Size(value) => launch.arg(value),
                Argument::Word(value) => launch.arg(value),
                Argument::Number(value) => launch.arg(value),
            };
        }
        // SAFETY: the caller gives the arguments that the kernel takes, and it stays within the sizes among them.
        #[expect(unsafe_code, reason = "a kernel is launched by its name")]
        unsafe {
            launch.launch(grid).w()?;
        }
        Ok(())
    }
}

/// Where the values of a contiguous tensor are. The tensor must outlive what is launched with it, which it does as long
/// as it is freed on the same stream.
pub(crate) fn address(tensor: &Tensor) -> Result<Argument> {
    from_address(tensor, 0)
}

/// As [`address`], as a number.
pub(crate) fn place_of(tensor: &Tensor) -> Result<u64> {
    match address(tensor)? {
        Argument::Address(place) => Ok(place),
        other => bail!("{other:?} is no address"),
    }
}

/// As [`address`], from the `offset`-th value on.
pub(crate) fn from_address(tensor: &Tensor, offset: usize) -> Result<Argument> {
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cuda(storage) = &*storage else {
        bail!("a CUDA kernel needs its operands on the GPU")
    };
    let Some((start, _)) = layout.contiguous_offsets() else {
        bail!("a CUDA kernel needs contiguous rows, got strides {:?}", layout.stride())
    };
    let base = match tensor.dtype() {
        DType::F32 => base::<f32>(storage)?,
        DType::BF16 => base::<bf16>(storage)?,
        DType::U32 => base::<u32>(storage)?,
        DType::U8 => base::<u8>(storage)?,
        DType::F64 => base::<f64>(storage)?,
        dtype => bail!("a CUDA kernel takes no {dtype:?}"),
    };
    Ok(Argument::Address(base + ((start + offset) * tensor.dtype().size_in_bytes()) as u64))
}

fn base<T: CudaDType>(storage: &CudaStorage) -> Result<u64> {
    let slice = storage.as_cuda_slice::<T>()?;
    let stream = slice.stream().clone();
    let (address, _) = slice.device_ptr(&stream);
    Ok(address)
}

/// No values, where a kernel can do without.
pub(crate) fn none() -> Argument {
    Argument::Address(0)
}

/// A number of values, 64 bits in the kernels.
pub(crate) fn count(n: usize) -> Argument {
    Argument::Count(n as u64)
}

/// A size, an `int` in the kernels.
pub(crate) fn size(n: usize) -> Result<Argument> {
    match i32::try_from(n) {
        Ok(n) => Ok(Argument::Size(n)),
        Err(_) => bail!("a CUDA kernel takes sizes up to {}, got {n}", i32::MAX),
    }
}

/// A `float` in the kernels.
pub(crate) fn number(x: f64) -> Argument {
    Argument::Number(x as f32)
}

/// An argument of 32 bits.
pub(crate) fn word(x: u32) -> Argument {
    Argument::Word(x)
}

/// Enough threads for `n` values one by one.
pub(crate) fn flat(n: usize) -> LaunchConfig {
    blocks(n.div_ceil(FLAT_THREADS).clamp(1, MOST_BLOCKS), FLAT_THREADS)
}

/// So many blocks of so many threads, without dynamic shared memory.
pub(crate) fn blocks(n_blocks: usize, n_threads: usize) -> LaunchConfig {
    LaunchConfig {
        grid_dim: (n_blocks as u32, 1, 1),
        block_dim: (n_threads as u32, 1, 1),
        shared_mem_bytes: 0,
    }
}

/// A tensor whose values a kernel is about to write.
pub(crate) fn empty(shape: impl Into<Shape>, dtype: DType, device: &CudaDevice) -> Result<Tensor> {
    let shape = shape.into();
    match dtype {
        DType::F32 => empty_of::<f32>(shape, device),
        DType::BF16 => empty_of::<bf16>(shape, device),
        DType::U32 => empty_of::<u32>(shape, device),
        dtype => bail!("a CUDA kernel writes no {dtype:?}"),
    }
}

fn empty_of<T: CudaDType + candle_core::cuda_backend::cudarc::driver::DeviceRepr>(
    shape: Shape,
    device: &CudaDevice,
) -> Result<Tensor> {
    // SAFETY: any bits are a value of these types; the kernels write each place before anything reads it.
    #[expect(unsafe_code, reason = "zeros cost a launch and a pass over memory")]
    let values = unsafe { device.alloc::<T>(shape.elem_count())? };
    let storage = Storage::Cuda(CudaStorage::wrap_cuda_slice(values, device.clone()));
    Ok(Tensor::from_storage(storage, shape, BackpropOp::none(), false))
}

/// A type of values by its name in the kernels.
pub(crate) fn name_of(dtype: DType) -> Result<&'static str> {
    match dtype {
        DType::F32 => Ok("f32"),
        DType::BF16 => Ok("bf16"),
        dtype => bail!("the CUDA kernels compute in f32 and bf16, not in {dtype:?}"),
    }
}
