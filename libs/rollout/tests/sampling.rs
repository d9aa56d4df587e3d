//! Sampling from the tiny Qwen2-VL of `libs/model/tests/golden`: what is drawn, and when it ends.

use std::collections::HashMap;
use std::path::PathBuf;

use candle_core::{DType, Device};
use serde_json::Value;
use vrft_model::{LoadOptions, PackedGroup, Policy};
use vrft_processor::{EncodedPrompt, Processor};
use vrft_rollout::{Completion, FinishReason, RolloutError, Sampling, generate};

/// In the greedy completion of the first case, over the border of two tokens.
const STOP: &str = "selT";
const CASES: [&str; 3] = ["one_image", "two_images", "no_image"];

fn golden(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../model/tests/golden").join(path)
}

/// The policy, its processor, and one prompt per case with what transformers makes of it.
struct Setup {
    policy: Policy,
    processor: Processor,
    prompts: Vec<EncodedPrompt>,
    cases: Vec<Value>,
}

impl Setup {
    fn new() -> Self {
        let dir = golden("qwen2_vl");
        let options = LoadOptions {
            dtype: DType::F32,
            device: Device::Cpu,
            trainable: false,
            quantization: Default::default(),
            freeze_vision: false,
            lora: None,
            prompt_tuning: None,
            feature_cache_mib: 0,
            prefix_cache_mib: 0,
        };
        let policy = Policy::load(&dir, &options).expect("policy");
        let processor = Processor::load(&dir).expect("processor");
        let text = std::fs::read_to_string(golden("prompts.json")).expect("golden file");
        let all: Value = serde_json::from_str(&text).expect("json");
        let cases = CASES.map(|name| all[name].clone()).to_vec();
        let prompts = cases.iter().map(|case| encode(&processor, case)).collect();
        Self { policy, processor, prompts, cases }
    }

    fn greedy_ids(&self, case: usize) -> Vec<u32> {
        serde_json::from_value(self.cases[case]["greedy_ids"].clone()).expect("ids")
    }

    fn generate(
        &self,
        prompts: &[usize],
        group_size: usize,
        sampling: &Sampling,
    ) -> Vec<Vec<Completion>> {
        let prompts: Vec<_> = prompts.iter().map(|case| &self.prompts[*case]).collect();
        let seeds = |prompt, completion| 100 * prompt as u64 + completion as u64;
        generate(&self.policy, &self.processor, &prompts, group_size, sampling, &seeds)
            .expect("samples")
    }
}

fn encode(processor: &Processor, case: &Value) -> EncodedPrompt {
    let names: Vec<String> = serde_json::from_value(case["images"].clone()).expect("names");
    let read = |name| std::fs::read(golden(&format!("images/{name}.png"))).expect("image");
    let images: Vec<Vec<u8>> = names.iter().map(read).collect();
    let images: Vec<&[u8]> = images.iter().map(Vec::as_slice).collect();
    processor
        .encode(case["system"].as_str(), case["text"].as_str().expect("text"), &images)
        .expect("encodes")
}

fn sampling(max_tokens: usize) -> Sampling {
    Sampling {
        temperature: 1.0,
        top_p: 1.0,
        top_k: 0,
        max_tokens,
        min_tokens: 0,
        stop: vec![],
        max_rows: 64,
    }
}

fn tokens(groups: Vec<Vec<Completion>>) -> Vec<Vec<u32>> {
    groups.into_iter().flatten().map(|completion| completion.token_ids).collect()
}

#[test]
fn greedy_tokens_are_those_of_transformers() {
    let setup = Setup::new();
    let greedy = Sampling::greedy(setup.greedy_ids(0).len(), vec![]);
    for case in 0..CASES.len() {
        assert_eq!(tokens(setup.generate(&[case], 1, &greedy)), [setup.greedy_ids(case)]);
    }
    let together = tokens(setup.generate(&[0, 1, 2], 2, &greedy));
    let expected = [0, 0, 1, 1, 2, 2].map(|case| setup.greedy_ids(case));
    assert_eq!(together, expected);
}

#[test]
fn top_k_of_one_is_greedy() {
    let setup = Setup::new();
    let greedy = setup.greedy_ids(0);
    let sampling = Sampling { top_k: 1, ..sampling(greedy.len()) };
    assert_eq!(tokens(setup.generate(&[0], 2, &sampling)), [greedy.clone(), greedy]);
}

#[test]
fn a_seed_gives_the_same_completion_in_any_batch() {
    let setup = Setup::new();
    let sampling = Sampling { top_p: 0.95, ..sampling(40) };
    let prompts: Vec<&EncodedPrompt> = setup.prompts.iter().collect();
    let run = |prompts: &[&EncodedPrompt], group_size, seeds: &dyn Fn(usize, usize) -> u64| {
        generate(&setup.policy, &setup.processor, prompts, group_size, &sampling, seeds)
            .expect("samples")
    };
    let together = run(&prompts, 4, &|prompt, completion| 10 * prompt as u64 + completion as u64);
    for (prompt_idx, group) in together.iter().enumerate() {
        for completion in group {
            let alone = run(&prompts[prompt_idx..=prompt_idx], 1, &|_, _| completion.seed);
            assert_eq!(alone[0][0].token_ids, completion.token_ids);
            assert_eq!(alone[0][0].text, completion.text);
        }
    }
    let distinct: std::collections::BTreeSet<_> =
        together[0].iter().map(|c| &c.token_ids).collect();
    assert_eq!(distinct.len(), 4, "seeds differ, so do completions");
}

#[test]
fn prompts_that_wait_for_room_are_answered_alike() {
    let setup = Setup::new();
    let prompts = [0, 1, 2, 0, 1];
    // At this temperature some end early, so that groups join while others are under way.
    let all_at_once = Sampling { temperature: 3.0, ..sampling(40) };
    let expected = setup.generate(&prompts, 2, &all_at_once);
    for max_rows in [0, 3, 5, 6] {
        let sampling = Sampling { max_rows, ..all_at_once.clone() };
        let got = setup.generate(&prompts, 2, &sampling);
        let texts = |groups: &[Vec<Completion>]| -> Vec<String> {
            groups.iter().flatten().map(|c| c.text.clone()).collect()
        };
        assert_eq!(texts(&got), texts(&expected), "{max_rows} rows");
    }
}

#[test]
fn logprobs_are_those_of_the_trainable_forward() {
    let setup = Setup::new();
    for temperature in [1.0, 0.7] {
        let sampling = Sampling { temperature, top_p: 0.9, top_k: 10, ..sampling(24) };
        let groups = setup.generate(&[0, 1, 2], 3, &sampling);
        for (prompt, group) in setup.prompts.iter().zip(&groups) {
            let completions: Vec<&[u32]> = group.iter().map(|c| c.token_ids.as_slice()).collect();
            let packed = PackedGroup { prompt, completions: &completions, inserted: &[] };
            let expected =
                setup.policy.logprobs(&[packed], temperature).expect("logprobs").logprobs;
            let expected = expected.to_vec1::<f32>().expect("vector");
            let sampled: Vec<f32> = group.iter().flat_map(|c| c.logprobs.clone()).collect();
            assert_eq!(sampled.len(), expected.len());
            for (sampled, expected) in sampled.iter().zip(&expected) {
                assert!((sampled - expected).abs() <= 1e-4, "{sampled} should be {expected}");
            }
        }
    }
}

#[test]
fn a_stop_text_ends_a_completion_with_the_token_that_completes_it() {
    let setup = Setup::new();
    let ids = setup.greedy_ids(0);
    let stop = STOP.to_owned();
    let completion =
        setup.generate(&[0], 1, &Sampling::greedy(40, vec!["absent".into(), stop.clone()]));
    let completion = &completion[0][0];
    let n = completion.token_ids.len();
    assert_eq!(completion.finish_reason, FinishReason::Stop);
    assert_eq!(completion.token_ids, ids[..n]);
    assert_eq!(completion.logprobs.len(), n);
    assert!(completion.text.contains(&stop));
    assert!(!setup.processor.decode(&ids[..n - 1]).expect("decodes").contains(&stop));
}

#[test]
fn a_finished_completion_leaves_the_others_alone() {
    let setup = Setup::new();
    let together = setup.generate(&[0, 1, 2], 1, &Sampling::greedy(40, vec![STOP.into()]));
    assert!(together[0][0].token_ids.len() < 40);
    for case in [1, 2] {
        assert_eq!(together[case][0].token_ids, setup.greedy_ids(case));
        assert_eq!(together[case][0].finish_reason, FinishReason::Length);
    }
}

#[test]
fn the_end_of_a_turn_is_the_last_token_and_no_text() {
    let setup = Setup::new();
    let end_ids = setup.processor.end_ids();
    let sampling = Sampling { temperature: 3.0, ..sampling(200) };
    let groups = setup.generate(&[2], 16, &sampling);
    let ended = |c: &&Completion| c.finish_reason == FinishReason::EndOfTurn;
    let ended: Vec<&Completion> = groups[0].iter().filter(ended).collect();
    assert!(!ended.is_empty(), "at this temperature some of 16 completions end");
    for completion in ended {
        let (last, before) = completion.token_ids.split_last().expect("a token");
        assert!(end_ids.contains(last) && !before.iter().any(|id| end_ids.contains(id)));
        assert_eq!(completion.text, setup.processor.decode(before).expect("decodes"));
    }
}

#[test]
fn a_completion_is_cut_at_the_most_tokens() {
    let setup = Setup::new();
    let groups = setup.generate(&[0], 2, &Sampling::greedy(3, vec![]));
    assert!(groups[0].iter().all(|c| c.token_ids.len() == 3));
    assert!(groups[0].iter().all(|c| c.finish_reason == FinishReason::Length));
}

#[test]
fn no_prompts_give_no_completions() {
    assert!(Setup::new().generate(&[], 4, &sampling(4)).is_empty());
}

#[test]
fn a_policy_that_diverged_is_named() {
    let setup = Setup::new();
    let mut tensors: HashMap<_, _> = setup.policy.tensors().into_iter().collect();
    let norm = &tensors["model.norm.weight"];
    let diverged = (norm * f64::NAN).expect("product");
    tensors.insert("model.norm.weight".into(), diverged);
    setup.policy.set_weights(&tensors).expect("swaps");
    let prompts = [&setup.prompts[0]];
    let error = generate(&setup.policy, &setup.processor, &prompts, 1, &sampling(4), &|_, _| 0);
    let error = error.expect_err("no distribution");
    assert!(matches!(
        error,
        RolloutError::NotFinite { prompt_idx: 0, completion_idx: 0, token_idx: 0 }
    ));
}
