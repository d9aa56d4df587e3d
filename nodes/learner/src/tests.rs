//! The learner, driven without dora, on the small checkpoint of the policy's golden tests.

use std::path::PathBuf;

use vrft_config::Document;
use vrft_learner::OptimizerConfig;
use vrft_messages::{
    Advantage, AdvantageBatch, Checkpoint, Completion, CompletionBatch, CompletionRow, Credit,
    FinishReason, MetricBatch, PolicyAnnouncement, Prompt, PromptBatch, Turn,
};
use vrft_node::testing::{Script, Sent};
use vrft_processor::Processor;

use crate::Training;
use crate::config::Config;
use crate::ports::PORTS;

fn config() -> Config {
    let mut config = Config::default();
    let golden = "/../../libs/model/tests/golden/qwen2_vl";
    config.policy.path = PathBuf::from(env!("CARGO_MANIFEST_DIR").to_owned() + golden);
    config.learner.steps = 2;
    config.learner.prompts_per_step = 2;
    config.learner.checkpoint_every = 1;
    config.optimizer = OptimizerConfig { learning_rate: 1e-3, ..OptimizerConfig::default() };
    config
}

fn prompts(step: u64) -> PromptBatch {
    let prompt = |prompt_id| Prompt {
        prompt_id,
        sample_id: format!("sample {prompt_id}"),
        task: "detection".into(),
        turns: vec![Turn::question(0, "Where?")],
        images: vec![],
        answer: "<answer>[]</answer>".into(),
        policy_version: step,
    };
    PromptBatch { prompts: vec![prompt(2 * step), prompt(2 * step + 1)] }
}

fn groups(step: u64) -> CompletionBatch {
    let row = |prompt_id, completion_idx: u16| CompletionRow {
        prompt_id,
        completion_idx,
        policy_version: step,
        completion: Completion {
            token_ids: vec![20 + u32::from(completion_idx), 30],
            logprobs: vec![-5.0, -5.0],
            text: String::new(),
            finish_reason: FinishReason::Length,
            seed: 0,
            replies: vec![],
        },
        task: "detection".into(),
        answer: String::new(),
        first: None,
        images: vec![],
    };
    let ids = [2 * step, 2 * step + 1];
    let completions = ids.iter().flat_map(|id| [row(*id, 0), row(*id, 1)]);
    CompletionBatch { completions: completions.collect() }
}

fn advantages(step: u64) -> AdvantageBatch {
    let rows = groups(step).completions.into_iter().map(|row| Advantage {
        prompt_id: row.prompt_id,
        completion_idx: row.completion_idx,
        advantage: if row.completion_idx == 0 { 1.0 } else { -1.0 },
        first_turn: None,
        reward: None,
    });
    AdvantageBatch { advantages: rows.collect() }
}

fn train(
    training: Training,
    config: &Config,
    script: Script,
    folder: &std::path::Path,
) -> eyre::Result<Sent> {
    let learner = crate::load(config, training, &vrft_model::SharedWeights::default())?;
    let processor = Processor::load(&config.policy.path)?;
    let (node, sent) = script.run_dir(folder).node();
    match training {
        Training::Reinforcement | Training::Offline => {
            crate::grpo::run(node, config, learner, &processor)?;
        }
        Training::Supervised => crate::sft::run(node, config, learner, &processor)?,
    }
    Ok(sent)
}

fn two_steps() -> Script {
    (0..2).fold(Script::new(&PORTS), |script, step| {
        script
            .message("prompts", &prompts(step))
            .message("groups", &groups(step))
            .message("advantages", &advantages(step))
    })
}

#[test]
fn each_step_publishes_a_version_and_gives_credit_for_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let sent = train(Training::Reinforcement, &config(), two_steps(), folder.path()).unwrap();
    let versions: Vec<u64> =
        sent.all::<PolicyAnnouncement>("policy").iter().map(|v| v.version).collect();
    assert_eq!(versions, [0, 1, 2]);
    let credits: Vec<u64> =
        sent.all::<Credit>("credit").iter().map(|c| c.first_prompt_id).collect();
    assert_eq!(credits, [0, 2]);
    let checkpoints = sent.all::<Checkpoint>("checkpoint");
    assert_eq!(
        checkpoints.iter().map(|c| (c.version, c.last)).collect::<Vec<_>>(),
        [(0, false), (2, true)]
    );
    let metrics: Vec<_> =
        sent.all::<MetricBatch>("metrics").into_iter().flat_map(|b| b.metrics).collect();
    assert_eq!(metrics.iter().filter(|metric| metric.name == "policy/loss").count(), 2);
    assert!(sent.ended("credit") && sent.ended("policy"));
}

/// A batch of these prompts, with or without anything to learn from.
fn of(ids: &[u64], has_signal: bool) -> (PromptBatch, CompletionBatch, AdvantageBatch) {
    let (mut some_prompts, some_groups) = (prompts(0), groups(0));
    let (prompt, completions) =
        (some_prompts.prompts.remove(0), some_groups.completions[..2].to_vec());
    let prompts = ids.iter().map(|&prompt_id| Prompt { prompt_id, ..prompt.clone() }).collect();
    let completions: Vec<CompletionRow> = ids
        .iter()
        .flat_map(|&prompt_id| {
            completions.iter().map(move |row| CompletionRow { prompt_id, ..row.clone() })
        })
        .collect();
    let advantage = |row: &CompletionRow| Advantage {
        prompt_id: row.prompt_id,
        completion_idx: row.completion_idx,
        advantage: if has_signal { 0.5 - f32::from(row.completion_idx) } else { 0.0 },
        first_turn: None,
        reward: Some(1.0),
    };
    let advantages = completions.iter().map(advantage).collect();
    (PromptBatch { prompts }, CompletionBatch { completions }, AdvantageBatch { advantages })
}

#[test]
fn prompts_that_teach_nothing_are_replaced_by_others() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config();
    config.learner.steps = 1;
    config.learner.refills = 2;
    let batches = [of(&[0, 1], false), of(&[2, 3], false), of(&[4, 5], true)];
    let script =
        batches.iter().fold(Script::new(&PORTS), |script, (prompts, groups, advantages)| {
            script
                .message("prompts", prompts)
                .message("groups", groups)
                .message("advantages", advantages)
        });
    let sent = train(Training::Reinforcement, &config, script, folder.path()).unwrap();
    let asked: Vec<(u64, u32, u64)> = sent
        .all::<Credit>("credit")
        .iter()
        .map(|credit| (credit.first_prompt_id, credit.prompts, credit.policy_version))
        .collect();
    assert_eq!(asked, [(0, 2, 0), (2, 2, 0), (4, 2, 0)]);
    let metrics: Vec<_> =
        sent.all::<MetricBatch>("metrics").into_iter().flat_map(|b| b.metrics).collect();
    let value = |name: &str| metrics.iter().find(|metric| metric.name == name).unwrap().value;
    assert_eq!((value("groups/refilled"), value("groups/zero_advantage")), (4.0, 0.0));
}

#[test]
fn every_objective_can_be_configured() {
    for kind in ["bnpo", "dr_grpo", "dapo", "gspo", "gspo_token", "cispo", "sapo", "luspo", "vespo"]
    {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config();
        let text = format!("[loss]\ntype = {kind:?}\ntop_entropy = 0.5\nentropy_coef = 0.01");
        config.loss = Document::parse(&text, "test").unwrap().section().unwrap();
        config.learner.iterations = 2;
        let sent = train(Training::Reinforcement, &config, two_steps(), folder.path()).unwrap();
        assert_eq!(sent.all::<PolicyAnnouncement>("policy").len(), 3, "{kind}");
    }
}

#[test]
fn advantages_of_other_completions_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let script = Script::new(&PORTS)
        .message("prompts", &prompts(0))
        .message("groups", &groups(0))
        .message("advantages", &advantages(1));
    let error = train(Training::Reinforcement, &config(), script, folder.path()).err().unwrap();
    assert!(error.to_string().contains("expected the advantage of"), "{error}");
}

#[test]
fn groups_of_other_prompts_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let script = Script::new(&PORTS)
        .message("prompts", &prompts(1))
        .message("groups", &groups(0))
        .message("advantages", &advantages(0));
    let error = train(Training::Reinforcement, &config(), script, folder.path()).err().unwrap();
    assert!(error.to_string().contains("prompt 2 has no group"), "{error}");
}

#[test]
fn a_stop_saves_what_was_learned() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config();
    config.learner.checkpoint_every = 0;
    let script = Script::new(&PORTS)
        .message("prompts", &prompts(0))
        .message("groups", &groups(0))
        .message("advantages", &advantages(0))
        .stop();
    train(Training::Reinforcement, &config, script, folder.path()).unwrap();
    assert!(folder.path().join("checkpoints/tested/step-000001/model.safetensors").exists());
}

#[test]
fn a_resumed_learner_asks_for_the_prompts_it_had_not_seen() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config();
    let first = Script::new(&PORTS)
        .message("prompts", &prompts(0))
        .message("groups", &groups(0))
        .message("advantages", &advantages(0))
        .stop();
    train(Training::Reinforcement, &config, first, folder.path()).unwrap();
    config.run.resume = true;
    let second = Script::new(&PORTS)
        .message("prompts", &prompts(1))
        .message("groups", &groups(1))
        .message("advantages", &advantages(1));
    let sent = train(Training::Reinforcement, &config, second, folder.path()).unwrap();
    let credits = sent.all::<Credit>("credit");
    assert_eq!(credits.len(), 1);
    assert_eq!((credits[0].first_prompt_id, credits[0].policy_version), (2, 1));
}

#[test]
fn supervised_fine_tuning_needs_prompts_alone() {
    let folder = tempfile::tempdir().unwrap();
    let script =
        Script::new(&PORTS).message("prompts", &prompts(0)).message("prompts", &prompts(1));
    let sent = train(Training::Supervised, &config(), script, folder.path()).unwrap();
    assert_eq!(sent.all::<Credit>("credit").len(), 2);
    assert!(sent.all::<Checkpoint>("checkpoint").last().unwrap().last);
    assert!(sent.all::<PolicyAnnouncement>("policy").is_empty());
}

/// Each group with the true answer behind it, which no policy sampled.
fn with_truths(step: u64) -> (CompletionBatch, AdvantageBatch) {
    let (mut shown, mut advantages) = (groups(step), advantages(step));
    for at in [4, 2] {
        let mut row = CompletionRow { completion_idx: 2, ..shown.completions[at - 1].clone() };
        row.completion.logprobs.clear();
        row.completion.finish_reason = FinishReason::Shown;
        let advantage = Advantage {
            prompt_id: row.prompt_id,
            completion_idx: 2,
            advantage: 2.0,
            first_turn: None,
            reward: Some(1.0),
        };
        shown.completions.insert(at, row);
        advantages.advantages.insert(at, advantage);
    }
    (shown, advantages)
}

#[test]
fn a_true_answer_in_its_group_is_learned_from() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config();
    config.learner.iterations = 2;
    let script = (0..2).fold(Script::new(&PORTS), |script, step| {
        let (shown, advantages) = with_truths(step);
        script
            .message("prompts", &prompts(step))
            .message("groups", &shown)
            .message("advantages", &advantages)
    });
    let sent = train(Training::Reinforcement, &config, script, folder.path()).unwrap();
    assert_eq!(sent.all::<PolicyAnnouncement>("policy").len(), 3);
    let metrics: Vec<_> =
        sent.all::<MetricBatch>("metrics").into_iter().flat_map(|b| b.metrics).collect();
    let values = |name: &str| {
        metrics.iter().filter(|metric| metric.name == name).map(|m| m.value).collect::<Vec<f64>>()
    };
    assert_eq!(values("completions/length/mean"), [2.0, 2.0]);
    // The second update of a step meets a policy that has moved.
    assert!(values("policy/ratio").iter().all(|ratio| *ratio != 1.0));
}

#[test]
fn the_true_answers_of_the_prompts_are_imitated() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config();
    let text = "[loss.chord]\nmu = 0.5\n[sft]\nanswer_prefix = \"<think>so</think> \"";
    let document = Document::parse(text, "test").unwrap();
    (config.loss, config.sft) = (document.section().unwrap(), document.section().unwrap());
    let sent = train(Training::Reinforcement, &config, two_steps(), folder.path()).unwrap();
    let metrics: Vec<_> =
        sent.all::<MetricBatch>("metrics").into_iter().flat_map(|b| b.metrics).collect();
    let losses = metrics.iter().filter(|metric| metric.name == "policy/imitation_loss");
    assert_eq!(losses.filter(|metric| metric.value > 0.0).count(), 2);
}

#[test]
fn a_teacher_is_told_the_true_answers_of_the_prompts() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config();
    let document = Document::parse("[loss.self_distillation]\nshare = 1.0", "test").unwrap();
    config.loss = document.section().unwrap();
    let sent = train(Training::Reinforcement, &config, two_steps(), folder.path()).unwrap();
    let metrics: Vec<_> =
        sent.all::<MetricBatch>("metrics").into_iter().flat_map(|b| b.metrics).collect();
    let apart = metrics.iter().filter(|metric| metric.name == "policy/teacher_kl");
    assert_eq!(apart.filter(|metric| metric.value.abs() > 1e-6).count(), 2);
}

#[test]
fn imitation_and_dynamic_sampling_exclude_each_other() {
    let document = Document::parse("[loss.chord]\n[learner]\nrefills = 1", "test").unwrap();
    let error = Config::read(&document).unwrap_err().to_string();
    assert!(error.starts_with("learner.refills = 1"), "{error}");
}

/// Of two completions of each prompt, the rewards of the first step differ; in the second one was not scored.
#[test]
fn the_spread_of_each_samples_rewards_is_written_down() {
    let folder = tempfile::tempdir().unwrap();
    let script = (0..2).fold(Script::new(&PORTS), |script, step| {
        let mut advantages = advantages(step);
        let rewards = [Some(1.0), Some(0.0), Some(0.5), None];
        for (row, reward) in advantages.advantages.iter_mut().zip(rewards) {
            row.reward = reward;
        }
        script
            .message("prompts", &prompts(step))
            .message("groups", &groups(step))
            .message("advantages", &advantages)
    });
    train(Training::Reinforcement, &config(), script, folder.path()).unwrap();
    let text = std::fs::read_to_string(folder.path().join("samples.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let line = |step: u64, id: u64, n: usize, mean: f64, std: f64| {
        serde_json::json!({
            "step": step, "sample_id": format!("sample {id}"), "task": "detection",
            "n": n, "mean": mean, "std": std,
        })
    };
    let expect = [
        line(1, 0, 2, 0.5, 0.5),
        line(1, 1, 1, 0.5, 0.0),
        line(2, 2, 2, 0.5, 0.5),
        line(2, 3, 1, 0.5, 0.0),
    ];
    assert_eq!(lines, expect);
}
