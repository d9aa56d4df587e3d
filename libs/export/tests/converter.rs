//! What llama.cpp's own converter makes of the same checkpoints, by `golden/make_gguf.py`: every tensor with its name,
//! dimensions, type and bytes, and the metadata.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};
use vrft_export::{GgufFile, Storage, TensorType, Value, export_gguf};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn told(value: &Value) -> Json {
    match value {
        Value::U32(n) => json!(["UINT32", n]),
        Value::I32(n) => json!(["INT32", n]),
        Value::F32(n) => json!(["FLOAT32", f64::from(*n)]),
        Value::Bool(is) => json!(["BOOL", is]),
        Value::Text(text) => json!(["STRING", text]),
        Value::List(values) => {
            let values: Vec<Json> = values.iter().map(told).collect();
            let kind = values[0][0].clone();
            let values: Vec<Json> = values.into_iter().map(|value| value[1].clone()).collect();
            json!([format!("ARRAY {}", kind.as_str().unwrap()), values])
        }
    }
}

#[track_caller]
fn check(family: &str) {
    let text = std::fs::read_to_string(golden().join(format!("{family}.json"))).unwrap();
    let expected: Json = serde_json::from_str(&text).unwrap();
    for storage in [Storage::F16, Storage::Q8_0] {
        let folder = tempfile::tempdir().unwrap();
        let files = export_gguf(&golden().join(family), folder.path(), storage, None).unwrap();
        for (part, path) in [("text", &files.text), ("mmproj", &files.tower)] {
            let part = format!("{part}-{}", storage.name());
            let expected = &expected[&part];
            let file = GgufFile::read(path).unwrap();
            let mut tensors = BTreeMap::new();
            for (tensor, bytes) in &file.tensors {
                let kind = match tensor.kind {
                    TensorType::F32 => "F32",
                    TensorType::F16 => "F16",
                    TensorType::Q8_0 => "Q8_0",
                };
                let sum: String =
                    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect();
                let axes: Vec<usize> = tensor.shape.iter().rev().copied().collect();
                tensors.insert(tensor.name.clone(), json!([kind, axes, sum]));
            }
            let wanted = expected["tensors"].as_object().unwrap();
            for (name, wanted) in wanted {
                let got = tensors.remove(name);
                assert!(
                    got.as_ref() == Some(wanted),
                    "{family} {part} {name}: {got:?}, not {wanted}"
                );
            }
            assert!(tensors.is_empty(), "{family} {part}: {tensors:?}");
            let mut metadata: BTreeMap<_, _> =
                file.metadata.iter().map(|(key, value)| (key.clone(), told(value))).collect();
            for (key, wanted) in expected["metadata"].as_object().unwrap() {
                let got = metadata.remove(key);
                // The converter makes a title of the folder's name.
                if key != "general.name" {
                    assert!(got.as_ref() == Some(wanted), "{family} {part} {key}");
                }
            }
            assert!(metadata.is_empty(), "{family} {part}: {metadata:?}");
        }
    }
}

#[test]
fn qwen2_vl_is_as_llama_cpp_converts_it() {
    check("qwen2_vl");
}

#[test]
fn qwen2_5_vl_is_as_llama_cpp_converts_it() {
    check("qwen2_5_vl");
}

#[test]
fn qwen3_vl_is_as_llama_cpp_converts_it() {
    check("qwen3_vl");
}

#[test]
fn smolvlm_is_as_llama_cpp_converts_it() {
    check("smolvlm");
}

/// The checkpoint with one file changed.
#[track_caller]
fn refused(family: &str, file: &str, from: &str, to: &str, words: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(golden().join(family)).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    let text = std::fs::read_to_string(folder.path().join(file)).unwrap();
    assert!(text.contains(from), "{from} is not in {file}");
    std::fs::write(folder.path().join(file), text.replace(from, to)).unwrap();
    let out = folder.path().join("out");
    let error = export_gguf(folder.path(), &out, Storage::F16, None).unwrap_err().to_string();
    words.iter().for_each(|word| assert!(error.contains(word), "{word:?} is not in {error}"));
    assert!(!out.exists(), "nothing is left behind");
}

#[test]
fn what_llama_cpp_does_not_have_is_refused_by_key() {
    let of_model = "\"model_type\": \"smolvlm\"";
    refused(
        "smolvlm",
        "config.json",
        of_model,
        "\"model_type\": \"other\"",
        &["model_type", "other"],
    );
    let rules = "\"individual_digits\": true";
    refused(
        "smolvlm",
        "tokenizer.json",
        rules,
        "\"individual_digits\": false",
        &["pre_tokenizer", "--pre"],
    );
    let (kind, other) = ("\"rope_type\": \"default\"", "\"rope_type\": \"yarn\"");
    refused("qwen3_vl", "config.json", kind, other, &["rope_type", "yarn"]);
}

#[test]
fn an_adapter_is_merged_first() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("adapter_config.json"), "{}").unwrap();
    let error = export_gguf(folder.path(), folder.path(), Storage::F16, None).unwrap_err();
    assert!(error.to_string().contains("vrft merge"), "{error}");
}

#[test]
fn a_word_that_nobody_knows_for_the_cutting_of_texts_is_refused_and_nothing_written() {
    let folder = tempfile::tempdir().unwrap();
    let of = |word| {
        export_gguf(&golden().join("qwen2_vl"), &folder.path().join(word), Storage::F16, Some(word))
    };
    let error = of("nonsense").unwrap_err().to_string();
    assert!(error.contains("--pre") && error.contains("nonsense"), "{error}");
    assert!(!folder.path().join("nonsense").join("model-f16.gguf").exists());
    let file = GgufFile::read(&of("llama-bpe").unwrap().text).unwrap();
    assert_eq!(file.metadata["tokenizer.ggml.pre"], Value::Text("llama-bpe".into()));
}
