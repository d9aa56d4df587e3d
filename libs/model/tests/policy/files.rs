//! What is wrong with the files of a policy is told by a look at their headers, in the words of who loads them.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use vrft_checkpoint::PolicyConfig;
use vrft_model::{Policy, check_checkpoint, check_policy};

use crate::fixture::{adapter_copy, golden_dir, options};

const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
const ADAPTER: &str = "adapter_model.safetensors";

/// Damages a folder, and expects that loading refuses it so, and each check in the same words.
#[track_caller]
fn check_refused(dir: &TempDir, damage: impl FnOnce(&Path), expected: &str) {
    damage(dir.path());
    let loaded = Policy::load(dir.path(), &options(false)).unwrap_err().to_string();
    assert!(loaded.contains(expected), "{loaded}");
    let checked = check_checkpoint(dir.path(), None).unwrap_err().to_string();
    let config = PolicyConfig { path: dir.path().to_owned(), ..PolicyConfig::default() };
    assert_eq!((checked, check_policy(&config).unwrap_err().to_string()), (loaded.clone(), loaded));
}

#[track_caller]
fn check_whole(damage: impl FnOnce(&Path), expected: &str) {
    let dir = TempDir::new().unwrap();
    for name in ["config.json", WEIGHTS] {
        std::fs::copy(golden_dir().join("qwen2_vl").join(name), dir.path().join(name)).unwrap();
    }
    check_refused(&dir, damage, expected);
}

#[track_caller]
fn check_adapter(damage: impl FnOnce(&Path), expected: &str) {
    check_refused(&adapter_copy("lora", "qwen2_vl"), damage, expected);
}

/// Changes a file of JSON settings.
fn edit(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut json = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    change(&mut json);
    std::fs::write(path, json.to_string()).unwrap();
}

/// Changes the names, types and shapes in the header of a file of tensors; the numbers stay.
fn edit_header(path: &Path, change: impl FnOnce(&mut serde_json::Map<String, Value>)) {
    let bytes = std::fs::read(path).unwrap();
    let (len, rest) = bytes.split_first_chunk::<8>().unwrap();
    let (header, numbers) = rest.split_at(u64::from_le_bytes(*len) as usize);
    let mut header = serde_json::from_slice(header).unwrap();
    change(&mut header);
    let header = serde_json::to_vec(&header).unwrap();
    let len = (header.len() as u64).to_le_bytes();
    std::fs::write(path, [len.as_slice(), &header, numbers].concat()).unwrap();
}

/// Gives a tensor another name.
fn rename(path: &Path, from: &str, to: &str) {
    edit_header(path, |header| {
        let tensor = header.remove(from).unwrap();
        header.insert(to.to_owned(), tensor);
    });
}

fn cut(path: &Path) {
    let bytes = std::fs::read(path).unwrap();
    std::fs::write(path, &bytes[..bytes.len() - 100]).unwrap();
}

#[test]
fn files_that_are_not_there_or_not_whole() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 9145592\n";
    check_whole(|dir| std::fs::write(dir.join(WEIGHTS), pointer).unwrap(), "`git lfs pull`");
    check_whole(|dir| cut(&dir.join(WEIGHTS)), "cut short");
    let move_to = |dir: &Path, name| std::fs::rename(dir.join(WEIGHTS), dir.join(name)).unwrap();
    check_whole(|dir| move_to(dir, "pytorch_model.bin"), "it has pytorch_model.bin");
    check_whole(|dir| move_to(dir, "model-00001-of-00002.safetensors"), INDEX);
    let indexed = |file: &'static str| {
        move |dir: &Path| {
            move_to(dir, "model-00001-of-00002.safetensors");
            let index = json!({"weight_map": {"model.norm.weight": file}});
            std::fs::write(dir.join(INDEX), index.to_string()).unwrap();
        }
    };
    check_whole(indexed("model-00002-of-00002.safetensors"), "model-00002-of-00002.safetensors");
    check_whole(indexed("../../etc/passwd"), "which is not a file beside it");
}

#[test]
fn tensors_of_another_name_type_or_shape() {
    let norm = "model.norm.weight";
    check_whole(|dir| rename(&dir.join(WEIGHTS), norm, "model.extra"), norm);
    let shape = |header: &mut serde_json::Map<String, Value>| header[norm]["shape"] = json!([8, 8]);
    check_whole(|dir| edit_header(&dir.join(WEIGHTS), shape), "should have shape [64], got [8, 8]");
    let kind = |header: &mut serde_json::Map<String, Value>| header[norm]["dtype"] = json!("I16");
    check_whole(|dir| edit_header(&dir.join(WEIGHTS), kind), "has type I16, not a float");
}

#[test]
fn settings_of_another_model() {
    let text = |key: &'static str, value: usize| {
        move |dir: &Path| {
            edit(&dir.join("config.json"), |json| json["text_config"][key] = value.into());
        }
    };
    check_whole(text("vocab_size", 10_000), "should have shape [10000, 64]");
    check_whole(text("num_hidden_layers", 1), "unexpected tensors: model.layers.1.");
    let untied = |json: &mut Value| {
        json["tie_word_embeddings"] = false.into();
        json["text_config"]["tie_word_embeddings"] = false.into();
    };
    check_whole(|dir| edit(&dir.join("config.json"), untied), "lm_head.weight");
}

#[test]
fn adapters_whose_tensors_are_not_those_of_their_settings() {
    let set = |key: &'static str, value: Value| {
        move |dir: &Path| edit(&dir.join("adapter_config.json"), |json| json[key] = value)
    };
    check_adapter(set("r", 64.into()), "should have shape");
    check_adapter(set("target_modules", json!(["q_proj"])), "target_modules does not name");
    check_adapter(set("target_modules", "all-linear".into()), "target_modules names");
    check_adapter(set("exclude_modules", json!(["down_proj", "q_proj", "v_proj"])), "");
    check_adapter(|dir| cut(&dir.join(ADAPTER)), "cut short");
    let pickle = |dir: &Path| {
        std::fs::rename(dir.join(ADAPTER), dir.join("adapter_model.bin")).unwrap();
    };
    check_adapter(pickle, "it has adapter_model.bin");
    let half = |header: &mut serde_json::Map<String, Value>| {
        let name = header.keys().find(|name| name.ends_with("lora_A.weight")).unwrap().clone();
        let tensor = header.remove(&name).unwrap();
        header.insert(name.replace("lora_A.weight", "lora_A.default.weight"), tensor);
    };
    check_adapter(|dir| edit_header(&dir.join(ADAPTER), half), "lora_A.default.weight");
    let nested = |header: &mut serde_json::Map<String, Value>| {
        let names: Vec<String> =
            header.keys().filter(|name| name.contains("lora")).cloned().collect();
        for name in names {
            let tensor = header.remove(&name).unwrap();
            header.insert(name.replace("base_model.model.", "base_model.model.model."), tensor);
        }
    };
    check_adapter(|dir| edit_header(&dir.join(ADAPTER), nested), "another model");
}
