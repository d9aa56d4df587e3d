//! Several tasks in one run, each with its own instructions, reader, reward and metric: `configs/tasks.toml`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};
use vrft_dataset::{Question, Truth};
use vrft_tests::{Run, root};

/// Files of rows for all three tasks, made of the photos of the default run.
fn write_data(folder: &Path) {
    let digits = vrft_dataset::Dataset::open(&root().join("data/digits/shots.parquet")).unwrap();
    let mut rows: [Vec<Value>; 3] = Default::default();
    for (idx, row) in digits.iter().take(8).enumerate() {
        let image = format!("{idx}.png");
        std::fs::write(folder.join(&image), row.pictures[0].bytes().unwrap()).unwrap();
        let (Question::Turns(turns), Truth::Text(solution)) = (&row.question, &row.truth) else {
            panic!("a question in words");
        };
        let numbers = solution.split(|c: char| !c.is_ascii_digit());
        let corners: Vec<u32> = numbers.filter_map(|n| n.parse().ok()).take(4).collect();
        let [x1, y1, x2, y2] = corners[..] else { panic!("{solution}") };
        let side = if x1 + x2 < 1000 { "left" } else { "right" };
        let row = |problem: &str, solution: String| json!({"image": image, "problem": problem, "solution": solution});
        rows[0].push(row(&turns[0].text(), solution.to_string()));
        rows[1].push(row("Where is the digit?", format!("({x1},{y1}),({x2},{y2})")));
        rows[2].push(row("In which half is the digit?", side.to_owned()));
    }
    for (task, rows) in ["detection", "grounding", "classification"].iter().zip(rows) {
        let lines: Vec<String> = rows.iter().map(Value::to_string).collect();
        for name in [format!("{task}.jsonl"), format!("{task}-test.jsonl")] {
            std::fs::write(folder.join(name), lines.join("\n")).unwrap();
        }
    }
}

#[test]
fn detection_grounding_and_classification_train_together() {
    let run = Run::small().set("learner.prompts_per_step=8");
    // The default graph's overrides are of the default run's data.
    let run = run.unset("data.shots");
    write_data(run.folder());
    let text = std::fs::read_to_string(root().join("configs/tasks.toml")).unwrap();
    let text = text.replace("\"mine/", &format!("\"{}/", run.folder().display()));
    let text =
        text.replace("\"rewards/", &format!("\"{}/rewards/", root().join("configs").display()));
    let config = run.folder().join("tasks.toml");
    std::fs::write(&config, text).unwrap();
    let run = run.config(&config);
    run.finish().ok();

    let names: BTreeSet<String> = run
        .lines("metrics.jsonl")
        .iter()
        .map(|line| line["name"].as_str().unwrap().to_owned())
        .collect();
    let earned =
        |task: &str, term: &str| names.contains(&format!("task/{task}/reward/{term}/mean"));
    for (task, term) in [("detection", "iou"), ("grounding", "box"), ("classification", "accuracy")]
    {
        assert!(earned(task, term) && earned(task, "format"), "{task} {term}: {names:?}");
    }
    assert!(!earned("classification", "iou") && !earned("grounding", "confidence"), "{names:?}");

    let evaluations = run.lines("evaluations.jsonl");
    let metrics = |label: &str| {
        let of_label = evaluations.iter().rfind(|line| line["label"] == label);
        &of_label.unwrap_or_else(|| panic!("{label} was not evaluated"))["metrics"]
    };
    for policy in ["base", "sft", "rft"] {
        assert!(metrics(policy)["ap50"].is_number() && metrics(policy)["accuracy"].is_null());
        let grounding = metrics(&format!("{policy}@grounding"));
        assert!(grounding["miou"].is_number() && grounding["ap"].is_null(), "{grounding}");
        let classification = metrics(&format!("{policy}@classification"));
        assert!(classification["accuracy"].is_number(), "{classification}");
        assert!(classification["miou"].is_null(), "{classification}");
    }
}
