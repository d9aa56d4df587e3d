//! One learner step and one group rollout of a small policy: the sizes of the default run.

use std::hint::black_box;
use std::path::Path;

use candle_core::{DType, Device};
use criterion::{Criterion, criterion_group, criterion_main};
use vrft_model::{LoadOptions, PackedGroup, Policy};
use vrft_processor::EncodedPrompt;
use vrft_vision::{Grid, Patches};

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

/// A policy with random weights.
fn policy(dir: &Path, trainable: bool) -> Policy {
    std::fs::write(dir.join("config.json"), CONFIG).expect("config.json");
    Policy::initialize(dir, 0, DType::F32).expect("weights");
    let options = LoadOptions {
        dtype: DType::F32,
        device: Device::Cpu,
        trainable,
        quantization: Default::default(),
        freeze_vision: false,
        lora: None,
        prompt_tuning: None,
        feature_cache_mib: 0,
        prefix_cache_mib: 0,
    };
    Policy::load(dir, &options).expect("the policy loads")
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
        images: vec![Patches::whole(pixels, grid)],
    }
}

fn learner_step(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let policy = policy(dir.path(), true);
    let prompt = prompt();
    let completion: Vec<u32> = (0..N_TOKENS as u32).map(|i| 10 + 7 * i).collect();
    let completions = [completion.as_slice(); GROUP_SIZE];
    let groups =
        [PackedGroup { prompt: &prompt, completions: &completions, inserted: &[] }; N_GROUPS];
    let forward = || policy.logprobs(&groups, 1.0).expect("a forward").logprobs;
    let mut gradients = vrft_kernels::Gradients::new(policy.backend());
    let mut training = || {
        let pass = policy.training_pass(&groups, 1.0, None, usize::MAX, &[]).expect("a forward");
        let slopes = pass.tokens.logprobs.ones_like().expect("slopes");
        gradients.clear();
        pass.backward(&slopes, None, &mut gradients).expect("a backward")
    };
    c.bench_function("forward of 8 groups", |b| b.iter(|| black_box(forward())));
    c.bench_function("forward and backward of 8 groups", |b| b.iter(|| black_box(training())));
}

fn rollout(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let policy = policy(dir.path(), false);
    let prompt = prompt();
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
