//! `vrft quantize`: a checkpoint whose language model is in 4 bits.

use std::path::Path;

use candle_core::{DType, Device};
use eyre::ensure;
use vrft_checkpoint::{Adapter, Quantization};
use vrft_model::{LoadOptions, Policy};

use crate::checkpoint::{Loading, check_free, written};
use crate::print::say;

/// Writes the checkpoint of a name into the folder `out`, what is not quantized in `dtype`.
///
/// # Errors
/// A checkpoint that cannot be loaded or is an adapter, a folder that has a checkpoint already or cannot be written.
pub(crate) fn quantize(
    name: &str,
    loading: &Loading,
    out: &Path,
    dtype: DType,
) -> eyre::Result<()> {
    let checkpoint = loading.find(name)?.checkpoint;
    ensure!(
        !Adapter::is_in(&checkpoint),
        "{checkpoint:?} is an adapter: quantize the model that it was trained beside, or what `vrft merge` writes"
    );
    check_free(out)?;
    let options = LoadOptions {
        dtype,
        device: Device::Cpu,
        trainable: false,
        quantization: Quantization::Nf4,
        freeze_vision: false,
        lora: None,
        prompt_tuning: None,
        feature_cache_mib: 0,
        prefix_cache_mib: 0,
    };
    Policy::load(&checkpoint, &options)?.save(out)?;
    say!("{}", written(out)?);
    Ok(())
}
