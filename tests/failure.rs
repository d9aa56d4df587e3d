//! What happens when something breaks: the run ends soon, says why, and can be resumed.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use vrft_tests::{Run, root, signal};

/// Longest time that a broken run may take to end.
const SOON: Duration = Duration::from_secs(20);

/// Weights of learner and baseline after a small run that nobody disturbed.
fn undisturbed() -> &'static (Vec<u8>, Vec<u8>) {
    static WEIGHTS: OnceLock<(Vec<u8>, Vec<u8>)> = OnceLock::new();
    WEIGHTS.get_or_init(|| {
        let run = Run::small();
        run.finish().ok();
        (run.final_weights("learner"), run.final_weights("sft"))
    })
}

/// Kills one node after the second step; the run must end soon, name it, and resume to the same weights.
fn killed(executable: &str, argument: Option<&str>, name: &str) {
    let (rft, sft) = undisturbed();
    let run = Run::small();
    let mut running = run.start();
    // The baseline is quick: its nodes are caught while they start.
    running.await_step(if argument.is_some() { 0 } else { 2 });
    let pid = running.node_pid(executable, argument).expect("the node is there to be killed");
    let start = Instant::now();
    signal(pid, libc::SIGKILL);
    let outcome = running.wait().failed(&[name, "--resume"]);
    assert!(start.elapsed() < SOON, "took {:?} to end\n{outcome:?}", start.elapsed());
    run.resume().ok();
    assert!(*rft == run.final_weights("learner"), "other weights after {name} died");
    assert!(*sft == run.final_weights("sft"), "another baseline after {name} died");
}

#[test]
fn a_killed_loader() {
    killed("vrft-loader", None, "loader");
}

#[test]
fn a_killed_rollout() {
    killed("vrft-rollout", None, "rollout");
}

#[test]
fn a_killed_reward() {
    killed("vrft-reward", None, "reward");
}

#[test]
fn a_killed_advantage() {
    killed("vrft-advantage", None, "advantage");
}

#[test]
fn a_killed_learner() {
    killed("vrft-learner", None, "learner");
}

#[test]
fn a_killed_baseline() {
    killed("vrft-learner", Some("sft"), "sft");
}

#[test]
fn a_killed_evaluator() {
    killed("vrft-evaluator", None, "evaluator");
}

#[test]
fn a_killed_monitor() {
    killed("vrft-monitor", None, "monitor");
}

/// Nobody hears of every node there, and the camera would go on for ever.
#[test]
fn a_graph_without_a_monitor_ends_when_its_answering_node_dies_and_says_so_at_once() {
    let run = Run::of(&root().join("configs/dataflow.answer.yml"));
    let pictures = root().join("libs/model/tests/golden/images");
    let run = run.env("CAPTURE_PATH", &pictures.display().to_string());
    let served = run.folder().join("served");
    let run = run.set(&format!("answer.served={served:?}"));
    let mut running = run.start();
    running.await_text("answers.jsonl", "answer");
    let pid = running.node_pid("vrft-answer", None).expect("the node is there to be killed");
    let start = Instant::now();
    signal(pid, libc::SIGKILL);
    let outcome = running.wait().failed(&["node \"answer\" failed", "run.log"]);
    assert!(start.elapsed() < SOON, "took {:?} to end\n{outcome:?}", start.elapsed());
    assert!(
        outcome.stdout.contains("Node \"answer\" has failed: the others"),
        "{}",
        outcome.stdout
    );
}

/// What is wrong is found before the folder of the run is made.
#[test]
fn a_start_that_fails_leaves_no_folder() {
    let run = Run::small();
    let graph = std::fs::read_to_string(root().join("dataflow.yml")).unwrap();
    let graph = graph.replace("target/release/vrft-reward", "target/release/vrft-rewrd");
    let anchored = graph.replace("path: target", &format!("path: {}/target", root().display()));
    let file = run.folder().join("graph.yml");
    std::fs::write(&file, anchored).unwrap();
    let config = root().join("configs/default.toml");
    let run = run.with_graph(&file).config(&config);
    run.finish().failed(&["vrft-rewrd"]);
    assert!(!run.out().exists(), "a folder was left behind");
}

#[test]
fn an_interrupted_run_saves_first_and_ends_without_an_error() {
    let expected = &undisturbed().0;
    let run = Run::small().set("learner.checkpoint_every=0");
    run.interrupt_after(2);
    run.resume().ok();
    assert!(*expected == run.final_weights("learner"));
}

/// The default graph with a saboteur between rollout and reward.
fn sabotaged(run: &Run, arguments: &str) -> std::path::PathBuf {
    let text = std::fs::read_to_string(root().join("dataflow.yml")).unwrap();
    let mut graph: yaml_serde::Value = yaml_serde::from_str(&text).unwrap();
    let nodes = graph["nodes"].as_sequence_mut().unwrap();
    let reward = nodes.iter_mut().find(|node| node["id"] == "reward").unwrap();
    reward["inputs"]["groups"]["source"] = "saboteur/out".into();
    nodes.push(
        yaml_serde::from_str(&format!(
            "{{id: saboteur, path: target/release/vrft-saboteur, args: {arguments}, outputs: [out], inputs: \
             {{in: {{source: rollout/groups, queue_size: 16, queue_policy: backpressure}}}}}}"
        ))
        .unwrap(),
    );
    // Paths in a graph start at its folder.
    let file = root().join(format!("target/sabotaged-{}.yml", std::process::id()));
    let text = yaml_serde::to_string(&graph).unwrap();
    let absolute = |path: &str| root().join(path).display().to_string();
    let text = text.replace("target/release", &absolute("target/release"));
    std::fs::write(&file, text.replace("configs/", &format!("{}/", absolute("configs")))).unwrap();
    assert!(run.folder().exists());
    file
}

#[test]
fn a_message_lost_on_purpose_stops_the_run_and_names_the_edge() {
    let run = Run::small();
    let graph = sabotaged(&run, "--lose 2");
    let outcome = run.with_graph(&graph).finish();
    outcome.failed(&["edge saboteur/out -> reward/groups", "expected message 1, got 2: 1 lost"]);
}

#[test]
fn a_slow_edge_delays_but_loses_nothing() {
    let run = Run::small();
    let graph = sabotaged(&run, "--delay 300");
    let run = run.with_graph(&graph).set("learner.window=2");
    run.finish().ok();
    assert_eq!(run.metric("learner", "policy/loss").len(), 4);
}
