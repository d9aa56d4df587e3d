//! Adapters: what they add, what switching them off gives back, how they are saved, merged and refused.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use tempfile::TempDir;
use vrft_checkpoint::{LoraConfig, PolicyConfig, TargetModules};
use vrft_model::{LoadOptions, PackedGroup, Policy};

use crate::fixture::{Golden, flat, golden_dir, load, loss_and_grads, options};

fn config(target_modules: TargetModules) -> LoraConfig {
    LoraConfig { rank: 4, alpha: 8.0, target_modules, ..LoraConfig::default() }
}

fn names(names: &[&str]) -> TargetModules {
    TargetModules::Names(names.iter().map(|name| (*name).to_owned()).collect())
}

fn with_adapters(lora: LoraConfig) -> Policy {
    let options = LoadOptions { lora: Some(lora), ..options(true) };
    Policy::load(&golden_dir().join("qwen2_vl"), &options).expect("the checkpoint loads")
}

/// Adapters that do something: neither factor is zero.
pub(crate) fn trained(lora: LoraConfig) -> Policy {
    let policy = with_adapters(lora);
    for (name, variable) in policy.variables() {
        let n = variable.elem_count();
        let values: Vec<f32> = (0..n).map(|i| ((i * 7 + name.len()) % 11) as f32 / 40.0).collect();
        let value = Tensor::from_vec(values, variable.shape(), variable.device());
        value.and_then(|value| variable.set(&value)).expect("a value");
    }
    policy
}

fn logprobs_of(run: impl Fn(&[PackedGroup]) -> vrft_model::TokenLogprobs) -> Vec<f32> {
    let golden = Golden::load();
    let (prompt, completions) =
        (golden.prompt("one_image"), golden.cases["one_image"].completions());
    flat(
        &run(&[PackedGroup { prompt: &prompt, completions: &completions, inserted: &[] }]).logprobs,
    )
}

fn logprobs(policy: &Policy) -> Vec<f32> {
    logprobs_of(|groups| policy.logprobs(groups, 1.0).expect("a forward"))
}

#[track_caller]
fn check_near(got: &[f32], expected: &[f32]) {
    let off = got.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(off <= 1e-4, "off by {off}");
}

#[test]
fn fresh_adapters_change_nothing_and_are_all_that_trains() {
    let policy = with_adapters(config(names(&["q_proj", "down_proj"])));
    assert_eq!(logprobs(&policy), logprobs(&load(false)));
    assert_eq!(policy.variables().len(), 2 * 2 * 2);
    assert!(policy.variables().keys().all(|name| name.contains(".lora_")));
    assert_eq!(policy.tensors().len(), policy.variables().len());
}

#[test]
fn the_base_is_the_policy_with_its_adapters_off() {
    let policy = trained(config(names(&["q_proj", "fc1"])));
    assert_ne!(logprobs(&policy), logprobs(&load(false)));
    let base = logprobs_of(|groups| policy.base_logprobs(groups, 1.0).expect("a forward"));
    assert_eq!(base, logprobs(&load(false)));
    let alone = load(true).base_logprobs(&[], 1.0).unwrap_err().to_string();
    assert_eq!(alone, "policy should be one with adapters to switch off, got none");
}

#[track_caller]
fn check_targets(target_modules: TargetModules, vision: bool, n: usize) {
    let policy = with_adapters(LoraConfig { vision, ..config(target_modules) });
    assert_eq!(policy.variables().len(), 2 * n);
}

#[test]
fn targets_are_ends_of_names_or_a_pattern_or_everything() {
    check_targets(names(&["self_attn.q_proj", "v_proj"]), false, 4);
    check_targets(names(&["q_proj", "attn.qkv"]), false, 2);
    check_targets(names(&["q_proj", "attn.qkv"]), true, 4);
    check_targets(TargetModules::Pattern(vrft_checkpoint::ALL_LINEAR.into()), false, 14);
    check_targets(TargetModules::Pattern(vrft_checkpoint::ALL_LINEAR.into()), true, 24);
    let first = r"model\.language_model\.layers\.0\..*_proj";
    check_targets(TargetModules::Pattern(first.into()), false, 7);
}

#[test]
fn a_target_that_is_no_layer_is_named() {
    let lora = Some(config(names(&["q_proj", "query"])));
    let options = LoadOptions { lora, ..options(true) };
    let error = Policy::load(&golden_dir().join("qwen2_vl"), &options).unwrap_err().to_string();
    assert!(error.contains("target_modules") && error.contains("query"), "{error}");
}

/// What a learner would refuse is refused with the same words before a weight is read.
#[test]
fn a_check_refuses_what_a_learner_would() {
    let check = |policy: &str, change: &dyn Fn(&mut PolicyConfig)| {
        let path = golden_dir().join(policy);
        let mut config = PolicyConfig { path, ..PolicyConfig::default() };
        change(&mut config);
        let options = LoadOptions::new(&config, Device::Cpu, true);
        let loaded = Policy::load(&config.path, &options).map_err(|error| error.to_string());
        let checked = vrft_model::check_policy(&config).map_err(|error| error.to_string());
        assert_eq!(checked.clone().err(), loaded.err());
        checked
    };
    let adapted = |modules: TargetModules| {
        move |policy: &mut PolicyConfig| policy.lora = config(modules.clone())
    };
    check("qwen2_vl", &|_| ()).unwrap();
    check("qwen2_vl", &adapted(names(&["q_proj"]))).unwrap();
    check("qwen2_vl", &|policy| policy.prompt_tuning.tokens = 4).unwrap();
    let foo = check("qwen2_vl", &adapted(names(&["foo"]))).unwrap_err();
    assert!(foo.contains("policy.lora.target_modules") && foo.contains("[\"foo\"]"), "{foo}");
    check("qwen2_vl", &adapted(TargetModules::Pattern("visual.*".into()))).unwrap_err();
    check("qwen2_vl", &adapted(TargetModules::Pattern("(".into()))).unwrap_err();
    check("lora", &|policy| policy.lora.rank = 8).unwrap_err();
    check("lora", &|policy| policy.prompt_tuning.tokens = 4).unwrap_err();
    let four_bits = check("nf4/whole", &|_| ()).unwrap_err();
    assert!(four_bits.contains("weights of 4 bits"), "{four_bits}");
}

#[test]
fn every_factor_gets_a_gradient() {
    let all = TargetModules::Pattern(vrft_checkpoint::ALL_LINEAR.into());
    let policy = trained(LoraConfig { vision: true, ..config(all) });
    let golden = Golden::load();
    let (prompt, completions) =
        (golden.prompt("one_image"), golden.cases["one_image"].completions());
    let group = PackedGroup { prompt: &prompt, completions: &completions, inserted: &[] };
    for (name, grad) in loss_and_grads(&policy, &[group]).1 {
        let values = flat(&grad);
        assert!(values.iter().all(|g| g.is_finite()) && values.iter().any(|g| *g != 0.0), "{name}");
    }
}

#[test]
fn dropout_follows_its_seed_and_only_training_drops() {
    let policy = trained(LoraConfig { dropout: 0.3, ..config(names(&["q_proj", "up_proj"])) });
    let training = |seed| {
        logprobs_of(|groups| {
            policy
                .training_pass(groups, 1.0, Some(seed), usize::MAX, &[])
                .expect("a forward")
                .tokens
        })
    };
    assert_eq!(training(1), training(1));
    assert_ne!(training(1), training(2));
    assert_ne!(training(1), logprobs(&policy));
    let without = trained(config(names(&["q_proj", "up_proj"])));
    assert_eq!(logprobs(&policy), logprobs(&without));
}

#[test]
fn a_saved_adapter_loads_and_restores_as_it_was() {
    let policy = trained(config(names(&["q_proj", "down_proj"])));
    let dir = TempDir::new().unwrap();
    policy.save(dir.path()).unwrap();
    assert!(!dir.path().join("model.safetensors").exists());
    let loaded = Policy::load(dir.path(), &options(true)).unwrap();
    assert_eq!(logprobs(&loaded), logprobs(&policy));
    assert_eq!(loaded.variables().len(), policy.variables().len());
    let fresh = with_adapters(config(names(&["q_proj", "down_proj"])));
    fresh.restore(dir.path()).unwrap();
    assert_eq!(logprobs(&fresh), logprobs(&policy));
}

#[test]
fn what_peft_is_told_names_no_convolution() {
    // `proj` is the end of the attention's projection, and of the convolution that makes features of patches.
    let policy = trained(LoraConfig { vision: true, ..config(names(&["attn.proj", "q_proj"])) });
    let dir = TempDir::new().unwrap();
    policy.save(dir.path()).unwrap();
    let text = std::fs::read_to_string(dir.path().join("adapter_config.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["target_modules"], serde_json::json!(["attn.proj", "q_proj"]));
    let loaded = Policy::load(dir.path(), &options(true)).unwrap();
    assert_eq!(loaded.variables().len(), policy.variables().len());
}

#[test]
fn merged_weights_give_the_same_without_the_adapter() {
    let all = TargetModules::Pattern(vrft_checkpoint::ALL_LINEAR.into());
    let policy = trained(LoraConfig { vision: true, ..config(all) });
    let dir = TempDir::new().unwrap();
    policy.save_merged(dir.path(), Some(DType::F32)).unwrap();
    let merged = Policy::load(dir.path(), &options(false)).unwrap();
    assert!(!merged.has_adapters());
    check_near(&logprobs(&merged), &logprobs(&policy));
}

#[test]
fn an_adapter_that_holds_no_numbers_is_not_merged() {
    let policy = trained(config(names(&["q_proj"])));
    let mut tensors = policy.version().unwrap();
    let name = tensors.keys().find(|name| name.contains("q_proj")).unwrap().clone();
    let broken = (tensors[&name].zeros_like().unwrap() / 0.0).unwrap();
    tensors.insert(name.clone(), broken);
    policy.set_weights(&tensors.into_iter().collect()).unwrap();
    let dir = TempDir::new().unwrap();
    let out = dir.path().join("merged");
    let error = policy.save_merged(&out, Some(DType::F32)).unwrap_err().to_string();
    assert!(error.contains("q_proj") && error.contains("NaN"), "{error}");
    assert!(!out.exists(), "nothing was written");
}

/// Changes a key of a saved adapter's configuration and expects a load to fail.
#[track_caller]
fn check_error(change: impl Fn(&mut serde_json::Value), expected: &str) {
    let dir = TempDir::new().unwrap();
    trained(config(names(&["q_proj"]))).save(dir.path()).unwrap();
    let path = dir.path().join("adapter_config.json");
    let mut json = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    change(&mut json);
    std::fs::write(&path, json.to_string()).unwrap();
    let error = Policy::load(dir.path(), &options(false)).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn an_adapter_that_means_something_else_is_refused() {
    check_error(|json| json["use_dora"] = true.into(), "use_dora should be false, got true");
    check_error(|json| json["bias"] = "all".into(), "bias should be");
    check_error(|json| json["r"] = 0.into(), "r should be a positive integer, got 0");
    check_error(|json| json["r"] = 8.into(), "should have shape [8, 64], got [4, 64]");
    check_error(
        |json| json["base_model_name_or_path"] = "/nowhere".into(),
        "was trained beside \"/nowhere\", which is not there: there is no such folder",
    );
}

/// Changes the tensors of a saved adapter of two layers' queries and keys and expects a load to fail, and so a check that
/// reads no weight.
#[track_caller]
fn check_tensors(change: impl Fn(&mut HashMap<String, Tensor>), expected: &str) {
    let dir = TempDir::new().unwrap();
    trained(config(names(&["q_proj", "k_proj"]))).save(dir.path()).unwrap();
    let path = dir.path().join("adapter_model.safetensors");
    let mut tensors = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
    change(&mut tensors);
    candle_core::safetensors::save(&tensors, &path).unwrap();
    let error = Policy::load(dir.path(), &options(false)).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
    assert_eq!(vrft_model::check_checkpoint(dir.path(), None).unwrap_err().to_string(), error);
}

#[test]
fn an_adapter_without_the_tensors_that_it_promises_is_refused_with_their_number() {
    let all =
        "no tensors for 4 of the 4 layers that target_modules names: model.language_model.layers.0";
    check_tensors(HashMap::clear, all);
    let without = |part: &'static str| {
        move |tensors: &mut HashMap<String, Tensor>| tensors.retain(|name, _| !name.contains(part))
    };
    check_tensors(without("layers.1"), "no tensors for 2 of the 4 layers that target_modules");
    check_tensors(without("k_proj"), "layers.0.self_attn.k_proj, model.language_model.layers.1");
    check_tensors(without("lora_B"), "4 layers have only one of lora_A and lora_B");
    check_tensors(
        |tensors| {
            let added: Vec<(String, Tensor)> = tensors
                .iter()
                .filter(|(name, _)| name.contains("k_proj"))
                .map(|(name, tensor)| (name.replace("k_proj", "v_proj"), tensor.clone()))
                .collect();
            tensors.extend(added);
        },
        "tensors for 2 layers that target_modules does not name: model.language_model.layers.0",
    );
}

#[test]
fn an_adapter_of_the_head_is_not_supported_and_not_called_damaged() {
    let of_head = |tensors: &mut HashMap<String, Tensor>| {
        let added: Vec<(String, Tensor)> = tensors
            .iter()
            .filter(|(name, _)| name.contains("layers.0.self_attn.k_proj"))
            .map(|(name, tensor)| {
                let factor = name.rsplit("k_proj.").next().unwrap_or_default();
                (format!("base_model.model.lm_head.{factor}"), tensor.clone())
            })
            .collect();
        assert_eq!(added.len(), 2);
        tensors.extend(added);
    };
    check_tensors(of_head, "is not supported: it adapts lm_head");
}

#[test]
fn an_adapter_of_another_base_is_called_that() {
    let renamed = |tensors: &mut HashMap<String, Tensor>| {
        *tensors = tensors
            .drain()
            .map(|(name, one)| (name.replace("layers.1.", "layers.9."), one))
            .collect();
    };
    check_tensors(renamed, "is an adapter of another model than");
    check_tensors(renamed, "2 of its 4 layers are not there: model.language_model.layers.9");
    let wider = |tensors: &mut HashMap<String, Tensor>| {
        for (name, tensor) in tensors.iter_mut().filter(|(name, _)| name.contains("lora_A")) {
            assert!(name.contains("proj"));
            *tensor = Tensor::cat(&[&*tensor, &*tensor], 1).unwrap();
        }
    };
    check_tensors(wider, "is an adapter of another model than");
    check_tensors(wider, "policy.base");
}

#[test]
fn an_adapter_that_targets_nothing_of_its_base_is_refused() {
    let none = "names of some of the";
    check_error(|json| json["target_modules"] = serde_json::json!(["query"]), none);
    check_error(|json| json["target_modules"] = ".*visual.*".into(), "it has no tensors for");
    check_error(|json| json["exclude_modules"] = serde_json::json!(["q_proj"]), none);
    check_error(|json| json["lora_alpha"] = 0.into(), "lora_alpha should be a number above 0");
}

#[test]
fn a_pattern_that_only_python_reads_still_shows_a_gap() {
    let dir = TempDir::new().unwrap();
    trained(config(names(&["q_proj"]))).save(dir.path()).unwrap();
    let path = dir.path().join("adapter_config.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
    json["target_modules"] = "^(?!.*visual).*q_proj$".into();
    std::fs::write(&path, json.to_string()).unwrap();
    Policy::load(dir.path(), &options(false)).unwrap();
    let path = dir.path().join("adapter_model.safetensors");
    let mut tensors = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
    tensors.retain(|name, _| !name.contains("layers.1"));
    candle_core::safetensors::save(&tensors, &path).unwrap();
    let error = Policy::load(dir.path(), &options(false)).unwrap_err().to_string();
    assert!(error.contains("1 of 2 layers") && error.contains("self_attn.q_proj"), "{error}");
}

#[test]
fn another_rank_than_the_adapters_own_is_refused() {
    let dir = TempDir::new().unwrap();
    trained(config(names(&["q_proj"]))).save(dir.path()).unwrap();
    let lora = LoraConfig { rank: 2, ..config(names(&["q_proj"])) };
    let options = LoadOptions { lora: Some(lora), ..options(true) };
    let error = Policy::load(Path::new(dir.path()), &options).unwrap_err().to_string();
    assert!(error.contains("policy.lora should be rank 4 and alpha 8"), "{error}");
}

/// bfloat16 rounds every product: the logprobs agree to a few percent of their spread.
#[test]
fn adapters_train_in_f32_beside_weights_in_bfloat16() {
    let lora = Some(config(names(&["q_proj", "down_proj"])));
    let options = LoadOptions { lora, dtype: DType::BF16, ..options(true) };
    let policy = Policy::load(&golden_dir().join("qwen2_vl"), &options).unwrap();
    assert!(policy.variables().values().all(|variable| variable.dtype() == DType::F32));
    let (got, expected) = (logprobs(&policy), logprobs(&load(false)));
    let off: f32 = got.iter().zip(&expected).map(|(a, b)| (a - b).abs()).sum();
    assert!(off / (got.len() as f32) < 0.1, "off by {off} over {} tokens", got.len());
}
