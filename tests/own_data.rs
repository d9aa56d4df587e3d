//! Somebody's own rows, from `vrft new` to a policy in use, and rows that are odd.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use vrft_tests::{Run, alone, root, squares, vrft};

fn vrft_with(arguments: &[&str]) -> Output {
    Command::new(vrft()).args(arguments).current_dir(root()).output().unwrap()
}

#[track_caller]
fn ok(arguments: &[&str]) -> String {
    let output = vrft_with(arguments);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

const QUESTION: &str = "Where is the bright square?";

/// The path of the README: the rows as they are, all of them, without what the demonstration adds.
#[test]
fn own_rows_are_learned_from_as_they_are_and_the_result_is_used() {
    let run = Run::small().unset("data.shots").set("learner.checkpoint_every=2");
    let folder = run.folder().to_owned();
    let data = squares::rows(&folder, "train.jsonl", 0..40, QUESTION);
    squares::rows(&folder, "test.jsonl", 40..48, QUESTION);
    let mine = folder.join("mine");
    let config = mine.join("config.toml");
    let (mine, config) = (mine.to_str().unwrap(), config.as_path());
    let said = ok(&["new", mine, "--data", &data, "--checkpoint", "data/starter"]);
    assert!(said.contains("40 rows, 40 usable, 0 skipped, 40 used"), "{said}");
    let checked = ok(&["check", "--config", config.to_str().unwrap()]);
    assert!(!checked.contains("warning"), "{checked}");
    let run = run.config(config);
    let outcome = run.finish().ok();
    assert!(
        outcome.stdout.contains("40 rows, 40 usable, 0 skipped, 40 used"),
        "{}",
        outcome.stdout
    );
    assert!(run.metric("loader", "data/used").iter().all(|used| *used == 40.0));
    let kept = std::fs::read_to_string(run.out().join("config.toml")).unwrap();
    for line in ["shots = 0", "flip = \"none\"", "answer_prefix = \"\"", "hold_out = 0.0"] {
        assert!(kept.contains(line), "{line:?} is not in\n{kept}");
    }
    let out = run.out().to_str().unwrap();
    used(out, &folder.join("served"), &folder.join("40.bmp"));
}

/// The two stages of SWAT: rows of a larger data set that are like the shots, then the shots.
#[test]
fn rows_that_are_like_the_shots_are_found_and_learned_from_first() {
    let shots = "data.train=data/scenes/shifted-classify-shots.jsonl";
    let run = Run::of(&root().join("configs/sft.yml"))
        .config(&root().join("configs/scenes/shifted/classify.toml"))
        .set("learner.steps=2");
    let names = |pool: &str, options: &[&str]| {
        let out = run.folder().join("near.txt");
        let out = out.to_str().unwrap();
        let config = "configs/scenes/shifted/classify.toml";
        let few = ["--config", config, "--set", "data.shots=3", "--set", shots];
        ok(&[&["retrieve", "--pool", pool, "--out", out][..], &few, options].concat());
        let lines = std::fs::read_to_string(out).unwrap();
        lines.lines().map(ToOwned::to_owned).collect::<Vec<String>>()
    };
    // Nothing is more like a shot than itself.
    let own = names("data/scenes/shifted-classify-shots.jsonl", &["--near", "1"]);
    assert!(own.len() == 3 && own.iter().all(|name| name.contains("shifted-shots")), "{own:?}");
    let pool = "data/scenes/home-classify-shots.jsonl";
    let near = names(pool, &["--near", "4"]);
    assert!((4..=12).contains(&near.len()), "{near:?}");
    let same = names(pool, &["--near", "2", "--same-class"]);
    assert!((1..=6).contains(&same.len()), "{same:?}");
    // Relative paths start at the folder of the graph.
    let path = |key: &str, path: &str| format!("{key}={:?}", root().join(path));
    let rows = format!("data.rows={}", run.folder().join("near.txt").display());
    let test = "data/scenes/shifted-classify-test.jsonl";
    let first = run
        .set(&path("data.train", pool))
        .set(&path("evaluation.test", test))
        .set(&path("policy.path", "data/reasoner"))
        .set("data.shots=0")
        .set(&rows);
    let outcome = first.finish().ok();
    assert!(outcome.stdout.contains(&format!("{} used", same.len())), "{}", outcome.stdout);
}

/// Other rows beside the demonstration's configuration: what was chosen for its own rows does not hold for them.
#[test]
fn settings_of_the_demonstration_are_not_those_of_other_rows() {
    let run = Run::small().unset("data.shots").set("learner.steps=2").set("evaluation.every=0");
    let data = squares::rows(run.folder(), "rows.jsonl", 0..30, QUESTION);
    let run = run.set(&format!("data.train={data}"));
    let outcome = run.finish().ok();
    let words = "warning: data.train is overridden, so data.shots, data.flip, rollout.max_completion_tokens, \
                 sft.answer_prefix are as by default";
    for said in [words, "30 rows, 30 usable, 0 skipped, 30 used"] {
        assert!(outcome.stdout.contains(said), "{said:?} is not in\n{}", outcome.stdout);
    }
    let kept = std::fs::read_to_string(run.out().join("config.toml")).unwrap();
    assert!(kept.contains("flip = \"none\"") && kept.contains("answer_prefix = \"\""), "{kept}");
    // What is said at the start is known to whoever looks at the run later.
    let doctor = vrft_with(&["doctor", run.out().to_str().unwrap()]);
    assert!(String::from_utf8_lossy(&doctor.stdout).contains("data.train is overridden"));
}

/// Evaluates, promotes and asks a run's result.
#[track_caller]
fn used(run: &str, served: &Path, picture: &Path) {
    let config = format!("{run}/config.toml");
    let best: Value =
        serde_json::from_slice(&std::fs::read(format!("{run}/best.json")).unwrap()).unwrap();
    let checkpoint = format!("{run}/{}", best["rft"]["checkpoint"].as_str().unwrap());
    let judged = |more: &[&str]| -> Value {
        serde_json::from_str(&ok(&[&["eval", "--checkpoint", &checkpoint], more].concat())).unwrap()
    };
    // By the task of the run, not by that of the demonstration.
    let by_run = judged(&[]);
    let rows = served.with_file_name("train.jsonl").display().to_string();
    assert_eq!(judged(&["--data", &rows, "--set", "evaluation.limit=0"])["n"], 40);
    let judged = judged(&["--config", &config]);
    assert_eq!(by_run["metrics"], judged["metrics"]);
    assert_eq!(judged["metrics"]["miou"], best["rft"]["value"], "{judged}");
    let (served, picture) = (served.to_str().unwrap(), picture.to_str().unwrap());
    let ask = |checkpoint: &str| {
        let asked = ["ask", "--checkpoint", checkpoint, "--served", served, "--image", picture];
        let output = vrft_with(&[&asked[..], &["--json", QUESTION]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        (answer, String::from_utf8_lossy(&output.stderr).into_owned())
    };
    // A run stands for the best policy that it has kept, and the command says so.
    let (answer, said) = ask(run);
    let step = best["rft"]["step"].as_u64().unwrap();
    assert_eq!(answer["version"], format!("step-{step:06}"));
    assert!(said.contains(&format!("step {step}, the best of the run")), "{said}");
    // A policy that is no better than its start is refused, which is not what this is about.
    if vrft_with(&["promote", run, "--served", served]).status.success() {
        assert_eq!(ask("promoted").0["text"], answer["text"]);
    }
}

/// Rows are plain text: what looks like one of the model's own tokens is spelled out.
#[test]
fn a_question_that_spells_special_tokens_is_asked_as_it_is_written() {
    let run = Run::small().set("data.shots=0").set("learner.steps=3").set("evaluation.every=0");
    let mut lines = Vec::new();
    for (idx, token) in
        ["<|image_pad|>", "<|im_end|>", "<|vision_start|>", "<|endoftext|>"].iter().enumerate()
    {
        let problem = format!("Is {token} in the picture? {QUESTION}");
        let image = squares::write(run.folder(), idx);
        let solution = squares::solution(idx);
        lines.push(json!({"image": image, "problem": problem, "solution": solution}).to_string());
    }
    let data = run.folder().join("rows.jsonl");
    std::fs::write(&data, lines.join("\n")).unwrap();
    let data = data.display().to_string();
    let run = run.set(&format!("data.train={data}"));
    let outcome = run.finish().ok();
    assert!(outcome.stdout.contains("4 rows, 4 usable, 0 skipped, 4 used"), "{}", outcome.stdout);
    assert_eq!(run.metric("learner", "policy/loss").len(), 3);
    ok(&["eval", "--config", "tests/digits.toml", "--data", &data, "--set", "evaluation.limit=4"]);
}

/// Rows as published: ids with folders in them, one id for many rows, none at all, and one that would leave the folder.
#[test]
fn whatever_rows_are_called_each_has_its_picture_in_the_run_and_nothing_lies_outside() {
    let run = Run::small().with_example("evaluate").set("evaluation.limit=0");
    let folder = run.folder();
    let long = "x".repeat(400);
    let ids = ["train2017/0.jpg", "../../escaped", "same", "same", "/tmp/../escaped", &long];
    let row = |(idx, id): (usize, Option<&str>)| {
        let image = squares::write(folder, idx);
        let row = json!({
            "image": image, "problem": QUESTION, "solution": squares::solution(idx), "id": id,
        });
        row.to_string()
    };
    let ids = ids.into_iter().map(Some).chain([None]);
    let lines: Vec<String> = ids.enumerate().map(row).collect();
    let data = folder.join("rows.jsonl");
    std::fs::write(&data, lines.join("\n")).unwrap();
    let run = run.set(&format!("evaluation.test={}", data.display()));
    run.finish().ok();
    assert_eq!(run.lines("predictions-base.jsonl").len(), lines.len());
    let pictures = std::fs::read_dir(run.out().join("images")).unwrap();
    assert_eq!(pictures.count(), lines.len());
    let stray = vrft_tests::files_under(run.folder());
    let stray: Vec<_> =
        stray.iter().filter(|path| path.to_string_lossy().contains("escaped")).collect();
    assert!(stray.is_empty(), "{stray:?}");
}

/// Annotations are in pixels of the file; the answers of such a task are in those of what the model sees.
#[test]
fn annotations_serve_a_task_in_pixels_of_the_scaled_picture() {
    let run =
        Run::small().with_example("evaluate").set("reward.preset=rewards/vlm-r1/detection.toml");
    let folder = run.folder();
    let image = |idx: usize| {
        let (name, side) = (squares::write(folder, idx), squares::SIDE);
        json!({"id": idx, "file_name": name, "width": side, "height": side})
    };
    let annotation = |idx: usize| {
        let [x1, y1, x2, y2] = squares::corners(idx);
        json!({"id": idx, "image_id": idx, "category_id": 7, "bbox": [x1, y1, x2 - x1, y2 - y1]})
    };
    let coco = json!({
        "images": (0..4).map(image).collect::<Vec<_>>(),
        "annotations": (0..4).map(annotation).collect::<Vec<_>>(),
        "categories": [{"id": 7, "name": "square"}],
    });
    let data = folder.join("coco.json");
    std::fs::write(&data, coco.to_string()).unwrap();
    let run = run.set(&format!("evaluation.test={}", data.display()));
    run.finish().ok();
    // 128 pixels become 64, as many as the starter sees at most.
    let lines = run.lines("predictions-base.jsonl");
    assert_eq!(lines.len(), 4);
    for (idx, line) in lines.iter().enumerate() {
        let expected = squares::corners(idx).map(|corner| corner as f64 * 64.0 / 128.0);
        let truth: Vec<f64> = serde_json::from_value(line["truth"][0].clone()).unwrap();
        let is_near = truth.iter().zip(expected).all(|(got, want)| (got - want).abs() <= 0.5);
        assert!(is_near, "{line} instead of {expected:?}");
    }
}

/// The same name in two normal forms of Unicode, which look the same.
#[test]
fn names_compare_whatever_their_normal_form_case_and_spaces() {
    let _guard = alone();
    let folder = tempfile::tempdir().unwrap();
    let pairs = [
        ("Caf\u{e9} cr\u{e8}me", "Cafe\u{301} cre\u{300}me", 1.0),
        ("\u{d55c}\u{ad6d}", "\u{1112}\u{1161}\u{11ab}\u{1100}\u{116e}\u{11a8}", 1.0),
        ("golden retriever", " Golden  RETRIEVER ", 1.0),
        ("stra\u{df}e", "STRASSE", 1.0),
        ("caf\u{e9}", "tea", 0.0),
    ];
    let line = |(truth, said, _): &(&str, &str, f64)| {
        let completion = format!("<think>x</think><answer>{said}</answer>");
        json!({"completion": completion, "solution": format!("<answer>{truth}</answer>")})
            .to_string()
    };
    let file = folder.path().join("completions.jsonl");
    std::fs::write(&file, pairs.iter().map(line).collect::<Vec<String>>().join("\n")).unwrap();
    let task = "configs/rewards/visual-rft/classification.toml";
    let scored = ok(&["reward", "score", task, file.to_str().unwrap()]);
    let lines = scored.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let accuracy: Vec<f64> = lines.filter_map(|line| line["terms"]["accuracy"].as_f64()).collect();
    assert_eq!(accuracy, pairs.map(|(.., accuracy)| accuracy));
}
