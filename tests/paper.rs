//! Every configuration of `configs/paper` runs end to end: on a miniature of its data set's layout, with the starter.
//!
//! One of each kind is run here; `VRFT_PAPER=all` runs all of them and prints their tables (`.ci/long paper`).
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::Command;

use image::{ImageFormat, Rgb, RgbImage};
use serde_json::{Value, json};
use vrft_config::Document;
use vrft_evaluate::{Judge, JudgeConfig};
use vrft_tests::{alone, files_under, root, vrft};

/// One of each kind of answer and layout.
const KINDS: [&str; 5] =
    ["classification-flowers", "coco8-2b", "lvis6-2b", "lisa-2b-val", "refcoco"];

/// Side of the made-up pictures.
const SIDE: u32 = 56;
/// Pictures of each made-up split or category.
const N_EACH: usize = 2;

/// Small enough for the starter; what is learned does not matter here.
const SMALL: [&str; 13] = [
    "policy.dtype=\"f32\"",
    "policy.max_pixels=3136",
    "learner.steps=2",
    "learner.prompts_per_step=2",
    "learner.activation_mib=0",
    "rollout.group_size=2",
    "rollout.max_completion_tokens=40",
    "table.steps=[]",
    "evaluation.limit=40",
    "optimizer.learning_rate=1e-5",
    "data.shots=0",
    "data.fewer_shots=true",
    "data.max_image_pixels=10000",
];

/// A picture that differs from others by its number.
fn picture(number: usize) -> Vec<u8> {
    let shade = |x: u32, y: u32| {
        let value = (x as usize * 7 + y as usize * 13 + number * 31) % 256;
        Rgb([value as u8, (number * 5 % 256) as u8, (255 - value) as u8])
    };
    let mut png = Cursor::new(Vec::new());
    RgbImage::from_fn(SIDE, SIDE, shade).write_to(&mut png, ImageFormat::Png).unwrap();
    png.into_inner()
}

fn write(path: &Path, content: impl AsRef<[u8]>) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

/// The names that a configuration asks for.
fn categories(config: &Document, key: &str) -> Vec<String> {
    let list = config.get(key).and_then(|list| list.as_array());
    list.into_iter().flatten().map(|name| name.as_str().unwrap().to_owned()).collect()
}

/// COCO annotations of pictures with one category each, and the pictures.
fn write_coco(file: &Path, pictures: &Path, names: &[String], is_lvis: bool) {
    let mut images = Vec::new();
    let mut annotations = Vec::new();
    for number in 0..names.len() * N_EACH {
        let id = number + 1;
        let name = format!("{id:012}.png");
        write(&pictures.join(&name), picture(number));
        let mut image = json!({"id": id, "width": SIDE, "height": SIDE});
        if is_lvis {
            let folder = pictures.file_name().unwrap().to_str().unwrap();
            image["coco_url"] = json!(format!("http://images.cocodataset.org/{folder}/{name}"));
            image["neg_category_ids"] = json!([(number / N_EACH + 1) % names.len() + 1]);
            image["not_exhaustive_category_ids"] = json!([]);
        } else {
            image["file_name"] = json!(name);
        }
        images.push(image);
        annotations.push(json!({
            "id": id, "image_id": id, "category_id": number / N_EACH + 1, "bbox": [5, 6, 20, 30], "area": 600,
            "iscrowd": 0}));
    }
    let named = names.iter().zip(1..).map(|(name, id)| json!({"id": id, "name": name}));
    let named: Vec<Value> = named.collect();
    let coco = json!({"images": images, "annotations": annotations, "categories": named});
    write(file, coco.to_string());
}

/// A split of ReasonSeg.
fn write_reasoning(folder: &Path) {
    for number in 0..3 {
        let shape = json!({"label": "target", "points": [[5, 5], [30, 5], [30, 40]], "shape_type": "polygon"});
        let row = json!({"text": ["the thing to sit on", "what is it?"], "is_sentence": true, "shapes": [shape]});
        write(&folder.join(format!("{number}.json")), row.to_string());
        write(&folder.join(format!("{number}.jpg")), picture(number));
    }
}

fn write_refcoco(folder: &Path, pictures: &Path) {
    let reference = |number: usize, split: &str| {
        json!({"ref_id": number, "ann_id": number, "image_id": number, "category_id": 1, "split": split,
               "file_name": "x", "sentences": [{"sent": "the left one", "sent_id": number}]})
    };
    let split = |number: usize| if number < 4 { "train" } else { "testA" };
    let references: Vec<Value> = (0..8).map(|number| reference(number, split(number))).collect();
    let name = |number: usize| format!("COCO_train2014_{number:012}.png");
    let images = (0..8).map(|number| {
        write(&pictures.join(name(number)), picture(number));
        json!({"id": number, "file_name": name(number), "width": SIDE, "height": SIDE})
    });
    let images: Vec<Value> = images.collect();
    let boxes =
        (0..8).map(|number| json!({"id": number, "image_id": number, "bbox": [5, 6, 20, 30]}));
    let instances =
        json!({"images": images, "annotations": boxes.collect::<Vec<_>>(), "categories": []});
    write(&folder.join("refs(unc).json"), Value::from(references).to_string());
    write(&folder.join("instances.json"), instances.to_string());
}

/// A split that papers share, with pictures beside it.
fn write_splits(file: &Path, pictures: &str) {
    let row = |number: usize| {
        let name = format!("{number}.png");
        write(&file.parent().unwrap().join(pictures).join(&name), picture(number));
        let path = if pictures == "jpg" { name } else { format!("{pictures}/{name}") };
        json!([path, number % 3, format!("class {}", number % 3)])
    };
    let rows = |range: std::ops::Range<usize>| range.map(row).collect::<Vec<Value>>();
    let splits = json!({"train": rows(0..6), "val": rows(6..9), "test": rows(9..15)});
    write(file, splits.to_string());
}

/// A miniature of all data sets that the configurations name, laid out as docs/src/tables.md says.
fn write_data(data: &Path, configs: &[PathBuf]) {
    let (mut coco, mut lvis) = (Vec::new(), Vec::new());
    for path in configs {
        let config = Document::load(path, &[]).unwrap();
        // What is judged on comes first, so that a few questions are about it.
        for (key, file) in
            [("evaluation.categories", "evaluation.test"), ("data.categories", "data.train")]
        {
            let names = categories(&config, key);
            let names =
                if names.is_empty() { categories(&config, "data.categories") } else { names };
            let file = config.get(file).unwrap().as_str().unwrap();
            let to = if file.starts_with("lvis/") { &mut lvis } else { &mut coco };
            to.extend(
                names
                    .into_iter()
                    .filter(|_| file.starts_with("coco/") || file.starts_with("lvis/")),
            );
        }
    }
    let is_new = |seen: &mut BTreeSet<String>, name: &String| seen.insert(name.clone());
    for names in [&mut coco, &mut lvis] {
        let mut seen = BTreeSet::new();
        names.retain(|name| is_new(&mut seen, name));
        if names.is_empty() {
            names.push("thing".to_owned());
        }
    }
    for year in ["train2017", "val2017"] {
        let (coco_file, pictures) = (
            data.join(format!("coco/annotations/instances_{year}.json")),
            data.join("coco").join(year),
        );
        write_coco(&coco_file, &pictures, &coco, false);
    }
    for (split, folder) in [("train", "train2017"), ("val", "val2017")] {
        let file = data.join(format!("lvis/lvis_v1_{split}.json"));
        write_coco(&file, &data.join("coco").join(folder), &lvis, true);
    }
    let named = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let monsters = named(&["bird", "feline-or-canid", "serpent", "slime", "wyvern"]);
    for (folder, names) in [
        ("mg/train", &monsters),
        ("mg/test", &monsters),
        ("rf20-vl/train", &named(&["bolt", "nut"])),
        ("rf20-vl/test", &named(&["bolt", "nut"])),
    ] {
        let folder = data.join(folder);
        write_coco(&folder.join("_annotations.coco.json"), &folder, names, false);
    }
    for split in ["train", "val", "test"] {
        write_reasoning(&data.join("ReasonSeg").join(split));
    }
    write_refcoco(&data.join("refcoco"), &data.join("coco/train2014"));
    write_splits(&data.join("flowers/split_zhou_OxfordFlowers.json"), "jpg");
    write_splits(&data.join("cars/split_zhou_StanfordCars.json"), "cars_train");
    let mut aircraft = String::new();
    let mut pets = String::new();
    for number in 0..6 {
        write(&data.join(format!("aircraft/data/images/{number:07}.jpg")), picture(number));
        write(&data.join(format!("pets/images/great_dane_{number}.jpg")), picture(number));
        aircraft += &format!("{number:07} Boeing 70{}\n", number % 3);
        pets += &format!("great_dane_{number} {} 2 1\n", number % 3);
    }
    for split in ["train", "test"] {
        write(&data.join(format!("aircraft/data/images_variant_{split}.txt")), &aircraft);
    }
    for split in ["trainval", "test"] {
        write(&data.join(format!("pets/annotations/{split}.txt")), &pets);
    }
}

/// All tables of the paper's folder, without what they share.
fn configs() -> Vec<PathBuf> {
    let files = files_under(&root().join("configs/paper")).into_iter();
    files.filter(|path| path.file_stem().unwrap() != "program").collect()
}

fn table(files: &[PathBuf], data: &Path, out: &Path, more: &[&str]) -> (String, String) {
    let mut command = Command::new(vrft());
    command.current_dir(root()).arg("table").args(files).arg("--no-build");
    command.arg("--data").arg(data).arg("--out").arg(out).args(more);
    let starter = format!("policy.path={:?}", root().join("data/starter"));
    for assignment in SMALL.iter().copied().chain([starter.as_str()]) {
        command.args(["--set", assignment]);
    }
    let output = command.output().unwrap();
    let (said, wrong) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{wrong}");
    (said.into_owned(), wrong.into_owned())
}

/// The table of a configuration in `table.json`.
fn read(out: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(out.join("table.json")).unwrap();
    serde_json::from_str::<Vec<Value>>(&text).unwrap()
}

#[test]
fn every_kind_of_table_runs_end_to_end() {
    let _guard = alone();
    let folder = tempfile::tempdir().unwrap();
    let all = configs();
    let is_all = std::env::var("VRFT_PAPER").is_ok_and(|value| value == "all");
    let chosen: Vec<PathBuf> = all
        .into_iter()
        .filter(|path| is_all || KINDS.contains(&path.file_stem().unwrap().to_str().unwrap()))
        .collect();
    for file in &chosen {
        let config = Document::load(file, &[]).unwrap();
        let with_shots = config.get("table.shots").is_some();
        let shots: &[&str] = if with_shots { &["--shots", "1"] } else { &[] };
        let folder = folder.path().join(file.file_stem().unwrap());
        let (data, out) = (folder.join("data"), folder.join("out"));
        write_data(&data, std::slice::from_ref(file));
        let more = [&["--seeds", "1"], shots].concat();
        let (said, _) = table(std::slice::from_ref(file), &data, &out, &more);
        let written = read(&out);
        let rows = written[0]["rows"].as_array().unwrap();
        let labels: Vec<&str> = rows.iter().map(|row| row["label"].as_str().unwrap()).collect();
        assert_eq!(labels, ["base", "sft", "rft"], "{file:?}\n{said}");
        let metric = config.get("table.metrics").unwrap()[0].as_str().unwrap().to_owned();
        for row in rows {
            assert!(row["metrics"][&metric]["mean"].is_number(), "{file:?}: {row}");
        }
        if is_all {
            let text = std::fs::read_to_string(out.join("table.md")).unwrap();
            let stem = file.file_stem().unwrap().to_str().unwrap();
            println!("{stem}: {}", text.lines().find(|line| line.starts_with("| RFT |")).unwrap());
        }
    }
}

/// What judges the policies of a table, on the miniature of its data.
fn judge(file: &Path, data: &Path) -> Judge {
    let test = Document::load(file, &[]).unwrap().get("evaluation.test").unwrap().clone();
    let quoted = |path: &Path| format!("{:?}", path.display().to_string());
    let pictures = Document::load(file, &[]).unwrap().get("data.image_root").cloned();
    let pictures = pictures.map(|folder| data.join(folder.as_str().unwrap()));
    let overrides = [
        format!("evaluation.test={}", quoted(&data.join(test.as_str().unwrap()))),
        format!("policy.path={}", quoted(&root().join("data/starter"))),
    ];
    let of_pictures = pictures.map(|folder| format!("data.image_root={}", quoted(&folder)));
    let overrides = overrides.into_iter().chain(of_pictures);
    let overrides = SMALL.iter().map(ToString::to_string).chain(overrides);
    let document = Document::load(file, &overrides.collect::<Vec<_>>()).unwrap();
    let config = JudgeConfig {
        policy: document.section().unwrap(),
        evaluation: document.section().unwrap(),
        data: document.section().unwrap(),
        rollout: document.section().unwrap(),
        reward: document.section().unwrap(),
    };
    Judge::load(&config).unwrap()
}

/// COCO's average precision where nothing wrong was found: precision is 1 at the recalls of 0, 0.01 … up to what was found.
fn precision_of(found: usize, there: usize) -> f64 {
    if found == 0 { 0.0 } else { ((100 * found / there) as f64 + 1.0) / 101.0 }
}

/// The metric of every table of the paper is 1 for the true answers and what arithmetic says where every third is missing: so
/// layout, selection, question, coordinates, reading, matching and means are right together. A policy that knows nothing would
/// have 0 whatever is wrong.
#[test]
fn true_answers_are_worth_1_and_missing_ones_what_they_are_worth() {
    let mut seen = BTreeSet::new();
    for file in configs() {
        let folder = tempfile::tempdir().unwrap();
        write_data(folder.path(), std::slice::from_ref(&file));
        let judge = judge(&file, folder.path());
        let right: Vec<String> = judge.truths().iter().map(|truth| said(&truth.solution)).collect();
        let n = right.len();
        assert!(n > 2, "{file:?}: {n} questions");
        let metrics = |kept: &dyn Fn(usize) -> bool| {
            let said = right.iter().enumerate();
            let said =
                said.map(|(idx, said)| if kept(idx) { said.clone() } else { "who knows".into() });
            judge.measure(said.collect()).unwrap()
        };
        let all = metrics(&|_| true).evaluation.metrics;
        let some = metrics(&|idx| idx % 3 != 0);
        let share = (0..n).filter(|idx| idx % 3 != 0).count() as f64 / n as f64;
        // By category, how many objects are there and how many were found.
        let mut counts: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for (idx, question) in some.predictions.iter().enumerate() {
            for one in question.counted.iter().flat_map(|counted| &counted.truth) {
                let (found, there) = counts.entry(&one.category).or_default();
                *found += usize::from(idx % 3 != 0);
                *there += 1;
            }
        }
        let precisions = counts.values().map(|(found, there)| precision_of(*found, *there));
        let precision = precisions.sum::<f64>() / counts.len() as f64;
        let (found, there) = counts.values().fold((0, 0), |(a, b), (c, d)| (a + c, b + d));
        for name in
            Document::load(&file, &[]).unwrap().get("table.metrics").unwrap().as_array().unwrap()
        {
            let name = name.as_str().unwrap();
            let expected = match name {
                "ap" | "ap50" => precision,
                "miou" => found as f64 / there as f64,
                "accuracy" | "accuracy_official" | "acc50" | "format" => share,
                // Every question of the miniatures is about something that is there.
                "no_objects" if !all.contains_key(name) => continue,
                other => panic!("{file:?}: what is {other} of true answers?"),
            };
            let close = |got: f64, expected: f64| (got - expected).abs() < 5e-3;
            assert!(close(all[name], 1.0), "{file:?}: {name} of true answers is {}", all[name]);
            let got = some.evaluation.metrics[name];
            assert!(close(got, expected), "{file:?}: {name} is {got}, not {expected}");
            assert!(expected > 0.3 && expected < 0.9, "{name}: {expected}");
            seen.insert(name.to_owned());
        }
    }
    let kinds = ["accuracy", "accuracy_official", "acc50", "ap", "miou"];
    assert!(kinds.iter().all(|kind| seen.contains(*kind)), "{seen:?}");
}

/// A true answer as a policy says it.
fn said(solution: &str) -> String {
    let answer = if solution.contains("<answer>") {
        solution.to_owned()
    } else {
        format!("<answer>{solution}</answer>")
    };
    format!("<think>so</think>{answer}")
}

#[test]
fn a_table_goes_on_where_it_stopped_and_evaluates_its_start_once() {
    let _guard = alone();
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("out"));
    write_data(&data, &configs());
    let files = [root().join("configs/paper/classification-pets.toml")];
    let options = ["--shots", "1", "--seeds", "2", "--mode", "fixed"];
    table(&files, &data, &out, &options);
    let cell = |seed: u64| out.join(format!("classification-pets-fixed/shots-1-seed-{seed}"));
    let evaluations = |seed| std::fs::read_to_string(cell(seed).join("evaluations.jsonl")).unwrap();
    let of_base = |text: &str| -> Vec<String> {
        text.lines().filter(|line| line.contains("\"base\"")).map(str::to_owned).collect()
    };
    // The second run was given what the first had found, seconds included.
    assert_eq!(of_base(&evaluations(0)), of_base(&evaluations(1)));
    let shots = std::fs::read_to_string(cell(1).join("shots.txt")).unwrap();
    assert_eq!(shots.lines().count(), 1);
    let written = read(&out);
    assert_eq!(written[0]["rows"][2]["seeds"], json!([0, 1]));
    assert_eq!(written[0]["differences"][0]["n"], json!(2));
    // Nothing is left to do, and a run that was cut short is done again.
    let before = evaluations(1);
    let (said, _) = table(&files, &data, &out, &options);
    assert!(!said.contains("seed 1"), "{said}");
    std::fs::remove_file(cell(1).join("report.html")).unwrap();
    let (said, _) = table(&files, &data, &out, &options);
    assert!(said.contains("seed 1") && !said.contains("seed 0"), "{said}");
    assert_eq!(of_base(&before), of_base(&evaluations(1)));
    // A run that is evaluated in another way does not borrow what was found for its start.
    let other =
        ["--shots", "2", "--seeds", "1", "--mode", "fixed", "--set", "evaluation.batch_size=1"];
    table(&files, &data, &out, &other);
    let of_other = out.join("classification-pets-fixed/shots-2-seed-0/evaluations.jsonl");
    let of_other = of_base(&std::fs::read_to_string(of_other).unwrap());
    assert_eq!(of_other.len(), 1);
    assert_ne!(of_base(&before), of_other);
    // Other settings are not mixed with what is there.
    let output = Command::new(vrft())
        .current_dir(root())
        .args(["table", "--no-build", "--seeds", "1", "--shots", "1", "--mode", "fixed", "--data"])
        .args([&data, &files[0]])
        .arg("--out")
        .arg(&out)
        .args(["--set", "learner.steps=3", "--set", "table.steps=[]"])
        .output()
        .unwrap();
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert!(wrong.contains("was run with other settings"), "{wrong}");
    assert!(wrong.contains("config.learner.steps: 2 before, 3 now"), "{wrong}");
}

#[test]
fn both_methods_may_learn_one_after_the_other() {
    let _guard = alone();
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("data"), folder.path().join("out"));
    write_data(&data, &configs());
    let files = [root().join("configs/paper/rf20-vl.toml")];
    let graphs = ["--seeds", "1", "--graph", "configs/sft.yml", "--graph", "configs/rft.yml"];
    table(&files, &data, &out, &graphs);
    let written = read(&out);
    let rows = written[0]["rows"].as_array().unwrap();
    let labels: Vec<&str> = rows.iter().map(|row| row["label"].as_str().unwrap()).collect();
    assert_eq!(labels, ["base", "sft", "rft"]);
    assert!(out.join("rf20-vl/seed-0-sft").is_dir() && out.join("rf20-vl/seed-0-rft").is_dir());
}

#[test]
fn a_dry_run_says_what_a_table_takes() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    write_data(&data, &configs());
    let files =
        [root().join("configs/paper/coco8-2b.toml"), root().join("configs/paper/mg-2b.toml")];
    let (said, _) =
        table(&files, &data, &folder.path().join("out"), &["--dry-run", "--seeds", "2"]);
    for words in [
        "COCO-8, Qwen2-VL-2B",
        "10 runs: 5 numbers of shots, 2 seeds; steps [2, 2, 2, 2, 2], of 2 prompts with 2 completions each",
        "40 held-out questions",
        "M tokens sampled",
        "memory: ",
        "GFLOP/s",
        "in all: about",
    ] {
        assert!(said.contains(words), "{words}\n{said}");
    }
    std::fs::remove_dir_all(data.join("mg")).unwrap();
    let (said, _) = table(&files, &data, &folder.path().join("out"), &["--dry-run"]);
    assert!(
        said.contains("not here yet: data.train") || said.contains("not here yet: evaluation"),
        "{said}"
    );
}
