//! What is demonstrated for truths as data sets have them.

use crate::config::{Content, RewardConfig};
use crate::{BBox, Reward};

const BOXES: &str = "[{'Position': [1, 2, 3, 4], 'Confidence': 1}]";
const PREFIX: &str = "<think> There. </think> ";

#[track_caller]
fn check(solution: &str, prefix: &str, expect: &str) {
    check_with(&RewardConfig::default(), solution, prefix, expect);
}
#[track_caller]
fn check_with(config: &RewardConfig, solution: &str, prefix: &str, expect: &str) {
    let reward = Reward::new(config);
    let truth = reward.parse_answer(solution).unwrap();
    let shown = reward.demonstration(&truth, prefix);
    assert_eq!(shown, expect);
    let (_, most) = reward.range();
    assert_eq!(reward.score(&shown, &truth).total, Some(most), "{shown}");
}

#[test]
fn what_the_reward_pays_in_full_for_stays_as_it_is() {
    let solution = format!("<answer>{BOXES}</answer>");
    check(&solution, PREFIX, &format!("{PREFIX}{solution}"));
    let thought = format!("<think>The square is bright.</think>\n{solution}");
    check(&thought, PREFIX, &thought);
}
#[test]
fn tags_and_thinking_are_added_where_they_are_asked_for() {
    check(BOXES, PREFIX, &format!("{PREFIX}<answer>{BOXES}</answer>"));
    check(BOXES, "", &format!("<think></think><answer>{BOXES}</answer>"));
    let thought = format!("<think>Bright.</think>{BOXES}");
    check(&thought, PREFIX, &format!("<think>Bright.</think><answer>{BOXES}</answer>"));
    let capitals = format!("<ANSWER>{BOXES}</ANSWER>");
    check(&capitals, PREFIX, &format!("{PREFIX}<answer>{BOXES}</answer>"));
}
#[test]
fn tags_and_thinking_are_taken_away_where_they_are_not() {
    let mut config = RewardConfig::default();
    (config.format.think, config.format.tags) = (false, false);
    config.format.content = Content::Valid;
    check_with(&config, &format!("<think>Bright.</think><answer>{BOXES}</answer>"), "", BOXES);
}
#[test]
fn a_confidence_that_the_data_lacks_is_written() {
    let whole = r#"[{"Position": [1, 2, 3, 4], "Confidence": 1}]"#;
    let solution = "[{'Position': [1, 2, 3, 4]}]";
    check(solution, PREFIX, &format!("{PREFIX}<answer>{whole}</answer>"));
}
#[test]
fn an_answer_within_the_thinking_is_a_thought() {
    let inner = "[{'Position': [5, 6, 7, 8], 'Confidence': 1}]";
    let solution = format!("<think>First <answer>{inner}</answer></think><answer>{BOXES}</answer>");
    let shown = format!("<think>First {inner}</think><answer>{BOXES}</answer>");
    check(&solution, PREFIX, &shown);
}
#[test]
fn nothing_is_demonstrated_as_nothing() {
    check("No Objects", PREFIX, &format!("{PREFIX}<answer>No Objects</answer>"));
    check("<answer>[]</answer>", PREFIX, &format!("{PREFIX}<answer>[]</answer>"));
}

#[test]
fn annotated_boxes_are_written_as_the_task_declares_its_answers() {
    let boxes = [(BBox::within([10.0, 20.4, 110.0, 120.0], 1000.0).unwrap(), "traffic \"light\"")];
    let write = |answer: &str| {
        let config: RewardConfig = toml::from_str(&format!("answer = {{ {answer} }}")).unwrap();
        Reward::new(&config).write_boxes(&boxes)
    };
    let check = |answer: &str, expect: &str| assert_eq!(write(answer).as_deref(), Some(expect));
    check(
        "type = 'boxes', space = 'pixels', keys = { place = 'bbox_2d', label = 'label' }",
        r#"[{"bbox_2d": [10, 20, 110, 120], "label": "traffic \"light\""}]"#,
    );
    check("type = 'box', space = 'pixels'", "[10, 20, 110, 120]");
    check("type = 'points'", "[[60, 70]]");
    check("type = 'mask'", "[[10, 20], [110, 20], [110, 120], [10, 120]]");
    assert_eq!(write("type = 'label'"), None);
    assert_eq!(write("type = 'interval'"), None);
}
