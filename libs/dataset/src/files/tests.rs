//! Splits by name, as `datasets` finds them.

use super::*;
use crate::testing::Folder;

#[track_caller]
fn check(files: &[&str], split: Option<&str>, expected: &[&str]) {
    let folder = Folder::of(files);
    let found = find(&folder.path(""), split).unwrap();
    let expected: Vec<PathBuf> = expected.iter().map(|name| folder.path(name)).collect();
    assert_eq!(found.paths, expected);
}

#[track_caller]
fn check_error(files: &[&str], split: Option<&str>, words: &[&str]) {
    let folder = Folder::of(files);
    let error = find(&folder.path(""), split).unwrap_err().to_string();
    for word in words {
        assert!(error.contains(word), "{error}");
    }
}

const HUB: [&str; 3] =
    ["test-00000-of-00001.parquet", "train-00000-of-00002.parquet", "train-00001-of-00002.parquet"];

#[test]
fn a_split_is_chosen_by_its_name() {
    check(&HUB, Some("train"), &HUB[1..]);
    check(&HUB, Some("test"), &HUB[..1]);
}

#[test]
fn several_splits_and_no_choice_is_an_error_that_lists_them() {
    check_error(&HUB, None, &["data.split", "test (1 file), train (2 files)"]);
    check_error(&HUB, Some("validation"), &["validation", "test (1 file), train (2 files)"]);
}

#[test]
fn one_split_needs_no_choice() {
    check(&HUB[1..], None, &HUB[1..]);
    check(&["a-0.parquet", "a-1.parquet"], None, &["a-0.parquet", "a-1.parquet"]);
}

#[test]
fn words_of_a_name_are_splits_where_they_stand_alone() {
    let split = |path: &str| split_of(Path::new(path));
    assert_eq!(split("my_train.jsonl").as_deref(), Some("train"));
    assert_eq!(split("val.jsonl").as_deref(), Some("validation"));
    assert_eq!(split("eval-2024.parquet").as_deref(), Some("test"));
    assert_eq!(split("train/part-7.parquet").as_deref(), Some("train"));
    assert_eq!(split("data/dev/00.parquet").as_deref(), Some("validation"));
    assert_eq!(split("testa-00000-of-00001.parquet").as_deref(), Some("testa"));
    assert_eq!(split("constraints.jsonl"), None);
    assert_eq!(split("shots.parquet"), None);
}

#[test]
fn folders_below_are_searched() {
    let files =
        ["README.md", "data/test-00000-of-00001.parquet", "data/train-00000-of-00001.parquet"];
    check(&files, Some("train"), &files[2..]);
    check(&["train/a.jsonl", "test/a.jsonl"], Some("test"), &["test/a.jsonl"]);
}

#[test]
fn a_saved_data_set_is_what_its_state_says() {
    let folder = Folder::of(&["data-00000-of-00001.arrow", "cache-1.arrow", "old.arrow"]);
    let state =
        r#"{"_data_files": [{"filename": "data-00000-of-00001.arrow"}], "_split": "train"}"#;
    std::fs::write(folder.path("state.json"), state).unwrap();
    let found = find(&folder.path(""), None).unwrap();
    assert_eq!(found.paths, [folder.path("data-00000-of-00001.arrow")]);
    assert_eq!(found.split.as_deref(), Some("train"));
    assert!(find(&folder.path(""), Some("test")).is_err());
    for key in ["_indices_files", "_indices_data_files"] {
        let selected =
            state.replacen('{', &format!("{{\"{key}\": [{{\"filename\": \"i.arrow\"}}], "), 1);
        std::fs::write(folder.path("state.json"), selected).unwrap();
        let error = find(&folder.path(""), None).unwrap_err().to_string();
        assert!(error.contains("ds = ds.flatten_indices()"), "{error}");
    }
    let outside = state.replace("data-00000", "../data-00000");
    std::fs::write(folder.path("state.json"), outside).unwrap();
    assert!(find(&folder.path(""), None).unwrap_err().to_string().contains("another folder"));
}

#[test]
fn saved_splits_have_a_folder_each() {
    let folder = Folder::of(&["train/a.arrow", "test/b.arrow"]);
    let write = |name: &str, text: &str| std::fs::write(folder.path(name), text).unwrap();
    write("dataset_dict.json", r#"{"splits": ["train", "test"]}"#);
    write("train/state.json", r#"{"_data_files": [{"filename": "a.arrow"}], "_split": "train"}"#);
    write("test/state.json", r#"{"_data_files": [{"filename": "b.arrow"}], "_split": "test"}"#);
    assert_eq!(find(&folder.path(""), Some("test")).unwrap().paths, [folder.path("test/b.arrow")]);
    let error = find(&folder.path(""), None).unwrap_err().to_string();
    assert!(error.contains("train, test"), "{error}");
}

#[test]
fn splits_of_a_robots_recordings_are_ranges_of_episodes() {
    let folder = Folder::of(&["meta/info.json"]);
    let write = |info: &str| std::fs::write(folder.path("meta/info.json"), info).unwrap();
    let split = |name: Option<&str>| find(&folder.path(""), name).map(|files| files.split);
    write(r#"{"splits": {"train": "0:50"}}"#);
    assert_eq!(split(None).unwrap(), None, "all of it");
    assert_eq!(split(Some("train")).unwrap().as_deref(), Some("train"));
    let error = split(Some("test")).unwrap_err().to_string();
    assert!(error.contains("train (episodes 0..50)"), "{error}");
    write(r#"{"splits": {"train": "0:40", "validation": "40:50"}}"#);
    assert_eq!(split(Some("val")).unwrap().as_deref(), Some("validation"));
    assert!(split(None).unwrap_err().to_string().contains("several splits"));
    write("{}");
    assert_eq!(split(Some("train")).unwrap(), None, "without a word on splits all of it");
}

#[test]
fn labels_of_yolo_are_refused_with_what_to_do() {
    let files = ["images/a.jpg", "labels/a.txt"];
    check_error(&files, None, &["YOLO", "export COCO annotations"]);
    check_error(&["images/train/a.jpg", "labels/train/a.txt"], None, &["YOLO"]);
}

#[test]
fn a_split_of_data_without_any_is_refused() {
    let folder = Folder::of(&["rows.jsonl", "voc/a.xml", "classes/cat/a.png"]);
    for name in ["rows.jsonl", "voc", "classes"] {
        let error = find(&folder.path(name), Some("test")).unwrap_err().to_string();
        assert!(
            error.contains("has no split \"test\"") && error.contains("without a name"),
            "{error}"
        );
    }
}

#[test]
fn a_folder_with_a_missing_shard_is_refused_and_one_file_is_taken_by_itself() {
    let folder = Folder::of(&["train-00000-of-00002.parquet"]);
    let error = find(&folder.path(""), None).unwrap_err().to_string();
    assert!(error.contains("train-00001-of-00002.parquet"), "{error}");
    find(&folder.path("train-00000-of-00002.parquet"), None).unwrap();
}

#[test]
fn annotations_of_pascal_voc_need_no_lists_of_splits() {
    let folder = Folder::of(&["Annotations/a.xml", "JPEGImages/a.jpg"]);
    let files = find(&folder.path(""), None).unwrap();
    assert_eq!((files.kind, files.paths.len()), (Kind::Voc, 1));
}

#[test]
fn tables_beside_their_pictures_are_no_folder_of_classes() {
    let of_tables = Folder::of(&["train.csv", "test.csv", "images/a.png"]);
    let found = find(&of_tables.path(""), Some("test")).unwrap();
    assert_eq!((found.kind, found.paths), (Kind::Csv, vec![of_tables.path("test.csv")]));
    let of_lists = Folder::new(&[
        ("train.json", br#"[{"image": "images/a.png"}]"#),
        ("classes.json", br#"["cat", "dog"]"#),
        ("images/a.png", b""),
    ]);
    let found = find(&of_lists.path(""), None).unwrap();
    assert_eq!((found.kind, found.paths), (Kind::Json, vec![of_lists.path("train.json")]));
    let coco = br#"{"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": []}"#;
    let of_coco = Folder::new(&[
        ("annotations/instances_train2017.json", coco),
        ("annotations/instances_val2017.json", coco),
        ("annotations/captions_train2017.json", coco),
        ("train2017/a.jpg", b""),
        ("val2017/a.jpg", b""),
    ]);
    let found = find(&of_coco.path(""), Some("val")).unwrap();
    assert_eq!(found.paths, [of_coco.path("annotations/instances_val2017.json")]);
    let error = find(&of_coco.path(""), None).unwrap_err().to_string();
    assert!(error.contains("train (1 file)") && error.contains("validation (1 file)"), "{error}");
    // Pictures in a folder for each class stay that.
    let of_classes = Folder::of(&["cat/a.png", "dog/b.png"]);
    assert_eq!(find(&of_classes.path(""), None).unwrap().kind, Kind::Pictures);
}
