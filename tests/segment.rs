//! Masks of a policy's boxes in a dora graph.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use serde_json::Value;
use vrft_tests::cluster::wait;
use vrft_tests::harness::Absent;
use vrft_tests::robot::{PATIENCE, Robot};
use vrft_tests::{alone, root};

fn the_boxes_of_answers_become_masks_of_their_frames() -> Result<(), Absent> {
    let sam = root().join("libs/segment/tests/golden/sam").display().to_string();
    let robot = Robot::of("segment")?.with_scene(40, 100_000);
    let robot = robot.in_config("\"facebook/sam-vit-base\"", &format!("{sam:?}"));
    let lines = |robot: &Robot| -> Vec<Value> {
        let text = std::fs::read_to_string(robot.path("run/masks.jsonl")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    };
    let has_masks = |line: &&Value| !line["found"].as_array().unwrap().is_empty();
    let _guard = alone();
    let mut child = robot.start();
    robot.until(&mut child, "masks of five answers", |robot| {
        lines(robot).iter().filter(has_masks).count() >= 5
    });
    vrft_tests::signal(child.id(), libc::SIGINT);
    assert_eq!(wait(&mut child, PATIENCE), Some(0), "{}", robot.log());
    let answers = robot.events("answer");
    for line in lines(&robot) {
        // A mask for each box, of the frame that the answer is about.
        let answer = answers.iter().find(|answer| answer["answer_id"] == line["answer_id"]);
        let answer = answer.unwrap_or_else(|| panic!("of no answer: {line}"));
        assert_eq!(line["frame_id"], answer["frame_id"]);
        let boxes =
            answer["found"].as_array().unwrap().iter().filter(|found| found["box"].is_array());
        let found = line["found"].as_array().unwrap();
        assert_eq!(found.len(), boxes.count(), "{line}\n{answer}");
        for one in found {
            assert_eq!(one["mask"]["size"], serde_json::json!([answer["height"], answer["width"]]));
        }
    }
    Ok(())
}

vrft_tests::tests_that_need_tools!(the_boxes_of_answers_become_masks_of_their_frames);
