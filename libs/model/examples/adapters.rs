//! Writes an adapter of every linear layer for each tiny checkpoint of the tests, to be opened in `peft`; see
//! `tests/golden/check_adapters.py`.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use vrft_checkpoint::{ALL_LINEAR, LoraConfig, TargetModules};
use vrft_model::{LoadOptions, Policy};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let out = PathBuf::from(std::env::args().nth(1).ok_or("usage: adapters OUT")?);
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    for entry in std::fs::read_dir(golden)? {
        let folder = entry?.path();
        if !folder.join("model.safetensors").is_file() {
            continue;
        }
        let lora = LoraConfig {
            rank: 2,
            alpha: 3.0,
            target_modules: TargetModules::Pattern(ALL_LINEAR.to_owned()),
            vision: true,
            ..LoraConfig::default()
        };
        let options = LoadOptions {
            dtype: DType::F32,
            device: Device::Cpu,
            trainable: true,
            quantization: Default::default(),
            freeze_vision: false,
            lora: Some(lora),
            prompt_tuning: None,
            feature_cache_mib: 0,
            prefix_cache_mib: 0,
        };
        let policy = Policy::load(&folder, &options)?;
        // Fresh ones add nothing: their second factor is zero.
        for (name, variable) in policy.variables() {
            let n = variable.elem_count();
            let value = |i: usize| ((i * 7 + name.len()) % 11) as f32 / 11.0 - 0.4;
            let values: Vec<f32> = (0..n).map(value).collect();
            variable.set(&Tensor::from_vec(values, variable.shape(), variable.device())?)?;
        }
        policy.save(&out.join(folder.file_name().unwrap_or_default()))?;
    }
    Ok(())
}
