//! The advantage node, driven without dora.

use messages::{AdvantageBatch, MetricBatch, RewardBatch, RewardRow};
use node::testing::Script;

fn batch(rewards: &[(u64, Option<f32>)]) -> RewardBatch {
    let mut idx = 0;
    let mut last = None;
    let rows = rewards.iter().map(|&(prompt_id, reward)| {
        idx = if last == Some(prompt_id) { idx + 1 } else { 0 };
        last = Some(prompt_id);
        RewardRow { prompt_id, completion_idx: idx, reward, terms: vec![] }
    });
    RewardBatch { rewards: rows.collect() }
}

fn advantages(rewards: &[(u64, Option<f32>)]) -> (Vec<f32>, f64) {
    let (node, sent) = Script::new().message("rewards", &batch(rewards)).end("rewards").node();
    super::run(node, &config::Config::default()).unwrap();
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
fn what_could_not_be_scored_gets_no_advantage() {
    let (values, _) = advantages(&[(0, Some(1.0)), (0, None), (0, Some(0.0))]);
    assert_eq!(values[1], 0.0);
    assert!(values[0] > 0.0 && values[2] < 0.0);
}
