//! `vrft new` on small data sets of every kind: what it writes is read back as a run would.

use std::path::Path;

use vrft_dataset::Dataset;

use super::*;

mod readings;
mod splits;

/// A gray picture of 64 × 48 pixels, different for each number.
fn picture(folder: &Path, n: usize) -> String {
    let name = format!("{n:03}.ppm");
    let mut ppm = b"P6 64 48 255\n".to_vec();
    ppm.extend(std::iter::repeat_n(20 + n as u8, 64 * 48 * 3));
    std::fs::write(folder.join(&name), ppm).unwrap();
    name
}

/// A folder with so many pictures.
fn folder(n_pictures: usize) -> (tempfile::TempDir, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let names = (0..n_pictures).map(|n| picture(folder.path(), n)).collect();
    (folder, names)
}

fn options(folder: &Path, data: &Path) -> NewOptions {
    let starter = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/starter");
    NewOptions {
        folder: folder.join("mine"),
        data: data.to_owned(),
        test: None,
        split: None,
        checkpoint: Some(starter),
        image_root: None,
        truth: None,
        classes: None,
        reward: None,
    }
}

/// What was written, as a run reads it.
fn made(options: &NewOptions) -> Config {
    new(options).unwrap();
    Config::load(&options.folder.join(FILE), &[]).unwrap()
}

#[track_caller]
fn refused(options: &NewOptions, words: &[&str]) {
    let error = format!("{:#}", new(options).unwrap_err());
    for word in words {
        assert!(error.contains(word), "{word:?} is not in {error}");
    }
    assert!(!options.folder.exists(), "something was written");
}

/// A black JPEG of 64 × 48 pixels as stored that EXIF turns by a quarter.
fn turned_picture(folder: &Path, n: usize) -> String {
    let mut jpeg = std::io::Cursor::new(Vec::new());
    image::GrayImage::new(64, 48).write_to(&mut jpeg, image::ImageFormat::Jpeg).unwrap();
    let jpeg = jpeg.into_inner();
    // One entry: orientation (0x0112), a short, 6.
    let tiff =
        [b"MM\0*\0\0\0\x08\0\x01".as_slice(), &[1, 18, 0, 3, 0, 0, 0, 1, 0, 6, 0, 0], &[0; 4]];
    let segment = [b"Exif\0\0".as_slice(), &tiff.concat()].concat();
    let length = (segment.len() as u16 + 2).to_be_bytes();
    let name = format!("{n:03}.jpg");
    let turned = [&jpeg[..2], &[0xff, 0xe1], &length, &segment, &jpeg[2..]].concat();
    std::fs::write(folder.join(&name), turned).unwrap();
    name
}

#[test]
fn pixels_of_pictures_that_are_stored_on_their_side_are_taken_for_pixels() {
    let folder = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..40).map(|n| turned_picture(folder.path(), n)).collect();
    // As stored: up to 64 to the right, which is beyond the 48 that are shown.
    let solution = |n: usize| format!("[{}, 2, {}, 40]", 20 + n / 2, 44 + n / 2);
    let file = folder.path().join("train.jsonl");
    std::fs::write(&file, lines(&names, "Where is the cup?", solution)).unwrap();
    let config = made(&options(folder.path(), &file));
    assert_eq!(config.data.space, Some(vrft_dataset::DataSpace::Pixels));
    assert_eq!(config.data.boxes_are, Some(vrft_dataset::BoxesAre::Stored));
}

/// Rows of a picture, a question and an answer.
fn lines(names: &[String], problem: &str, solution: impl Fn(usize) -> String) -> String {
    let row = |(n, name): (usize, &String)| {
        let row = serde_json::json!({"image": name, "problem": problem, "solution": solution(n)});
        row.to_string()
    };
    names.iter().enumerate().map(row).collect::<Vec<String>>().join("\n")
}

/// As a snapshot of the hub has it: the name is that of the link.
#[test]
fn a_link_to_a_file_is_named_as_it_is_and_pictures_start_beside_it() {
    let (folder, names) = folder(20);
    let blob = folder.path().join("blobs/h1");
    std::fs::create_dir(blob.parent().unwrap()).unwrap();
    let solution = |n: usize| format!("[{{\"bbox_2d\": [{n}, 4, 63, 47], \"label\": \"mug\"}}]");
    std::fs::write(&blob, lines(&names, "Where is the mug?", solution)).unwrap();
    let link = folder.path().join("train.jsonl");
    std::os::unix::fs::symlink("blobs/h1", &link).unwrap();
    assert_eq!(made(&options(folder.path(), &link)).data.train, link);
}

#[test]
fn jsonl_with_boxes_in_pixels() {
    let (folder, names) = folder(20);
    let data = folder.path().join("rows.jsonl");
    let solution = |n: usize| format!("[{{\"bbox_2d\": [{n}, 4, 63, 47], \"label\": \"mug\"}}]");
    std::fs::write(&data, lines(&names, "Where is the mug?", solution)).unwrap();
    let config = made(&options(folder.path(), &data));
    assert_eq!(config.data.train, data.canonicalize().unwrap());
    assert_eq!(config.data.space, Some(vrft_dataset::DataSpace::Pixels));
    assert_eq!((config.data.shots, config.data.flip), (0, vrft_dataset::Flip::None));
    // Nothing else to judge on: a fifth of the pictures.
    assert_eq!((config.data.hold_out, &config.evaluation.test), (0.2, &config.data.train));
    let answer = &config.rewards.shared.answer;
    assert_eq!(
        (answer.kind.name(), answer.space()),
        ("boxes", Some(vrft_reward::Space::Thousandths))
    );
    assert!(config.rewards.shared.format.instruct);
    assert!(config.rollout.max_completion_tokens >= 256);
    // A second time it is not written over.
    let again = format!("{:#}", new(&options(folder.path(), &data)).unwrap_err());
    assert!(again.contains("there already"), "{again}");
}

#[test]
fn jsonl_with_names_and_rows_to_judge_on_beside_it() {
    let (folder, names) = folder(12);
    let data = folder.path().join("train.jsonl");
    let solution = |n: usize| ["robin", "wren", "great tit"][n % 3].to_owned();
    let rows = lines(&names, "Which bird is it?", solution);
    std::fs::write(&data, &rows).unwrap();
    let test = folder.path().join("test.jsonl");
    std::fs::write(&test, &rows).unwrap();
    let config = made(&options(folder.path(), &data));
    assert_eq!(config.rewards.shared.answer.kind.name(), "label");
    assert_eq!(config.evaluation.test, test.canonicalize().unwrap());
    assert_eq!(config.data.hold_out, 0.0);
}

#[test]
fn coco_annotations() {
    let (folder, names) = folder(10);
    let image =
        |n: usize| serde_json::json!({"id": n, "file_name": names[n], "width": 64, "height": 48});
    let boxes = |n: usize| serde_json::json!({"id": n, "image_id": n, "category_id": n % 2, "bbox": [n, 2, 30, 40]});
    let coco = serde_json::json!({
        "images": (0..10).map(image).collect::<Vec<_>>(),
        "annotations": (0..10).map(boxes).collect::<Vec<_>>(),
        "categories": [{"id": 0, "name": "cup"}, {"id": 1, "name": "plate"}],
    });
    let data = folder.path().join("coco.json");
    std::fs::write(&data, coco.to_string()).unwrap();
    let config = made(&options(folder.path(), &data));
    assert_eq!(config.rewards.shared.answer.kind.name(), "boxes");
    // Annotations say themselves that they are in pixels.
    assert_eq!((config.data.space, config.data.hold_out), (None, 0.2));
    let text = std::fs::read_to_string(folder.path().join("mine/config.toml")).unwrap();
    assert!(text.contains("10 rows about 10 pictures") && text.contains("cup"), "{text}");
}

#[test]
fn a_folder_of_pascal_voc() {
    let (folder, names) = folder(6);
    for name in &names {
        let xml = format!(
            "<annotation><filename>{name}</filename><size><width>64</width><height>48</height></size>\
             <object><name>dog</name><bndbox><xmin>5</xmin><ymin>6</ymin><xmax>40</xmax><ymax>30</ymax></bndbox>\
             </object></annotation>"
        );
        std::fs::write(folder.path().join(name).with_extension("xml"), xml).unwrap();
    }
    let config = made(&options(folder.path(), folder.path()));
    assert_eq!(config.rewards.shared.answer.kind.name(), "boxes");
    assert_eq!(config.data.train, folder.path().canonicalize().unwrap());
}

#[test]
fn parquet_and_a_folder_with_its_splits() {
    let digits = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/digits");
    let folder = tempfile::tempdir().unwrap();
    let data = digits.join("shots.parquet");
    let config = made(&options(folder.path(), &data));
    assert_eq!(config.rewards.shared.answer.kind.name(), "boxes");
    // Its questions say what an answer looks like.
    assert!(!config.rewards.shared.format.instruct);
    let hub = folder.path().join("hub");
    std::fs::create_dir(&hub).unwrap();
    std::fs::copy(&data, hub.join("train-00000-of-00001.parquet")).unwrap();
    std::fs::copy(digits.join("test.parquet"), hub.join("test-00000-of-00001.parquet")).unwrap();
    let of_hub =
        NewOptions { folder: folder.path().join("of_hub"), ..options(folder.path(), &hub) };
    let config = made(&of_hub);
    assert_eq!(config.data.split.as_deref(), Some("train"));
    assert_eq!(config.evaluation.split.as_deref(), Some("test"));
    assert_eq!((&config.evaluation.test, config.data.hold_out), (&config.data.train, 0.0));
}

#[test]
fn what_cannot_be_inferred_is_refused_with_what_to_do() {
    let (folder, names) = folder(8);
    let data = folder.path().join("rows.jsonl");
    let solution = |n: usize| {
        // An essay, a box, a number and a name say nothing together.
        let essays = [
            "It was the best of times, it was the worst of times, said who wrote it",
            "[1, 2, 3, 4]",
            "7",
            "",
        ];
        essays[n % 4].to_owned()
    };
    std::fs::write(&data, lines(&names, "What do you see?", solution)).unwrap();
    refused(&options(folder.path(), &data), &["cannot be inferred", "--reward FILE"]);
    std::fs::write(&data, lines(&["gone.png".to_owned()], "Where?", |_| "7".to_owned())).unwrap();
    refused(&options(folder.path(), &data), &["gone.png"]);
    let absent =
        NewOptions { data: folder.path().join("absent.jsonl"), ..options(folder.path(), &data) };
    refused(&absent, &["absent.jsonl"]);
    let model = NewOptions { checkpoint: Some("no/such".into()), ..options(folder.path(), &data) };
    std::fs::write(&data, lines(&names, "How many?", |n| n.to_string())).unwrap();
    refused(&model, &["--checkpoint no/such"]);
    let hub = folder.path().join("hub");
    std::fs::create_dir(&hub).unwrap();
    for split in ["dev", "test"] {
        std::fs::write(hub.join(format!("{split}.jsonl")), "").unwrap();
    }
    refused(&options(folder.path(), &hub), &["validation", "test", "--split"]);
}

/// What asks about the rows of a data set that a configuration has written, and reads their answers.
fn prompter(config: &Config, dataset: &Dataset) -> vrft_prompts::Prompter {
    let declared = vrft_prompts::Declared::learned(&config.data, None);
    let reward = &config.rewards.shared;
    vrft_prompts::Prompter::of_data(reward, "", dataset, &config.data, declared).unwrap()
}

/// The rows of a file as they are judged on, and how their places are read.
fn judged(config: &Config) -> (usize, Vec<String>) {
    let options = config.data.options_to_judge(&config.evaluation);
    let dataset = Dataset::open_with(&config.evaluation.test, &options).unwrap();
    let prompter = prompter(config, &dataset);
    let check = |row: &vrft_dataset::Row| prompter.check_truth(&prompter.truth(row, &Ok)?);
    let dataset = dataset.retain_valid(check, 1.0).unwrap();
    (dataset.len(), prompter.notes().to_vec())
}

#[test]
fn few_held_out_rows_are_read_by_the_units_of_the_training_rows() {
    let (folder, names) = folder(24);
    let solution = |n: usize| format!("[{{\"bbox_2d\": [{n}, 4, 60, 45], \"label\": \"mug\"}}]");
    let data = folder.path().join("train.jsonl");
    std::fs::write(&data, lines(&names[..20], "Where?", solution)).unwrap();
    // One of four boxes leaves its picture: alone, they would be thousandths.
    let out = |n: usize| solution(n).replace("60", if n == 1 { "90" } else { "60" });
    std::fs::write(folder.path().join("test.jsonl"), lines(&names[20..], "Where?", out)).unwrap();
    let mut config = made(&options(folder.path(), &data));
    config.data.space = None;
    let (n, notes) = judged(&config);
    assert_eq!(n, 3);
    assert!(notes[0].contains("taken for pixels"), "{notes:?}");
}

#[test]
fn one_bad_row_of_many_is_named_and_left_out() {
    let (folder, names) = folder(60);
    let data = folder.path().join("rows.jsonl");
    let solution = |n: usize| match n {
        7 => "[{\"bbox_2d\": [60, 4, 3, 45], \"label\": \"mug\"}]".to_owned(),
        _ => format!("[{{\"bbox_2d\": [{n}, 4, 62, 45], \"label\": \"mug\"}}]"),
    };
    std::fs::write(&data, lines(&names, "Where?", solution)).unwrap();
    let config = made(&options(folder.path(), &data));
    assert_eq!(config.rewards.shared.answer.kind.name(), "boxes");
    let text = std::fs::read_to_string(folder.path().join("mine/config.toml")).unwrap();
    assert!(text.contains("skipped row 7") && text.contains("x1 < x2"), "{text}");
    assert_eq!(judged(&config).0 + learned(&config), 59);
    // Wherever the bad row falls: each in its turn is among the few that are set aside.
    for bad in 0..10 {
        let solution = |n: usize| solution(if n == bad { 7 } else { n.max(8) });
        std::fs::write(&data, lines(&names, "Where?", solution)).unwrap();
        assert_eq!(judged(&config).0 + learned(&config), 59, "row {bad}");
    }
}

fn learned(config: &Config) -> usize {
    let options = config.data.options_to_learn(None, &config.evaluation);
    let dataset = Dataset::open_with(&config.data.train, &options).unwrap();
    let prompter = prompter(config, &dataset);
    let check = |row: &vrft_dataset::Row| prompter.check_truth(&prompter.truth(row, &Ok)?);
    dataset.check_rest(check).retain_valid(check, config.data.max_bad_fraction).unwrap().len()
}

#[test]
fn a_picture_that_is_missing_counts_once_and_few_pictures_are_divided() {
    let (folder, mut names) = folder(40);
    let data = folder.path().join("rows.jsonl");
    names[5] = "gone.ppm".to_owned();
    std::fs::write(&data, lines(&names, "How many?", |n| (n % 3).to_string())).unwrap();
    let config = made(&options(folder.path(), &data));
    assert_eq!(config.rewards.shared.answer.kind.name(), "number");
    assert_eq!((judged(&config).0, learned(&config)), (8, 31));
    std::fs::write(&data, lines(&names[..5], "How many?", |n| (n % 3).to_string())).unwrap();
    assert_eq!((judged(&config).0, learned(&config)), (1, 4));
    std::fs::write(
        &data,
        [lines(&names[..1], "How many?", |_| "2".to_owned()).as_str(); 4].join("\n"),
    )
    .unwrap();
    let again = NewOptions { folder: folder.path().join("again"), ..options(folder.path(), &data) };
    refused(&again, &["about one picture", "--test"]);
}

#[test]
fn single_labelled_points_in_pixels_can_be_started() {
    let (folder, names) = folder(30);
    let data = folder.path().join("rows.jsonl");
    let solution =
        |n: usize| format!("[{{\"point_2d\": [{}, {}], \"label\": \"mug\"}}]", 2 * n, 47 - n);
    std::fs::write(&data, lines(&names, "Point at the mug.", solution)).unwrap();
    let config = made(&options(folder.path(), &data));
    let reward = &config.rewards.shared;
    assert_eq!((reward.answer.kind.name(), reward.matching.scale), ("points", 0.05));
    assert_eq!(reward.answer.space(), Some(vrft_reward::Space::Thousandths));
    assert_eq!(config.data.space, Some(vrft_dataset::DataSpace::Pixels));
    assert_eq!(judged(&config).0 + learned(&config), 30);
}

#[test]
fn rows_that_are_learned_from_are_not_said_to_be_held_out() {
    let (folder, names) = folder(20);
    let data = folder.path().join("rows.jsonl");
    std::fs::write(&data, lines(&names, "How many?", |n| (n % 7).to_string())).unwrap();
    let options = NewOptions { test: Some(data.clone()), ..options(folder.path(), &data) };
    new(&options).unwrap();
    let written = std::fs::read_to_string(options.folder.join("config.toml")).unwrap();
    assert!(written.contains("20 of 20 rows are also learned from"), "{written}");
    assert!(!written.contains("never learned from"), "{written}");
}

#[test]
fn rows_are_counted_as_a_run_counts_them_and_the_best_answer_is_what_pays_most() {
    let (folder, mut names) = folder(40);
    names[5] = "gone.ppm".to_owned();
    let data = folder.path().join("rows.jsonl");
    let solution = |n: usize| if n == 9 { "a lot".to_owned() } else { (n % 7).to_string() };
    std::fs::write(&data, lines(&names, "How many?", solution)).unwrap();
    let options = options(folder.path(), &data);
    let config = made(&options);
    let dataset = super::splits::open(&options).unwrap().dataset;
    let given = Given {
        name: "mine".to_owned(),
        data: data.clone(),
        test: None,
        checkpoint: config.policy.path.clone(),
        image_root: None,
        reward: None,
        truth: None,
        classes: None,
        learned: None,
        judged: None,
        shares_rows: false,
    };
    let processor = Processor::of(&config.policy).unwrap();
    let proposal = Proposal::make(dataset, None, &processor, given).unwrap();
    let told = proposal.lines().join("\n");
    for words in [
        "40 rows, 38 usable, 2 skipped, 38 used",
        "gone.ppm",
        "skipped row 9",
        "Best answer: <think></think><answer>0</answer>",
    ] {
        assert!(told.contains(words), "{words:?} is not in {told}");
    }
    assert_eq!(judged(&config).0 + learned(&config), 38);
}

#[test]
fn a_split_without_rows_is_not_judged_on() {
    let (folder, names) = folder(20);
    let hub = folder.path().join("hub");
    std::fs::create_dir(&hub).unwrap();
    let rows = lines(&names, "How many?", |n| (n % 7).to_string());
    std::fs::write(hub.join("train.jsonl"), rows.replace("\"image\":\"", "\"image\":\"../"))
        .unwrap();
    std::fs::write(hub.join("test.jsonl"), "").unwrap();
    let options =
        NewOptions { image_root: Some(folder.path().to_owned()), ..options(folder.path(), &hub) };
    std::fs::write(hub.join("train.jsonl"), &rows).unwrap();
    let config = made(&options);
    assert_eq!(
        (config.data.split.as_deref(), config.evaluation.split.as_deref()),
        (Some("train"), Some("train"))
    );
    assert_eq!((config.data.hold_out, judged(&config).0), (0.2, 4));
    let text = std::fs::read_to_string(folder.path().join("mine/config.toml")).unwrap();
    assert!(text.contains("the split test is not judged on"), "{text}");
}

#[test]
fn answers_are_paid_in_the_coordinates_that_the_questions_ask_for() {
    for (words, space) in
        [("boxes in thousandths", "thousandths"), ("coordinates from 0 to 1", "unit")]
    {
        let (folder, names) = folder(6);
        let row = |(n, name): (usize, &String)| {
            let (x, y) = (3 + 5 * n, 2 + 3 * n);
            serde_json::json!({"image": name, "problem": format!("Find the mug. Answer within <answer> </answer> with {words}."),
                "solution": format!("<answer>[{{'Position': [{x}, {y}, {}, {}]}}]</answer>", x + 9, y + 7)})
            .to_string()
        };
        let rows: Vec<String> = names.iter().enumerate().map(row).collect();
        let data = folder.path().join("rows.jsonl");
        std::fs::write(&data, rows.join("\n")).unwrap();
        let config = made(&options(folder.path(), &data));
        let declared = config.rewards.shared.answer.space().unwrap();
        assert_eq!(
            (declared.name(), config.data.space),
            (space, Some(vrft_dataset::DataSpace::Pixels))
        );
    }
}
