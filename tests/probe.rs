//! `vrft probe` and `vrft merge`: what they write is what transformers computed, and what a run trained.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use candle_core::{DType, Device, Tensor};
use serde_json::{Value, json};
use vrft_tests::{Run, root, vrft};

fn golden() -> PathBuf {
    root().join("libs/model/tests/golden")
}

fn run(arguments: &[&str]) -> Output {
    Command::new(vrft()).args(arguments).current_dir(root()).output().unwrap()
}

/// What `vrft probe` makes of a request.
fn probe(
    checkpoint: &Path,
    request: &Value,
    more: &[&str],
) -> Result<HashMap<String, Tensor>, String> {
    let folder = tempfile::tempdir().unwrap();
    let (asked, out) = (folder.path().join("request.json"), folder.path().join("out.safetensors"));
    std::fs::write(&asked, request.to_string()).unwrap();
    let paths = [checkpoint, &asked, &out].map(|path| path.to_str().unwrap().to_owned());
    let [checkpoint, asked, out] = &paths;
    let mut arguments = vec!["probe", "--checkpoint", checkpoint, "--request", asked, "--out", out];
    arguments.extend(more);
    let output = run(&arguments);
    if output.status.success() {
        Ok(candle_core::safetensors::load(out, &Device::Cpu).unwrap())
    } else {
        Err(String::from_utf8(output.stderr).unwrap())
    }
}

/// The fixture's first case, its image by an absolute path.
fn request() -> Value {
    let cases = std::fs::read_to_string(golden().join("prompts.json")).unwrap();
    let cases: Value = serde_json::from_str(&cases).unwrap();
    let case = &cases["one_image"];
    let image = golden().join("images/wide.png");
    let image = json!({"type": "image", "path": image});
    let text = json!({"type": "text", "text": case["text"]});
    json!({
        "messages": [{"role": "user", "content": [image, text]}],
        "completion": case["completions"][0],
    })
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

#[track_caller]
fn assert_close(a: &[f32], b: &[f32]) {
    assert_eq!(a.len(), b.len());
    let off = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(off <= 1e-4, "off by {off}");
}

#[test]
fn a_probe_writes_what_transformers_computed() {
    let expected =
        candle_core::safetensors::load(golden().join("golden.safetensors"), &Device::Cpu).unwrap();
    let got = probe(&golden().join("qwen2_vl"), &request(), &["--gradients"]).unwrap();
    // The fixture's completion has the end of the turn after it, which a probe does not add.
    let (n_tokens, _) = got["logits"].dims2().unwrap();
    assert_eq!(got["input_ids"].dims1().unwrap(), n_tokens);
    let logits = expected["one_image.logits"].narrow(0, 0, n_tokens).unwrap();
    assert_close(&values(&got["logits"]), &values(&logits));
    let logprobs = values(&expected["one_image.logprobs.0"]);
    let own = &logprobs[..logprobs.len() - 1];
    let loss = -own.iter().sum::<f32>() / own.len() as f32;
    assert_close(&values(&got["loss"]), &[loss]);
    let n_grads = got.keys().filter(|name| name.starts_with("grad.")).count();
    let n_expected = expected.keys().filter(|name| name.starts_with("one_image.grad.")).count();
    assert_eq!(n_grads, n_expected);
}

#[test]
fn without_a_completion_there_is_no_loss_to_differentiate() {
    let mut request = request();
    request["completion"] = Value::Null;
    let checkpoint = golden().join("qwen2_vl");
    let got = probe(&checkpoint, &request, &[]).unwrap();
    assert!(got.contains_key("logits") && !got.contains_key("loss"));
    let error = probe(&checkpoint, &request, &["--gradients"]).unwrap_err();
    assert!(error.contains("--gradients needs a completion"), "{error}");
}

#[test]
fn a_request_that_cannot_be_read_is_named() {
    let checkpoint = golden().join("qwen2_vl");
    let error = probe(&checkpoint, &json!({"message": []}), &[]).unwrap_err();
    assert!(error.contains("request.json") && error.contains("`message`"), "{error}");
    let mut request = request();
    request["messages"][0]["content"][0]["path"] = "nowhere.png".into();
    let error = probe(&checkpoint, &request, &[]).unwrap_err();
    assert!(error.contains("nowhere.png"), "{error}");
}

#[test]
fn a_run_trains_an_adapter_that_merges_into_its_base() {
    let small = Run::small().set("policy.lora.rank=4").set("policy.lora.vision=true");
    let small = small.set("sft.optimizer.learning_rate=1e-2");
    small.finish().ok();
    let adapter = small.out().join("checkpoints/sft/step-000004");
    assert!(adapter.join("adapter_model.safetensors").is_file());
    let merged = small.folder().join("merged");
    let paths = [&adapter, &merged].map(|path| path.to_str().unwrap().to_owned());
    let output = run(&["merge", &paths[0], &paths[1], "--dtype", "f32"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let logits = |checkpoint: &Path| values(&probe(checkpoint, &request(), &[]).unwrap()["logits"]);
    let (with, base) = (logits(&adapter), logits(&root().join("data/starter")));
    assert_close(&with, &logits(&merged));
    assert!(with.iter().zip(&base).any(|(a, b)| (a - b).abs() > 1e-2), "nothing was learned");
}
