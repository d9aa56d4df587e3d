//! From the name of a device in the configuration to the device.

use candle_core::Device;

use crate::ModelError;

/// How to get programs that can use a GPU.
const REMEDY: &str = "this program was built without CUDA; build all of them with \
                      `cargo build --release --workspace --bins --features cuda`";

/// The device that a key of the configuration names.
///
/// # Errors
/// A device that this program was not built for, or that this machine does not have.
pub fn open_device(key: &'static str, device: vrft_plan::Device) -> Result<Device, ModelError> {
    check_device(key, device)?;
    match device {
        vrft_plan::Device::Cpu => Ok(Device::Cpu),
        vrft_plan::Device::Cuda(number) => vrft_kernels::open_cuda(number).map_err(|error| {
            ModelError::Device { key, device, reason: format!("it cannot be opened: {error}") }
        }),
    }
}

/// Whether this program was built for the device that a key of the configuration names.
///
/// # Errors
/// If it was not.
pub fn check_device(key: &'static str, device: vrft_plan::Device) -> Result<(), ModelError> {
    match device {
        vrft_plan::Device::Cuda(_) if !candle_core::utils::cuda_is_available() => {
            Err(ModelError::Device { key, device, reason: REMEDY.to_owned() })
        }
        _ => Ok(()),
    }
}

/// Free bytes of a GPU and all that it has; nothing where this program cannot ask it.
pub fn gpu_memory(number: usize) -> Option<(usize, usize)> {
    #[cfg(feature = "cuda")]
    return vrft_kernels::gpu_memory(number).ok();
    #[cfg(not(feature = "cuda"))]
    {
        let _ = number;
        None
    }
}

/// Lets other processes have the memory of a GPU that was freed here; nothing on another device.
///
/// # Errors
/// A GPU that fails.
pub fn give_back_freed_memory(device: &Device) -> Result<(), ModelError> {
    #[cfg(feature = "cuda")]
    if device.is_cuda() {
        vrft_kernels::give_back_freed_gpu_memory(device)?;
    }
    #[cfg(not(feature = "cuda"))]
    let _ = device;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_always_there() {
        assert!(open_device("rollout.device", vrft_plan::Device::Cpu).unwrap().is_cpu());
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_gpu_without_the_feature_is_refused_with_the_remedy() {
        let error =
            open_device("learner.device", vrft_plan::Device::Cuda(1)).unwrap_err().to_string();
        assert!(error.starts_with("learner.device = \"cuda:1\": "), "{error}");
        assert!(error.contains("--features cuda"), "{error}");
    }
}
