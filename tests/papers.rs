//! Rules of papers whose effect is seen in a run: rewards that sharpen while a policy learns, thresholds that rise, samples
//! that are selected by the spread of their rewards.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use vrft_messages::{CompletionBatch, FinishReason, file};
use vrft_tests::{Run, files_under, root};

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

/// Distances of the centers of scripted answers from the true one, in meters; the fourth answer has no box.
const ERRORS: [f64; 3] = [0.0, 0.4, 0.9];

/// What SNRA makes of an error in a step of three: `2 / (1 + exp(k e²))` with a k that grows from 1 to 15.
fn snra(error: f64, step: usize) -> f64 {
    let progress = step as f64 / 3.0;
    let k = 1.0 + 14.0 / (1.0 + (-8.0 * (progress - 0.6)).exp());
    2.0 / (1.0 + (k * error * error).exp())
}

/// Puts scripted answers in the place of what a policy said.
fn script(record: &Path) {
    for path in files_under(&record.join("groups")) {
        let mut batch: CompletionBatch = file::read(&path).unwrap();
        for row in &mut batch.completions {
            row.completion.finish_reason = FinishReason::EndOfTurn;
            row.completion.text = match ERRORS.get(usize::from(row.completion_idx)) {
                Some(error) => format!(
                    "<think>a</think><answer>[{{'bbox_3d': [{}, 2, 3, 1, 1, 1, 0], 'label': 'cup'}}]</answer>",
                    1.0 + error
                ),
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

/// As far as arXiv 2601.07695 is published: the reward of a place in space sharpens during training, and the advantage keeps
/// how right an answer is, the format left out of that.
#[test]
fn the_reward_of_a_box_in_space_sharpens_and_its_size_outlives_the_comparison() {
    let run = Run::of(&root().join("configs/journal.yml"));
    let folder = run.folder().to_owned();
    let digits = vrft_dataset::Dataset::open(&root().join("data/digits/shots.parquet")).unwrap();
    std::fs::write(folder.join("a.png"), digits.get(0).pictures[0].bytes().unwrap()).unwrap();
    let row = serde_json::json!({"image": "a.png", "problem": "Where is the cup?",
        "solution": "[{\"bbox_3d\": [1, 2, 3, 1, 1, 1, 0], \"label\": \"cup\"}]"});
    let rows = folder.join("rows.jsonl");
    std::fs::write(&rows, format!("{row}\n{row}\n")).unwrap();
    let config = |name: &str, absolute: &str| {
        let text = format!(
            "[policy]\npath = {:?}\n[data]\ntrain = {rows:?}\n[evaluation]\ntest = {rows:?}\nevery = 0\n[reward]\npreset = {:?}\n\
             [rollout]\ngroup_size = 4\nmax_completion_tokens = 4\n[loss]\nkl_coef = 0.0\n[advantage]\nscale = \"group\"\n{absolute}",
            root().join("data/starter"),
            root().join("configs/rewards/ap-grpo/box3d.toml"),
        );
        let file = folder.join(format!("{name}.toml"));
        std::fs::write(&file, text).unwrap();
        file
    };
    let plain = config("plain", "");
    let run = run
        .config(&plain)
        .set("data.shots=2")
        .set("learner.steps=3")
        .set("learner.prompts_per_step=2")
        .set(STILL);
    run.finish().ok();
    let record = run.out().to_owned();
    script(&record);
    let replayed = |mut run: Run, name: &str, config: &Path| {
        run.again(name);
        let run = run.with_example("replay").config(config);
        let run = run.env("VRFT_REPLAY", &record.display().to_string());
        run.finish().ok();
        run
    };
    let run = replayed(run, "replayed", &plain);
    let earned: Vec<[f64; 4]> = (0..3)
        .map(|step| [snra(ERRORS[0], step), snra(ERRORS[1], step), snra(ERRORS[2], step), 0.0])
        .collect();
    let close = |got: &[f64], expected: Vec<f64>| {
        assert_eq!(got.len(), expected.len());
        for (got, expected) in got.iter().zip(&expected) {
            assert!((got - expected).abs() < 1e-4, "{got} instead of {expected}");
        }
    };
    let means = earned.iter().map(|earned| earned.iter().sum::<f64>() / 4.0).collect::<Vec<_>>();
    assert!(means[0] > means[1] + 0.01 && means[1] > means[2] + 0.01, "{means:?}");
    close(&run.metric("advantage", "reward/center/mean"), means);
    close(&run.metric("advantage", "reward/format/mean"), vec![0.75; 3]);
    // Of the group's deviation, with the format in what is compared.
    let relative = |earned: &[f64; 4]| {
        let totals = [earned[0] + 1.0, earned[1] + 1.0, earned[2] + 1.0, earned[3]];
        let deviation = (spread(&totals) * 4.0 / 3.0).sqrt() + 1e-4;
        let mean = totals.iter().sum::<f64>() / 4.0;
        totals.map(|total| (total - mean) / deviation)
    };
    let variances = earned.iter().map(|earned| spread(&relative(earned))).collect();
    close(&run.metric("advantage", "advantage/variance"), variances);
    // The mix has the format in its relative part alone.
    let absolute = "[advantage.absolute]\nmode = \"mix\"\nshare = 0.5\n";
    let run = replayed(run, "mixed", &config("mixed", absolute));
    let mixed = earned.iter().map(|earned| {
        let mean = earned.iter().sum::<f64>() / 4.0;
        let both = relative(earned).into_iter().zip(earned);
        spread(&both.map(|(relative, own)| 0.5 * relative + 0.5 * (own - mean)).collect::<Vec<_>>())
    });
    close(&run.metric("advantage", "advantage/variance"), mixed.collect());
}
