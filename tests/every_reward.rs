//! Every reward of `configs/rewards` is learned from for a step, all of them in one run: rows, tracks, moments and shapes
//! are read, asked about, answered and scored, each by its own reward.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use serde_json::{Value, json};
use vrft_config::Document;
use vrft_reward::Reward;
use vrft_reward::answers::AnswerKind;
use vrft_reward::config::RewardConfig;
use vrft_tests::{Run, files_under, root};

/// True answers, one of which each reward can read. More telling forms come first.
const ANSWERS: [&str; 17] = [
    "{\"objects\": [{\"bbox\": [10, 20, 300, 400], \"label\": \"cat\"}], \"target\": 0}",
    "{\"start_time\": \"1\", \"end_time\": \"3\", \"event\": \"a door opens\"}",
    "[{\"bbox_3d\": [1, 2, 3, 1, 1, 1, 0], \"label\": \"cat\"}]",
    "[{\"point_3d\": [1, -2, 3.5], \"label\": \"cat\"}]",
    "[{\"frame\": 1, \"id\": \"1\", \"box\": [10, 20, 300, 400]}]",
    "[{\"bbox_2d\": [2, 3, 20, 30], \"label\": \"cat\"}]",
    "[{\"Position\": [10, 20, 300, 400], \"Confidence\": 1}]",
    "[{\"box\": [2, 3, 20, 30], \"name\": \"cat\"}]",
    "(10,20),(300,400)",
    "[[10, 20], [300, 20], [300, 400]]",
    "[[10, 20]]",
    "2, 1, 3, 4",
    "yes",
    "red",
    "A",
    "90",
    "3",
];

/// A photo of the default run.
fn picture() -> Vec<u8> {
    let digits = vrft_dataset::Dataset::open(&root().join("data/digits/shots.parquet")).unwrap();
    digits.get(0).pictures[0].bytes().unwrap()
}

fn write(path: &Path, content: impl AsRef<[u8]>) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

/// Data of the layout that a reward is for, or rows with an answer that it reads.
fn data(folder: &Path, name: &str, reward: &RewardConfig) -> String {
    match name {
        "mask" | "segmentation" => "shapes.json".to_owned(),
        "tracks" => "MOT/gt/gt.txt".to_owned(),
        "temporal-rlt-grounding" => "moments.txt".to_owned(),
        _ => {
            let judge = Reward::new(reward);
            let labels = reward.answer.kind.clone();
            // Any text is a name to a reward that compares names, but nobody calls a thing so.
            let is_name = matches!(labels, AnswerKind::Label(_));
            let fits = |answer: &&&str| !(is_name && answer.starts_with(['{', '[', '(']));
            let mut answers = ANSWERS.iter().filter(fits);
            let answer = answers.find(|answer| judge.parse_answer(answer).is_ok());
            let answer = answer.unwrap_or_else(|| panic!("{name}: no answer for {labels:?}"));
            // The first answer is for the reward that is of corrections; no other reads it.
            let row = json!({"image": "a.png", "problem": "What is there?", "solution": answer, "first": "none"});
            let file = format!("{name}.jsonl");
            write(&folder.join(&file), format!("{row}\n{row}\n"));
            file
        }
    }
}

/// Shapes, tracks and moments.
fn write_layouts(folder: &Path, picture: &[u8]) {
    let header = vrft_dataset::Picture::of_bytes(picture.to_vec()).unwrap();
    let (width, height) = header.header().displayed();
    let coco = json!({
        "images": [{"id": 1, "file_name": "a.png", "width": width, "height": height}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [2, 2, 20, 20], "area": 200,
                         "segmentation": [[2, 2, 22, 2, 22, 22]], "iscrowd": 0}],
        "categories": [{"id": 1, "name": "digit"}]});
    write(&folder.join("shapes.json"), coco.to_string());
    write(&folder.join("MOT/gt/gt.txt"), "1,1,3,3,20,20,1,1,1\n2,1,5,3,20,20,1,1,1\n");
    write(&folder.join("moments.txt"), "door 0.5 2.5##a door opens\n");
    for frame in ["MOT/img1/1.png", "MOT/img1/2.png", "frames/door/1.png", "frames/door/2.png"] {
        write(&folder.join(frame), picture);
    }
    write(&folder.join("a.png"), picture);
}

#[test]
fn every_reward_earns_in_a_graph() {
    let run = Run::small().unset("data.shots");
    let folder = run.folder().to_owned();
    write_layouts(&folder, &picture());
    let presets = root().join("configs/rewards");
    let mut names = Vec::new();
    let mut sources = String::new();
    for preset in files_under(&presets) {
        let relative = preset.strip_prefix(&presets).unwrap().with_extension("");
        let name = relative.display().to_string().replace('/', "-");
        let reward: RewardConfig = Document::load(&preset, &[]).unwrap().section().unwrap();
        let file = folder.join(data(&folder, &name, &reward));
        writeln!(
            sources,
            "[[data.sources]]\ntask = {name:?}\ntrain = {file:?}\nreward = {{ preset = {preset:?} }}"
        )
        .unwrap();
        names.push(name);
    }
    let test = folder.join("visual-rft-detection.jsonl");
    let detection = presets.join("visual-rft/detection.toml");
    let text = format!(
        "[policy]\npath = {:?}\n[data]\nmasks = true\nframes.max = 2\n{sources}[reward]\npreset = {detection:?}\n\
         [evaluation]\ntest = {test:?}\n[rollout]\ngroup_size = 2\nmax_completion_tokens = 4\n",
        root().join("data/starter"),
    );
    let config = folder.join("every.toml");
    write(&config, text);
    let run = run.config(&config).set("learner.steps=1").set("learner.prompts_per_step=100");
    let run = run.set("rollout.group_size=2");
    run.finish().ok();
    let lines = run.lines("metrics.jsonl");
    let metrics: BTreeSet<&str> =
        lines.iter().filter_map(|line: &Value| line["name"].as_str()).collect();
    for name in names {
        let prefix = format!("task/{name}/reward/");
        let has_any = metrics.iter().any(|metric| metric.starts_with(&prefix));
        assert!(has_any, "{name}: {metrics:?}");
    }
}

/// Photos of the default run with what was answered to them first, for a task of its own.
fn answered(folder: &Path, task: &str, first: impl Fn(&str) -> String) -> String {
    let digits = vrft_dataset::Dataset::open(&root().join("data/digits/shots.parquet")).unwrap();
    let mut rows = String::new();
    for (number, row) in digits.iter().enumerate() {
        let vrft_dataset::Truth::Text(solution) = &row.truth else { panic!("an answer in words") };
        let image = format!("{number}.png");
        write(&folder.join(&image), row.pictures[0].bytes().unwrap());
        let problem =
            "Detect all objects belonging to the category 'handwritten digit' in the image.";
        let row = json!({"image": image, "problem": problem, "solution": **solution, "first": first(solution)});
        writeln!(rows, "{row}").unwrap();
    }
    let file = folder.join(format!("{task}.jsonl"));
    write(&file, rows);
    format!(
        "[[data.sources]]\ntask = {task:?}\ntrain = {file:?}\nreward = {{ preset = {:?} }}\n",
        root().join("configs/rewards/self-correction.toml")
    )
}

#[test]
fn a_correction_is_asked_for_and_earns_by_what_it_mends() {
    let run = Run::small().unset("data.shots");
    let folder = run.folder().to_owned();
    let wrong = answered(&folder, "mend", |_| {
        "<think> I see none. </think><answer>No Objects</answer>".to_owned()
    });
    let right =
        answered(&folder, "keep", |solution| format!("<think> It is there. </think>{solution}"));
    let text = format!(
        "[policy]\npath = {:?}\n[data]\n{wrong}{right}[reward]\npreset = {:?}\n[evaluation]\ntest = {:?}\n\
         [rollout]\nmax_completion_tokens = 40\n",
        root().join("data/starter"),
        root().join("configs/rewards/self-correction.toml"),
        folder.join("keep.jsonl"),
    );
    let config = folder.join("correct.toml");
    write(&config, text);
    let run = run.config(&config).set("learner.steps=3").set("learner.prompts_per_step=16");
    run.finish().ok();
    let lines = run.lines("metrics.jsonl");
    let of = |task: &str, name: &str| {
        let name = format!("task/{task}/reward/{name}");
        let values = lines.iter().filter(|line| line["name"] == name.as_str());
        values.map(|line| line["value"].as_f64().unwrap()).collect::<Vec<f64>>()
    };
    for task in ["mend", "keep"] {
        let [iou, confidence, format, gain] =
            ["iou/mean", "confidence/mean", "format/mean", "gain/mean"].map(|name| of(task, name));
        assert_eq!(gain.len(), 3, "{task}: {lines:?}");
        for step in 0..3 {
            let alone = iou[step] + confidence[step] + format[step];
            // The first answer earns 1 for its form where it denies the digits, and all where it is the true one.
            let first = if task == "mend" { 1.0 } else { 3.0 };
            assert!((gain[step] - (alone - first)).abs() < 1e-5, "{task}: {gain:?}, {alone}");
        }
    }
}
