//! Adapters and the model that they were trained beside: moved, renamed, of the hub, merged.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use candle_core::DType;
use serde_json::Value;
use vrft_tests::{Run, root, vrft};

fn vrft_with(arguments: &[&str], cache: Option<&Path>) -> Output {
    let mut command = Command::new(vrft());
    command.args(arguments).current_dir(root()).env("HF_HUB_OFFLINE", "1");
    if let Some(cache) = cache {
        command.env("HF_HOME", cache).env_remove("HF_HUB_CACHE");
    }
    command.output().unwrap()
}

fn run(arguments: &[&str]) -> Output {
    vrft_with(arguments, None)
}

#[track_caller]
fn ok(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

#[track_caller]
fn refused(output: &Output, words: &[&str]) {
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "it was accepted");
    assert!(words.iter().all(|word| error.contains(word)), "{error}");
}

/// A copy of the starter in this folder.
fn starter(folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    for entry in std::fs::read_dir(root().join("data/starter")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
    }
}

fn tuned(run: &Run) -> PathBuf {
    run.out().join("checkpoints/learner/step-000002")
}

/// Two steps of an adapter.
fn small() -> Run {
    Run::small().set("learner.steps=2").set("policy.lora.rank=4")
}

fn json(file: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

#[test]
fn a_base_that_moved_is_named_and_may_be_given() {
    let small = small();
    let base = small.folder().join("base");
    starter(&base);
    std::fs::remove_file(base.join("model.safetensors")).unwrap();
    let base = base.display().to_string();
    ok(&run(&["init", &base, "--dtype", "bf16"]));
    let small = small.set(&format!("policy.path={base}"));
    small.finish().ok();
    let adapter = tuned(&small).display().to_string();
    let limit = ["--set", "evaluation.limit=2"];
    let eval =
        |more: &[&str]| run(&[&["eval", "--checkpoint", &adapter], &limit[..], more].concat());
    let before = ok(&eval(&[]));
    let merged = small.folder().join("merged");
    let merged = merged.to_str().unwrap();
    ok(&run(&["merge", &adapter, merged]));
    // The type of the base is kept, in the weights and in the configuration.
    let weights = candle_core::safetensors::load(
        Path::new(merged).join("model.safetensors"),
        &candle_core::Device::Cpu,
    );
    assert!(weights.unwrap().values().all(|tensor| tensor.dtype() == DType::BF16));
    let config = json(&Path::new(merged).join("config.json"));
    let dtype = config.get("dtype").or(config.get("torch_dtype"));
    assert!(dtype.is_none_or(|dtype| dtype == "bfloat16"), "{dtype:?}");

    let moved = small.folder().join("moved");
    std::fs::rename(&base, &moved).unwrap();
    let moved = moved.to_str().unwrap();
    let words = ["was trained beside", "base\", which is not there", "--base DIR"];
    refused(&eval(&[]), &words);
    refused(&run(&["merge", &adapter, merged]), &words);
    let after = ok(&eval(&["--base", moved]));
    assert_eq!(before["metrics"], after["metrics"]);
    refused(&run(&["merge", &adapter, moved, "--base", moved]), &["model.safetensors already"]);
    let again = small.folder().join("again").display().to_string();
    ok(&run(&["merge", &adapter, &again, "--base", moved]));
    refused(&run(&["merge", moved, merged]), &["is no adapter: it has no adapter_config.json"]);
    // A run that starts from the adapter has its base from the configuration.
    let moved = format!("policy.base={moved}");
    let mut next = small.set(&format!("policy.path={adapter}")).set(&moved);
    next.again("next");
    next.finish().ok();
}

#[test]
fn an_adapter_for_a_model_of_the_hub_names_it_on_every_machine() {
    let small = small();
    let cache = small.folder().join("cache");
    let model = cache.join("hub/models--me--starter");
    let revision = "0123456789abcdef";
    starter(&model.join("snapshots").join(revision));
    std::fs::create_dir_all(model.join("refs")).unwrap();
    std::fs::write(model.join("refs/main"), revision).unwrap();
    let home = cache.display().to_string();
    let small =
        small.set("policy.path=me/starter").env("HF_HOME", &home).env("HF_HUB_OFFLINE", "1");
    small.finish().ok();
    let config = json(&tuned(&small).join("adapter_config.json"));
    assert_eq!(config["base_model_name_or_path"], "me/starter");
    assert_eq!(config["revision"], revision);
    // Another machine has its cache elsewhere.
    let other = small.folder().join("other");
    std::fs::rename(&cache, &other).unwrap();
    let adapter = tuned(&small).display().to_string();
    let eval = ["eval", "--checkpoint", &adapter, "--set", "evaluation.limit=2"];
    refused(&vrft_with(&eval, Some(&cache)), &["was trained beside \"me/starter\"", "--base DIR"]);
    ok(&vrft_with(&eval, Some(&other)));
    let merged = small.folder().join("merged").display().to_string();
    ok(&vrft_with(&["merge", &adapter, &merged], Some(&other)));
}

#[test]
fn weights_of_four_bits_learn_the_same_whether_they_are_stored_so_or_made_so() {
    let adapter = |run: &Run| std::fs::read(tuned(run).join("adapter_model.safetensors")).unwrap();
    let merged = |of: &Run, name: &str| {
        let merged = of.folder().join(name).display().to_string();
        ok(&run(&["merge", &tuned(of).display().to_string(), &merged]));
        let config = json(&Path::new(&merged).join("config.json"));
        assert!(config.get("quantization_config").is_none());
    };
    let made = small().set("policy.quantization=nf4");
    made.finish().ok();
    let of_made = adapter(&made);
    // Into the numbers as they were.
    merged(&made, "merged");
    let folder = made.folder().join("quantized").display().to_string();
    ok(&run(&["quantize", "data/starter", &folder, "--dtype", "f32"]));
    refused(&run(&["quantize", "data/starter", &folder]), &["model.safetensors already"]);
    let config = json(&Path::new(&folder).join("config.json"));
    assert_eq!(config["quantization_config"]["bnb_4bit_quant_type"], "nf4");
    let mut stored = made.unset("policy.quantization").set(&format!("policy.path={folder}"));
    stored.again("stored");
    stored.finish().ok();
    assert!(adapter(&stored) == of_made, "the adapters differ");
    // Into what four bits stand for.
    merged(&stored, "merged-again");
    let mut whole = stored.set("policy.lora.rank=0");
    whole.again("whole");
    whole.finish().failed(&["policy.lora.rank should be above 0"]);
}
