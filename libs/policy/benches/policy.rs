//! One learner step and one group rollout of a small policy: the sizes of the default run.

use std::collections::{BTreeMap, HashMap};
use std::hint::black_box;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use criterion::{Criterion, criterion_group, criterion_main};
use policy::{EncodedPrompt, LoadOptions, PackedGroup, Policy};
use vision::{Grid, Patches};

const N_GROUPS: usize = 8;
const GROUP_SIZE: usize = 8;
const N_TOKENS: usize = 25;
const IMAGE_TOKEN: u32 = 3;
const CONFIG: &str = r#"{"model_type": "qwen2_vl", "image_token_id": 3, "video_token_id": 4,
  "vision_start_token_id": 1, "vision_end_token_id": 2, "tie_word_embeddings": true,
  "text_config": {"hidden_size": 192, "intermediate_size": 512, "num_hidden_layers": 6,
    "num_attention_heads": 6, "num_key_value_heads": 2, "vocab_size": 512,
    "rope_parameters": {"rope_theta": 10000.0, "mrope_section": [4, 6, 6]}},
  "vision_config": {"depth": 3, "embed_dim": 128, "hidden_size": 192, "num_heads": 4, "mlp_ratio": 3,
    "patch_size": 8}}"#;

/// A random policy; the shapes are those that the loader asks for, one by one.
fn policy(dir: &Path, trainable: bool) -> Policy {
    std::fs::write(dir.join("config.json"), CONFIG).expect("config.json");
    let tensors: HashMap<String, Tensor> = shapes()
        .into_iter()
        .map(|(name, shape)| {
            let scale = 1.0 / (shape[1..].iter().product::<usize>() as f32).sqrt();
            let tensor = Tensor::randn(0f32, scale, shape, &Device::Cpu).expect("random");
            (name, tensor)
        })
        .collect();
    candle_core::safetensors::save(&tensors, dir.join("model.safetensors")).expect("weights");
    let options =
        LoadOptions { dtype: DType::F32, device: Device::Cpu, trainable, freeze_vision: false };
    Policy::load(dir, &options).expect("the policy loads")
}

fn shapes() -> BTreeMap<String, Vec<usize>> {
    let mut shapes = BTreeMap::new();
    let mut add = |name: String, shape: &[usize]| _ = shapes.insert(name, shape.to_vec());
    add("model.embed_tokens.weight".into(), &[512, 192]);
    add("model.norm.weight".into(), &[192]);
    for i in 0..6 {
        let layer = format!("model.layers.{i}");
        for norm in ["input_layernorm", "post_attention_layernorm"] {
            add(format!("{layer}.{norm}.weight"), &[192]);
        }
        for (name, d_out) in [("q", 192), ("k", 64), ("v", 64)] {
            add(format!("{layer}.self_attn.{name}_proj.weight"), &[d_out, 192]);
            add(format!("{layer}.self_attn.{name}_proj.bias"), &[d_out]);
        }
        add(format!("{layer}.self_attn.o_proj.weight"), &[192, 192]);
        add(format!("{layer}.mlp.gate_proj.weight"), &[512, 192]);
        add(format!("{layer}.mlp.up_proj.weight"), &[512, 192]);
        add(format!("{layer}.mlp.down_proj.weight"), &[192, 512]);
    }
    add("visual.patch_embed.proj.weight".into(), &[128, 3, 2, 8, 8]);
    let mut with_bias = |name: String, d_out: usize, d_in: usize| {
        add(
            format!("{name}.weight"),
            if d_in == 0 { &[d_out][..] } else { &[d_out, d_in][..] }.to_vec().as_slice(),
        );
        add(format!("{name}.bias"), &[d_out]);
    };
    for i in 0..3 {
        let block = format!("visual.blocks.{i}");
        with_bias(format!("{block}.norm1"), 128, 0);
        with_bias(format!("{block}.norm2"), 128, 0);
        with_bias(format!("{block}.attn.qkv"), 384, 128);
        with_bias(format!("{block}.attn.proj"), 128, 128);
        with_bias(format!("{block}.mlp.fc1"), 384, 128);
        with_bias(format!("{block}.mlp.fc2"), 128, 384);
    }
    with_bias("visual.merger.ln_q".into(), 128, 0);
    with_bias("visual.merger.mlp.0".into(), 512, 512);
    with_bias("visual.merger.mlp.2".into(), 192, 512);
    shapes
}

/// 100 tokens, 64 of them an image of 128 x 128 pixels.
fn prompt() -> EncodedPrompt {
    let grid = Grid { t: 1, h: 16, w: 16 };
    let pixels = (0..grid.n_patches() * 384).map(|i| (i % 17) as f32 / 8.0 - 1.0).collect();
    let token_ids = (0..100).map(|i| if i < 64 { IMAGE_TOKEN } else { i + 5 }).collect();
    let positions = (0..100).map(|i| if i < 64 { [0, i / 8, i % 8] } else { [i - 56; 3] });
    EncodedPrompt {
        token_ids,
        positions: positions.collect(),
        images: vec![Patches { pixels, grid }],
    }
}

fn learner_step(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (policy, prompt) = (policy(dir.path(), true), prompt());
    let completion: Vec<u32> = (0..N_TOKENS as u32).map(|i| 10 + 7 * i).collect();
    let completions = [completion.as_slice(); GROUP_SIZE];
    let groups = [PackedGroup { prompt: &prompt, completions: &completions }; N_GROUPS];
    let forward = || policy.logprobs(&groups, 1.0).expect("a forward").logprobs;
    c.bench_function("forward of 8 groups", |b| b.iter(|| black_box(forward())));
    c.bench_function("forward and backward of 8 groups", |b| {
        b.iter(|| black_box(forward().mean_all().and_then(|loss| loss.backward()).expect("grads")))
    });
}

fn rollout(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (policy, prompt) = (policy(dir.path(), false), prompt());
    let prompts = [&prompt; N_GROUPS];
    c.bench_function("prefill of 8 prompts", |b| {
        b.iter(|| black_box(policy.start(&prompts, GROUP_SIZE).expect("a session")))
    });
    c.bench_function("prefill and 25 tokens of 64 rows", |b| {
        b.iter(|| {
            let mut session = policy.start(&prompts, GROUP_SIZE).expect("a session");
            for step in 0..N_TOKENS as u32 {
                session.step(&[10 + step; N_GROUPS * GROUP_SIZE]).expect("a step");
            }
            black_box(session.logits().clone())
        })
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = learner_step, rollout
}
criterion_main!(benches);
