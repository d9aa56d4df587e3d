//! Completions of several turns in whole runs, through the stock dora CLI: tools in Rust and in Python, a tool that is
//! silent, and an answer that the policy corrects itself.
//!
//! The starter policy was never shown a tool, but it writes `<think>` before each answer. So the tool of the example graphs
//! is connected here by the name `think`, and is called by each completion.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use vrft_tests::cluster::{dora, dora_run};
use vrft_tests::harness::Absent;
use vrft_tests::{alone, python, root, vrft};

/// Longer than a few steps take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(600);

/// Short, with little to evaluate.
const SHORT: &str = "\n[chosen_for]";
const STEPS: &str = "steps = 2\nprompts_per_step = 2";

/// What a run left behind.
struct Ran {
    code: Option<i32>,
    log: String,
    dir: PathBuf,
    _folder: tempfile::TempDir,
}

impl Ran {
    fn values(&self, node: &str, name: &str) -> Vec<f64> {
        let metrics = std::fs::read_to_string(self.dir.join("metrics.jsonl")).unwrap();
        let metrics = metrics.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        metrics
            .filter(|line| line["node"] == node && line["name"] == name)
            .map(|line| line["value"].as_f64().unwrap())
            .collect()
    }

    /// The weights that the run ended with.
    fn weights(&self) -> Vec<u8> {
        let path = self.dir.join("checkpoints/learner/step-000002/model.safetensors");
        std::fs::read(&path).unwrap_or_else(|error| panic!("{path:?}: {error}\n{}", self.log))
    }

    /// The held-out answers of the last policy.
    fn predictions(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.dir.join("predictions-rft.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn config(name: &str) -> String {
    std::fs::read_to_string(root().join("configs").join(name)).unwrap()
}

/// Runs a graph of `configs/` with this configuration and this tool in Python, if it has one.
fn run(graph: &str, toml: &str, tool: Option<&str>) -> Result<Ran, Absent> {
    let dora = dora()?;
    let python = tool.map(|_| python()).transpose()?;
    vrft();
    let _guard = alone();
    let folder = tempfile::tempdir().unwrap();
    let anchored = |text: &str| {
        text.replace("../", &format!("{}/", root().display()))
            .replace("\"rewards/", &format!("\"{}/configs/rewards/", root().display()))
    };
    let lines = config(graph);
    let lines = lines.lines().filter(|line| !line.trim_start().starts_with("build:"));
    let mut graph = lines.collect::<Vec<_>>().join("\n");
    graph =
        graph.replace("      zoom: {source: zoom/results", "      think: {source: zoom/results");
    graph = graph.replace("[groups, metrics, zoom]", "[groups, metrics, think]");
    graph = graph.replace("source: rollout/zoom", "source: rollout/think");
    graph = graph.replace("../nodes/zoom/python/zoom.py", "tool.py");
    std::fs::write(folder.path().join("graph.yml"), anchored(&graph)).unwrap();
    let name = if graph.contains("digits.toml") { "digits.toml" } else { "zoom.toml" };
    std::fs::write(folder.path().join(name), anchored(toml)).unwrap();
    if let Some(tool) = tool {
        std::fs::write(folder.path().join("tool.py"), tool).unwrap();
    }
    let dir = folder.path().join("run");
    let graph = folder.path().join("graph.yml");
    let variables = [("VRFT_RUN_DIR", dir.as_path())];
    let (code, log) = dora_run(&dora, &graph, python.as_deref(), &variables, PATIENCE);
    Ok(Ran { code, log, dir, _folder: folder })
}

/// The configuration of the example, for a short run.
fn short() -> String {
    let toml = config("zoom.toml").replace("steps = 20\nprompts_per_step = 4", STEPS);
    let toml = toml.replace("limit = 32", "limit = 3").replace("max_calls = 2", "max_calls = 1");
    assert!(toml.contains(STEPS) && toml.contains(SHORT) && toml.contains("max_calls = 1"));
    // Words about a tool would be new to the starter policy, and it would hardly think.
    let (before, rest) = toml.split_once("instructions = \"\"\"").unwrap();
    let (_, after) = rest.split_once("\"\"\"").unwrap();
    let toml = format!("{before}{after}");
    // All earn alike, so that something else must move the weights.
    let toml = toml.replace("held_out = [\"zoom\"]", "held_out = []");
    format!("{toml}\n[loss]\nentropy_coef = 0.01\n")
}

/// The tool of the example, which shows the same part of each picture whatever it is asked for.
fn shows_a_corner() -> String {
    let tool = std::fs::read_to_string(root().join("nodes/zoom/python/zoom.py")).unwrap();
    let blind = tool.replace("json.loads(call[\"arguments\"])", "(0, 0, 500, 500)");
    assert_ne!(blind, tool);
    blind
}

fn a_tool_in_python_shows_pictures_and_its_pace_changes_no_weight() -> Result<(), Absent> {
    let ran = run("python-zoom.yml", &short(), Some(&shows_a_corner()))?;
    assert_eq!(ran.code, Some(0), "{}", ran.log);
    let calls = ran.values("rollout", "completions/calls/mean");
    assert_eq!(calls.len(), 2);
    assert!(calls.iter().all(|calls| *calls > 0.5 && *calls <= 1.0), "{calls:?}");
    for (calls, costs) in calls.iter().zip(ran.values("advantage", "reward/calls/mean")) {
        assert!((calls + costs).abs() < 1e-6, "a call counts once: {calls} {costs}");
    }
    // The learner reads pictures and words where the rollout read them, or its probabilities would be others.
    let ratios = ran.values("learner", "policy/ratio");
    assert_eq!(ratios.len(), 2, "{}", ran.log);
    assert!(ratios.iter().all(|ratio| (ratio - 1.0).abs() < 1e-3), "{ratios:?}");
    let norms = ran.values("learner", "policy/grad_norm");
    assert!(norms.iter().all(|norm| *norm > 1e-3), "{norms:?}");
    let slow = shows_a_corner()
        .replace("def look(call):", "def look(call):\n    __import__('time').sleep(0.05)");
    let slow = run("python-zoom.yml", &short(), Some(&slow))?;
    assert_eq!(slow.code, Some(0), "{}", slow.log);
    assert!(ran.weights() == slow.weights(), "a slow tool changes nothing but the time");
    Ok(())
}

fn a_wrong_call_comes_back_in_words_and_the_run_goes_on() -> Result<(), Absent> {
    let ran = run("zoom.yml", &short(), None)?;
    assert_eq!(ran.code, Some(0), "{}", ran.log);
    let calls = ran.values("rollout", "completions/calls/mean");
    assert!(calls.len() == 2 && calls[0] > 0.5, "{calls:?}");
    let ratios = ran.values("learner", "policy/ratio");
    assert!(ratios.iter().all(|ratio| (ratio - 1.0).abs() < 1e-3), "{ratios:?}");
    Ok(())
}

fn a_tool_that_is_silent_ends_the_run_with_its_name() -> Result<(), Absent> {
    let if_message = "        if header[\"vrft_kind\"] == \"message\":";
    let takes = format!("{if_message}\n            continue\n{if_message}");
    let silent = shows_a_corner().replace(if_message, &takes);
    assert!(silent.contains("continue"));
    // Less than the time after which a pulse would tell that a message is missing.
    let toml = short().replace("timeout_secs = 60", "timeout_secs = 1");
    let ran = run("python-zoom.yml", &toml, Some(&silent))?;
    assert_ne!(ran.code, Some(0), "{}", ran.log);
    let says = "tool \"think\": node \"zoom\" has not answered within 1s";
    assert!(ran.log.contains(says), "{}", ran.log);
    Ok(())
}

fn the_policy_answers_is_asked_again_and_each_turn_is_credited() -> Result<(), Absent> {
    let toml = config("digits.toml")
        .replace("steps = 100\nprompts_per_step = 8", STEPS)
        .replace("limit = 0", "limit = 3")
        .replace("flip = \"both\"", "flip = \"none\"")
        .replace("checkpoint_every = 25", "checkpoint_every = 2")
        .replace("max_completion_tokens = 40", "max_completion_tokens = 80")
        .replace("[reward.answer]", "[reward.correction]\nfirst = \"policy\"\n\n[reward.answer]");
    let ran = run("rft.yml", &toml, None)?;
    assert_eq!(ran.code, Some(0), "{}", ran.log);
    let seconds = ran.values("rollout", "completions/second_turn");
    assert!(seconds.len() == 2 && seconds.iter().all(|share| *share > 0.5), "{seconds:?}");
    let ratios = ran.values("learner", "policy/ratio");
    assert!(ratios.iter().all(|ratio| (ratio - 1.0).abs() < 1e-3), "{ratios:?}");
    let (first, second) = (
        ran.values("advantage", "reward/first_turn/mean"),
        ran.values("advantage", "reward/total/mean"),
    );
    let gain = ran.values("advantage", "reward/gain/mean");
    assert_eq!((first.len(), second.len(), gain.len()), (2, 2, 2));
    // First turns earn r1 + r2 / 2, second ones r2 + gain, where the gain is r2 - r1.
    for ((first, second), gain) in first.iter().zip(&second).zip(&gain) {
        let r2 = second - gain;
        let r1 = r2 - gain;
        assert!((first - (r1 + 0.5 * r2)).abs() < 1e-4, "{first} {second} {gain}");
    }
    // Held-out answers have both turns, and the last one counts.
    let turned = ran.predictions().into_iter().filter(|line| line["turns"].is_array());
    let turned: Vec<Value> = turned.collect();
    assert!(!turned.is_empty());
    for line in &turned {
        assert_eq!(line["turns"][0]["tool"], Value::Null);
        assert!(line["turns"][0]["reply"].as_str().unwrap().starts_with("Check your answer"));
        assert_ne!(line["turns"][0]["said"], Value::Null);
    }
    let report = std::fs::read_to_string(ran.dir.join("report.html")).unwrap();
    assert!(report.contains("<p class=reply><b>question</b> Check your answer"), "the gallery");
    Ok(())
}

vrft_tests::tests_that_need_tools!(
    a_tool_in_python_shows_pictures_and_its_pace_changes_no_weight,
    a_wrong_call_comes_back_in_words_and_the_run_goes_on,
    a_tool_that_is_silent_ends_the_run_with_its_name,
    the_policy_answers_is_asked_again_and_each_turn_is_credited,
);
