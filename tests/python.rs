//! A reward in Python: the script of `nodes/reward/python` in its graph, through the stock dora CLI.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use vrft_tests::cluster::{dora, dora_run};
use vrft_tests::harness::Absent;
use vrft_tests::{alone, python, root, vrft};

/// Longer than three steps take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// The example without its build line, and with paths that do not depend on where it is.
fn write_graph(folder: &Path) -> PathBuf {
    let read = |name: &str| std::fs::read_to_string(root().join("configs").join(name)).unwrap();
    let anchored = |text: String| {
        text.replace("../", &format!("{}/", root().display()))
            .replace("\"rewards/", &format!("\"{}/configs/rewards/", root().display()))
    };
    std::fs::write(folder.join("python-reward.toml"), anchored(read("python-reward.toml")))
        .unwrap();
    let graph = read("python-reward.yml");
    let lines = graph.lines().filter(|line| !line.trim_start().starts_with("build:"));
    let path = folder.join("python-reward.yml");
    std::fs::write(&path, anchored(lines.collect::<Vec<_>>().join("\n"))).unwrap();
    path
}

fn rewards_of_a_python_node_reach_the_learner() -> Result<(), Absent> {
    let dora = dora()?;
    let python = python()?;
    vrft();
    let _guard = alone();
    let folder = tempfile::tempdir().unwrap();
    let graph = write_graph(folder.path());
    let run_dir = folder.path().join("run");
    let variables = [("VRFT_RUN_DIR", run_dir.as_path())];
    let (code, log) = dora_run(&dora, &graph, Some(&python), &variables, PATIENCE);
    assert_eq!(code, Some(0), "{log}");

    let metrics = std::fs::read_to_string(run_dir.join("metrics.jsonl")).unwrap();
    let metrics: Vec<Value> =
        metrics.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let values = |node: &str, name: &str| -> Vec<f64> {
        let of_name = metrics.iter().filter(|line| line["node"] == node && line["name"] == name);
        of_name.map(|line| line["value"].as_f64().unwrap()).collect()
    };
    assert_eq!(values("learner", "policy/loss").len(), 3, "{log}");
    // Terms of 0 or 1, over 4 prompts with 8 completions each: no reward of ours gives such means.
    let (total, format, count) = (
        values("advantage", "reward/total/mean"),
        values("advantage", "reward/format/mean"),
        values("advantage", "reward/count/mean"),
    );
    assert_eq!((total.len(), format.len(), count.len()), (3, 3, 3));
    for step in 0..3 {
        assert!((total[step] - format[step] - count[step]).abs() < 1e-6, "{total:?}");
        assert!(format[step] > 0.0 && (32.0 * total[step]).fract() == 0.0, "{total:?}");
    }
    // Three batches of rewards and the end marker, numbered without a gap, or the advantage would have stopped the run.
    assert!(log.contains("received={\"rewards\": 4}"), "{log}");
    Ok(())
}

vrft_tests::tests_that_need_tools!(rewards_of_a_python_node_reach_the_learner);
