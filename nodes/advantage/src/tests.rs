//! The advantage node, driven without dora.

use vrft_dataset::SourceConfig;
use vrft_messages::{
    AdvantageBatch, Completion, CompletionBatch, CompletionRow, FinishReason, MetricBatch,
    RewardBatch, RewardRow, Term,
};
use vrft_node::testing::{Script, Sent};

use crate::Config;
use crate::ports::PORTS;

fn batch(rewards: &[(u64, Option<f32>)]) -> RewardBatch {
    let mut idx = 0;
    let mut last = None;
    let rows = rewards.iter().map(|&(prompt_id, reward)| {
        idx = if last == Some(prompt_id) { idx + 1 } else { 0 };
        last = Some(prompt_id);
        RewardRow { prompt_id, completion_idx: idx, reward, first_turn: None, terms: vec![] }
    });
    RewardBatch { rewards: rows.collect() }
}

fn advantages(rewards: &[(u64, Option<f32>)]) -> (Vec<f32>, f64) {
    let (node, sent) =
        Script::new(&PORTS).message("rewards", &batch(rewards)).end("rewards").node();
    super::run(node, &Config::default()).unwrap();
    let batches = sent.all::<AdvantageBatch>("advantages");
    let values = batches[0].advantages.iter().map(|a| a.advantage);
    let metrics = &sent.all::<MetricBatch>("metrics")[0].metrics;
    let zero = metrics.iter().find(|m| m.name == "reward/zero_std_groups").unwrap().value;
    (values.collect(), zero)
}

#[test]
fn groups_are_compared_within_themselves() {
    let (values, zero) =
        advantages(&[(0, Some(1.0)), (0, Some(3.0)), (1, Some(9.0)), (1, Some(9.0))]);
    assert!((values[0] + 0.707).abs() < 1e-3 && (values[1] - 0.707).abs() < 1e-3, "{values:?}");
    assert_eq!(&values[2..], [0.0, 0.0]);
    assert_eq!(zero, 0.5);
}

#[test]
fn rewards_of_several_nodes_add_up() {
    let iou = batch(&[(0, Some(1.0)), (0, Some(0.0))]);
    let format = batch(&[(0, Some(0.0)), (0, Some(3.0))]);
    let script = Script::new(&PORTS).message("iou", &iou).message("format", &format);
    let (node, sent) = script.end("iou").end("format").node();
    super::run(node, &Config::default()).unwrap();
    let [advantages] = &sent.all::<AdvantageBatch>("advantages")[..] else { panic!("one batch") };
    let rewards: Vec<_> = advantages.advantages.iter().map(|row| row.reward).collect();
    assert_eq!(rewards, [Some(1.0), Some(3.0)]);
    let metrics = &sent.all::<MetricBatch>("metrics")[0].metrics;
    assert!(metrics.iter().any(|m| m.name == "reward/total/mean" && m.value == 2.0));
}

#[test]
fn what_could_not_be_scored_gets_no_advantage() {
    let (values, _) = advantages(&[(0, Some(1.0)), (0, None), (0, Some(0.0))]);
    assert_eq!(values[1], 0.0);
    assert!(values[0] > 0.0 && values[2] < 0.0);
}

/// Completions for these rewards: their task, and how many tokens each has.
fn completions(rewards: &RewardBatch, tasks: &[&str], lengths: &[usize]) -> CompletionBatch {
    let groups = rewards.groups().zip(tasks).flat_map(|(group, task)| {
        group.iter().map(|row| (row.prompt_id, row.completion_idx, (*task).to_owned()))
    });
    let row = |((prompt_id, completion_idx, task), length): ((u64, u16, String), &usize)| {
        let completion = Completion {
            token_ids: vec![7; *length],
            logprobs: vec![-1.0; *length],
            text: format!("<answer>{completion_idx}</answer>"),
            finish_reason: FinishReason::Stop,
            seed: 0,
            replies: vec![],
        };
        let policy_version = 0;
        let answer = String::new();
        let images = vec![];
        CompletionRow {
            prompt_id,
            completion_idx,
            policy_version,
            completion,
            task,
            answer,
            first: None,
            images,
        }
    };
    CompletionBatch { completions: groups.zip(lengths).map(row).collect() }
}

fn two_tasks() -> Config {
    let mut config = Config::default();
    let source = |task: &str, weight| SourceConfig {
        task: task.to_owned(),
        train: task.into(),
        split: None,
        space: None,
        shots: 0,
        weight,
        share: None,
        test: None,
        reward: None,
    };
    config.data.sources = vec![source("boxes", 1.0), source("names", 3.0)];
    config
}

#[test]
fn the_weight_of_a_task_acts_on_its_advantages() {
    let rewards = batch(&[(0, Some(1.0)), (0, Some(3.0)), (1, Some(0.5)), (1, Some(0.7))]);
    let groups = completions(&rewards, &["boxes", "names"], &[1, 1, 1, 1]);
    let script = Script::new(&PORTS).message("rewards", &rewards).message("groups", &groups);
    let (node, sent) = script.end("rewards").end("groups").node();
    super::run(node, &two_tasks()).unwrap();
    let rows = &sent.all::<AdvantageBatch>("advantages")[0].advantages;
    assert!((rows[1].advantage - 0.707).abs() < 1e-3, "{rows:?}");
    assert!((rows[3].advantage - 3.0 * 0.707).abs() < 1e-2, "{rows:?}");
    let metrics = &sent.all::<MetricBatch>("metrics")[0].metrics;
    let value = |name: &str| metrics.iter().find(|m| m.name == name).unwrap().value;
    assert_eq!(value("task/boxes/reward/total/mean"), 2.0);
    assert!((value("task/names/reward/total/mean") - 0.6).abs() < 1e-6);
}

#[test]
fn lengths_and_answers_act_if_so_configured() {
    let text = "[advantage]\nscale = \"none\"\n[advantage.overlong]\ncushion = 4\n\
                [rollout]\nmax_completion_tokens = 10";
    let config = Config::read(&vrft_config::Document::parse(text, "test").unwrap()).unwrap();
    let rewards = batch(&[(0, Some(1.0)), (0, Some(1.0))]);
    let groups = completions(&rewards, &["any"], &[2, 10]);
    let script = Script::new(&PORTS).message("rewards", &rewards).message("groups", &groups);
    let (node, sent) = script.end("rewards").end("groups").node();
    super::run(node, &config).unwrap();
    let rows = &sent.all::<AdvantageBatch>("advantages")[0].advantages;
    assert_eq!((rows[0].advantage, rows[1].advantage), (0.5, -0.5));
}

/// One of two answers is right and both miss the format: the question is half learned, d (1 - d) = 1/4.
#[test]
fn the_curriculum_weighs_by_accuracy_alone() {
    let text = "[advantage]\nscale = \"none\"\n[advantage.curriculum]\ndiversity = \"distinct\"\n\
                [reward.answer]\ntype = \"label\"\nlabels = [\"cat\", \"dog\"]\n\
                [reward.terms.right]\nmetric = \"accuracy\"\n[reward.terms.form]\nmetric = \"format\"";
    let config = Config::read(&vrft_config::Document::parse(text, "test").unwrap()).unwrap();
    let mut rewards = batch(&[(0, Some(1.0)), (0, Some(0.0))]);
    for (row, right) in rewards.rewards.iter_mut().zip([1.0, 0.0]) {
        let term = |name: &str, value| Term { name: name.to_owned(), value, weight: 1.0 };
        row.terms = vec![term("form", 0.0), term("right", right)];
    }
    let groups = completions(&rewards, &["any"], &[1, 1]);
    let script = Script::new(&PORTS).message("rewards", &rewards).message("groups", &groups);
    let (node, sent) = script.end("rewards").end("groups").node();
    super::run(node, &config).unwrap();
    let rows = &sent.all::<AdvantageBatch>("advantages")[0].advantages;
    // 4 d (1 - d) = 1; by the whole reward, d = 1/4, it would be 3/4.
    assert_eq!((rows[0].advantage, rows[1].advantage), (0.5, -0.5));
}

#[test]
fn a_graph_without_the_edge_says_which_line_is_missing() {
    let (node, _) =
        Script::new(&PORTS).message("rewards", &batch(&[(0, None)])).end("rewards").node();
    let error = super::run(node, &two_tasks()).unwrap_err().to_string();
    assert!(error.contains("groups: {source: rollout/groups"), "{error}");
}

#[test]
fn completions_of_other_prompts_are_refused() {
    let rewards = batch(&[(0, Some(1.0)), (0, Some(3.0))]);
    let other = batch(&[(1, Some(1.0)), (1, Some(3.0))]);
    let groups = completions(&other, &["boxes"], &[1, 1]);
    let script = Script::new(&PORTS).message("rewards", &rewards).message("groups", &groups);
    let error = super::run(script.node().0, &Config::default()).unwrap_err().to_string();
    assert!(error.contains("expected the reward of"), "{error}");
}

/// Rewards of two completions and of the true answer behind them, each with what it says and its form.
fn with_truth(says: [f32; 3], form: [f32; 3]) -> RewardBatch {
    let mut rewards = batch(&[(0, None), (0, None), (0, None)]);
    for (row, (says, form)) in rewards.rewards.iter_mut().zip(says.into_iter().zip(form)) {
        let term = |name: &str, value| Term { name: name.to_owned(), value, weight: 1.0 };
        row.reward = Some(says + form);
        row.terms = vec![term("form", form), term("right", says)];
    }
    rewards
}

fn compared(rewards: &RewardBatch, shows: bool, truth: &str) -> eyre::Result<Sent> {
    let text = format!(
        "[advantage]\nscale = \"none\"\n{truth}\n[reward.answer]\ntype = \"label\"\n\
         [reward.terms.right]\nmetric = \"accuracy\"\n[reward.terms.form]\nmetric = \"format\""
    );
    let config = Config::read(&vrft_config::Document::parse(&text, "test").unwrap()).unwrap();
    let mut groups = completions(rewards, &["any"], &[1, 1, 1]);
    if shows {
        let shown = &mut groups.completions[2].completion;
        (shown.finish_reason, shown.logprobs) = (FinishReason::Shown, vec![]);
    }
    let script = Script::new(&PORTS).message("rewards", rewards).message("groups", &groups);
    let (node, sent) = script.end("rewards").end("groups").node();
    super::run(node, &config)?;
    Ok(sent)
}

#[test]
fn the_true_answer_is_compared_by_what_it_says_until_it_is_reached() {
    let check = |says, form, expect: [f32; 3], used| {
        let rewards = with_truth(says, form);
        let sent = compared(&rewards, true, "truth = {}").unwrap();
        let rows = &sent.all::<AdvantageBatch>("advantages")[0].advantages;
        let got: Vec<f32> = rows.iter().map(|row| row.advantage).collect();
        assert_eq!(got, expect);
        let metrics = &sent.all::<MetricBatch>("metrics")[0].metrics;
        let value = |name: &str| metrics.iter().find(|m| m.name == name).unwrap().value;
        assert_eq!(value("truth/used"), used);
        // What is recorded is what the policy earned.
        let mean = f64::from(says[0] + says[1] + form[0] + form[1]) / 2.0;
        assert_eq!(value("reward/total/mean"), mean);
    };
    check([0.0, 0.0, 1.0], [0.25, 0.0, 1.0], [-0.166_666_67, -0.416_666_66, 0.583_333_3], 1.0);
    check([1.0, 0.0, 1.0], [1.0, 0.0, 1.0], [1.0, -1.0, 0.0], 0.0);
}

#[test]
fn a_true_answer_that_is_missing_or_not_asked_for_is_refused() {
    let rewards = with_truth([0.0, 0.0, 1.0], [0.0, 0.0, 1.0]);
    let missing = compared(&rewards, false, "truth = {}").err().unwrap().to_string();
    assert!(
        missing.contains("the group of prompt 0 should have one true answer, got 0"),
        "{missing}"
    );
    let uncalled = compared(&rewards, true, "").err().unwrap().to_string();
    assert!(
        uncalled.contains("the group of prompt 0 should have no true answer, got 1"),
        "{uncalled}"
    );
}

#[test]
fn first_turns_are_compared_with_first_turns() {
    let mut rewards = batch(&[(0, Some(4.0)), (0, Some(0.0)), (1, Some(1.0)), (1, Some(1.0))]);
    for (row, first_turn) in rewards.rewards.iter_mut().zip([1.0, 2.0]) {
        row.first_turn = Some(first_turn);
        row.terms = vec![Term { name: "gain".into(), value: 3.0 - 2.0 * first_turn, weight: 1.0 }];
    }
    let text = "[advantage]\nscale = \"none\"";
    let config = Config::read(&vrft_config::Document::parse(text, "test").unwrap()).unwrap();
    let script = Script::new(&PORTS).message("rewards", &rewards).end("rewards");
    let (node, sent) = script.node();
    super::run(node, &config).unwrap();
    let rows = &sent.all::<AdvantageBatch>("advantages")[0].advantages;
    let both: Vec<_> = rows.iter().map(|row| (row.first_turn, row.advantage)).collect();
    assert_eq!(both, [(Some(-0.5), 2.0), (Some(0.5), -2.0), (None, 0.0), (None, 0.0)]);
    let metrics = &sent.all::<MetricBatch>("metrics")[0].metrics;
    let value = |name: &str| metrics.iter().find(|m| m.name == name).unwrap().value;
    assert_eq!(value("reward/first_turn/mean"), 1.5);
    assert_eq!((value("correction/better"), value("correction/worse")), (0.5, 0.5));
}

/// Two answers, half and wholly right, one of them without the form: the form is no part of the magnitude.
#[test]
fn the_magnitude_that_is_preserved_is_how_right_an_answer_is() {
    let text = "[advantage]\nscale = \"none\"\n[advantage.absolute]\nmode = \"mix\"\nshare = 1.0\n\
                [reward.answer]\ntype = \"label\"\nlabels = [\"cat\", \"dog\"]\n\
                [reward.terms.right]\nmetric = \"accuracy\"\n[reward.terms.form]\nmetric = \"format\"";
    let config = Config::read(&vrft_config::Document::parse(text, "test").unwrap()).unwrap();
    let mut rewards = batch(&[(0, Some(1.5)), (0, Some(1.0))]);
    for (row, (right, form)) in rewards.rewards.iter_mut().zip([(0.5, 1.0), (1.0, 0.0)]) {
        let term = |name: &str, value| Term { name: name.to_owned(), value, weight: 1.0 };
        row.terms = vec![term("form", form), term("right", right)];
    }
    let groups = completions(&rewards, &["any"], &[1, 1]);
    let script = Script::new(&PORTS).message("rewards", &rewards).message("groups", &groups);
    let (node, sent) = script.end("rewards").end("groups").node();
    super::run(node, &config).unwrap();
    let rows = &sent.all::<AdvantageBatch>("advantages")[0].advantages;
    assert_eq!((rows[0].advantage, rows[1].advantage), (-0.25, 0.25));
}
