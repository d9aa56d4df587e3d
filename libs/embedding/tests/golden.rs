//! Vectors and cosines against transformers', on a tiny random BERT (tests/golden/make_bert.py).
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::path::{Path, PathBuf};

use serde::Deserialize;
use vrft_embedding::Encoder;

/// Both sides compute in f32.
const TOLERANCE: f32 = 1e-5;

#[derive(Deserialize)]
struct Case {
    sentence: String,
    vector: Vec<f32>,
}

fn bert() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/bert")
}
fn cases() -> Vec<Case> {
    serde_json::from_str(include_str!("golden/vectors.json")).unwrap()
}
fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[test]
fn vectors_equal_transformers() {
    let encoder = Encoder::load(&bert()).unwrap();
    let cases = cases();
    // Together, so that all but the longest are padded.
    let sentences: Vec<&str> = cases.iter().map(|case| case.sentence.as_str()).collect();
    for (case, got) in cases.iter().zip(encoder.encode(&sentences).unwrap()) {
        let length = dot(&case.vector, &case.vector).sqrt();
        for (expect, got) in case.vector.iter().zip(got.as_slice()) {
            let expect = expect / length;
            assert!((expect - got).abs() < TOLERANCE, "{:?}: {got}, not {expect}", case.sentence);
        }
    }
}

#[test]
fn likeness_is_the_cosine() {
    let encoder = Encoder::load(&bert()).unwrap();
    let cases = cases();
    let cosine = |a: usize, b: usize| {
        let pair = [cases[a].sentence.as_str(), cases[b].sentence.as_str()];
        let [a, b] = &encoder.encode(&pair).unwrap()[..] else { panic!("two sentences") };
        a.cosine(b)
    };
    let expect = |a: usize, b: usize| {
        let (a, b) = (&cases[a].vector, &cases[b].vector);
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
    };
    for (a, b) in [(0, 2), (0, 3), (2, 7), (3, 4)] {
        assert!((cosine(a, b) - expect(a, b)).abs() < TOLERANCE);
    }
    assert!(cosine(0, 0) > 0.99999);
    assert!(encoder.encode(&[]).unwrap().is_empty());
}

/// The model with one of its files replaced; the error must say so.
#[track_caller]
fn refused(file: &str, text: &str, words: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        std::fs::copy(bert().join(name), folder.path().join(name)).unwrap();
    }
    let path = folder.path().join(file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
    let error = Encoder::load(folder.path()).err().unwrap().to_string();
    words.iter().for_each(|words| assert!(error.contains(words), "{words:?} is not in {error}"));
}

#[test]
fn other_models_are_refused_by_name() {
    refused("config.json", "{\"model_type\": \"mpnet\"}", &["config.json", "\"bert\"", "mpnet"]);
    let cls = "{\"pooling_mode_mean_tokens\": false, \"pooling_mode_cls_token\": true}";
    refused("1_Pooling/config.json", cls, &["1_Pooling/config.json", "pooling_mode_cls_token"]);
}

#[test]
fn what_is_damaged_or_absent_is_named() {
    refused("config.json", "{\"model_type\": \"bert\"}", &["config.json", "missing field"]);
    refused("tokenizer.json", "{}", &["tokenizer.json"]);
    refused("model.safetensors", "no weights", &["model.safetensors"]);
    let error = Encoder::load("no/such/model".as_ref()).err().unwrap().to_string();
    assert!(error.contains("no/such/model") && error.contains("hf download"), "{error}");
}
