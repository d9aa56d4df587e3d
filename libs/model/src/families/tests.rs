//! A made-up family with what no family here has yet: features that are added after some decoder layers, normalized
//! queries and keys, heads that are not as wide together as the residual stream. Every way to run the model must carry
//! these features.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use vrft_kernels::{Activation, Context, Gradients, Weight};
use vrft_processor::EncodedPrompt;
use vrft_vision::{Grid, Patches};

use super::*;
use crate::names::Layout;
use crate::scope::Scope;
use crate::tower::{PatchShape, Tower, TowerConfig};
use crate::{LoadOptions, PackedGroup, Policy, TextConfig};

const PATCH_DIM: usize = 6;
const WIDTH: usize = 24;
const IMAGE: u32 = 3;

#[derive(Debug)]
struct MadeUp;

static LAYOUTS: Layouts = Layouts {
    published: Layout { visual: &["eye"], text: "model", head: "head" },
    modules: Layout { visual: &["model.eye"], text: "model.text", head: "head" },
    embeddings: &[],
};

impl Family for MadeUp {
    fn model_type(&self) -> &'static str {
        "made_up"
    }

    fn config(&self, _root: &Keys) -> Result<ModelConfig, ModelError> {
        Ok(config())
    }

    fn layouts(&self) -> &'static Layouts {
        &LAYOUTS
    }
}

fn config() -> ModelConfig {
    let text = TextConfig {
        hidden_size: WIDTH,
        intermediate_size: 32,
        n_layers: 3,
        n_heads: 4,
        n_kv_heads: 2,
        head_dim: 8,
        qkv_bias: false,
        o_bias: true,
        mlp_bias: true,
        qk_norm: true,
        vocab_size: 16,
        rms_norm_eps: 1e-6,
        rope_theta: 1e4,
        rope_stretch: None,
        // One axis, as in most language models.
        rotary_axes: vec![0; 4],
        tie_word_embeddings: false,
        max_position_embeddings: 64,
        padding_id: None,
    };
    ModelConfig::new(&MadeUp, text, Arc::new(Eye), vec![IMAGE])
}

/// Three linear layers on the pixels: one for the embeddings, two for what is added after layers 0 and 1.
#[derive(Debug)]
struct Eye;

impl TowerConfig for Eye {
    fn load(&self, parts: &[Scope]) -> Result<Box<dyn Tower>, ModelError> {
        let layer = |name| parts[0].at(name).weight("weight", &[WIDTH, PATCH_DIM]);
        Ok(Box::new(OpenEye([layer("first")?, layer("second")?, layer("third")?])))
    }

    fn patches(&self) -> PatchShape {
        PatchShape { dim: PATCH_DIM, merge_size: 1 }
    }

    fn depth(&self) -> usize {
        0
    }

    fn width(&self) -> usize {
        0
    }

    fn n_tokens(&self, grid: Grid) -> usize {
        grid.n_patches()
    }

    fn block_activation_bytes(&self, _n_patches: usize, _dtype: DType) -> usize {
        0
    }

    fn end_activation_bytes(&self, _n_patches: usize, _dtype: DType) -> usize {
        0
    }

    fn added_after(&self) -> &[usize] {
        &[0, 1]
    }
}

#[derive(Debug)]
struct OpenEye([Weight; 3]);

impl Tower for OpenEye {
    fn encode(
        &self,
        context: &Context,
        pixels: &Activation,
        _grids: &[Grid],
        _n_kept: usize,
        _watch: &mut dyn FnMut(&Activation),
    ) -> Result<Vec<Activation>, ModelError> {
        let features = |weight| Ok(vrft_kernels::linear(context, pixels, weight, None)?);
        self.0.iter().map(features).collect()
    }
}

/// Values that look random and are the same each time.
fn values(n: usize, seed: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 37 + seed * 101) % 97) as f32 / 97.0 - 0.5).collect()
}

fn policy(trainable: bool, cache_mib: usize, change: impl Fn(&str, Tensor) -> Tensor) -> Policy {
    let options = LoadOptions {
        dtype: DType::F32,
        device: Device::Cpu,
        trainable,
        quantization: vrft_checkpoint::Quantization::None,
        freeze_vision: false,
        lora: None,
        prompt_tuning: None,
        feature_cache_mib: cache_mib,
        prefix_cache_mib: cache_mib,
    };
    let shapes = crate::model::Model::shapes(&config()).unwrap();
    let tensors: BTreeMap<String, Tensor> = shapes
        .into_iter()
        .map(|(name, shape)| {
            let n = shape.iter().product();
            let tensor = Tensor::from_vec(values(n, name.len()), shape, &Device::Cpu).unwrap();
            let tensor = change(&name, tensor);
            (name, tensor)
        })
        .collect();
    Policy::with_tensors(
        config(),
        "nowhere".into(),
        tensors,
        BTreeMap::new(),
        Default::default(),
        None,
        &options,
    )
    .unwrap()
}

/// Two images between three texts.
fn prompt() -> EncodedPrompt {
    let image = |h, seed| Patches::whole(values(2 * h * PATCH_DIM, seed), Grid { t: 1, h, w: 2 });
    let token_ids = vec![1, IMAGE, IMAGE, 4, IMAGE, IMAGE, IMAGE, IMAGE, 5, 6];
    let positions = (0..token_ids.len() as u32).map(|i| [i; 3]).collect();
    EncodedPrompt { token_ids, positions, images: vec![image(1, 7), image(2, 8)] }
}

const COMPLETIONS: [&[u32]; 2] = [&[7, 8, 9], &[10, 11]];

fn logprobs(policy: &Policy) -> Vec<f32> {
    let group = PackedGroup { prompt: &prompt(), completions: &COMPLETIONS, inserted: &[] };
    policy.logprobs(&[group], 1.0).unwrap().logprobs.to_vec1().unwrap()
}

fn unchanged(_name: &str, tensor: Tensor) -> Tensor {
    tensor
}

#[test]
fn the_decoder_has_the_parts_that_the_family_says() {
    let shapes: BTreeMap<_, _> =
        crate::model::Model::shapes(&config()).unwrap().into_iter().collect();
    assert_eq!(shapes["model.layers.0.self_attn.q_proj.weight"], [32, WIDTH]);
    assert_eq!(shapes["model.layers.0.self_attn.o_proj.weight"], [WIDTH, 32]);
    assert_eq!(shapes["model.layers.0.self_attn.k_norm.weight"], [8]);
    assert!(!shapes.contains_key("model.layers.0.self_attn.q_proj.bias"));
}

/// What layer 0 gives to the next differs by the second features, in the rows of the images alone.
#[test]
fn features_are_added_after_their_layer() {
    let without = policy(false, 0, |name, tensor| {
        if name == "eye.second.weight" { tensor.zeros_like().unwrap() } else { tensor }
    });
    let layer = |policy: &Policy| policy.trace(&prompt()).unwrap().text[0].clone();
    let difference = (layer(&policy(false, 0, unchanged)) - layer(&without)).unwrap();
    let difference: Vec<Vec<f32>> = difference.to_vec2().unwrap();
    let weight = values(WIDTH * PATCH_DIM, "eye.second.weight".len());
    let prompt = prompt();
    let mut patches = prompt.images.iter().flat_map(|image| image.pixels.chunks(PATCH_DIM));
    for (row, id) in difference.iter().zip(&prompt.token_ids) {
        let patch = if *id == IMAGE { patches.next().unwrap() } else { &[0.0; PATCH_DIM] };
        let product = |w: &[f32]| w.iter().zip(patch).map(|(w, p)| w * p).sum::<f32>();
        for (got, expected) in row.iter().zip(weight.chunks(PATCH_DIM).map(product)) {
            assert!((got - expected).abs() < 1e-5, "{got} for {expected}");
        }
    }
}

#[test]
fn the_caches_give_the_same_bits() {
    let expected = logprobs(&policy(false, 0, unchanged));
    let caching = policy(false, 1, unchanged);
    for _ in 0..2 {
        assert_eq!(logprobs(&caching), expected);
    }
    let other =
        policy(
            false,
            0,
            |name, tensor| {
                if name == "eye.third.weight" { (tensor * 2.0).unwrap() } else { tensor }
            },
        );
    assert_ne!(logprobs(&other), expected);
}

#[test]
fn decoding_computes_what_the_packed_forward_does() {
    let policy = policy(false, 0, unchanged);
    let expected = logprobs(&policy);
    let mut session = policy.start(&[&prompt()], 1).unwrap();
    for (token, expected) in COMPLETIONS[0].iter().zip(expected) {
        let logits: Vec<f32> = session.logits().get(0).unwrap().to_vec1().unwrap();
        let sum: f32 = logits.iter().map(|logit| logit.exp()).sum();
        let got = logits[*token as usize] - sum.ln();
        assert!((got - expected).abs() < 1e-4, "{got} for {expected}");
        session.step(&[*token]).unwrap();
    }
}

/// The sum of the logprobs and its gradient, with the images encoded in the pass or before it.
fn gradients(policy: &Policy, ahead: bool, budget: usize) -> (f32, BTreeMap<String, Vec<f32>>) {
    let prompt = prompt();
    let mut gradients = Gradients::new(policy.backend());
    let mut encoded =
        if ahead { policy.encode_images(&prompt, None, budget).unwrap() } else { None };
    let mut sum = 0.0;
    for completion in COMPLETIONS {
        let group = PackedGroup { prompt: &prompt, completions: &[completion], inserted: &[] };
        let shared: Vec<_> = encoded.iter().collect();
        let pass = policy.training_pass(&[group], 1.0, None, budget, &shared).unwrap();
        sum += pass.tokens.logprobs.sum_all().unwrap().to_scalar::<f32>().unwrap();
        let ones = pass.tokens.logprobs.ones_like().unwrap();
        let of_features = pass.backward(&ones, None, &mut gradients).unwrap();
        for (encoded, of_features) in encoded.iter_mut().zip(of_features) {
            encoded.add(of_features).unwrap();
        }
    }
    if let Some(encoded) = encoded {
        encoded.backward(&mut gradients).unwrap();
    }
    let of = |(name, variable): (&String, &candle_core::Var)| {
        (name.clone(), gradients.get(variable).unwrap_or_default().to_vec())
    };
    (sum, policy.variables().iter().map(of).collect())
}

#[test]
fn images_that_are_encoded_ahead_get_the_same_gradients() {
    let policy = policy(true, 0, unchanged);
    let (sum, expected) = gradients(&policy, false, usize::MAX);
    assert!(expected.values().all(|gradient| !gradient.is_empty()));
    for budget in [usize::MAX, 0] {
        let (same_sum, got) = gradients(&policy, true, budget);
        assert_eq!(same_sum, sum);
        for (name, expected) in &expected {
            for (got, expected) in got[name].iter().zip(expected) {
                assert!((got - expected).abs() < 1e-4, "{name}: {got} for {expected}");
            }
        }
    }
}

/// By the change of the sum when one weight changes.
#[test]
fn the_gradients_of_all_features_are_right() {
    const STEP: f32 = 1e-2;
    let (_, expected) = gradients(&policy(true, 0, unchanged), true, usize::MAX);
    let moved = |moved: &str, by: f32| {
        let policy = policy(false, 0, |name, tensor| {
            if name != moved {
                return tensor;
            }
            let mut values = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            values[1] += by;
            Tensor::from_vec(values, tensor.shape(), &Device::Cpu).unwrap()
        });
        logprobs(&policy).iter().sum::<f32>()
    };
    let norm = "model.layers.1.self_attn.q_norm.weight";
    for name in ["eye.first.weight", "eye.second.weight", "eye.third.weight", norm] {
        let slope = (moved(name, STEP) - moved(name, -STEP)) / (2.0 * STEP);
        let gradient = expected[name][1];
        let off = (slope - gradient).abs();
        assert!(off < 0.02 * gradient.abs().max(0.05), "{name}: {gradient} for {slope}");
    }
}

#[test]
fn processor_and_model_know_the_same_families() {
    let names: Vec<&str> = FAMILIES.iter().map(|family| family.model_type()).collect();
    assert_eq!(names, vrft_processor::supported_families());
}
