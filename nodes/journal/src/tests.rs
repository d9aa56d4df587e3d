//! The journal, driven without dora.

use vrft_messages::{
    Completion, CompletionBatch, CompletionRow, FinishReason, MetricBatch, Prompt, PromptBatch,
    Turn,
};
use vrft_node::testing::Script;
use vrft_plan::LearnerConfig;

use crate::lineage::Lineage;
use crate::ports::PORTS;
use crate::records::Logged;

fn learner() -> LearnerConfig {
    LearnerConfig { prompts_per_step: 2, ..LearnerConfig::default() }
}

fn groups(step: u64) -> CompletionBatch {
    let row = |prompt_id, completion_idx: u16| CompletionRow {
        prompt_id,
        completion_idx,
        policy_version: step,
        completion: Completion {
            token_ids: vec![7, u32::from(completion_idx)],
            logprobs: vec![-0.5, -1.25],
            text: format!("answer {completion_idx} to {prompt_id}"),
            finish_reason: FinishReason::Stop,
            seed: 11,
            replies: vec![],
        },
        task: "detection".into(),
        answer: "<answer>[]</answer>".into(),
        first: None,
        images: vec![],
    };
    let ids = [2 * step, 2 * step + 1];
    let rows = ids.iter().flat_map(|id| [row(*id, 0), row(*id, 1)]);
    CompletionBatch { completions: rows.collect() }
}

fn prompts(step: u64) -> PromptBatch {
    let prompt = |prompt_id| Prompt {
        prompt_id,
        sample_id: String::new(),
        task: "detection".into(),
        turns: vec![Turn::question(1, "Where?")],
        images: vec![],
        answer: "<answer>[]</answer>".into(),
        policy_version: step,
    };
    PromptBatch { prompts: vec![prompt(2 * step), prompt(2 * step + 1)] }
}

fn journal() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let script = Script::new(&PORTS).message("groups", &groups(0)).message("groups", &groups(1));
    let (node, _sent) = script.end("groups").run_dir(folder.path()).node();
    super::write(node, &learner()).unwrap();
    folder
}

#[test]
fn what_was_written_down_is_played_back() {
    let folder = journal();
    let logged = Logged::read(folder.path()).unwrap();
    let script =
        Script::new(&PORTS).message("prompts", &prompts(0)).message("prompts", &prompts(1));
    let (node, sent) = script.end("prompts").node();
    super::replay(node, &learner(), &logged, &Lineage::Same).unwrap();
    assert_eq!(sent.all::<CompletionBatch>("groups"), [groups(0), groups(1)]);
    assert!(sent.ended("groups"));
}

#[test]
fn groups_of_a_run_with_other_settings_grow_stale() {
    let folder = journal();
    let logged = Logged::read(folder.path()).unwrap();
    let script =
        Script::new(&PORTS).message("prompts", &prompts(0)).message("prompts", &prompts(1));
    let (node, sent) = script.end("prompts").node();
    super::replay(node, &learner(), &logged, &Lineage::Start("loss".into())).unwrap();
    let metrics = sent.all::<MetricBatch>("metrics").into_iter().flat_map(|batch| batch.metrics);
    let staleness = metrics.filter(|metric| metric.name == "replay/staleness");
    assert_eq!(staleness.map(|metric| metric.value).collect::<Vec<_>>(), [0.0, 1.0]);
}

#[test]
fn a_second_pass_answers_new_numbers_with_the_same_completions() {
    let folder = journal();
    let logged = Logged::read(folder.path()).unwrap();
    let learner = LearnerConfig { distinct_prompts: 4, ..learner() };
    let (node, sent) = Script::new(&PORTS).message("prompts", &prompts(2)).end("prompts").node();
    super::replay(node, &learner, &logged, &Lineage::Same).unwrap();
    let [again] = &sent.all::<CompletionBatch>("groups")[..] else { panic!() };
    let ids: Vec<u64> = again.completions.iter().map(|row| row.prompt_id).collect();
    assert_eq!(ids, [4, 4, 5, 5]);
    let texts = |batch: &CompletionBatch| -> Vec<String> {
        batch.completions.iter().map(|row| row.completion.text.clone()).collect()
    };
    assert_eq!(texts(again), texts(&groups(0)));
}

#[test]
fn answers_to_another_question_are_refused() {
    let folder = journal();
    let logged = Logged::read(folder.path()).unwrap();
    let mut other = prompts(0);
    other.prompts[1].answer = "<answer>[1, 2, 3, 4]</answer>".into();
    let (node, _sent) = Script::new(&PORTS).message("prompts", &other).node();
    let error = super::replay(node, &learner(), &logged, &Lineage::Same).unwrap_err().to_string();
    for word in ["prompt 1 was logged", "<answer>[]</answer>", "[1, 2, 3, 4]", "run.seed"] {
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn a_prompt_that_was_not_logged_is_named() {
    let folder = journal();
    let logged = Logged::read(folder.path()).unwrap();
    let (node, _sent) = Script::new(&PORTS).message("prompts", &prompts(2)).node();
    let error = super::replay(node, &learner(), &logged, &Lineage::Same).unwrap_err().to_string();
    assert!(error.starts_with("prompt 4 was not logged, only 4 prompts from 0 on"), "{error}");
    assert!(error.contains("learner.distinct_prompts = 4"), "{error}");
}

/// What the error says to write does not lead to the same error.
#[test]
fn the_remedy_for_a_prompt_that_was_not_logged_is_one() {
    let folder = journal();
    let logged = Logged::read(folder.path()).unwrap();
    let replayed = |learner: &LearnerConfig, asked: u64| {
        let prompt = vrft_messages::Prompt { prompt_id: asked, ..prompts(0).prompts[0].clone() };
        super::answers(&prompt, learner, &logged).map(|_| ()).map_err(|error| error.to_string())
    };
    let late = LearnerConfig { first_prompt: 2, ..learner() };
    let error = replayed(&late, 4).unwrap_err();
    assert!(error.contains("learner.distinct_prompts = 2"), "{error}");
    let mended = LearnerConfig { distinct_prompts: 2, ..late };
    for asked in 2..12 {
        replayed(&mended, asked).unwrap();
    }
    let error = replayed(&LearnerConfig { first_prompt: 9, ..learner() }, 9).unwrap_err();
    assert!(error.ends_with("write learner.first_prompt = 0"), "{error}");
}

#[test]
fn a_run_without_a_journal_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = Logged::read(folder.path()).err().unwrap().to_string();
    assert!(error.starts_with("cannot read ") && error.contains("groups"), "{error}");
}
