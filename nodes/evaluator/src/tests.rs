//! The estimate from recorded answers, driven without dora, on the small checkpoint of the policy's golden tests.

use std::path::PathBuf;

use vrft_checkpoint::PolicyConfig;
use vrft_config::Document;
use vrft_messages::{
    Completion, CompletionBatch, CompletionRow, FinishReason, Prompt, PromptBatch, RewardBatch,
    RewardRow, Turn,
};
use vrft_model::{LoadOptions, PackedGroup, Policy};
use vrft_node::testing::Script;
use vrft_processor::Processor;

use crate::estimate::{Settings, run};
use crate::ports::PORTS;

struct Case {
    settings: Settings,
    policy: Policy,
    processor: Processor,
}

fn case() -> Case {
    let golden = "/../../libs/model/tests/golden/qwen2_vl";
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR").to_owned() + golden);
    let mut settings = Settings { min_effective: 0.1, ..Settings::default() };
    settings.policy = PolicyConfig { path: path.clone(), ..PolicyConfig::default() };
    settings.learner.steps = 2;
    settings.learner.prompts_per_step = 2;
    let device = vrft_model::open_device("evaluation.device", settings.device).unwrap();
    let options = LoadOptions::new(&settings.policy, device, false);
    let policy = Policy::load_beside(&path, None, &options).unwrap();
    Case { policy, processor: Processor::load(&path).unwrap(), settings }
}

fn prompts(step: u64) -> PromptBatch {
    let prompt = |prompt_id| Prompt {
        prompt_id,
        sample_id: format!("sample {prompt_id}"),
        task: "detection".into(),
        turns: vec![Turn::question(0, "Where?")],
        images: vec![],
        answer: "<answer>[]</answer>".into(),
        policy_version: 0,
    };
    PromptBatch { prompts: vec![prompt(2 * step), prompt(2 * step + 1)] }
}

impl Case {
    /// Two answers to each prompt, sampled as the policy would but for a factor of the probability.
    fn groups(&self, step: u64, log_factors: [f32; 2]) -> CompletionBatch {
        let mut completions = Vec::new();
        for prompt in &prompts(step).prompts {
            let encoded = vrft_rollout::encode(&self.processor, prompt).unwrap();
            for (completion_idx, log_factor) in (0..).zip(log_factors) {
                let token_ids = vec![20 + u32::from(completion_idx), 30];
                let packed =
                    PackedGroup { prompt: &encoded, completions: &[&token_ids], inserted: &[] };
                let temperature = self.settings.rollout.temperature;
                let tokens = self.policy.logprobs(&[packed], temperature).unwrap();
                let mut logprobs = tokens.numbers().unwrap();
                logprobs[0] += log_factor;
                completions.push(CompletionRow {
                    prompt_id: prompt.prompt_id,
                    completion_idx,
                    policy_version: 7,
                    completion: Completion {
                        token_ids,
                        logprobs,
                        text: String::new(),
                        finish_reason: FinishReason::Stop,
                        seed: 0,
                        replies: vec![],
                    },
                    task: "detection".into(),
                    answer: "<answer>[]</answer>".into(),
                    first: None,
                    images: vec![],
                });
            }
        }
        CompletionBatch { completions }
    }

    fn estimate(&self, log_factors: [f32; 2], folder: &std::path::Path) -> eyre::Result<()> {
        let mut script = Script::new(&PORTS);
        for step in 0..2 {
            let groups = self.groups(step, log_factors);
            let row = |row: &CompletionRow| RewardRow {
                prompt_id: row.prompt_id,
                completion_idx: row.completion_idx,
                reward: Some(1.0 - f32::from(row.completion_idx)),
                terms: vec![],
                first_turn: None,
            };
            let rewards = RewardBatch { rewards: groups.completions.iter().map(row).collect() };
            script = script
                .message("prompts", &prompts(step))
                .message("groups", &groups)
                .message("rewards", &rewards);
        }
        let (node, _sent) = script.run_dir(folder).node();
        run(node, &self.settings, &self.policy, &self.processor)
    }
}

fn read(folder: &std::path::Path) -> serde_json::Value {
    let text = std::fs::read_to_string(folder.join("estimate.json")).unwrap();
    serde_json::from_str::<serde_json::Value>(&text).unwrap()["estimate"].clone()
}

#[test]
fn the_sampler_itself_is_worth_what_was_recorded() {
    let folder = tempfile::tempdir().unwrap();
    case().estimate([0.0, 0.0], folder.path()).unwrap();
    let estimate = read(folder.path());
    assert_eq!(estimate["logged"], 0.5);
    assert!((estimate["value"].as_f64().unwrap() - 0.5).abs() < 1e-6, "{estimate}");
    assert!((estimate["effective_share"].as_f64().unwrap() - 1.0).abs() < 1e-6, "{estimate}");
    assert_eq!((&estimate["n_questions"], &estimate["n_answers"]), (&4.into(), &8.into()));
}

/// What was paid is three times as likely now as when it was sampled, so w is 3 and 1, and with the other answer of the
/// group as baseline V̂ = 1/2 + (3 · 1 + 1 · -1) / 4 = 1.
#[test]
fn answers_that_are_likelier_now_count_more() {
    let folder = tempfile::tempdir().unwrap();
    case().estimate([-(3f32.ln()), 0.0], folder.path()).unwrap();
    let estimate = read(folder.path());
    assert!((estimate["value"].as_f64().unwrap() - 1.0).abs() < 1e-5, "{estimate}");
    assert!((estimate["effective_share"].as_f64().unwrap() - 0.8).abs() < 1e-5, "{estimate}");
}

#[test]
fn a_policy_too_far_away_is_given_no_number() {
    let folder = tempfile::tempdir().unwrap();
    let mut case = case();
    case.settings.min_effective = 0.9;
    let error = case.estimate([-(3f32.ln()), 0.0], folder.path()).unwrap_err().to_string();
    assert!(error.contains("8 logged answers count as 0.8000") && error.contains("0.9"), "{error}");
    assert!(!folder.path().join("estimate.json").exists());
}

#[test]
fn answers_of_a_cut_distribution_are_refused() {
    let document = Document::parse("[rollout]\ntop_p = 0.9", "test").unwrap();
    let error = crate::estimate::start(&document, 0.1).unwrap_err().to_string();
    assert!(error.contains("rollout.top_p = 1") && error.contains("0.9"), "{error}");
    let error = crate::estimate::start(&document, 0.0).unwrap_err().to_string();
    assert!(error.contains("--min-effective 0"), "{error}");
}
