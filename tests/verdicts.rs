//! What a run is told about itself: problems with their cause and remedy, and which of its policies is the best.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use vrft_dataset::{Dataset, Truth};
use vrft_tests::{Run, root, squares, vrft};

fn run(arguments: &[&str]) -> Output {
    Command::new(vrft()).args(arguments).current_dir(root()).output().unwrap()
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Each of these words is in what the run says at its end, in what the doctor says, who fails, and in the report.
#[track_caller]
fn told(small: &Run, words: &[&str]) {
    let outcome = small.finish().ok();
    let doctor = run(&["doctor", &small.out().display().to_string()]);
    assert!(!doctor.status.success(), "the doctor should fail\n{}", printed(&doctor));
    let report = std::fs::read_to_string(small.out().join("report.html")).unwrap();
    for word in words {
        for (place, text) in
            [("run", &outcome.stdout), ("doctor", &printed(&doctor)), ("report", &report)]
        {
            assert!(text.contains(word), "{word:?} is not in what the {place} says\n{text}");
        }
    }
}

#[test]
fn completions_that_are_all_cut_are_told_with_the_key_to_raise() {
    let small = Run::small().set("rollout.max_completion_tokens=4");
    told(
        &small,
        &[
            "100 % of the completions are cut at 4 tokens",
            "rollout.max_completion_tokens = 4 is too short for an answer",
            "raise rollout.max_completion_tokens",
        ],
    );
}

/// Rows of the default run that say where the digit is, with another question.
fn rows(folder: &Path, problem: &str) -> String {
    let digits = Dataset::open(&root().join("data/digits/shots.parquet")).unwrap();
    let lines = digits.iter().take(8).enumerate().map(|(idx, row)| {
        let image = format!("{idx}.png");
        std::fs::write(folder.join(&image), row.pictures[0].bytes().unwrap()).unwrap();
        let Truth::Text(solution) = &row.truth else { panic!("an answer in words") };
        json!({"image": image, "problem": problem, "solution": &**solution}).to_string()
    });
    let file = folder.join("rows.jsonl");
    std::fs::write(&file, lines.collect::<Vec<String>>().join("\n")).unwrap();
    file.display().to_string()
}

#[test]
fn a_form_that_nobody_asks_for_is_told_with_the_switch_that_asks() {
    let small = Run::small().set("data.shots=0");
    // The question says nothing of the form of an answer.
    let data = squares::rows(small.folder(), "rows.jsonl", 0..8, "Where is the bright square?");
    let small = small.set(&format!("data.train={data}"));
    told(
        &small,
        &[
            "0 % of the completions have the form that is paid for",
            "the questions do not say what an answer looks like",
            "set reward.format.instruct = true",
        ],
    );
}

/// A label's worth by step, as it was evaluated.
fn worth(small: &Run, label: &str) -> Vec<(u64, f64)> {
    let lines = small.lines("evaluations.jsonl").into_iter();
    let of_label = lines.filter(|line| line["label"] == label);
    let worth =
        |line: Value| Some((line["policy_version"].as_u64()?, line["metrics"]["miou"].as_f64()?));
    of_label.filter_map(worth).collect()
}

fn best(small: &Run) -> Value {
    let text = std::fs::read_to_string(small.out().join("best.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn a_policy_that_diverges_is_told_and_the_best_before_it_is_kept() {
    let small = Run::small()
        .set("learner.steps=6")
        .set("learner.keep_checkpoints=1")
        .set("evaluation.every=1")
        .set("optimizer.learning_rate=0.05")
        .set("optimizer.max_grad_norm=0")
        .set("optimizer.schedule=constant");
    told(
        &small,
        &[
            "The policy has diverged",
            "optimizer.learning_rate = 5e-2 is too high and gradients are not clipped",
            "start again from what the run began with, or from a checkpoint of before step",
        ],
    );
    let best = &best(&small)["rft"];
    let worth = worth(&small, "rft");
    assert_eq!(worth.len(), 6, "{worth:?}");
    let highest = worth.iter().map(|(_, miou)| *miou).fold(0.0, f64::max);
    let (step, _) = worth.iter().find(|(_, miou)| *miou == highest).unwrap();
    assert_eq!((best["step"].as_u64(), best["value"].as_f64()), (Some(*step), Some(highest)));
    assert_eq!(best["chosen_on"], "evaluation.test");
    // Rotated away where the learner keeps its checkpoints, and loadable where the best is kept.
    let kept = small.out().join(best["checkpoint"].as_str().unwrap());
    assert!(!small.out().join(format!("checkpoints/learner/step-{:06}", 1)).exists());
    let checkpoint = kept.display().to_string();
    let output = run(&["eval", "--checkpoint", &checkpoint, "--set", "evaluation.limit=4"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let again: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(again["metrics"]["miou"].as_f64(), Some(highest));
    let report = std::fs::read_to_string(small.out().join("report.html")).unwrap();
    let (_, base) = self::worth(&small, "base")[0];
    let words = if highest > base {
        format!("Best of RFT: step {step}")
    } else {
        format!("No policy of RFT is better than the base's {base:.3}; the nearest: step {step}")
    };
    assert!(report.contains(&words), "{words:?} is not in the report");
    assert!(report.contains("selected on test"), "not in the report");
}

#[test]
fn rows_for_choosing_are_chosen_on_and_not_reported() {
    let small = Run::small();
    let rows = rows(small.folder(), "Where is the digit?");
    let small = small
        .set(&format!("evaluation.validation={rows}"))
        .set("evaluation.every=2")
        .set("learner.checkpoint_every=0");
    let outcome = small.finish().ok();
    let best = &best(&small)["rft"];
    assert_eq!(best["chosen_on"], "evaluation.validation");
    let chosen_by = small.lines("validations.jsonl");
    let of_rft = chosen_by.iter().filter(|line| line["label"] == "rft");
    let highest = of_rft.filter_map(|line| line["value"].as_f64()).fold(0.0, f64::max);
    assert_eq!(best["value"].as_f64(), Some(highest));
    assert!(outcome.stdout.contains("selected on evaluation.validation"), "{}", outcome.stdout);
    // The same rows are learned from, which is said.
    let labels = small.lines("evaluations.jsonl").into_iter().map(|line| line["n"].as_u64());
    assert!(labels.into_iter().all(|n| n == Some(4)));
}

#[test]
fn a_sound_run_has_no_problem() {
    let small = Run::small().set("learner.steps=3");
    let outcome = small.finish().ok();
    assert!(!outcome.stdout.contains("Problem:"), "{}", outcome.stdout);
    let doctor = run(&["doctor", &small.out().display().to_string()]);
    assert!(doctor.status.success(), "{}", printed(&doctor));
    // Three steps may or may not have helped.
    assert!(printed(&doctor).contains("of RFT"), "{}", printed(&doctor));
    assert!(printed(&doctor).contains("step 3, mIoU"), "{}", printed(&doctor));
}
