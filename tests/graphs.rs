//! The example graphs of `configs/`: each run for real, and wrong ones refused before anything starts.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use vrft_tests::{Run, root, signal, slow_down, vrft};

fn example(name: &str) -> Run {
    Run::of(&root().join(format!("configs/{name}.yml")))
}

/// Weights of the learner after a small run of the default graph.
fn default_weights() -> &'static Vec<u8> {
    static WEIGHTS: OnceLock<Vec<u8>> = OnceLock::new();
    WEIGHTS.get_or_init(|| {
        let run = Run::small();
        run.finish().ok();
        run.final_weights("learner")
    })
}

/// The same with two rollouts: what is sampled together is rounded together, so these are others.
fn pooled_weights() -> &'static Vec<u8> {
    static WEIGHTS: OnceLock<Vec<u8>> = OnceLock::new();
    WEIGHTS.get_or_init(|| {
        let run = example("two-rollouts");
        run.finish().ok();
        assert_eq!(run.metric("pool", "pool/rollouts"), [2.0; 4]);
        run.final_weights("learner")
    })
}

fn labels(run: &Run) -> Vec<String> {
    let lines = run.lines("evaluations.jsonl");
    lines.iter().map(|line| line["label"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn supervised_fine_tuning_alone() {
    let run = example("sft");
    run.finish().ok();
    assert_eq!(run.metric("learner", "policy/loss").len(), 4);
    assert_eq!(labels(&run), ["constant", "base", "sft"]);
}

#[test]
fn reinforcement_alone() {
    let expected = default_weights();
    let run = example("rft");
    run.finish().ok();
    assert_eq!(run.metric("learner", "policy/loss").len(), 4);
    assert_eq!(labels(&run), ["constant", "base", "rft"]);
    assert_eq!(&run.final_weights("learner"), expected);
}

#[test]
fn evaluation_alone() {
    let run = example("evaluate");
    run.finish().ok();
    assert_eq!(labels(&run), ["constant", "base"]);
}

#[test]
fn two_rollouts_end_with_the_same_weights_whoever_is_faster() {
    let expected = pooled_weights();
    let run = example("two-rollouts").set("learner.window=1");
    let mut running = run.start();
    // One of them is held up now and then.
    for step in 1..4 {
        running.await_step(step);
        let rollout = running.node_pid("vrft-rollout", None).unwrap();
        signal(rollout, libc::SIGSTOP);
        std::thread::sleep(Duration::from_millis(200));
        signal(rollout, libc::SIGCONT);
    }
    running.wait().ok();
    assert!(*expected == run.final_weights("learner"));
}

/// A run of two rollouts, of which one may be slowed down from the first step on. Returns the run, the prompts that each
/// rollout answered after the second step, and the seconds of a step from there on.
fn pooled(n_units: usize, is_slowed: bool) -> (Run, Vec<f64>, f64) {
    const STEPS: u64 = 7;
    let run = Run::of_two_rollouts(STEPS).set(&format!("pool.units_per_rollout={n_units}"));
    let mut running = run.start();
    running.await_step(1);
    let is_over = AtomicBool::new(false);
    let secs = std::thread::scope(|scope| {
        if is_slowed {
            let slow = running.node_pid("vrft-rollout", None).unwrap();
            let is_over = &is_over;
            scope.spawn(move || slow_down(slow, is_over));
        }
        running.await_step(2);
        let start = Instant::now();
        running.await_step(STEPS);
        let secs = start.elapsed().as_secs_f64() / (STEPS - 2) as f64;
        is_over.store(true, Ordering::Relaxed);
        secs
    });
    running.wait().ok();
    let answered = |name: &str| -> f64 {
        let lines = run.lines("metrics.jsonl").into_iter();
        let name = format!("pool/prompts/{name}");
        let later = lines.filter(|line| line["name"] == name && line["step"].as_u64() > Some(2));
        later.map(|line| line["value"].as_f64().unwrap()).sum()
    };
    let answered = vec![answered("a"), answered("b")];
    (run, answered, secs)
}

#[test]
fn a_rollout_at_a_quarter_of_the_speed_does_not_set_the_pace_and_changes_no_bit() {
    let (even, _, even_secs) = pooled(4, false);
    let expected = even.final_weights("learner");
    drop(even);
    let (slowed, answered, slowed_secs) = pooled(4, true);
    assert!(expected == slowed.final_weights("learner"), "the same bits whoever answers");
    drop(slowed);
    // One unit each: both rollouts get half of every step.
    let (run, _, even_halves_secs) = pooled(1, false);
    drop(run);
    let (run, half, halves_secs) = pooled(1, true);
    drop(run);
    let share = |answered: &[f64]| {
        answered.iter().copied().fold(f64::INFINITY, f64::min) / answered.iter().sum::<f64>()
    };
    let (pulled, halves) = (slowed_secs / even_secs, halves_secs / even_halves_secs);
    eprintln!(
        "one of two rollouts at a quarter of its speed: with 4 units for each it answers {:.0} % of the prompts, and a step \
         takes {slowed_secs:.2} s in place of {even_secs:.2} s ({pulled:.2} times); with 1 unit for each {:.0} %, and \
         {halves_secs:.2} s in place of {even_halves_secs:.2} s ({halves:.2} times)",
        100.0 * share(&answered),
        100.0 * share(&half)
    );
    assert!(share(&half) == 0.5, "{half:?}");
    assert!(share(&answered) < 0.4, "{answered:?}");
    assert!(pulled < halves, "{pulled} {halves}");
}

#[test]
fn a_rollout_that_dies_is_survived_and_its_prompts_are_answered() {
    let expected = pooled_weights();
    let run = example("two-rollouts").set("pool.on_loss=survive");
    let mut running = run.start();
    running.await_step(1);
    signal(running.node_pid("vrft-rollout", None).unwrap(), libc::SIGKILL);
    let outcome = running.wait().ok();
    assert!(outcome.stdout.contains("was lost on the way"), "{}", outcome.stdout);
    assert_eq!(run.metric("learner", "policy/loss").len(), 4);
    assert_eq!(run.metric("pool", "pool/rollouts").last(), Some(&1.0));
    assert!(*expected == run.final_weights("learner"));
}

#[test]
fn a_rollout_that_dies_ends_the_run_if_it_should() {
    let expected = pooled_weights();
    let run = example("two-rollouts");
    let mut running = run.start();
    running.await_step(1);
    signal(running.node_pid("vrft-rollout", None).unwrap(), libc::SIGKILL);
    running.wait().failed(&["rollout_", "--resume"]);
    run.resume().ok();
    assert!(*expected == run.final_weights("learner"));
}

#[test]
fn a_rollout_that_hangs_is_passed_over_and_comes_back() {
    let expected = pooled_weights();
    let run = example("two-rollouts").set("pool.on_loss=survive").set("pool.patience_secs=3");
    let mut running = run.start();
    running.await_step(1);
    let rollout = running.node_pid("vrft-rollout", None).unwrap();
    signal(rollout, libc::SIGSTOP);
    running.await_step(3);
    signal(rollout, libc::SIGCONT);
    running.wait().ok();
    assert!(!run.metric("pool", "pool/reassigned").is_empty());
    assert!(*expected == run.final_weights("learner"));
}

#[test]
fn what_was_logged_can_be_learned_again() {
    let expected = default_weights();
    let mut run = example("journal");
    run.finish().ok();
    assert!(*expected == run.final_weights("learner"));
    let logged = run.out().to_owned();
    run.again("replayed");
    let run = run.with_example("replay").env("VRFT_REPLAY", &logged.display().to_string());
    run.finish().ok();
    assert!(*expected == run.final_weights("learner"));
    assert_eq!(run.metric("journal", "replay/staleness"), [0.0; 4]);
}

#[test]
fn a_reward_of_two_nodes_is_the_reward_of_one() {
    let mut run = example("journal");
    run.finish().ok();
    let earned = |run: &Run| {
        ["total", "iou", "confidence", "format"]
            .map(|term| run.metric("advantage", &format!("reward/{term}/mean"))[0])
    };
    let expected = earned(&run);
    run.again("split");
    let run = run.with_example("reward-terms");
    run.finish().ok();
    for (got, expected) in earned(&run).into_iter().zip(expected) {
        assert!((got - expected).abs() < 1e-6, "{got}, not {expected}");
    }
}

#[test]
fn meaning_is_one_more_term() {
    let run = Run::by_meaning();
    run.finish().ok();
    let mean = |term: &str| run.metric("advantage", &format!("reward/{term}/mean"));
    let (semantic, total) = (mean("semantic"), mean("total"));
    assert_eq!(semantic.len(), 2);
    assert!(semantic.iter().all(|value| (0.01..0.9999).contains(value)), "{semantic:?}");
    let rules = [("similarity", 1.0), ("length", 0.1), ("repetition", 0.5), ("format", 1.0)];
    let rules: f64 = rules.iter().map(|(term, weight)| weight * mean(term)[0]).sum();
    assert!((total[0] - rules - 0.5 * semantic[0]).abs() < 1e-5, "{total:?}");
}

#[test]
fn a_sentence_model_that_is_not_there_is_named_before_the_run() {
    let digits = root().join("data/digits/shots.parquet");
    let run = example("semantic")
        .set("semantic.model=no/model")
        .set(&format!("data.train={digits:?}"))
        .set(&format!("evaluation.test={digits:?}"));
    run.finish().failed(&["semantic.model", "no/model"]);
}

#[test]
fn a_monitor_may_come_later_and_from_elsewhere() {
    let run = example("late-monitor").set("learner.steps=12");
    let mut running = run.start();
    running.await_text("run.log", "learner:  INFO Saved.");
    let monitor = Command::new(root().join("target/release/vrft-monitor"))
        .args(["--join", "monitor"])
        .env("VRFT_CONFIG", run.out().join("config.toml"))
        .env("VRFT_RUN_DIR", run.out())
        .current_dir(root())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    running.wait().ok();
    let output = monitor.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let seen = run.metric("learner", "policy/loss").len();
    assert!((1..12).contains(&seen), "{seen} steps seen");
}

#[test]
fn tensorboard_files_are_there() {
    let run = example("sft");
    run.finish().ok();
    let folder = run.out().join("tensorboard/learner");
    let file = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap();
    let bytes = std::fs::read(file.path()).unwrap();
    let tag = b"policy/loss";
    assert_eq!(bytes.windows(tag.len()).filter(|window| window == tag).count(), 4);
}

/// `vrft check` on an example with one thing changed.
#[track_caller]
fn refused(name: &str, from: &str, to: &str, words: &[&str]) {
    let text = std::fs::read_to_string(root().join(format!("configs/{name}.yml"))).unwrap();
    assert!(text.contains(from));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wrong.yml");
    std::fs::write(&file, text.replacen(from, to, 1)).unwrap();
    let output = Command::new(vrft()).arg("check").arg(&file).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    words.iter().for_each(|words| assert!(stderr.contains(words), "{words:?} is not in\n{stderr}"));
}

#[test]
fn wrong_graphs_are_refused_with_node_edge_and_remedy() {
    let words = ["node \"learner\" (vrft-learner) needs an input \"groups\"", "carries groups"];
    refused(
        "two-rollouts",
        "groups: {source: pool/groups, queue_size: 16, queue_policy: backpressure}\n      adv",
        "adv",
        &words,
    );
    let words = ["edge loader/prompts -> reward/groups carries prompts, but groups is expected"];
    refused(
        "journal",
        "groups: {source: rollout/groups, queue_size: 16, queue_policy: backpressure}\n    outputs: [rewards",
        "groups: {source: loader/prompts, queue_size: 16, queue_policy: backpressure}\n    outputs: [rewards",
        &words,
    );
    let words = ["edge monitor/watch -> loader/credit carries nothing, but credit is expected"];
    refused("sft", "source: learner/credit", "source: monitor/watch", &words);
    let words =
        ["edge learner/credit -> loader/credit may lose messages", "queue_policy: backpressure"];
    refused("sft", ", queue_policy: backpressure", "", &words);
}
