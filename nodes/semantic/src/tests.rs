//! The semantic node, driven without dora, with the tiny sentence model of `libs/embedding`.

use vrft_config::Document;
use vrft_messages::{Completion, CompletionBatch, CompletionRow, FinishReason, RewardBatch};
use vrft_node::testing::Script;

use crate::Config;
use crate::ports::PORTS;

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../libs/embedding/tests/golden/bert");
/// When a man opens the door, and that he does.
const EVENT: &str = "[reward.answer]\ntype = \"interval\"\nspace = \"pixels\"\nnothing = \"Nothing\"\n\
                     keys = { start = \"start\", end = \"end\", label = \"event\" }\n\
                     [reward.terms.tiou]\nmetric = \"overlap\"\n";

fn config(text: &str) -> Config {
    let text = format!("{text}[semantic]\nmodel = {MODEL:?}\nweight = 0.5");
    Config::read(&Document::parse(&text, "test").unwrap()).unwrap()
}

fn row(completion_idx: u16, text: &str, answer: &str) -> CompletionRow {
    let completion = Completion {
        token_ids: vec![1],
        logprobs: vec![-1.0],
        text: text.into(),
        finish_reason: FinishReason::Stop,
        seed: 0,
        replies: vec![],
    };
    CompletionRow {
        prompt_id: 0,
        completion_idx,
        policy_version: 0,
        completion,
        task: "event".into(),
        answer: answer.into(),
        first: None,
        images: vec![],
    }
}

/// Value of the term for each completion of one group.
fn values(config: &Config, answer: &str, texts: &[&str]) -> Vec<f32> {
    let rows = texts.iter().zip(0..).map(|(text, idx)| row(idx, text, answer));
    let batch = CompletionBatch { completions: rows.collect() };
    let (node, sent) = Script::new(&PORTS).message("groups", &batch).end("groups").node();
    super::run(node, config, &super::load(config).unwrap()).unwrap();
    assert!(sent.ended("rewards"));
    let [rewards] = &sent.all::<RewardBatch>("rewards")[..] else { panic!("one batch") };
    let values: Vec<f32> = rewards.rewards.iter().map(|row| row.terms[0].value).collect();
    for (row, value) in rewards.rewards.iter().zip(&values) {
        assert_eq!(row.reward, Some(0.5 * value));
    }
    values
}

fn say(event: &str) -> String {
    format!("<think></think><answer>{{\"start\": 3, \"end\": 8, \"event\": \"{event}\"}}</answer>")
}

#[test]
fn what_means_the_same_earns_all_and_what_says_nothing_earns_nothing() {
    let truth = say("a man opens the door");
    let texts = [say("A man opens the door"), say("the dog runs"), "I do not know".into()];
    let values = values(&config(EVENT), &truth, &texts.each_ref().map(String::as_str));
    assert!((values[0] - 1.0).abs() < 1e-5, "{values:?}");
    assert!(values[1] > 0.0 && values[1] < 0.99, "{values:?}");
    assert_eq!(values[2], 0.0);
}

#[test]
fn a_floor_is_taken_off() {
    let truth = say("a man opens the door");
    let text = say("the dog runs");
    let mut config = config(EVENT);
    let [plain] = values(&config, &truth, &[&text])[..] else { panic!("one") };
    config.semantic.as_mut().unwrap().floor = 0.2;
    let [above] = values(&config, &truth, &[&text])[..] else { panic!("one") };
    assert!((above - ((plain - 0.2) / 0.8).max(0.0)).abs() < 1e-6, "{above} of {plain}");
}

#[test]
fn nothing_is_right_where_there_is_nothing() {
    let texts = ["<think></think><answer>Nothing</answer>", &say("the dog runs")];
    assert_eq!(values(&config(EVENT), "Nothing", &texts), [1.0, 0.0]);
}

#[test]
fn a_task_without_words_is_passed_over() {
    let boxes = "[[data.sources]]\ntask = \"boxes\"\ntrain = \"a.jsonl\"\n\
                 [data.sources.reward.answer]\ntype = \"boxes\"\n\
                 [data.sources.reward.terms.iou]\nmetric = \"overlap\"\n";
    let config = config(&format!("{EVENT}{boxes}"));
    let row = CompletionRow {
        task: "boxes".into(),
        ..row(0, "<answer>[[1, 2, 3, 4]]</answer>", "[[1, 2, 3, 4]]")
    };
    let batch = CompletionBatch { completions: vec![row] };
    let rewards = super::load(&config).unwrap().score(&batch).unwrap().rewards;
    assert_eq!((rewards[0].reward, rewards[0].terms.len()), (Some(0.0), 0));
}

#[test]
fn a_model_that_is_not_there_is_named_with_its_key() {
    let error = format!("{:#}", super::load(&Config::default()).err().unwrap());
    assert!(error.starts_with("semantic.model is missing: name the folder"), "{error}");
    let mut config = config(EVENT);
    config.semantic.as_mut().unwrap().model = "no/model".into();
    let error = format!("{:#}", super::load(&config).err().unwrap());
    assert!(error.starts_with("semantic.model: \"no/model\": no such folder"), "{error}");
}
