//! A checkpoint from nothing: random weights for a `config.json`.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};

use crate::model::Model;
use crate::{ModelConfig, ModelError, Policy, checkpoint};

impl Policy {
    /// Writes `model.safetensors` into a directory that has the other files of a checkpoint: matrices from a
    /// normal distribution of deviation 1 / √inputs, embeddings of deviation 0.05, biases 0, norms 1, and a table of
    /// positions of patches as sines and cosines of row and column, from which a tower tells places from the first
    /// step on; stored as `dtype`.
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
        let names = config.names(&BTreeMap::<String, Tensor>::new());
        let mut tensors = BTreeMap::new();
        for (name, shape) in Model::shapes(&config)? {
            let module = name.strip_suffix(".weight").unwrap_or(&name);
            let values = match square_table(&shape) {
                Some((side, dim)) if names.is_visual(&name) && names.is_table(module) => {
                    waves(side, dim)
                }
                _ => values(&name, &shape, &mut rng)?,
            };
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

/// Side and width of a table whose rows are the places of a square, if their width is that of sines and cosines.
fn square_table(shape: &[usize]) -> Option<(usize, usize)> {
    let [n, dim] = *shape else { return None };
    let side = n.isqrt();
    (side > 1 && side * side == n && dim % 4 == 0 && dim > 4).then_some((side, dim))
}

/// (side², dim): a quarter of each row are sines of its row, a quarter cosines, the rest of its column. Frequencies fall
/// from 1 to 1 / side radians a place, each by the same factor.
fn waves(side: usize, dim: usize) -> Vec<f32> {
    let n = dim / 4;
    let frequency = |i: usize| (side as f32).powf(-(i as f32) / (n - 1) as f32);
    let of_axis = |place: usize| {
        let angles = (0..n).map(move |i| place as f32 * frequency(i));
        angles.clone().map(f32::sin).chain(angles.map(f32::cos))
    };
    let places = (0..side).flat_map(|row| (0..side).map(move |column| (row, column)));
    places.flat_map(|(row, column)| of_axis(row).chain(of_axis(column))).collect()
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
                prompt_tuning: None,
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
    fn places_of_patches_are_waves_from_which_rows_and_columns_are_told() {
        let table = waves(3, 8);
        let row = |row: usize, column: usize| &table[(row * 3 + column) * 8..][..8];
        let third = 1.0 / 3.0_f32;
        let (one, two) = ([1.0_f32, third], [2.0_f32, 2.0 * third]);
        let expected = |place: [f32; 2]| [place.map(f32::sin), place.map(f32::cos)].concat();
        assert_eq!(row(0, 0), [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0]);
        assert_eq!(row(1, 2), [expected(one), expected(two)].concat());
        assert_eq!(square_table(&[9, 8]), Some((3, 8)));
        for shape in [&[10, 8][..], &[9, 6], &[9, 4], &[1, 8], &[9], &[9, 8, 1]] {
            assert_eq!(square_table(shape), None, "{shape:?}");
        }
    }

    #[test]
    fn a_tower_with_a_table_of_positions_starts_with_waves() {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/qwen3_vl/config.json");
        let text = std::fs::read_to_string(source).unwrap();
        let text =
            text.replace("\"num_position_embeddings\": 30", "\"num_position_embeddings\": 9");
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), text).unwrap();
        Policy::initialize(folder.path(), 0, DType::F32).unwrap();
        let path = folder.path().join("model.safetensors");
        let tensors = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
        let table = &tensors["model.visual.pos_embed.weight"];
        assert_eq!(table.dims(), [9, 24]);
        assert_eq!(table.flatten_all().unwrap().to_vec1::<f32>().unwrap(), waves(3, 24));
    }

    #[test]
    fn weights_that_are_there_are_not_replaced() {
        let folder = architecture();
        Policy::initialize(folder.path(), 0, DType::F32).unwrap();
        assert!(Policy::initialize(folder.path(), 0, DType::F32).is_err());
    }
}
