//! Which rows are judged on.

use super::*;

fn told(options: &NewOptions) -> String {
    std::fs::read_to_string(options.folder.join(FILE)).unwrap()
}

/// Pascal VOC with these splits, by numbers of pictures.
fn voc(splits: &[(&str, std::ops::Range<usize>)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for name in ["Annotations", "JPEGImages", "ImageSets/Main"] {
        std::fs::create_dir_all(root.join(name)).unwrap();
    }
    for n in 0..20 {
        let name = picture(&root.join("JPEGImages"), n);
        let xml = format!(
            "<annotation><filename>{name}</filename><object><name>dog</name><bndbox><xmin>5</xmin><ymin>6</ymin>\
             <xmax>40</xmax><ymax>30</ymax></bndbox></object></annotation>"
        );
        std::fs::write(root.join(format!("Annotations/{n:03}.xml")), xml).unwrap();
    }
    for (split, numbers) in splits {
        let names: Vec<String> = numbers.clone().map(|n| format!("{n:03}")).collect();
        std::fs::write(root.join(format!("ImageSets/Main/{split}.txt")), names.join("\n")).unwrap();
    }
    folder
}

#[track_caller]
fn splits_of(folder: &tempfile::TempDir, split: Option<&str>, learned: &str, judged: Option<&str>) {
    let split = split.map(str::to_owned);
    let made_in = folder.path().join(format!("for-{learned}"));
    let options = NewOptions { folder: made_in, split, ..options(folder.path(), folder.path()) };
    let config = made(&options);
    assert_eq!(config.data.split.as_deref(), Some(learned));
    match judged {
        Some(_) => {
            assert_eq!((config.evaluation.split.as_deref(), config.data.hold_out), (judged, 0.0))
        }
        None => assert_eq!(
            (config.evaluation.split.as_deref(), config.data.hold_out),
            (Some(learned), 0.2)
        ),
    }
}

#[test]
fn a_named_split_to_learn_from_leaves_the_test_split_to_judge_on() {
    let all = voc(&[("trainval", 0..14), ("train", 0..10), ("val", 10..14), ("test", 14..20)]);
    splits_of(&all, Some("trainval"), "trainval", Some("test"));
    splits_of(&all, Some("val"), "val", Some("test"));
    splits_of(&all, None, "train", Some("test"));
    // All of its other splits are in it.
    let some = voc(&[("trainval", 0..14), ("train", 0..10), ("val", 10..14)]);
    splits_of(&some, Some("trainval"), "trainval", None);
    let two = voc(&[("trainval", 0..14), ("test", 14..20)]);
    splits_of(&two, None, "trainval", Some("test"));
}

#[test]
fn rows_to_judge_on_are_read_as_a_run_will_read_them() {
    let (folder, names) = folder(60);
    let data = folder.path().join("rows.jsonl");
    let test = folder.path().join("held.jsonl");
    let answer = |n: usize| (n % 7).to_string();
    std::fs::write(&data, lines(&names[..40], "How many?", answer)).unwrap();
    let some = |n: usize| if n < 3 { "a lot".to_owned() } else { answer(n) };
    std::fs::write(&test, lines(&names[40..], "How many?", some)).unwrap();
    let options = NewOptions { test: Some(test.clone()), ..options(folder.path(), &data) };
    made(&options);
    for words in ["20 rows, 17 usable, 3 skipped", "skipped row 0", "warning: 3 of 20 rows"] {
        assert!(told(&options).contains(words), "{words:?} is not in {}", told(&options));
    }
    std::fs::write(&test, lines(&names[40..], "How many?", |_| "a lot".to_owned())).unwrap();
    let options = NewOptions { folder: folder.path().join("other"), ..options };
    refused(&options, &["--test", "held.jsonl", "no usable row"]);
    // What was only found beside the rows is left aside.
    std::fs::rename(&data, folder.path().join("train.jsonl")).unwrap();
    std::fs::rename(&test, folder.path().join("test.jsonl")).unwrap();
    let options = NewOptions { test: None, data: folder.path().join("train.jsonl"), ..options };
    let config = made(&options);
    assert_eq!((config.data.hold_out, &config.evaluation.test), (0.2, &config.data.train));
    assert!(told(&options).contains("test.jsonl is not judged on"), "{}", told(&options));
}
