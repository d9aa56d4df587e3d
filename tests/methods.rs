//! Few-shot methods beside the plain ones, in whole runs: attacked pictures, soft prompts, starts learned over tasks, and a
//! policy that was taught to call a tool.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;
use vrft_tests::{Run, root, vrft};

fn run(arguments: &[&str]) -> Output {
    Command::new(vrft()).args(arguments).current_dir(root()).output().unwrap()
}

#[track_caller]
fn ok(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[track_caller]
fn refused(arguments: &[&str], words: &[&str]) {
    let output = run(arguments);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "it was accepted");
    assert!(words.iter().all(|word| error.contains(word)), "{error}");
}

fn json(file: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

/// The folder of the last checkpoint of a run of two steps.
fn last(run: &Run) -> PathBuf {
    run.out().join("checkpoints/learner/step-000002")
}

#[test]
fn adapters_learn_from_attacked_pictures_and_are_judged_on_both() {
    let run = Run::of(&root().join("configs/sft.yml"))
        .config(&root().join("configs/adversarial.toml"))
        .set("learner.steps=2")
        .set("learner.prompts_per_step=2")
        .set("evaluation.limit=3")
        .set("evaluation.attack.steps=4");
    run.finish().ok();
    let (before, after) =
        (run.metric("learner", "attack/nll_before"), run.metric("learner", "attack/nll"));
    assert_eq!((before.len(), after.len()), (2, 2));
    assert!(
        before.iter().zip(&after).all(|(before, after)| after > before),
        "{before:?} {after:?}"
    );
    let evaluations = run.lines("evaluations.jsonl");
    let of = |label: &str| {
        let line = evaluations.iter().rfind(|line| line["label"] == label).unwrap();
        line["metrics"].clone()
    };
    for label in ["base", "sft"] {
        let metrics = of(label);
        let value =
            |name: &str| metrics[name].as_f64().unwrap_or_else(|| panic!("{name}: {metrics}"));
        assert!(value("attack/nll") > value("attack/nll_before"), "{metrics}");
        assert!(
            (0.0..=1.0).contains(&value("miou")) && (0.0..=1.0).contains(&value("attacked/miou"))
        );
    }
    // The best answer that never looks cannot be attacked.
    assert!(of("constant").get("attacked/miou").is_none());
    assert!(last(&run).join("adapter_config.json").exists());
}

#[test]
fn a_soft_prompt_is_learned_by_rewards_saved_resumed_and_used() {
    let run = Run::small()
        .set("learner.steps=2")
        .set("policy.prompt_tuning.tokens=4")
        .set("optimizer.learning_rate=0.01");
    run.finish().ok();
    let settings = json(&last(&run).join("adapter_config.json"));
    assert_eq!(settings["peft_type"], "PROMPT_TUNING");
    assert_eq!(settings["num_virtual_tokens"], 4);
    let prompt = |run: &Run| std::fs::read(last(run).join("adapter_model.safetensors")).unwrap();
    let whole = prompt(&run);
    // Held near the policy without it.
    assert!(run.metric("learner", "policy/kl").iter().any(|kl| *kl > 0.0));
    let checkpoint = last(&run).display().to_string();
    let few = ["--set", "evaluation.limit=2"];
    let judged = ok(&[&["eval", "--checkpoint", &checkpoint], &few[..]].concat());
    let base = ok(&[&["eval", "--checkpoint", "data/starter"], &few[..]].concat());
    assert_ne!(judged, base);
    vrft_tests::squares::rows(run.folder(), "rows.jsonl", 0..1, "Where is it?");
    let picture = run.folder().join("0.bmp").display().to_string();
    ok(&["ask", "--checkpoint", &checkpoint, "--image", &picture, "Where is the bright square?"]);
    let merged = run.folder().join("merged").display().to_string();
    refused(
        &["merge", &checkpoint, &merged],
        &["a soft prompt of 4 vectors", "no weight can hold"],
    );
    refused(&["export", "--gguf", "f16", &checkpoint, &merged], &["a soft prompt of 4 vectors"]);
    let mut again = run;
    again.again("again");
    again.interrupt_after(1);
    again.resume().ok();
    assert!(prompt(&again) == whole, "the resumed prompt differs");
}

#[test]
fn a_start_that_is_learned_over_two_tasks_is_where_a_third_begins() {
    let few = [
        "--set",
        "policy.prompt_tuning.tokens=4",
        "--set",
        "data.shots=4",
        "--set",
        "sft.optimizer.learning_rate=0.01",
    ];
    let run = Run::of(&root().join("dataflow.yml"))
        .config(&root().join("configs/scenes/shifted/count.toml"))
        .set("learner.steps=2")
        .set("learner.prompts_per_step=2")
        .set("rollout.group_size=2")
        .set("evaluation.limit=2");
    let start = run.folder().join("start");
    let start = start.to_str().unwrap();
    let tasks = ["configs/scenes/shifted/classify.toml", "configs/scenes/shifted/color.toml"];
    let small = ["--iterations", "2", "--inner", "2", "--batch", "2", "--out", start];
    let said = ok(&[&["meta"], &tasks[..], &small[..], &few[..]].concat());
    assert!(said.contains("learned from classify, color; name it in policy.path"), "{said}");
    assert_eq!(json(&Path::new(start).join("adapter_config.json"))["num_virtual_tokens"], 4);
    refused(
        &[&["meta"], &tasks[..], &small[..], &few[..]].concat(),
        &["adapter_config.json already"],
    );
    let run = run.set(&format!("policy.path={start}"));
    run.finish().ok();
    let [mine, theirs] = [last(&run), PathBuf::from(start)]
        .map(|folder| std::fs::read(folder.join("adapter_model.safetensors")).unwrap());
    assert!(mine.len() == theirs.len() && mine != theirs);
}

/// A copy of the configuration of the zoom for the smallest runs.
fn zoom(graph: &str) -> Run {
    Run::of(&root().join("configs").join(graph))
        .config(&root().join("configs/zoom.toml"))
        .set("learner.prompts_per_step=4")
        .set("evaluation.limit=2")
        .set("evaluation.every=0")
}

/// The starter was never shown a tool. A few supervised steps on answers that begin with a call teach it to write one; then
/// it learns by rewards, through the node that cuts the picture.
#[test]
fn a_policy_that_was_shown_calls_calls_and_a_run_that_is_stopped_between_turns_goes_on_alike() {
    let taught = zoom("sft.yml")
        .set("learner.steps=40")
        .set("sft.answer_prefix=\"<zoom>[250, 250, 750, 750]</zoom>\"")
        .set("sft.optimizer.learning_rate=1e-3");
    taught.finish().ok();
    let policy = taught.out().join("checkpoints/learner/step-000040");
    let kept = tempfile::tempdir().unwrap();
    let policy = {
        let copy = kept.path().join("taught");
        std::fs::create_dir(&copy).unwrap();
        for entry in std::fs::read_dir(&policy).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                std::fs::copy(&path, copy.join(path.file_name().unwrap())).unwrap();
            }
        }
        copy.display().to_string()
    };
    drop(taught);
    let mut run = zoom("zoom.yml")
        .set(&format!("policy.path={policy}"))
        .set("learner.steps=3")
        .set("learner.prompts_per_step=2")
        .set("learner.checkpoint_every=1")
        .set("rollout.group_size=4");
    run.finish().ok();
    let calls = run.metric("rollout", "completions/calls/mean");
    assert!(calls.len() == 3 && calls.iter().all(|calls| *calls > 0.5), "{calls:?}");
    // What was shown is read in learning as it was in sampling.
    let ratios = run.metric("learner", "policy/ratio");
    assert!(ratios.iter().all(|ratio| (ratio - 1.0).abs() < 1e-3), "{ratios:?}");
    // Held-out answers have the turn, and the part of the picture that came back.
    let base = run.lines("predictions-base.jsonl");
    let shown = base.iter().filter_map(|line| line["turns"][0]["pictures"].as_array());
    assert!(shown.filter(|pictures| !pictures.is_empty()).count() > 0, "{base:?}");
    let whole = run.final_weights("learner");
    run.again("again");
    // The next rollout is under way: its completions wait for the tool, or read on behind it.
    run.interrupt_a_moment_after(1, Duration::from_millis(150));
    run.resume().ok();
    assert!(run.final_weights("learner") == whole, "the resumed run ends with other weights");
    assert_eq!(run.metric("rollout", "completions/calls/mean"), calls);
}

#[test]
fn a_policy_that_never_calls_its_tools_is_diagnosed() {
    let run = zoom("zoom.yml")
        .set("learner.steps=2")
        .set("learner.prompts_per_step=2")
        .set("rollout.group_size=2");
    run.finish().ok();
    assert_eq!(run.metric("rollout", "completions/calls/mean"), [0.0, 0.0]);
    let doctor = ok_or_not(&["doctor", &run.out().display().to_string()]);
    assert!(doctor.contains("none of its completions calls one (since step 1)"), "{doctor}");
}

/// What a command says, whether it succeeds or not.
fn ok_or_not(arguments: &[&str]) -> String {
    let output = run(arguments);
    let [out, err] =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    out + &err
}
