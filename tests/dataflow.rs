//! Whole runs of the default graph: every stage a process, every message over dora.

use vrft_tests::Run;

#[test]
fn a_run_learns_evaluates_and_reports() {
    let run = Run::small();
    let outcome = run.finish().ok();
    assert_eq!(run.metric("learner", "policy/loss").len(), 4);
    assert_eq!(run.metric("sft", "policy/loss").len(), 4);
    assert_eq!(run.metric("advantage", "reward/total/mean").len(), 4);
    assert_eq!(run.metric("learner", "policy/staleness"), [0.0; 4]);
    let evaluations = run.lines("evaluations.jsonl");
    let labels: Vec<&str> =
        evaluations.iter().map(|line| line["label"].as_str().unwrap()).collect();
    for label in ["constant", "base", "sft", "rft"] {
        assert_eq!(labels.iter().filter(|found| **found == label).count(), 1, "{labels:?}");
    }
    for file in ["report.html", "config.toml", "environment.json", "predictions-rft.jsonl"] {
        assert!(run.out().join(file).metadata().unwrap().len() > 100, "{file}");
    }
    assert!(outcome.stdout.contains("step 4/4"), "{}", outcome.stdout);
}

/// The configuration of the demonstration as it is, but for its length.
#[test]
fn the_demonstration_learns_from_answers_to_which_thinking_leads() {
    let run = Run::small().config(&vrft_tests::root().join("configs/default.toml"));
    run.finish().ok();
    let lines = run.lines("predictions-base.jsonl");
    assert_eq!(lines.len(), 4);
    for line in lines {
        let said = line["completion"].as_str().unwrap();
        let thinking = said.strip_prefix("<think>").and_then(|rest| rest.split_once("</think>"));
        assert!(thinking.is_some_and(|(steps, _)| steps.contains(". ")), "{said}");
    }
}

#[test]
fn the_policy_that_samples_is_the_policy_that_learns() {
    let run = Run::small().set("learner.steps=2");
    run.finish().ok();
    // On-policy, the importance ratio is 1 but for rounding, so nothing is clipped.
    assert_eq!(run.metric("learner", "policy/clip_fraction"), [0.0; 2]);
}

#[test]
fn the_same_seed_gives_the_same_weights() {
    let mut run = Run::small();
    run.finish().ok();
    let (rft, sft) = (run.final_weights("learner"), run.final_weights("sft"));
    run.again("second");
    run.finish().ok();
    assert!(rft == run.final_weights("learner"), "reinforcement fine-tuning differs");
    assert!(sft == run.final_weights("sft"), "supervised fine-tuning differs");
    assert!(rft != sft);
}

#[test]
fn another_seed_gives_other_weights() {
    let mut run = Run::small();
    run.finish().ok();
    let weights = run.final_weights("learner");
    run.again("second");
    let run = run.set("run.seed=1");
    run.finish().ok();
    assert!(weights != run.final_weights("learner"));
}

#[test]
fn weights_pulled_through_the_network_are_the_same_weights() {
    let mut run = Run::small();
    run.finish().ok();
    let weights = run.final_weights("learner");
    run.again("pulled");
    let run = run.set("weights.endpoint=tcp/127.0.0.1:17547").set("weights.always_pull=true");
    run.finish().ok();
    assert!(weights == run.final_weights("learner"));
}

#[test]
fn window_two_overlaps_and_stays_within_its_staleness() {
    let run = Run::small().set("learner.window=2").set("learner.steps=5");
    run.finish().ok();
    assert_eq!(run.metric("learner", "policy/staleness"), [0.0, 1.0, 1.0, 1.0, 1.0]);
}
