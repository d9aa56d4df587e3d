//! Loading, saving and swapping weights, and what a bad checkpoint says.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::{DType, Tensor};
use tempfile::TempDir;
use vrft_model::{LoadOptions, PackedGroup, Policy};

use crate::fixture::{Golden, difference, flat, golden_dir, load, options};

/// A copy of the tiny checkpoint to damage.
fn copy() -> TempDir {
    let dir = TempDir::new().expect("a temporary directory");
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        let from = golden_dir().join("qwen2_vl").join(name);
        std::fs::copy(from, dir.path().join(name)).expect("a copy");
    }
    dir
}

fn weights(dir: &Path) -> HashMap<String, Tensor> {
    let path = dir.join("model.safetensors");
    candle_core::safetensors::load(path, &candle_core::Device::Cpu).expect("tensors")
}

fn write_weights(dir: &Path, tensors: &HashMap<String, Tensor>) {
    let path = dir.join("model.safetensors");
    candle_core::safetensors::save(tensors, path).expect("written");
}

fn logprobs(policy: &Policy) -> Vec<f32> {
    let golden = Golden::load();
    let (prompt, completions) =
        (golden.prompt("one_image"), golden.cases["one_image"].completions());
    let group = PackedGroup { prompt: &prompt, completions: &completions, inserted: &[] };
    flat(&policy.logprobs(&[group], 1.0).expect("a forward").logprobs)
}

#[track_caller]
fn check_error(dir: &TempDir, expected: &str) {
    let error = Policy::load(dir.path(), &options(false)).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
}

/// Loads the checkpoint after a change to its tensors and expects an error.
#[track_caller]
fn check_changed(change: impl Fn(&mut HashMap<String, Tensor>), expected: &str) {
    let dir = copy();
    let mut tensors = weights(dir.path());
    change(&mut tensors);
    write_weights(dir.path(), &tensors);
    check_error(&dir, expected);
    let read = vrft_model::check_weights(dir.path(), None).unwrap_err().to_string();
    assert!(read.contains(expected), "{read}");
}

#[test]
fn a_missing_tensor_is_named() {
    check_changed(
        |tensors| _ = tensors.remove("visual.blocks.1.mlp.fc1.bias"),
        "missing 1 of 57 tensors: visual.blocks.1.mlp.fc1.bias",
    )
}

#[test]
fn an_unexpected_tensor_is_named() {
    check_changed(
        |tensors| _ = tensors.insert("model.extra".into(), tensors["model.norm.weight"].clone()),
        "1 unexpected tensors: model.extra",
    )
}

#[test]
fn a_misshapen_tensor_is_named() {
    check_changed(
        |tensors| {
            let wide = Tensor::cat(&[&tensors["model.norm.weight"]; 2], 0).unwrap();
            tensors.insert("model.norm.weight".into(), wide);
        },
        "tensor model.norm.weight should have shape [64], got [128]",
    )
}

#[test]
fn numbers_that_are_none_are_refused_by_their_tensor() {
    for (bad, dtype) in [
        (f32::NAN, DType::F32),
        (f32::INFINITY, DType::BF16),
        (f32::NEG_INFINITY, DType::F16),
        (f32::NAN, DType::F64),
    ] {
        check_changed(
            |tensors| {
                let norm = &tensors["model.norm.weight"];
                let mut values = flat(norm);
                (values[3], values[63]) = (bad, bad);
                let broken = Tensor::from_vec(values, norm.shape(), norm.device()).unwrap();
                tensors.insert("model.norm.weight".into(), broken.to_dtype(dtype).unwrap());
            },
            "tensor model.norm.weight should be finite numbers, got 2 of 64 that are not",
        );
    }
}

#[test]
fn an_adapter_of_numbers_that_are_none_is_neither_used_nor_merged() {
    let lora = vrft_checkpoint::LoraConfig { rank: 2, ..vrft_checkpoint::LoraConfig::default() };
    let base = copy();
    let options_with = LoadOptions { lora: Some(lora), ..options(true) };
    let folder = TempDir::new().unwrap();
    Policy::load(base.path(), &options_with).unwrap().save(folder.path()).unwrap();
    Policy::load(folder.path(), &options(false)).unwrap();
    let path = folder.path().join("adapter_model.safetensors");
    let mut factors = candle_core::safetensors::load(&path, &candle_core::Device::Cpu).unwrap();
    let name = factors.keys().find(|name| name.contains("lora_B")).unwrap().clone();
    let broken = (factors[&name].ones_like().unwrap() / 0.0).unwrap();
    factors.insert(name.clone(), broken);
    candle_core::safetensors::save(&factors, &path).unwrap();
    let error = Policy::load(folder.path(), &options(false)).unwrap_err().to_string();
    assert!(error.contains("lora_B") && error.contains("finite numbers"), "{error}");
    // The headers alone do not tell.
    vrft_model::check_checkpoint(folder.path(), None).unwrap();
    let read = vrft_model::check_weights(folder.path(), None).unwrap_err().to_string();
    assert!(read.contains("lora_B") && read.contains("finite numbers"), "{read}");
}

#[test]
fn a_truncated_file_is_one_clear_error() {
    let dir = copy();
    let path = dir.path().join("model.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    for len in [bytes.len() - 1, bytes.len() / 2, 100, 4, 0] {
        std::fs::write(&path, &bytes[..len]).unwrap();
        check_error(
            &dir,
            &format!("model.safetensors\" is damaged: {len} bytes where its header promises"),
        );
    }
}

#[test]
fn a_file_that_is_something_else_is_one_clear_error() {
    let dir = copy();
    let mut bytes = 16u64.to_le_bytes().to_vec();
    bytes.extend(b"this is not JSON");
    std::fs::write(dir.path().join("model.safetensors"), bytes).unwrap();
    check_error(&dir, "not a safetensors file");
}

#[test]
fn an_absent_file_is_named() {
    let dir = copy();
    std::fs::remove_file(dir.path().join("model.safetensors")).unwrap();
    check_error(&dir, "has no model.safetensors: it has config.json, tokenizer.json");
}

#[test]
fn another_model_type_is_refused_by_name() {
    let dir = copy();
    let path = dir.path().join("config.json");
    let text = std::fs::read_to_string(&path).unwrap().replace("\"qwen2_vl\"", "\"mamba\"");
    std::fs::write(&path, text).unwrap();
    check_error(
        &dir,
        "model_type should be qwen2_vl or qwen2_5_vl or qwen3_vl or smolvlm or idefics3, got \"mamba\"",
    );
}

/// Loads the checkpoint after a change to its configuration and expects an error.
#[track_caller]
fn check_configured(change: impl Fn(&mut serde_json::Value), expected: &str) {
    let dir = copy();
    let path = dir.path().join("config.json");
    let mut json = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    change(&mut json);
    std::fs::write(&path, json.to_string()).unwrap();
    check_error(&dir, expected);
}

#[test]
fn a_configuration_that_is_not_the_weights_is_refused_before_they_are_read() {
    check_configured(
        |json| json["text_config"]["num_hidden_layers"] = 1_000_000_000.into(),
        "num_hidden_layers should be at most 16777216, got 1000000000",
    );
    check_configured(
        |json| json["text_config"]["num_hidden_layers"] = 1000.into(),
        "missing 11976 of 12033 tensors: model.layers.2.input_layernorm.weight, ",
    );
    check_configured(
        |json| json["vision_config"]["depth"] = (1_u64 << 60).into(),
        "vision_config.depth should be at most 16777216, got 1152921504606846976",
    );
    check_configured(
        |json| json["vision_config"]["spatial_merge_size"] = (1_u64 << 32).into(),
        "vision_config.spatial_merge_size should be at most 16777216, got 4294967296",
    );
    check_configured(
        |json| json["vision_config"]["spatial_merge_size"] = 1000.into(),
        "should have shape",
    );
    check_configured(
        |json| json["text_config"]["vocab_size"] = 16_000_000.into(),
        "tensor model.embed_tokens.weight should have shape [16000000, 64]",
    );
}

#[test]
fn shards_load_as_one_file_does() {
    let dir = copy();
    let tensors = weights(dir.path());
    std::fs::remove_file(dir.path().join("model.safetensors")).unwrap();
    let (text, visual): (HashMap<_, _>, HashMap<_, _>) =
        tensors.into_iter().partition(|(name, _)| name.starts_with("model."));
    let mut weight_map = BTreeMap::new();
    for (file, part) in [("model-1.safetensors", text), ("model-2.safetensors", visual)] {
        candle_core::safetensors::save(&part, dir.path().join(file)).unwrap();
        weight_map.extend(part.into_keys().map(|name| (name, file)));
    }
    let index = serde_json::json!({ "metadata": {}, "weight_map": weight_map });
    std::fs::write(dir.path().join("model.safetensors.index.json"), index.to_string()).unwrap();
    let policy = Policy::load(dir.path(), &options(false)).unwrap();
    assert_eq!(logprobs(&policy), logprobs(&load(false)));
}

#[test]
fn names_of_the_newer_layout_load_and_stay() {
    let dir = copy();
    let rename = |name: String| match name.strip_prefix("model.") {
        Some(rest) => format!("model.language_model.{rest}"),
        None => format!("model.{name}"),
    };
    let tensors = weights(dir.path()).into_iter().map(|(name, t)| (rename(name), t)).collect();
    write_weights(dir.path(), &tensors);
    let policy = Policy::load(dir.path(), &options(false)).unwrap();
    assert_eq!(logprobs(&policy), logprobs(&load(false)));
    assert!(policy.tensors().contains_key("model.language_model.norm.weight"));
}

#[test]
fn an_untied_head_is_its_own_tensor() {
    let dir = copy();
    let path = dir.path().join("config.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let text = text.replace("\"tie_word_embeddings\": true", "\"tie_word_embeddings\": false");
    std::fs::write(&path, text).unwrap();
    check_error(&dir, "missing 1 of 58 tensors: lm_head.weight");
    let mut tensors = weights(dir.path());
    tensors.insert("lm_head.weight".into(), tensors["model.embed_tokens.weight"].clone());
    write_weights(dir.path(), &tensors);
    let policy = Policy::load(dir.path(), &options(true)).unwrap();
    assert_eq!(logprobs(&policy), logprobs(&load(false)));
    assert!(policy.variables().contains_key("lm_head.weight"));
}

#[test]
fn what_is_saved_loads_as_it_was() {
    let dir = TempDir::new().unwrap();
    let policy = load(true);
    let name = "model.norm.weight";
    let doubled = (policy.variables()[name].as_tensor() * 2.0).unwrap().detach();
    policy.variables()[name].set(&doubled).unwrap();
    policy.save(dir.path()).unwrap();
    let loaded = Policy::load(dir.path(), &options(false)).unwrap();
    assert_eq!(logprobs(&loaded), logprobs(&policy));
    assert_ne!(logprobs(&loaded), logprobs(&load(false)));
    assert!(dir.path().join("tokenizer.json").is_file());
    let config = std::fs::read_to_string(dir.path().join("config.json")).unwrap();
    assert!(config.contains("\"dtype\": \"float32\""));
}

#[test]
fn a_policy_saves_over_the_directory_it_came_from() {
    let dir = copy();
    let policy = Policy::load(dir.path(), &options(true)).unwrap();
    policy.save(dir.path()).unwrap();
    assert_eq!(logprobs(&Policy::load(dir.path(), &options(false)).unwrap()), logprobs(&policy));
}

/// All tensors, a tenth larger.
fn grown(policy: &Policy) -> HashMap<String, Tensor> {
    let grow = |(name, tensor): (String, Tensor)| (name, (tensor * 1.1).unwrap());
    policy.tensors().into_iter().map(grow).collect()
}

#[test]
fn new_weights_take_effect_whether_trainable_or_not() {
    let (trainable, frozen) = (load(true), load(false));
    let new = grown(&frozen);
    let before = logprobs(&frozen);
    trainable.set_weights(&new).unwrap();
    frozen.set_weights(&new).unwrap();
    assert_ne!(logprobs(&frozen), before);
    assert_eq!(logprobs(&frozen), logprobs(&trainable));
    let name = "model.norm.weight";
    assert_eq!(difference(trainable.variables()[name].as_tensor(), &new[name]), 0.0);
}

#[test]
fn an_open_session_keeps_its_weights() {
    let golden = Golden::load();
    let policy = load(false);
    let mut before = policy.start(&[&golden.prompt("one_image")], 1).unwrap();
    let mut across = policy.start(&[&golden.prompt("one_image")], 1).unwrap();
    before.step(&[20]).unwrap();
    policy.set_weights(&grown(&policy)).unwrap();
    across.step(&[20]).unwrap();
    assert_eq!(difference(before.logits(), across.logits()), 0.0);
}

/// Writes new values into the memory of the old.
fn overwrite(policy: &Policy, new: &HashMap<String, Tensor>) -> bool {
    let write = |places: &BTreeMap<String, Tensor>| {
        let each = places.iter().map(|(name, place)| place.slice_set(&new[name], 0, 0));
        each.collect::<Result<(), _>>().map(|()| true).map_err(vrft_model::ModelError::from)
    };
    policy.overwrite_weights(write).unwrap()
}

#[test]
fn weights_that_are_overwritten_compute_as_new_ones() {
    let policy = load(false);
    let new = grown(&policy);
    // What the old weights have computed is kept, and is forgotten with them.
    let before = logprobs(&policy);
    assert!(overwrite(&policy, &new));
    let expected = load(false);
    expected.set_weights(&new).unwrap();
    assert_eq!(logprobs(&policy), logprobs(&expected));
    assert_ne!(logprobs(&policy), before);
}

#[test]
fn weights_that_something_holds_are_not_overwritten() {
    let policy = load(false);
    let new = grown(&policy);
    let before = logprobs(&policy);
    let session = policy.start(&[&Golden::load().prompt("one_image")], 1).unwrap();
    assert!(!overwrite(&policy, &new));
    drop(session);
    assert_eq!(logprobs(&policy), before);
    assert!(overwrite(&policy, &new));
    assert!(!overwrite(&load(true), &new));
}

#[test]
fn new_weights_must_have_the_same_names_and_shapes() {
    let policy = load(false);
    let before = logprobs(&policy);
    let mut missing = grown(&policy);
    let taken = missing.remove("model.norm.weight").unwrap();
    let error = policy.set_weights(&missing).unwrap_err().to_string();
    assert_eq!(error, "missing 1 of 57 tensors: model.norm.weight");
    missing.insert("model.norm.weight".into(), taken.narrow(0, 0, 3).unwrap());
    let error = policy.set_weights(&missing).unwrap_err().to_string();
    assert_eq!(error, "tensor model.norm.weight should have shape [64], got [3]");
    assert_eq!(logprobs(&policy), before);
}
