//! Graphs through the stock dora CLI: rollouts that share their prompts, a term by meaning, and a robot that a person teaches
//! words.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use vrft_tests::cluster::{dora, dora_run, stock_graph, wait};
use vrft_tests::harness::Absent;
use vrft_tests::robot::{PATIENCE, Robot};
use vrft_tests::{Run, alone, child_with, python, root, slow_down, vrft};

const STEPS: u64 = 6;

fn metrics(run_dir: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(run_dir.join("metrics.jsonl")).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn await_step(child: &mut Child, run_dir: &Path, step: u64) {
    let start = Instant::now();
    let is_there = |line: &Value| line["name"] == "policy/loss" && line["step"] == step;
    while !metrics(run_dir).iter().any(is_there) {
        assert!(child.try_wait().unwrap().is_none(), "the graph ended before step {step}");
        assert!(start.elapsed() < PATIENCE, "never step {step}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn a_rollout_at_a_quarter_of_its_speed_answers_less_and_changes_no_bit() -> Result<(), Absent> {
    let dora = dora()?;
    vrft();
    let run = Run::of_two_rollouts(STEPS);
    run.finish().ok();
    let folder = run.folder().join("stock");
    let config = run.out().join("config.toml");
    let graph = stock_graph(&root().join("configs/two-rollouts.yml"), &config, &folder);
    let run_dir = folder.join("run");
    let log = std::fs::File::create(folder.join("log")).unwrap();
    let mut command = Command::new(dora);
    command.arg("run").arg(graph).current_dir(&folder).env("VRFT_RUN_DIR", &run_dir);
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    let mut child = command.spawn().unwrap();
    await_step(&mut child, &run_dir, 1);
    let is_rollout =
        |line: &str| line.split('\0').next().unwrap_or_default().ends_with("vrft-rollout");
    let slow = child_with(child.id(), is_rollout).unwrap();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let is_over = &is_over;
        scope.spawn(move || slow_down(slow, is_over));
        await_step(&mut child, &run_dir, STEPS);
        is_over.store(true, Ordering::Relaxed);
    });
    let code = wait(&mut child, PATIENCE);
    let said = std::fs::read_to_string(folder.join("log")).unwrap();
    assert_eq!(code, Some(0), "{said}");
    let weights = format!("checkpoints/learner/step-{STEPS:06}/model.safetensors");
    let weights = std::fs::read(run_dir.join(weights)).unwrap();
    assert!(weights == run.final_weights("learner"), "the same bits whoever answers");
    // Rollouts take prompts when they have room. How many fewer the slow one takes hangs on what else the machine does;
    // `graphs.rs` measures it.
    let answered = ["a", "b"].map(|name| {
        let name = format!("pool/prompts/{name}");
        let of_name = metrics(&run_dir).into_iter().filter(|line| line["name"] == name);
        let later = of_name.filter(|line| line["step"].as_u64() > Some(2));
        later.map(|line| line["value"].as_f64().unwrap()).sum::<f64>()
    });
    let share = answered[0].min(answered[1]) / (answered[0] + answered[1]);
    assert!(share < 0.5, "{answered:?}");
    Ok(())
}

fn a_term_by_meaning_is_learned_from_alike() -> Result<(), Absent> {
    let dora = dora()?;
    let run = Run::by_meaning();
    run.finish().ok();
    let folder = run.folder().join("stock");
    let config = run.out().join("config.toml");
    let graph = stock_graph(&root().join("configs/semantic.yml"), &config, &folder);
    let run_dir = folder.join("run");
    let variables = [("VRFT_RUN_DIR", run_dir.as_path())];
    let (code, said) = dora_run(&dora, &graph, None, &variables, PATIENCE);
    assert_eq!(code, Some(0), "{said}");
    let weights = run_dir.join("checkpoints/learner/step-000002/model.safetensors");
    assert!(std::fs::read(weights).unwrap() == run.final_weights("learner"), "{said}");
    let is_term = |line: &&Value| line["name"] == "reward/semantic/mean";
    assert_eq!(metrics(&run_dir).iter().filter(is_term).count(), 2);
    Ok(())
}

/// A node that says of every answer which word would be right.
const TEACHER_OF_WORDS: &str = r#"
import json

import pyarrow as pa
from dora import Node

node = Node()
for event in node:
    if event["type"] == "INPUT":
        remark = {"answer_id": event["metadata"]["answer_id"], "remark": {"text": "seven"}}
        node.send_output("feedback", pa.array([json.dumps(remark)]))
"#;

/// What is learned is what a person says in words, and nothing else.
fn words_that_a_person_says_are_right_are_what_the_robot_learns() -> Result<(), Absent> {
    python()?;
    let robot = Robot::of("robot")?.with_scene(10, 1_000_000).without_detector();
    let script = robot.path("person.py");
    std::fs::write(&script, TEACHER_OF_WORDS).unwrap();
    let from = robot.graph.find("  - id: person").unwrap();
    let to = from + robot.graph[from..].find("\n\n").unwrap();
    let page = robot.graph[from..to].to_owned();
    let person = format!(
        "  - id: person\n    path: {}\n    inputs: {{text: answer/text}}\n    outputs: [feedback]",
        script.display()
    );
    let robot = robot
        .in_graph(&page, &person)
        .in_config("truth = \"teacher\"", "truth = \"person\"")
        .in_config("max_fps = 5.0", "max_fps = 0.0")
        .in_config("min_frames = 16", "min_frames = 4")
        .in_config("held_out = 12", "held_out = 2")
        .in_config("rewards/visual-rft/detection.toml", "rewards/vlm-r1/ocr.toml")
        .in_config("steps = 200", "steps = 3")
        .in_config(
            "category = \"handwritten digit\"\nmax_tokens = 128",
            "question = \"Which digit is it?\"\nmax_tokens = 16",
        );
    let _guard = alone();
    let mut child = robot.start();
    assert_eq!(wait(&mut child, PATIENCE), Some(0), "{}", robot.log());
    let metrics = std::fs::read_to_string(robot.path("run/metrics.jsonl")).unwrap();
    assert_eq!(metrics.matches("\"name\":\"policy/loss\"").count(), 3, "{}", robot.log());
    let remarks = std::fs::read_to_string(robot.path("run/feedback.jsonl")).unwrap();
    let told: Value = serde_json::from_str(remarks.lines().next().unwrap()).unwrap();
    assert_eq!(told["right"]["question"], "Which digit is it?");
    assert_eq!(told["right"]["answer"], "<answer>seven</answer>");
    assert_eq!(told["remark"], serde_json::json!({"text": "seven"}), "what the person did");
    // For a run that goes on: the frames that it was said of, but those that the loader never had.
    let frames = std::fs::read_dir(robot.path("run/corrected")).unwrap().map(Result::unwrap);
    let frames: Vec<PathBuf> = frames.map(|frame| frame.path()).collect();
    assert!(frames.len() >= 4, "{frames:?}");
    for frame in frames {
        assert!(std::fs::read(&frame).unwrap().starts_with(&[0xff, 0xd8]), "{frame:?}");
        let id = frame.file_stem().unwrap().to_str().unwrap();
        assert!(remarks.contains(&format!("\"frame_id\":\"{id}\"")), "{frame:?}");
    }
    let judged = std::fs::read_to_string(robot.path("run/evaluations.jsonl")).unwrap();
    let judged: Value = serde_json::from_str(judged.lines().last().unwrap()).unwrap();
    assert_eq!(judged["n"], 2, "{judged}");
    Ok(())
}

vrft_tests::tests_that_need_tools!(
    a_rollout_at_a_quarter_of_its_speed_answers_less_and_changes_no_bit,
    a_term_by_meaning_is_learned_from_alike,
    words_that_a_person_says_are_right_are_what_the_robot_learns,
);
