//! What is written of adapters, read again; what is refused.

use super::*;

fn adapter(change: impl Fn(&mut Value)) -> Result<Option<Adapter>, CheckpointError> {
    let dir = tempfile::tempdir().unwrap();
    let lora = LoraConfig { rank: 4, ..LoraConfig::default() };
    let mut json = Adapter::new(&lora, dir.path()).json(&["q_proj".to_owned()]);
    change(&mut json);
    std::fs::write(dir.path().join(CONFIG), json.to_string()).unwrap();
    Adapter::read(dir.path())
}

#[test]
fn what_is_written_is_read() {
    let adapter = adapter(|_| ()).unwrap().unwrap();
    let target_modules = TargetModules::Names(vec!["q_proj".to_owned()]);
    let expected = LoraConfig { rank: 4, target_modules, ..LoraConfig::default() };
    assert_eq!(adapter.targets(), (&expected.target_modules, None));
    assert_eq!(adapter.lora(None).unwrap(), expected);
    let dropping = LoraConfig { dropout: 0.5, ..expected.clone() };
    assert_eq!(adapter.lora(Some(&dropping)).unwrap(), dropping);
    let wider = LoraConfig { rank: 8, ..expected };
    let message = adapter.lora(Some(&wider)).unwrap_err().to_string();
    assert!(message.starts_with("policy.lora should be rank 4 and alpha 16 as in"), "{message}");
}

#[test]
fn a_stabilized_adapter_has_the_alpha_that_scales_alike() {
    let stabilized = adapter(|json| json["use_rslora"] = true.into()).unwrap().unwrap();
    // 16 / √4 is 32 / 4.
    assert_eq!(stabilized.lora(None).unwrap().alpha, 32.0);
    let started = adapter(|json| json["init_lora_weights"] = "gaussian".into()).unwrap();
    assert_eq!(started.unwrap().lora(None).unwrap().alpha, 16.0);
}

#[track_caller]
fn check_refused(key: &str, value: Value, expected: &str) {
    let message = adapter(|json| json[key] = value.clone()).unwrap_err().to_string();
    assert!(
        message.contains(&format!("adapter_config.json: {key} should be {expected}")),
        "{message}"
    );
}

#[test]
fn what_is_not_supported_is_named() {
    check_refused("peft_type", "IA3".into(), "\"LORA\" or \"PROMPT_TUNING\", got \"IA3\"");
    check_refused("use_dora", true.into(), "false, got true");
    check_refused("bias", "all".into(), "null, got \"all\"");
    check_refused("init_lora_weights", "pissa_niter_4".into(), "true, false or one of gaussian");
    check_refused("r", 0.into(), "a positive integer, got 0");
    check_refused("lora_alpha", Value::Null, "a number above 0, got nothing");
    check_refused("lora_alpha", 0.into(), "a number above 0, got 0");
    check_refused("lora_alpha", (-16).into(), "a number above 0, got -16");
    check_refused("lora_dropout", 1.into(), "in [0, 1), got 1");
    check_refused("target_modules", json!([]), "names of layers or a pattern, got nothing");
    check_refused("target_modules", json!([7]), "names of layers or a pattern, got [7]");
    check_refused("target_parameters", json!(["experts"]), "null, got [\"experts\"]");
    check_refused("rank_pattern", json!({"q_proj": 8}), "empty: every layer has the same rank");
    let unnamed = "the folder of the base or its name on the Hugging Face hub, got 7";
    check_refused("base_model_name_or_path", 7.into(), unnamed);
}

#[test]
fn a_base_that_moved_is_named_with_the_remedy_and_may_be_given() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("adapter");
    let moved = folder.path().join("moved");
    std::fs::create_dir(&dir).unwrap();
    let lora = LoraConfig { rank: 4, ..LoraConfig::default() };
    let json = Adapter::new(&lora, &folder.path().join("base")).json(&["q_proj".to_owned()]);
    std::fs::write(dir.join(CONFIG), json.to_string()).unwrap();
    let message = Adapter::read(&dir).unwrap_err().to_string();
    for words in ["was trained beside", "base\", which is not there", "--base DIR", "policy.base"] {
        assert!(message.contains(words), "{message}");
    }
    assert!(Adapter::read_beside(&dir, Some(&moved)).is_err());
    std::fs::create_dir(&moved).unwrap();
    let adapter = Adapter::read_beside(&dir, Some(&moved)).unwrap().unwrap();
    assert_eq!(adapter.base(), moved);
    assert_eq!(model_dir(&dir, Some(&moved)).unwrap(), moved);
}

#[test]
fn a_base_beside_the_adapter_is_found_from_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("adapter")).unwrap();
    std::fs::create_dir_all(folder.path().join("some-base")).unwrap();
    let dir = folder.path().join("adapter");
    let lora = LoraConfig { rank: 4, ..LoraConfig::default() };
    let mut json = Adapter::new(&lora, folder.path()).json(&["q_proj".to_owned()]);
    json["base_model_name_or_path"] = "../some-base".into();
    std::fs::write(dir.join(CONFIG), json.to_string()).unwrap();
    let adapter = Adapter::read(&dir).unwrap().unwrap();
    assert_eq!(adapter.base(), dir.join("../some-base"));
}

#[test]
fn a_model_of_the_hub_is_written_by_its_name() {
    let snapshot = Path::new("/cache/hub/models--me--a-b--c/snapshots/0123abc");
    let json = Adapter::new(&LoraConfig::default(), snapshot).json(&[]);
    assert_eq!(json["base_model_name_or_path"], "me/a-b--c");
    assert_eq!(json["revision"], "0123abc");
}

#[test]
fn targets_are_named_as_shortly_as_they_can_be() {
    let adapted = ["layers.0.q_proj", "layers.1.q_proj"];
    assert_eq!(target_modules(&adapted, &["layers.0.k_proj".to_owned()]), ["q_proj"]);
    assert_eq!(target_modules(&adapted, &["layers.2.q_proj".to_owned()]), adapted);
    // An end that names another module is made longer, and the others stay short.
    let adapted =
        ["visual.blocks.0.attn.proj", "visual.blocks.1.attn.proj", "visual.blocks.0.attn.qkv"];
    let others = ["visual.patch_embed.proj".to_owned()];
    assert_eq!(target_modules(&adapted, &others), ["attn.proj", "qkv"]);
}
