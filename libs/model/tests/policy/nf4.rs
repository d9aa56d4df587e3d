//! Weights of 4 bits against transformers with bitsandbytes: logits, loss and gradients of adapters beside them, and files.
//!
//! Absolute error at most 1e-4 in f32, relative error of a gradient at most 1e-3 per tensor. Fixtures from
//! `tests/golden/make_nf4.py`.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use vrft_checkpoint::{LoraConfig, Quantization};
use vrft_model::{LoadOptions, PackedGroup, Policy};

use crate::fixture::{difference, flat, golden_dir, loss_and_grads, options, relative_difference};
use crate::models::Case;

fn golden() -> HashMap<String, Tensor> {
    candle_core::safetensors::load(golden_dir().join("nf4.safetensors"), &Device::Cpu).unwrap()
}

/// The questions and answers of the fixtures.
fn case() -> Case {
    Case::load_from("nf4.safetensors", "nf4")
}

/// The checkpoint that transformers saved, with the fixture's adapter.
fn adapted(trainable: bool) -> Policy {
    let base = golden_dir().join("nf4/whole");
    Policy::load_beside(&golden_dir().join("nf4/adapter"), Some(&base), &options(trainable))
        .unwrap()
}

/// The plain checkpoint, whose language model becomes 4-bit numbers while it is read.
fn quantized(options: LoadOptions) -> Policy {
    let options = LoadOptions { quantization: Quantization::Nf4, ..options };
    Policy::load(&golden_dir().join("nf4/plain"), &options).unwrap()
}

fn logits(policy: &Policy) -> Tensor {
    policy.trace(&case().whole).unwrap().logits.unwrap()
}

#[track_caller]
fn check_logits(policy: &Policy, expected: &Tensor) {
    let off = difference(&logits(policy), expected);
    assert!(off <= 1e-4, "off by {off}");
}

#[test]
fn a_checkpoint_that_transformers_saved_in_four_bits_computes_the_same() {
    let policy = Policy::load(&golden_dir().join("nf4/whole"), &options(false)).unwrap();
    check_logits(&policy, &golden()["whole.logits"]);
}

#[test]
fn a_language_model_that_is_quantized_as_it_is_read_computes_the_same() {
    check_logits(&quantized(options(false)), &golden()["text.logits"]);
}

#[test]
fn an_adapter_beside_four_bits_learns_the_same() {
    let (golden, case) = (golden(), case());
    check_logits(&adapted(false), &golden["adapted.logits"]);
    let (prompt, completion) = (case.prompt(), case.completion());
    let group = PackedGroup { prompt: &prompt, completions: &[completion], inserted: &[] };
    let (loss, grads) = loss_and_grads(&adapted(true), &[group]);
    assert!((loss - flat(&golden["adapted.loss"])[0]).abs() <= 1e-4);
    assert_eq!(grads.len(), golden.keys().filter(|key| key.starts_with("adapted.grad.")).count());
    for (parameter, grad) in &grads {
        let off = relative_difference(grad, &golden[&format!("adapted.grad.{parameter}")]);
        assert!(off <= 1e-3, "gradient of {parameter} off by {off}");
    }
}

#[test]
fn decoding_chooses_what_the_whole_forward_chooses() {
    let policy = quantized(options(false));
    let mut prompt = case().prompt();
    let mut session = policy.start(&[&prompt], 1).unwrap();
    for step in 0..6 {
        let best = session.logits().argmax(1).unwrap().to_vec1::<u32>().unwrap();
        let all = policy.trace(&prompt).unwrap().logits.unwrap();
        let last = all.get(all.dim(0).unwrap() - 1).unwrap();
        assert_eq!(best, [last.argmax(0).unwrap().to_scalar::<u32>().unwrap()], "step {step}");
        let position = prompt.next_position();
        prompt.token_ids.extend(&best);
        prompt.positions.push([position; 3]);
        session.step(&best).unwrap();
    }
}

/// All tensors of a checkpoint by name, with their types and bytes.
fn stored(dir: &Path) -> Vec<(String, String, Vec<u8>)> {
    let bytes = std::fs::read(dir.join("model.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors: Vec<_> = file
        .iter()
        .filter(|(name, _)| !name.contains("quant_state"))
        .map(|(name, view)| {
            let kind = format!("{:?} {:?}", view.dtype(), view.shape());
            (name.to_owned(), kind, view.data().to_vec())
        })
        .collect();
    tensors.sort();
    tensors
}

#[test]
fn what_is_saved_in_four_bits_is_what_transformers_saves() {
    let theirs = golden_dir().join("nf4/whole");
    let policy = Policy::load(&theirs, &options(false)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    policy.save(folder.path()).unwrap();
    for (ours, theirs) in stored(folder.path()).iter().zip(stored(&theirs)) {
        assert_eq!((&ours.0, &ours.1), (&theirs.0, &theirs.1));
        assert!(ours.2 == theirs.2, "{}", ours.0);
    }
    assert_eq!(stored(folder.path()).len(), stored(&theirs).len());
    let again = Policy::load(folder.path(), &options(false)).unwrap();
    assert_eq!(difference(&logits(&again), &logits(&policy)), 0.0);
}

#[test]
fn a_policy_that_was_quantized_is_saved_so_and_says_which_layers_are_not() {
    let policy = quantized(options(false));
    let folder = tempfile::tempdir().unwrap();
    policy.save(folder.path()).unwrap();
    let config = std::fs::read_to_string(folder.path().join("config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    let quantization = &config["quantization_config"];
    assert_eq!(quantization["bnb_4bit_quant_type"], "nf4");
    assert_eq!(
        quantization["llm_int8_skip_modules"],
        serde_json::json!(["model.visual", "lm_head"])
    );
    let again = Policy::load(folder.path(), &options(false)).unwrap();
    assert_eq!(difference(&logits(&again), &logits(&policy)), 0.0);
}

#[test]
fn weights_of_four_bits_are_not_trained_themselves() {
    let base = golden_dir().join("nf4/whole");
    let error = Policy::load(&base, &options(true)).unwrap_err().to_string();
    assert!(error.starts_with("policy.lora.rank should be above 0"), "{error}");
}

#[test]
fn fresh_adapters_are_beside_the_same_layers_as_of_the_plain_checkpoint() {
    let lora = LoraConfig { rank: 2, ..LoraConfig::default() };
    let with = || LoadOptions { lora: Some(lora.clone()), ..options(true) };
    let plain = Policy::load(&golden_dir().join("nf4/plain"), &with()).unwrap();
    let quantized = quantized(with());
    let values = |policy: &Policy| -> Vec<(String, Vec<f32>)> {
        policy.tensors().into_iter().map(|(name, tensor)| (name, flat(&tensor))).collect()
    };
    assert_eq!(values(&plain), values(&quantized));
    let folder = tempfile::tempdir().unwrap();
    quantized.save(folder.path()).unwrap();
    quantized.restore(folder.path()).unwrap();
}

#[test]
fn an_adapter_is_merged_into_the_numbers_that_four_bits_stand_for() {
    let policy = adapted(false);
    let folder = tempfile::tempdir().unwrap();
    policy.save_merged(folder.path(), Some(DType::F32)).unwrap();
    let config = std::fs::read_to_string(folder.path().join("config.json")).unwrap();
    assert!(!config.contains("quantization_config"));
    let merged = Policy::load(folder.path(), &options(false)).unwrap();
    let off = difference(&logits(&merged), &logits(&policy));
    assert!(off <= 1e-4, "off by {off}");
}
