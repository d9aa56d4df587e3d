//! Rows of several splits in one file.

use serde_json::{Value, json};

use crate::testing::{Folder, black};
use crate::{Dataset, OpenOptions, Selection};

fn refused(folder: &Folder, name: &str, words: &[&str]) {
    let error = Dataset::open(&folder.path(name)).unwrap_err().to_string();
    let remedy = ["a file for each", "data.split and evaluation.split"];
    assert!(words.iter().chain(&remedy).all(|word| error.contains(word)), "{error}");
}

/// Rows that ask in words, of which these are said of each.
fn folder(key: &str, said: &[Value]) -> Folder {
    let row = |said: &Value| json!({"image": "a.png", "problem": "p", "solution": "1", key: said});
    Folder::of_rows(&said.iter().map(row).collect::<Vec<_>>())
}

#[test]
fn rows_of_several_splits_are_refused_and_of_one_are_read() {
    for key in ["split", "subset", "partition", "fold"] {
        let words = ["train.jsonl", &format!("its {key:?} names several, \"test\", \"train\"")];
        refused(&folder(key, &[json!("train"), json!("test")]), "rows.jsonl", &words);
        // One everywhere, parts of another kind, and numbers are no splits to be kept apart.
        for said in [["train", "Training"], ["chart", "natural"], ["train", "bus"]] {
            let folder = folder(key, &said.map(Value::from));
            assert_eq!(Dataset::open(&folder.path("rows.jsonl")).unwrap().len(), 2, "{said:?}");
        }
        let numbers = folder(key, &[json!(0), json!(1)]);
        assert_eq!(Dataset::open(&numbers.path("rows.jsonl")).unwrap().len(), 2);
    }
    refused(
        &folder("split", &[json!("Validation"), json!("dev"), json!("eval")]),
        "rows.jsonl",
        &[],
    );
}

/// CUB-200's, FER2013's and that of others who publish tables.
#[test]
fn a_column_may_say_it_by_a_flag_or_under_another_name() {
    for (key, said, written) in [
        ("is_training_image", [json!(1), json!(0)], "\"0\", \"1\""),
        ("is_valid", [json!("False"), json!("True")], "\"False\", \"True\""),
        ("split", [json!("tr"), json!("te")], "\"te\", \"tr\""),
        ("train_test", [json!("train"), json!("test")], "\"test\", \"train\""),
        ("is_test", [json!(true), json!(false)], "\"true\", \"false\""),
        ("Usage", [json!("Training"), json!("PublicTest")], "\"PublicTest\", \"Training\""),
        ("data set", [json!("train"), json!("valid")], "\"train\", \"valid\""),
    ] {
        let words = [&format!("its {key:?} names several, {written}")[..]];
        refused(&folder(key, &said), "rows.jsonl", &words);
        let one = folder(key, &[said[0].clone(), said[0].clone()]);
        assert_eq!(Dataset::open(&one.path("rows.jsonl")).unwrap().len(), 2, "{key}");
    }
}

/// CelebA's partition is 0, 1 and 2.
#[test]
fn values_that_are_no_names_of_splits_are_told() {
    let notes = |key: &str, said: &[Value]| {
        Dataset::open(&folder(key, said).path("rows.jsonl")).unwrap().notes().to_vec()
    };
    let told = notes("partition", &[json!(0), json!(1), json!(2), json!(0)]);
    assert!(
        told[0].starts_with("warning: \"partition\" of the rows is one of 0, 1, 2, which"),
        "{told:?}"
    );
    // One everywhere, numbers of folds and of rows tell nothing.
    for (key, said) in [
        ("split", [json!(0), json!(0)]),
        ("fold", [json!(0), json!(1)]),
        ("type", [json!("a"), json!("b")]),
    ] {
        assert_eq!(notes(key, &said), [] as [String; 0], "{key}");
    }
}

#[test]
fn a_list_of_rows_chooses_among_splits() {
    let folder = folder("split", &[json!("train"), json!("test")]);
    folder.write("list.txt", b"0\n");
    let selection = Selection { rows: Some(folder.path("list.txt")), ..Selection::default() };
    let options = OpenOptions { selection, ..OpenOptions::default() };
    assert_eq!(Dataset::open_with(&folder.path("rows.jsonl"), &options).unwrap().len(), 1);
}

#[test]
fn tables_lists_and_annotations_name_splits_too() {
    let folder = Folder::of_rows(&[]);
    folder.write("a.csv", b"image,label,Split\na.png,mug,train\na.png,cup,test\n");
    refused(&folder, "a.csv", &["its \"Split\" names", "test.csv and train.csv"]);
    folder.write("b.csv", b"image,problem,solution,split\na.png,p,1,train\na.png,p,2,val\n");
    refused(&folder, "b.csv", &["\"val\""]);
    let image = |id: u8, split: &str| {
        let name = format!("{id}.png");
        json!({"id": id, "file_name": name, "width": 64, "height": 64, "split": split})
    };
    let coco = |splits: [&str; 2]| {
        let object = json!({"image_id": 1, "category_id": 1, "bbox": [1, 2, 30, 40]});
        json!({"images": [image(1, splits[0]), image(2, splits[1])], "annotations": [object],
               "categories": [{"id": 1, "name": "mug"}]})
    };
    folder.write("1.png", &black(64, 64));
    folder.write("c.json", coco(["train", "test"]).to_string().as_bytes());
    refused(&folder, "c.json", &["train.json"]);
    folder.write("c.json", coco(["train", "train"]).to_string().as_bytes());
    assert_eq!(Dataset::open(&folder.path("c.json")).unwrap().len(), 1);
}

#[test]
fn a_column_of_a_table_names_splits() {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, RecordBatch, StringArray};

    let folder = Folder::of_rows(&[]);
    let write = |splits: [&str; 2]| {
        let text = |texts: [&str; 2]| -> ArrayRef { Arc::new(StringArray::from(texts.to_vec())) };
        let columns = [
            ("image", text(["a.png"; 2])),
            ("label", text(["mug", "cup"])),
            ("split", text(splits)),
        ];
        folder.write_of_hub("a.parquet", &RecordBatch::try_from_iter(columns).unwrap(), &json!({}));
    };
    write(["train", "test"]);
    refused(&folder, "a.parquet", &["its \"split\" names", "train.parquet"]);
    write(["test", "test"]);
    assert_eq!(Dataset::open(&folder.path("a.parquet")).unwrap().len(), 2);
}
