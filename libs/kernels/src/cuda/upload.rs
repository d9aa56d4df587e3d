//! Tables that kernels read and that do not change: they go to the GPU once.

use std::sync::OnceLock;

use candle_core::{CudaDevice, Device, Result, Tensor};

/// What was made of some owner for its GPU. Two of them are equal, and a copy has none yet: it is nothing but speed.
#[derive(Debug)]
pub(crate) struct Uploaded<T>(OnceLock<T>);

impl<T> Uploaded<T> {
    /// What is there, or what `make` makes at the first call.
    pub(crate) fn get(&self, make: impl FnOnce() -> Result<T>) -> Result<&T> {
        if let Some(made) = self.0.get() {
            return Ok(made);
        }
        let made = make()?;
        Ok(self.0.get_or_init(|| made))
    }
}

impl<T> Default for Uploaded<T> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

impl<T> Clone for Uploaded<T> {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl<T> PartialEq for Uploaded<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<T> Eq for Uploaded<T> {}

/// Numbers on the GPU; never without a value, which not every device can have.
pub(crate) fn upload(numbers: &[u32], device: &CudaDevice) -> Result<Tensor> {
    let device = Device::Cuda(device.clone());
    if numbers.is_empty() { Tensor::new(&[0u32], &device) } else { Tensor::new(numbers, &device) }
}

/// Numbers of 64 bits on the GPU, as their halves.
pub(crate) fn upload_wide(numbers: &[u64], device: &CudaDevice) -> Result<Tensor> {
    let halves = numbers.iter().flat_map(|number| [*number as u32, (*number >> 32) as u32]);
    upload(&halves.collect::<Vec<_>>(), device)
}
