//! Soft prompts: they are what tokens with the same embeddings would be, they alone are trained, and their files.

use std::collections::HashMap;

use candle_core::{Device, Tensor};
use vrft_checkpoint::{PromptTuningConfig, SOFT_PROMPT};
use vrft_model::{LoadOptions, PackedGroup, Policy};
use vrft_processor::{EncodedPrompt, Processor};

use crate::fixture::{Golden, difference, golden_dir, load, loss_and_grads, options};

/// Tokens whose embeddings the prompt of the tests has; none stands for an image.
const TOKENS: [u32; 3] = [70, 9, 201];

fn tuned(trainable: bool) -> Policy {
    let prompt_tuning = Some(PromptTuningConfig { tokens: TOKENS.len(), seed: 3 });
    let options = LoadOptions { prompt_tuning, ..options(trainable) };
    Policy::load(&golden_dir().join("qwen2_vl"), &options).unwrap()
}

/// A policy whose soft prompt has the embeddings of the tokens.
fn of_tokens(trainable: bool) -> Policy {
    let policy = tuned(trainable);
    let table = load(false).tensors()["model.embed_tokens.weight"].clone();
    let rows = table.index_select(&Tensor::new(&TOKENS, &Device::Cpu).unwrap(), 0).unwrap();
    policy.set_weights(&HashMap::from([(SOFT_PROMPT.to_owned(), rows)])).unwrap();
    policy
}

/// The prompt with the tokens themselves before it.
fn with_tokens(prompt: &EncodedPrompt) -> EncodedPrompt {
    let n = TOKENS.len() as u32;
    let moved = prompt.positions.iter().map(|place| place.map(|axis| axis + n));
    EncodedPrompt {
        token_ids: TOKENS.iter().chain(&prompt.token_ids).copied().collect(),
        positions: (0..n).map(|place| [place; 3]).chain(moved).collect(),
        images: prompt.images.clone(),
    }
}

#[track_caller]
fn check_as_tokens(cases: &[&str]) {
    let golden = Golden::load();
    let prompts: Vec<EncodedPrompt> = cases.iter().map(|case| golden.prompt(case)).collect();
    let written: Vec<EncodedPrompt> = prompts.iter().map(with_tokens).collect();
    let completions: Vec<Vec<&[u32]>> =
        cases.iter().map(|case| golden.cases[*case].completions()).collect();
    let logprobs = |policy: &Policy, prompts: &[EncodedPrompt]| {
        let together = prompts.iter().zip(&completions);
        let packed: Vec<PackedGroup> = together
            .map(|(prompt, completions)| PackedGroup { prompt, completions, inserted: &[] })
            .collect();
        policy.logprobs(&packed, 0.9).unwrap().numbers().unwrap()
    };
    let (soft, base) = (of_tokens(false), load(false));
    assert_eq!(logprobs(&soft, &prompts), logprobs(&base, &written));
    // Decoding starts behind them too.
    let all: Vec<&EncodedPrompt> = prompts.iter().collect();
    let all_written: Vec<&EncodedPrompt> = written.iter().collect();
    let (mut a, mut b) = (soft.start(&all, 2).unwrap(), base.start(&all_written, 2).unwrap());
    for step in 0..4u32 {
        assert_eq!(difference(a.logits(), b.logits()), 0.0, "step {step}");
        let tokens: Vec<u32> = (0..2 * cases.len() as u32).map(|row| 30 + 7 * row + step).collect();
        a.step(&tokens).unwrap();
        b.step(&tokens).unwrap();
    }
}

#[test]
fn a_prompt_is_what_its_tokens_would_be() {
    check_as_tokens(&["one_image"]);
    check_as_tokens(&["no_image"]);
}

#[test]
fn each_prompt_of_a_batch_has_it() {
    check_as_tokens(&["two_images", "no_image", "one_image"]);
}

#[test]
fn the_prompt_alone_is_trained_and_its_gradient_is_that_of_differences() {
    let golden = Golden::load();
    let prompt = golden.prompt("one_image");
    let completions = golden.cases["one_image"].completions();
    let group = |prompt| PackedGroup { prompt, completions: &completions, inserted: &[] };
    let (loss, grads) = loss_and_grads(&of_tokens(true), &[group(&prompt)]);
    assert_eq!(grads.keys().collect::<Vec<_>>(), [SOFT_PROMPT]);
    let written = with_tokens(&prompt);
    let (expected_loss, _) = loss_and_grads(&load(true), &[group(&written)]);
    assert_eq!(loss, expected_loss);
    // By differences along one direction.
    let slope_along = |policy: &Policy, step: f32| {
        let start = policy.tensors()[SOFT_PROMPT].copy().unwrap();
        let direction = direction(start.dims());
        let moved = (&start + (&direction * f64::from(step)).unwrap()).unwrap();
        policy.set_weights(&HashMap::from([(SOFT_PROMPT.to_owned(), moved)])).unwrap();
        let logprobs = policy.logprobs(&[group(&prompt)], 1.0).unwrap().numbers().unwrap();
        -logprobs.iter().map(|it| f64::from(*it)).sum::<f64>() / logprobs.len() as f64
    };
    let step = 4e-3;
    let (up, down) = (slope_along(&of_tokens(false), step), slope_along(&of_tokens(false), -step));
    let by_differences = (up - down) / (2.0 * f64::from(step));
    let along = (&grads[SOFT_PROMPT] * direction(grads[SOFT_PROMPT].dims())).unwrap();
    let along = f64::from(along.sum_all().unwrap().to_scalar::<f32>().unwrap());
    assert!(along.abs() > 1e-2, "{along} says nothing");
    assert!((along - by_differences).abs() < 0.02 * along.abs(), "{along}, {by_differences}");
}

fn direction(dims: &[usize]) -> Tensor {
    let n: usize = dims.iter().product();
    let values: Vec<f32> = (0..n).map(|idx| ((idx * 37) % 97) as f32 / 97.0 - 0.4).collect();
    Tensor::from_vec(values, dims, &Device::Cpu).unwrap()
}

#[test]
fn without_its_prompt_the_policy_is_its_base() {
    let golden = Golden::load();
    let prompt = golden.prompt("one_image");
    let completions = golden.cases["one_image"].completions();
    let group = PackedGroup { prompt: &prompt, completions: &completions, inserted: &[] };
    let off = of_tokens(true).base_logprobs(&[group], 1.0).unwrap().numbers().unwrap();
    assert_eq!(off, load(false).logprobs(&[group], 1.0).unwrap().numbers().unwrap());
}

#[test]
fn a_fresh_prompt_has_embeddings_of_the_vocabulary_that_the_seed_draws() {
    let table = load(false).tensors()["model.embed_tokens.weight"].to_vec2::<f32>().unwrap();
    let rows = |policy: &Policy| policy.tensors()[SOFT_PROMPT].to_vec2::<f32>().unwrap();
    let fresh = rows(&tuned(true));
    assert_eq!(fresh.len(), TOKENS.len());
    assert!(fresh.iter().all(|row| table.contains(row)));
    assert_eq!(fresh, rows(&tuned(true)));
}

#[test]
fn a_saved_prompt_is_loaded_beside_its_base_and_leaves_fewer_places() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("prompt");
    let policy = of_tokens(true);
    policy.save(&dir).unwrap();
    let loaded = Policy::load(&dir, &options(false)).unwrap();
    assert_eq!(difference(&loaded.tensors()[SOFT_PROMPT], &policy.tensors()[SOFT_PROMPT]), 0.0);
    let again = tuned(true);
    again.restore(&dir).unwrap();
    assert_eq!(difference(&again.tensors()[SOFT_PROMPT], &policy.tensors()[SOFT_PROMPT]), 0.0);
    let most = |dir: &std::path::Path| Processor::load(dir).unwrap().max_tokens().unwrap();
    assert_eq!(most(&dir) + TOKENS.len(), most(&golden_dir().join("qwen2_vl")));
}

#[test]
fn what_a_prompt_cannot_be_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("prompt");
    let policy = of_tokens(false);
    let message = policy.save_merged(&folder.path().join("merged"), None).unwrap_err().to_string();
    assert!(message.contains("a soft prompt of 3 vectors, which no weight can hold"), "{message}");
    policy.save(&dir).unwrap();
    let refused = |options: &LoadOptions| Policy::load(&dir, options).unwrap_err().to_string();
    let lora = Some(vrft_checkpoint::LoraConfig { rank: 2, ..Default::default() });
    let message = refused(&LoadOptions { lora, ..options(true) });
    assert!(message.contains("policy.lora.rank should be 0"), "{message}");
    let prompt_tuning = Some(PromptTuningConfig { tokens: 5, seed: 0 });
    let message = refused(&LoadOptions { prompt_tuning, ..options(true) });
    assert!(message.contains("policy.prompt_tuning.tokens should be 3 or 0"), "{message}");
    let settings = dir.join("adapter_config.json");
    let text = std::fs::read_to_string(&settings).unwrap();
    std::fs::write(
        &settings,
        text.replace("\"num_virtual_tokens\": 3", "\"num_virtual_tokens\": 4"),
    )
    .unwrap();
    let message = refused(&options(false));
    assert!(
        message.contains("prompt_embeddings has 3 vectors, num_virtual_tokens is 4"),
        "{message}"
    );
}
