//! How odd answers, classes and coordinates are read.

use vrft_dataset::DataSpace;
use vrft_reward::Space;
use vrft_reward::answers::AnswerKind;

use super::*;

/// Pictures that are much larger than 100 pixels.
fn large(n: usize) -> (tempfile::TempDir, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let name = |n: usize| {
        let name = format!("{n:03}.png");
        image::GrayImage::from_pixel(640, 480, image::Luma([n as u8]))
            .save(folder.path().join(&name))
            .unwrap();
        name
    };
    let names = (0..n).map(name).collect();
    (folder, names)
}

fn in_percent(n: usize) -> String {
    format!("[{{\"bbox_2d\": [{n}, {}, {}, 97.5], \"label\": \"mug\"}}]", 3 + n, 40 + n)
}

#[test]
fn coordinates_in_percent_are_converted_or_asked_for() {
    for (problem, answered_in) in [
        ("Where is the mug?", Space::Thousandths),
        ("Where is the mug, in percent?", Space::Percent),
    ] {
        let (folder, names) = large(20);
        let data = folder.path().join("rows.jsonl");
        std::fs::write(&data, lines(&names, problem, in_percent)).unwrap();
        let config = made(&options(folder.path(), &data));
        assert_eq!(config.data.space, Some(DataSpace::Percent));
        assert_eq!(config.rewards.shared.answer.space(), Some(answered_in));
        assert_eq!(learned(&config) + judged(&config).0, 20);
    }
}

#[test]
fn pixels_of_another_picture_than_the_model_sees_are_refused() {
    let (folder, names) = large(10);
    let data = folder.path().join("rows.jsonl");
    let solution = |n: usize| in_percent(6 * n).replace("97.5", "470");
    std::fs::write(&data, lines(&names, "Where? In pixels of the 640x480 picture.", solution))
        .unwrap();
    refused(
        &options(folder.path(), &data),
        &["row 0", "640 x 480", "scaled", "thousandths or percent"],
    );
    // Without a size they are those of what the model sees.
    std::fs::write(&data, lines(&names, "Where? In pixels.", solution)).unwrap();
    let config = made(&options(folder.path(), &data));
    assert_eq!(config.rewards.shared.answer.space(), Some(Space::Pixels));
}

#[test]
fn classes_that_are_numbers_are_classes() {
    let (folder, names) = folder(30);
    let table = |column: &str, class: &dyn Fn(usize) -> String| {
        let line = |(n, name): (usize, &String)| format!("{name},{}", class(n));
        let lines: Vec<String> = names.iter().enumerate().map(line).collect();
        format!("image,{column}\n{}", lines.join("\n"))
    };
    let data = folder.path().join("rows.csv");
    std::fs::write(&data, table("class", &|n| (n % 3).to_string())).unwrap();
    let of_numbers = options(folder.path(), &data);
    let AnswerKind::Label(label) = made(&of_numbers).rewards.shared.answer.kind else { panic!() };
    assert_eq!(label.labels, ["0", "1", "2"]);
    let text = std::fs::read_to_string(of_numbers.folder.join(FILE)).unwrap();
    assert!(text.contains("--classes FILE"), "{text}");
    let classes = folder.path().join("classes.txt");
    std::fs::write(&classes, "rose\ntulip\nelder\n").unwrap();
    let named = NewOptions {
        folder: folder.path().join("named"),
        classes: Some(classes),
        ..options(folder.path(), &data)
    };
    let config = made(&named);
    let AnswerKind::Label(label) = &config.rewards.shared.answer.kind else { panic!() };
    assert_eq!(label.labels, ["elder", "rose", "tulip"]);
    assert_eq!(learned(&config) + judged(&config).0, 30);
    let measured = NewOptions { folder: folder.path().join("m"), ..options(folder.path(), &data) };
    std::fs::write(&data, table("label", &|n| format!("{}.5", 3 * n))).unwrap();
    refused(&measured, &["\"0.5\" in row 0", "\"problem\""]);
}

/// The kind of these answers to a question for a number, and what the configuration says of them.
fn kind_of(answers: &[String]) -> Result<(String, String), String> {
    let (folder, names) = folder(answers.len());
    let data = folder.path().join("rows.jsonl");
    std::fs::write(&data, lines(&names, "How much?", |n| answers[n].clone())).unwrap();
    let options = options(folder.path(), &data);
    new(&options).map_err(|error| format!("{error:#}"))?;
    let kind = Config::load(&options.folder.join(FILE), &[]).unwrap().rewards.shared.answer.kind;
    let text = std::fs::read_to_string(options.folder.join(FILE)).unwrap();
    Ok((kind.name().to_owned(), text))
}

fn answers(usual: impl Fn(usize) -> String, odd: &[&str]) -> Vec<String> {
    let odd = odd.iter().map(|odd| (*odd).to_owned());
    (0..40).map(usual).chain(odd).collect()
}

#[test]
fn one_odd_number_does_not_make_names_of_all() {
    let check = |usual: &dyn Fn(usize) -> String, odd: &[&str], words: &[&str]| {
        let (kind, text) = kind_of(&answers(usual, odd)).unwrap();
        assert_eq!(kind, "number", "{odd:?}");
        assert!(words.iter().all(|word| text.contains(word)), "{words:?} are not in {text}");
    };
    check(&|n| n.to_string(), &["1 cm"], &["\"1 cm\" in row 40"]);
    check(
        &|n| (10_000 + n).to_string(),
        &["54,321"],
        &["commas, which are taken for those of thousands"],
    );
    check(&|n| format!("0.{n:03}"), &["0,100"], &["skipped row 40", "0,100"]);
    check(&|n| n.to_string(), &["a lot", ""], &["skipped row 40"]);
    check(&|n| format!("{n} cm"), &[], &["with words or a unit"]);
    check(
        &|n| format!("1{n:01},{:03}", 7 * n),
        &[],
        &["commas, which are taken for those of thousands"],
    );
}

#[test]
fn numbers_of_several_units_and_decimal_commas_are_refused() {
    let check = |usual: &dyn Fn(usize) -> String, words: &[&str]| {
        let error = kind_of(&answers(usual, &[])).unwrap_err();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    };
    check(&|n| format!("{n} {}", ["cm", "mm"][n % 2]), &["\"0 cm\"", "\"1 mm\"", "in one unit"]);
    check(&|n| format!("0,{n:03}"), &["decimal"]);
    check(&|n| if n % 2 == 0 { format!("{n},5") } else { format!("{n},125") }, &["decimal"]);
}

#[test]
fn one_bad_coordinate_is_one_bad_row() {
    let bad = [
        "[{\"bbox_2d\": [10, null, 30, 40], \"label\": \"mug\"}]",
        "[{\"bbox_2d\": [\"10\", \"20\", \"x\", \"40\"], \"label\": \"mug\"}]",
        "[{\"bbox_2d\": [10, 20, 30], \"label\": \"mug\"}]",
        "[{\"bbox_2d\": [10, 20, 30, NaN], \"label\": \"mug\"}]",
    ];
    for bad in bad {
        let (folder, names) = folder(40);
        let data = folder.path().join("rows.jsonl");
        let solution = |n: usize| match n {
            7 => bad.to_owned(),
            n => format!("[{{\"bbox_2d\": [{n}, 4, 62, 45], \"label\": \"mug\"}}]"),
        };
        std::fs::write(&data, lines(&names, "Where?", solution)).unwrap();
        let config = made(&options(folder.path(), &data));
        let reward = &config.rewards.shared;
        assert_eq!(reward.answer.kind.name(), "boxes", "{bad}");
        let text = std::fs::read_to_string(folder.path().join("mine/config.toml")).unwrap();
        assert!(text.contains("40 rows, 39 usable, 1 skipped"), "{bad}: {text}");
        assert_eq!(learned(&config) + judged(&config).0, 39, "{bad}");
    }
}

/// Rows of ms-swift, of a detection set of the hub, and of boxes beside a class: each is asked for boxes and not for words.
#[test]
fn boxes_beside_the_words_of_a_row_are_the_task() {
    let (folder, names) = large(12);
    let of_swift = |n: usize, name: &str| {
        let turns = serde_json::json!([{"role": "user", "content": "<image>Find the <ref-object>."},
            {"role": "assistant", "content": "<bbox>"}]);
        let objects = serde_json::json!({"ref": ["mug"], "bbox": [[10 + n, 20, 110 + n, 60]]});
        serde_json::json!({"messages": turns, "images": [name], "objects": objects})
    };
    let of_hub = |n: usize, name: &str| {
        let objects = serde_json::json!({"bbox": [[10 + n, 20, 600, 40]], "category": ["mug"]});
        serde_json::json!({"image": name, "objects": objects})
    };
    let in_columns = |n: usize, name: &str| serde_json::json!({"image": name, "bbox": [10 + n, 20, 600, 40], "label": "mug"});
    type Rows<'a> = &'a dyn Fn(usize, &str) -> serde_json::Value;
    for (number, row) in [&of_swift as Rows<'_>, &of_hub, &in_columns].iter().enumerate() {
        let data = folder.path().join("rows.jsonl");
        let rows: Vec<String> =
            names.iter().enumerate().map(|(n, name)| row(n, name).to_string()).collect();
        std::fs::write(&data, rows.join("\n")).unwrap();
        let into = folder.path().join(format!("mine{number}"));
        let config = made(&NewOptions { folder: into, ..options(folder.path(), &data) });
        assert_eq!(config.rewards.shared.answer.kind.name(), "boxes", "{number}");
        assert_eq!(learned(&config) + judged(&config).0, 12, "{number}");
    }
}
