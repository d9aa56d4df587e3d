//! Learning from the record of an earlier run, and estimating from it: `configs/offline.yml` and `configs/estimate.yml`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use vrft_tests::cluster::{dora, dora_run, stock_graph};
use vrft_tests::harness::Absent;
use vrft_tests::{Run, root};

/// Longer than four steps take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

fn example(name: &str) -> Run {
    Run::of(&root().join(format!("configs/{name}.yml")))
}

/// A run that recorded four steps of two prompts, and its folder.
fn recorded() -> (Run, PathBuf) {
    let run = example("journal");
    run.finish().ok();
    let folder = run.out().to_owned();
    (run, folder)
}

/// The same settings in another graph, with that record.
fn learning_from(mut run: Run, record: &Path, graph: &str) -> Run {
    run.again(graph);
    run.with_example(graph).env("VRFT_REPLAY", &record.display().to_string())
}

fn a_policy_learns_from_a_record_and_gives_out_no_version() -> Result<(), Absent> {
    let (run, record) = recorded();
    let recorded = run.final_weights("learner");
    let run = learning_from(run, &record, "offline")
        .set("learner.steps=8")
        .set("learner.distinct_prompts=8");
    run.finish().ok();
    assert_eq!(run.metric("learner", "policy/loss").len(), 8);
    let shares = run.metric("learner", "policy/effective_samples");
    assert!(shares.len() == 8 && shares[0] > 0.999, "the start sampled the first step: {shares:?}");
    assert!(shares[1..].iter().all(|share| *share < 0.9999), "{shares:?}");
    assert!(run.metric("learner", "policy/staleness").is_empty());
    assert!(run.metric("learner", "policy/clip_fraction").len() == 8);
    assert!(run.final_weights("learner") != recorded);
    let versions = std::fs::read_dir(run.out().join("versions/learner")).unwrap();
    assert_eq!(versions.count(), 0, "nothing could sample from what is learned");
    Ok(())
}

/// The same record by another objective: the ratio to the policy that sampled, clipped.
fn the_clipped_ratio_learns_from_a_record_too() -> Result<(), Absent> {
    let (run, record) = recorded();
    let run = learning_from(run, &record, "offline")
        .set("loss.type=grpo")
        .set("learner.steps=8")
        .set("learner.distinct_prompts=8");
    run.finish().ok();
    let ratios = run.metric("learner", "policy/ratio");
    assert!(ratios.len() == 8 && (ratios[0] - 1.0).abs() < 1e-3, "{ratios:?}");
    // On the second pass the policy is no longer the one that sampled.
    assert!(ratios[4..].iter().all(|ratio| *ratio != 1.0), "{ratios:?}");
    let norms = run.metric("learner", "policy/grad_norm");
    assert!(norms.len() == 8 && norms.iter().any(|norm| *norm > 0.0), "{norms:?}");
    Ok(())
}

fn what_is_too_far_from_the_record_is_refused_within_a_limit() -> Result<(), Absent> {
    let (run, record) = recorded();
    let run = learning_from(run, &record, "offline")
        .set("optimizer.learning_rate=0.01")
        .set("loss.effective_samples.min=0.9")
        .set("loss.effective_samples.max_refused=1");
    run.finish().failed(&["loss.effective_samples.min = 0.9", "2 steps were refused"]);
    assert_eq!(run.metric("learner", "policy/refused_steps"), [0.0, 1.0]);
    Ok(())
}

fn a_record_of_other_questions_is_refused() -> Result<(), Absent> {
    let (run, record) = recorded();
    let run = learning_from(run, &record, "offline").set("run.seed=5");
    run.finish().failed(&["was logged as a question of task", "run.seed"]);
    Ok(())
}

fn what_a_policy_would_earn_is_estimated_from_a_record() -> Result<(), Absent> {
    let (run, record) = recorded();
    let best = record.join("checkpoints/learner/step-000004");
    let read = |run: &Run| -> Value {
        let text = std::fs::read_to_string(run.out().join("estimate.json")).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["estimate"].clone()
    };
    // The policy that the run started from sampled its first step: of that it earns what was recorded.
    let run = learning_from(run, &record, "estimate").set("learner.steps=1");
    run.finish().ok();
    let of_start = read(&run);
    let (value, logged) =
        (of_start["value"].as_f64().unwrap(), of_start["logged"].as_f64().unwrap());
    assert!((value - logged).abs() < 1e-3, "{of_start}");
    assert_eq!(run.metric("estimate", "estimate/reward"), [value]);
    let mut run =
        run.set("learner.steps=4").set(&format!("policy.path={:?}", best.display().to_string()));
    run.again("estimate-of-last");
    run.finish().ok();
    let of_last = read(&run);
    let share = of_last["effective_share"].as_f64().unwrap();
    assert!((0.1..0.99999).contains(&share), "{of_last}");
    assert_eq!(of_last["n_answers"], 32);
    let interval: Vec<f64> = serde_json::from_value(of_last["interval"].clone()).unwrap();
    assert!(interval[0] <= interval[1] && interval[1] < 3.0, "{of_last}");
    Ok(())
}

/// With the stock CLI there is no launcher that could help: graph and settings alone.
fn the_stock_cli_learns_from_a_record() -> Result<(), Absent> {
    let dora = dora()?;
    let (run, record) = recorded();
    let run = learning_from(run, &record, "offline");
    run.finish().ok();
    let expected = run.final_weights("learner");
    let folder = tempfile::tempdir().unwrap();
    let config = run.out().join("config.toml");
    let path = stock_graph(&root().join("configs/offline.yml"), &config, folder.path());
    let run_dir = folder.path().join("run");
    let variables = [("VRFT_RUN_DIR", run_dir.as_path()), ("VRFT_REPLAY", record.as_path())];
    let (code, log) = dora_run(&dora, &path, None, &variables, PATIENCE);
    assert_eq!(code, Some(0), "{log}");
    let weights = run_dir.join("checkpoints/learner/step-000004/model.safetensors");
    assert!(std::fs::read(weights).unwrap() == expected, "{log}");
    Ok(())
}

vrft_tests::tests_that_need_tools!(
    a_policy_learns_from_a_record_and_gives_out_no_version,
    the_clipped_ratio_learns_from_a_record_too,
    what_is_too_far_from_the_record_is_refused_within_a_limit,
    a_record_of_other_questions_is_refused,
    what_a_policy_would_earn_is_estimated_from_a_record,
    the_stock_cli_learns_from_a_record,
);
