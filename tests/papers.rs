//! Rules of papers whose effect is seen in a run: rewards that sharpen while a policy learns, thresholds that rise, samples
//! that are selected by the spread of their rewards.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use vrft_messages::{CompletionBatch, FinishReason, file};
use vrft_tests::{Run, files_under, root, squares};

/// So small that no weight changes: what differs between two runs is the rule.
const STILL: &str = "optimizer.learning_rate=1e-12";

/// The default run of the tests without learning, and a file for its configuration.
fn still() -> Run {
    Run::small().set(STILL).set("learner.checkpoint_every=0").set("evaluation.every=0")
}

/// The digits, judged by the terms of Vision-R1's preset.
fn vision_r1(folder: &Path) -> PathBuf {
    let preset =
        std::fs::read_to_string(root().join("configs/rewards/vision-r1/detection.toml")).unwrap();
    let (_, terms) = preset.split_once("[reward.terms.recall]").unwrap();
    let (terms, _) = terms.split_once("[reward.modes").unwrap();
    assert!(
        preset.contains("refine_after = 0.5") && terms.contains("refined = { threshold = 0.75 }")
    );
    let digits = std::fs::read_to_string(root().join("tests/digits.toml")).unwrap();
    let (before, rest) = digits.split_once("[reward.terms.iou]").unwrap();
    let (_, after) = rest.split_once("[advantage]").unwrap();
    let before = before.replace("task = \"detection\"", "task = \"detection\"\nrefine_after = 0.5");
    let before = before.replace("by = \"greedy_confidence\"", "by = \"hungarian\"");
    let file = folder.join("vision-r1.toml");
    std::fs::write(&file, format!("{before}[reward.terms.recall]{terms}\n[advantage]{after}"))
        .unwrap();
    file
}

/// arXiv 2503.18013: from half of the training on, what counts as found is stricter.
#[test]
fn thresholds_rise_in_the_middle_of_the_run_and_what_passed_before_earns_less() {
    let run = still();
    let config = vision_r1(run.folder());
    let mut run = run.config(&config).set("learner.prompts_per_step=4").set("rollout.group_size=8");
    run.finish().ok();
    assert_eq!(run.metric("reward", "reward/refined"), [0.0, 0.0, 1.0, 1.0]);
    let terms = ["reward/recall/mean", "reward/precision/mean"];
    let of = |run: &Run| terms.map(|term| run.metric("advantage", term));
    let rising = of(&run);
    run = run.set("reward.refine_after=1.0");
    run.again("fixed");
    run.finish().ok();
    // A rule that never changes is not spoken of.
    assert!(run.metric("reward", "reward/refined").is_empty());
    for ((name, rising), fixed) in terms.iter().zip(&rising).zip(&of(&run)) {
        // The same answers: nothing was learned, and the same seeds sampled.
        assert_eq!(rising[..2], fixed[..2], "{name}");
        assert!(rising.iter().zip(fixed).all(|(rising, fixed)| rising <= fixed), "{name}");
        assert!(rising[2..] != fixed[2..], "{name}: {rising:?}");
    }
}

/// arXiv 2506.01908: the samples whose answers earned most differently, by a run that only looks.
#[test]
fn samples_are_selected_by_the_spread_of_their_rewards() {
    let mut run = still().set("data.shots=8").set("learner.prompts_per_step=2");
    run.finish().ok();
    let spread: BTreeMap<String, f64> = run
        .lines("samples.jsonl")
        .iter()
        .map(|line| (line["sample_id"].as_str().unwrap().to_owned(), line["std"].as_f64().unwrap()))
        .collect();
    assert_eq!(spread.len(), 8, "one pass over the samples");
    let mut widest: Vec<&String> = spread.keys().filter(|name| spread[*name] > 0.0).collect();
    widest.sort_by(|a, b| spread[*b].total_cmp(&spread[*a]));
    widest.truncate(4);
    assert!(widest.len() >= 2, "{spread:?}");
    let rows = run.folder().join("rows.txt");
    let lines: String = widest.iter().map(|name| format!("{name}\n")).collect();
    std::fs::write(&rows, lines).unwrap();
    run = run.set(&format!("data.rows={:?}", rows.display().to_string())).set("data.shots=0");
    run.again("selected");
    run.finish().ok();
    let asked: BTreeSet<String> = run
        .lines("samples.jsonl")
        .iter()
        .map(|line| line["sample_id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(asked, widest.iter().map(|name| (*name).clone()).collect());
}

/// Distances of scripted answers from the true place, in meters; the fourth answer has no place.
const ERRORS: [f64; 3] = [0.0, 0.4, 0.9];

/// What SNRA makes of an error in a step of three: `2 / (1 + exp(k e²))` with a k that grows from 1 to 15.
fn snra(error: f64, step: usize) -> f64 {
    let progress = step as f64 / 3.0;
    let k = 1.0 + 14.0 / (1.0 + (-8.0 * (progress - 0.6)).exp());
    2.0 / (1.0 + (k * error * error).exp())
}

/// Puts scripted answers in the place of what a policy said.
fn script(record: &Path, answer: impl Fn(f64) -> String) {
    for path in files_under(&record.join("groups")) {
        let mut batch: CompletionBatch = file::read(&path).unwrap();
        for row in &mut batch.completions {
            row.completion.finish_reason = FinishReason::EndOfTurn;
            row.completion.text = match ERRORS.get(usize::from(row.completion_idx)) {
                Some(error) => format!("<think>a</think><answer>{}</answer>", answer(*error)),
                None => "a cup, I think".to_owned(),
            };
        }
        file::write(&batch, &path).unwrap();
    }
}

fn spread(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64
}

/// Advantages of what four answers earned, with 1 for the form of the first three: of the group's deviation.
fn relative(earned: &[f64; 4]) -> [f64; 4] {
    let totals = [earned[0] + 1.0, earned[1] + 1.0, earned[2] + 1.0, earned[3]];
    let deviation = (spread(&totals) * 4.0 / 3.0).sqrt() + 1e-4;
    let mean = totals.iter().sum::<f64>() / 4.0;
    totals.map(|total| (total - mean) / deviation)
}

#[track_caller]
fn close(got: &[f64], expected: impl Iterator<Item = f64>) {
    let expected: Vec<f64> = expected.collect();
    assert_eq!(got.len(), expected.len());
    for (got, expected) in got.iter().zip(&expected) {
        assert!((got - expected).abs() < 1e-4, "{got} instead of {expected}");
    }
}

/// A configuration for rows in a file, judged by a preset of AP-GRPO.
fn in_space(folder: &Path, name: &str, preset: &str, rows: &Path, more: &str) -> PathBuf {
    let text = format!(
        "[policy]\npath = {:?}\n[data]\ntrain = {rows:?}\n[evaluation]\ntest = {rows:?}\nevery = 0\n[reward]\npreset = {:?}\n\
         [loss]\nkl_coef = 0.0\n[advantage]\nscale = \"group\"\n{more}",
        root().join("data/starter"),
        root().join("configs/rewards/ap-grpo").join(preset),
    );
    let file = folder.join(format!("{name}.toml"));
    std::fs::write(&file, text).unwrap();
    file
}

/// As far as arXiv 2601.07695 is known: the reward of a place in space sharpens during training, and the advantage keeps
/// how right an answer is, the format left out of that. `answer` is off by a distance along x.
fn sharpens_and_keeps_its_size(preset: &str, answer: impl Fn(f64) -> String) {
    let run = Run::of(&root().join("configs/journal.yml"));
    let folder = run.folder().to_owned();
    let digits = vrft_dataset::Dataset::open(&root().join("data/digits/shots.parquet")).unwrap();
    std::fs::write(folder.join("a.png"), digits.get(0).pictures[0].bytes().unwrap()).unwrap();
    let row = serde_json::json!({"image": "a.png", "problem": "Where is the cup?", "solution": answer(0.0)});
    let rows = folder.join("rows.jsonl");
    std::fs::write(&rows, format!("{row}\n{row}\n")).unwrap();
    let config = |name: &str, absolute: &str| in_space(&folder, name, preset, &rows, absolute);
    let plain = config("plain", "");
    let mut run = run
        .config(&plain)
        .set("data.shots=2")
        .set("learner.steps=3")
        .set("learner.prompts_per_step=2")
        .set("rollout.max_completion_tokens=4")
        .set(STILL);
    run.finish().ok();
    let record = run.out().to_owned();
    script(&record, answer);
    let replayed = |mut run: Run, name: &str, absolute: &str| {
        run.again(name);
        let run = run.with_example("replay").config(&config(name, absolute));
        let run = run.env("VRFT_REPLAY", &record.display().to_string());
        run.finish().ok();
        run
    };
    run = replayed(run, "replayed", "");
    let earned: Vec<[f64; 4]> = (0..3)
        .map(|step| [snra(ERRORS[0], step), snra(ERRORS[1], step), snra(ERRORS[2], step), 0.0])
        .collect();
    let means: Vec<f64> = earned.iter().map(|earned| earned.iter().sum::<f64>() / 4.0).collect();
    assert!(means[0] > means[1] + 0.01 && means[1] > means[2] + 0.01, "{means:?}");
    close(&run.metric("advantage", "reward/center/mean"), means.into_iter());
    close(&run.metric("advantage", "reward/format/mean"), std::iter::repeat_n(0.75, 3));
    let variances = earned.iter().map(|earned| spread(&relative(earned)));
    close(&run.metric("advantage", "advantage/variance"), variances);
    // Both forms have the format in the relative part alone.
    run = replayed(run, "multiplied", "[advantage.absolute]\nmode = \"multiply\"\n");
    let multiplied = earned.iter().map(|earned| {
        let both = relative(earned).into_iter().zip(earned);
        spread(&both.map(|(relative, own)| relative * own).collect::<Vec<_>>())
    });
    close(&run.metric("advantage", "advantage/variance"), multiplied);
    run = replayed(run, "mixed", "[advantage.absolute]\nmode = \"mix\"\nshare = 0.5\n");
    let mixed = earned.iter().map(|earned| {
        let mean = earned.iter().sum::<f64>() / 4.0;
        let both = relative(earned).into_iter().zip(earned);
        spread(&both.map(|(relative, own)| 0.5 * relative + 0.5 * (own - mean)).collect::<Vec<_>>())
    });
    close(&run.metric("advantage", "advantage/variance"), mixed);
}

#[test]
fn the_reward_of_a_box_in_space_sharpens_and_its_size_outlives_the_comparison() {
    sharpens_and_keeps_its_size("box3d.toml", |off| {
        format!("[{{\"bbox_3d\": [{}, 2, 3, 1, 1, 1, 0], \"label\": \"cup\"}}]", 1.0 + off)
    });
}

#[test]
fn the_reward_of_a_point_in_space_sharpens_and_its_size_outlives_the_comparison() {
    sharpens_and_keeps_its_size("points3d.toml", |off| {
        format!("[{{\"point_3d\": [{}, -2, 3.5], \"label\": \"cup\"}}]", -1.0 + off)
    });
}

/// Rows of a made-up camera that sees a square at a place in space: its middle on the picture, and how far it is. With
/// `off` the answer of a row is that of so many rows further on.
fn seen_in_space(folder: &Path, name: &str, off: usize) -> PathBuf {
    let rows = (0..8).map(|idx| {
        let [x1, y1, x2, y2] = squares::corners(idx + off).map(|corner| corner as f64);
        let meters = |low: f64, high: f64| ((low + high) / 2.0 - 64.0).round() / 10.0;
        let point = [meters(x1, x2), meters(y1, y2), 2.0];
        let answer = serde_json::json!([{"point_3d": point, "label": "square"}]);
        let row = serde_json::json!({
            "image": squares::write(folder, idx),
            "problem": "Where is the square in space?",
            "solution": format!("<answer>{answer}</answer>"),
        });
        format!("{row}\n")
    });
    let file = folder.join(name);
    std::fs::write(&file, rows.collect::<String>()).unwrap();
    file
}

/// A policy is shown how points in space are written, by answers that belong to other pictures, and then learns where they
/// are by rewards.
#[test]
fn points_in_space_are_learned_by_their_rewards() {
    let run = Run::of(&root().join("configs/sft.yml")).unset("data.shots");
    let folder = run.folder().to_owned();
    let absolute =
        "[advantage.absolute]\nmode = \"multiply\"\n[rollout]\nmax_completion_tokens = 60\n";
    let config = |name: &str, off: usize| {
        let rows = seen_in_space(&folder, &format!("{name}.jsonl"), off);
        in_space(&folder, name, "points3d.toml", &rows, absolute)
    };
    let mut run = run
        .config(&config("form", 1))
        .set("learner.steps=60")
        .set("learner.prompts_per_step=8")
        .set("learner.checkpoint_every=0")
        .set("sft.optimizer.learning_rate=1e-3")
        .set("sft.answer_prefix=\"<think> I see it. </think>\"");
    run.finish().ok();
    let taught = run.out().join("checkpoints/learner/step-000060");
    run.again("learned");
    let run = run
        .with_example("rft")
        .config(&config("place", 0))
        .set(&format!("policy.path={:?}", taught.display().to_string()))
        .set("learner.steps=4")
        .set("rollout.group_size=8")
        .set("optimizer.learning_rate=1e-4")
        // Neighbors are a good meter apart, and near enough to earn something.
        .set("reward.terms.center.scale=3.0");
    run.finish().ok();
    let of = |term: &str| run.metric("advantage", &format!("reward/{term}/mean"));
    let (center, format) = (of("center"), of("format"));
    assert!(format.len() == 4 && format.iter().all(|share| *share > 0.5), "{format:?}");
    assert!(center.iter().all(|reward| *reward > 0.01 && *reward < 0.999), "{center:?}");
    let norms = run.metric("learner", "policy/grad_norm");
    assert!(norms.iter().all(|norm| *norm > 0.0), "{norms:?}");
    let judged = run.lines("evaluations.jsonl");
    let base = judged.iter().find(|line| line["label"] == "base").unwrap();
    // Within ten meters of the true point on average over the axes, which counts as likeness here.
    assert!(base["metrics"]["overlap"].as_f64().unwrap() > 0.5, "{base}");
}
