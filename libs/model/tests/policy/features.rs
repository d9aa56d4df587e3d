//! An image that a frozen tower has seen is not encoded again, a prompt that a frozen policy has read is not read
//! again, and nobody can tell from the results.

use std::collections::HashMap;

use candle_core::Tensor;
use vrft_model::{LoadOptions, PackedGroup, Policy};

use crate::fixture::{Golden, flat, golden_dir, options};

fn load(feature_cache_mib: usize, freeze_vision: bool, trainable: bool) -> Policy {
    let options = LoadOptions { feature_cache_mib, freeze_vision, ..options(trainable) };
    Policy::load(&golden_dir().join("qwen2_vl"), &options).unwrap()
}

/// Logprobs of a prompt with two images and of one with one of them.
fn logprobs(policy: &Policy) -> Vec<f32> {
    let golden = Golden::load();
    let of = |name: &str| {
        let (prompt, completions) = (golden.prompt(name), golden.cases[name].completions());
        let group = PackedGroup { prompt: &prompt, completions: &completions, inserted: &[] };
        flat(&policy.logprobs(&[group], 1.0).unwrap().logprobs)
    };
    [of("two_images"), of("one_image"), of("two_images")].concat()
}

#[test]
fn an_image_seen_before_gives_the_same_bits() {
    let expected = logprobs(&load(0, false, false));
    assert_eq!(logprobs(&load(1, false, false)), expected);
    assert_eq!(logprobs(&load(1, true, true)), expected);
    let forgetful = load(1, false, false);
    forgetful.expect_another_tower();
    assert_eq!(logprobs(&forgetful), expected);
}

#[test]
fn a_new_version_of_the_tower_sees_anew() {
    let (keeping, forgetful) = (load(1, false, false), load(0, false, false));
    let before = logprobs(&keeping);
    for name in ["visual.merger.mlp.2.bias", "model.norm.weight"] {
        let mut tensors: HashMap<String, Tensor> = keeping.tensors().into_iter().collect();
        let name = tensors.keys().find(|key| key.ends_with(name)).unwrap().clone();
        let changed = (&tensors[&name] + 1.0).unwrap();
        tensors.insert(name, changed);
        keeping.set_weights(&tensors).unwrap();
        forgetful.set_weights(&tensors).unwrap();
        let after = logprobs(&keeping);
        assert_ne!(after, before);
        assert_eq!(after, logprobs(&forgetful));
    }
}

#[test]
fn a_new_version_of_the_decoder_alone_keeps_what_the_tower_saw() {
    let (keeping, forgetful) = (load(1, false, false), load(0, false, false));
    logprobs(&keeping);
    let mut tensors: HashMap<String, Tensor> = keeping.tensors().into_iter().collect();
    let name = tensors.keys().find(|key| key.ends_with("model.norm.weight")).unwrap().clone();
    let changed = (&tensors[&name] * 2.0).unwrap();
    tensors.insert(name, changed);
    keeping.set_weights(&tensors).unwrap();
    forgetful.set_weights(&tensors).unwrap();
    assert_eq!(logprobs(&keeping), logprobs(&forgetful));
}

/// How far two policies' logprobs are from each other at most.
fn distance(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn keeping_prompts() -> Policy {
    let options = LoadOptions { prefix_cache_mib: 1, ..options(false) };
    Policy::load(&golden_dir().join("qwen2_vl"), &options).unwrap()
}

#[test]
fn a_prompt_read_before_gives_the_same_bits() {
    let expected = logprobs(&load(0, false, false));
    let keeping = keeping_prompts();
    for _ in 0..2 {
        assert_eq!(logprobs(&keeping), expected);
    }
}

#[test]
fn new_weights_read_anew() {
    let (keeping, forgetful) = (keeping_prompts(), load(0, false, false));
    let before = logprobs(&keeping);
    let mut tensors: HashMap<String, Tensor> = keeping.tensors().into_iter().collect();
    let name = tensors.keys().find(|key| key.ends_with("layers.0.self_attn.v_proj.bias")).unwrap();
    let changed = (&tensors[name] + 1.0).unwrap();
    let name = name.clone();
    tensors.insert(name, changed);
    keeping.set_weights(&tensors).unwrap();
    forgetful.set_weights(&tensors).unwrap();
    let after = logprobs(&keeping);
    assert!(distance(&after, &before) > 1e-2);
    assert_eq!(after, logprobs(&forgetful));
}
