//! Opening a GPU.

use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::sys;
use candle_core::{CudaDevice, Device, Result};

/// See [`open_cuda`](crate::open_cuda).
///
/// candle's own way takes the stream of the calling thread. A step moves from thread to thread, and what one thread
/// has launched could then be read by another before it is computed. With one stream there is nothing to wait for,
/// so no events are recorded either; and memory that was freed stays with the process, where a synchronization would
/// otherwise return it to the driver.
pub(crate) fn open(ordinal: usize) -> Result<Device> {
    let device = Device::new_cuda_with_stream(ordinal)?;
    let cuda = device.as_cuda_device()?;
    // SAFETY: each tensor of this device is allocated, used and freed on its one stream.
    #[expect(unsafe_code, reason = "two events per operand cost more than a small kernel")]
    unsafe {
        cuda.disable_event_tracking();
    }
    keep_freed_memory(cuda)?;
    Ok(device)
}

/// Free bytes of a GPU and all that it has.
///
/// # Errors
/// No such GPU.
pub fn gpu_memory(ordinal: usize) -> Result<(usize, usize)> {
    let device = Device::new_cuda(ordinal)?;
    let context = device.as_cuda_device()?.cuda_stream().context().clone();
    context.mem_get_info().w()
}

/// Lets other processes have the memory of a GPU that was freed here, once all that is under way has been computed.
///
/// # Errors
/// A device that is no GPU.
pub fn give_back_freed_gpu_memory(device: &Device) -> Result<()> {
    let cuda = device.as_cuda_device()?;
    device.synchronize()?;
    let pool = default_pool(cuda)?;
    // SAFETY: the pool is the device's own.
    #[expect(unsafe_code, reason = "functions of the CUDA driver")]
    unsafe {
        sys::cuMemPoolTrimTo(pool, 0).result().w()
    }
}

/// Sets the size up to which the device's memory pool keeps freed memory to the largest there is.
fn keep_freed_memory(device: &CudaDevice) -> Result<()> {
    let pool = default_pool(device)?;
    let mut threshold = u64::MAX;
    let attribute = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
    // SAFETY: the pointer is to the 64 bits that this attribute has.
    #[expect(unsafe_code, reason = "functions of the CUDA driver")]
    unsafe {
        sys::cuMemPoolSetAttribute(pool, attribute, (&raw mut threshold).cast()).result().w()
    }
}

fn default_pool(device: &CudaDevice) -> Result<sys::CUmemoryPool> {
    let number = device.cuda_stream().context().cu_device();
    let mut pool = std::ptr::null_mut();
    // SAFETY: the pointer is to a pool.
    #[expect(unsafe_code, reason = "functions of the CUDA driver")]
    unsafe {
        sys::cuDeviceGetDefaultMemPool(&raw mut pool, number).result().w()?;
    }
    Ok(pool)
}
