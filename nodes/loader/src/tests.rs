//! The loader, driven without dora.

use vrft_dataset::{Flip, SourceConfig};
use vrft_messages::{Credit, PromptBatch};
use vrft_node::testing::Script;

use crate::Config;
use crate::sources::Sources;

fn config() -> Config {
    let mut config = Config::default();
    config.data.train =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/digits/shots.parquet").into();
    config.data.shots = 4;
    config.data.flip = Flip::Both;
    config.learner.prompts_per_step = 3;
    config
}

fn prompts(config: &Config, credits: &[Credit]) -> Vec<PromptBatch> {
    let mut sources = Sources::open(config).unwrap();
    let script =
        credits.iter().fold(Script::new(), |script, credit| script.message("credit", credit));
    let (node, sent) = script.end("credit").node();
    super::run(node, config, &mut sources).unwrap();
    assert_eq!(sent.ended("prompts"), !credits.is_empty());
    sent.all("prompts")
}

fn credit(step: u64) -> Credit {
    Credit { prompts: 3, policy_version: step, first_prompt_id: 3 * step }
}

#[test]
fn a_credit_is_answered_with_the_prompts_it_names() {
    let batches = prompts(&config(), &[credit(5)]);
    let ids: Vec<u64> = batches[0].prompts.iter().map(|prompt| prompt.prompt_id).collect();
    assert_eq!(ids, [15, 16, 17]);
    let prompt = &batches[0].prompts[0];
    assert_eq!((prompt.min_policy_version, prompt.task.as_str()), (5, "detection"));
    assert_eq!((prompt.images[0].width, prompt.images[0].height), (64, 64));
    assert!(prompt.answer.contains("Position"), "{}", prompt.answer);
}

#[test]
fn no_credit_no_prompts() {
    assert!(prompts(&config(), &[]).is_empty());
}

#[test]
fn prompts_depend_on_their_number_alone() {
    let straight = prompts(&config(), &[credit(0), credit(1), credit(2)]);
    let resumed = prompts(&config(), &[credit(2)]);
    assert_eq!(straight[2], resumed[0]);
}

#[test]
fn only_the_shots_are_shown() {
    let batches = prompts(&config(), &[credit(0), credit(1), credit(2), credit(3)]);
    let samples: std::collections::BTreeSet<&str> =
        batches.iter().flat_map(|batch| &batch.prompts).map(|p| p.sample_id.as_str()).collect();
    assert_eq!(samples.len(), 4);
}

#[test]
fn more_shots_than_rows_is_an_error() {
    let mut config = config();
    config.data.shots = 1_000;
    let error = format!("{:#}", Sources::open(&config).err().unwrap());
    assert!(error.contains("data.shots") && error.contains("1000"), "{error}");
}

#[test]
fn several_tasks_share_the_prompts() {
    let mut config = config();
    let source = |task: &str, weight| SourceConfig {
        task: task.to_owned(),
        train: config.data.train.clone(),
        shots: 4,
        weight,
        test: None,
        reward: None,
    };
    config.data.sources = vec![source("seen", 3.0), source("other", 1.0)];
    let batches = prompts(&config, &(0..34).map(credit).collect::<Vec<_>>());
    let tasks: Vec<&str> =
        batches.iter().flat_map(|batch| &batch.prompts).map(|p| p.task.as_str()).collect();
    let seen = tasks[..100].iter().filter(|task| **task == "seen").count();
    assert_eq!(seen, 75);
    assert_eq!(prompts(&config, &[credit(20)])[0], batches[20]);
}

#[test]
fn each_task_asks_in_its_own_words() {
    let text = "[reward.format]\ninstruct = true\n[reward.answer]\ntype = \"label\"\n\
                [reward.terms.right]\nmetric = \"accuracy\"";
    let names = vrft_config::Document::parse(text, "names").unwrap().section().unwrap();
    let mut config = config();
    let source = |task: &str| SourceConfig {
        task: task.to_owned(),
        train: config.data.train.clone(),
        shots: 4,
        weight: 1.0,
        test: None,
        reward: None,
    };
    config.data.sources = vec![source("boxes"), source("names")];
    config.rewards.own.insert("names".to_owned(), names);
    let batches = prompts(&config, &(0..8).map(credit).collect::<Vec<_>>());
    for prompt in batches.iter().flat_map(|batch| &batch.prompts) {
        let instructed = prompt.text().contains("Give one name.");
        assert_eq!(instructed, prompt.task == "names", "{}: {}", prompt.task, prompt.text());
    }
}
