//! A checkpoint from nothing: random weights for a `config.json`.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};

use crate::model::Model;
use crate::{ModelConfig, ModelError, Policy, checkpoint};

impl Policy {
    /// Writes `model.safetensors` into a directory that has the other files of a checkpoint: matrices from a
    /// normal distribution of deviation 1 / √inputs, embeddings of deviation 0.05, biases 0, norms 1; stored as
    /// `dtype`.
    ///
    /// # Errors
    /// A `config.json` that is absent or of another model, or weights that are there already.
    pub fn initialize(dir: &Path, seed: u64, dtype: DType) -> Result<(), ModelError> {
        let config = ModelConfig::from_file(&vrft_checkpoint::config(dir)?)?;
        let path = dir.join("model.safetensors");
        if path.exists() {
            let message = "already there; random weights would replace it";
            return Err(checkpoint::damaged(&path, message));
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut tensors = std::collections::BTreeMap::new();
        for (name, shape) in Model::shapes(&config)? {
            let values = values(&name, &shape, &mut rng)?;
            let tensor = Tensor::from_vec(values, shape, &Device::Cpu)?;
            tensors.insert(name, tensor.to_dtype(dtype)?);
        }
        Ok(vrft_checkpoint::write_tensors(&path, tensors.iter())?)
    }
}

fn values(name: &str, shape: &[usize], rng: &mut ChaCha8Rng) -> Result<Vec<f32>, ModelError> {
    let n = shape.iter().try_fold(1_usize, |n, side| n.checked_mul(*side));
    let mut values = Vec::new();
    // The configuration may ask for more than there is.
    let n = n.filter(|n| values.try_reserve_exact(*n).is_ok());
    let n = n.ok_or_else(|| {
        ModelError::input(
            format!("shape of {name}"),
            "one that fits the memory",
            format!("{shape:?}"),
        )
    })?;
    let deviation = match shape {
        [_] if name.ends_with("bias") => return Ok(vec![0.0; n]),
        [_] => return Ok(vec![1.0; n]),
        _ if name.ends_with("embed_tokens.weight") => 0.05,
        [_, inputs @ ..] => (inputs.iter().product::<usize>() as f32).powf(-0.5),
        [] => 1.0,
    };
    // A deviation is finite and not negative, which is all that Normal asks for.
    let normal = Normal::new(0.0, deviation).expect("a valid deviation");
    values.extend((0..n).map(|_| normal.sample(rng)));
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LoadOptions;

    /// The fixture's configuration, without its weights.
    fn architecture() -> tempfile::TempDir {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/qwen2_vl/config.json");
        let folder = tempfile::tempdir().unwrap();
        std::fs::copy(source, folder.path().join("config.json")).unwrap();
        folder
    }

    #[test]
    fn a_new_checkpoint_loads_and_depends_on_its_seed() {
        let weights = |seed| {
            let folder = architecture();
            Policy::initialize(folder.path(), seed, DType::F32).unwrap();
            let options = LoadOptions {
                dtype: DType::F32,
                device: Device::Cpu,
                trainable: false,
                quantization: Default::default(),
                freeze_vision: false,
                lora: None,
                feature_cache_mib: 0,
                prefix_cache_mib: 0,
            };
            let policy = Policy::load(folder.path(), &options).unwrap();
            let tensor = &policy.tensors()["model.layers.0.mlp.up_proj.weight"];
            tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        assert_eq!(weights(1), weights(1));
        assert_ne!(weights(1), weights(2));
    }

    #[test]
    fn weights_that_are_there_are_not_replaced() {
        let folder = architecture();
        Policy::initialize(folder.path(), 0, DType::F32).unwrap();
        assert!(Policy::initialize(folder.path(), 0, DType::F32).is_err());
    }
}
