//! A checkpoint from nothing: random weights for a `config.json`.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};

use crate::{ModelConfig, Policy, PolicyError, checkpoint};

/// Tensors by name and shape, in the layout of the published checkpoints.
type Shapes = Vec<(String, Vec<usize>)>;

impl Policy {
    /// Writes `model.safetensors` into a directory that has the other files of a checkpoint: matrices from a
    /// normal distribution of deviation 1 / √inputs, embeddings of deviation 0.05, biases 0, norms 1.
    ///
    /// # Errors
    /// A `config.json` that is absent or of another model, or weights that are there already.
    pub fn initialize(dir: &Path, seed: u64) -> Result<(), PolicyError> {
        let config = ModelConfig::from_json(&checkpoint::read_text(&dir.join("config.json"))?)?;
        let path = dir.join("model.safetensors");
        if path.exists() {
            let message = "already there; random weights would replace it".to_owned();
            return Err(PolicyError::Damaged { path, message });
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut tensors = std::collections::HashMap::new();
        for (name, shape) in shapes(&config) {
            let tensor = Tensor::from_vec(values(&name, &shape, &mut rng), shape, &Device::Cpu)?;
            tensors.insert(name, tensor.to_dtype(DType::F32)?);
        }
        Ok(candle_core::safetensors::save(&tensors, path)?)
    }
}

fn values(name: &str, shape: &[usize], rng: &mut ChaCha8Rng) -> Vec<f32> {
    let n = shape.iter().product();
    let deviation = match shape {
        [_] if name.ends_with("bias") => return vec![0.0; n],
        [_] => return vec![1.0; n],
        _ if name.ends_with("embed_tokens.weight") => 0.05,
        [_, inputs @ ..] => (inputs.iter().product::<usize>() as f32).powf(-0.5),
        [] => 1.0,
    };
    // A deviation is finite and not negative, which is all that Normal asks for.
    let normal = Normal::new(0.0, deviation).expect("a valid deviation");
    (0..n).map(|_| normal.sample(rng)).collect()
}

fn shapes(config: &ModelConfig) -> Shapes {
    let mut shapes = text_shapes(config);
    shapes.extend(vision_shapes(config));
    shapes
}

fn text_shapes(config: &ModelConfig) -> Shapes {
    let text = &config.text;
    let (width, inner) = (text.hidden_size, text.intermediate_size);
    let (queries, keys) = (text.n_heads * text.head_dim(), text.n_kv_heads * text.head_dim());
    let mut shapes: Shapes = vec![
        ("model.embed_tokens.weight".into(), vec![text.vocab_size, width]),
        ("model.norm.weight".into(), vec![width]),
    ];
    if !text.tie_word_embeddings {
        shapes.push(("lm_head.weight".into(), vec![text.vocab_size, width]));
    }
    for layer in 0..text.n_layers {
        let mut add = |name: &str, shape: &[usize]| {
            shapes.push((format!("model.layers.{layer}.{name}"), shape.to_vec()));
        };
        for (name, width_out) in [("q_proj", queries), ("k_proj", keys), ("v_proj", keys)] {
            add(&format!("self_attn.{name}.weight"), &[width_out, width]);
            add(&format!("self_attn.{name}.bias"), &[width_out]);
        }
        add("self_attn.o_proj.weight", &[width, queries]);
        add("mlp.gate_proj.weight", &[inner, width]);
        add("mlp.up_proj.weight", &[inner, width]);
        add("mlp.down_proj.weight", &[width, inner]);
        add("input_layernorm.weight", &[width]);
        add("post_attention_layernorm.weight", &[width]);
    }
    shapes
}

fn vision_shapes(config: &ModelConfig) -> Shapes {
    let vision = &config.vision;
    let (width, inner, patch) = (vision.embed_dim, vision.mlp_dim, vision.patch_size);
    let merged = width * vision.merge_size * vision.merge_size;
    let mut shapes: Shapes = vec![(
        "visual.patch_embed.proj.weight".into(),
        vec![width, vision.in_channels, vision.temporal_patch_size, patch, patch],
    )];
    let mut add = |name: String, shape: &[usize]| {
        shapes.push((format!("visual.{name}.weight"), shape.to_vec()));
        shapes.push((format!("visual.{name}.bias"), shape[..1].to_vec()));
    };
    for block in 0..vision.depth {
        add(format!("blocks.{block}.norm1"), &[width]);
        add(format!("blocks.{block}.norm2"), &[width]);
        add(format!("blocks.{block}.attn.qkv"), &[3 * width, width]);
        add(format!("blocks.{block}.attn.proj"), &[width, width]);
        add(format!("blocks.{block}.mlp.fc1"), &[inner, width]);
        add(format!("blocks.{block}.mlp.fc2"), &[width, inner]);
    }
    add("merger.ln_q".into(), &[width]);
    add("merger.mlp.0".into(), &[merged, merged]);
    add("merger.mlp.2".into(), &[vision.out_dim, merged]);
    shapes
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
            Policy::initialize(folder.path(), seed).unwrap();
            let options = LoadOptions {
                dtype: DType::F32,
                device: Device::Cpu,
                trainable: false,
                freeze_vision: false,
                lora: None,
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
        Policy::initialize(folder.path(), 0).unwrap();
        assert!(Policy::initialize(folder.path(), 0).is_err());
    }
}
