//! Data sets as they are published: a miniature of each layout, and what is asked of it.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use vrft_vision::Rect;

use crate::testing::{Folder, black};
use crate::{
    Absent, BboxForm, ClassShots, Dataset, FramesConfig, OpenOptions, Outline, Outlines, Question,
    Row, Selection, Truth,
};

mod labeled;
mod objects;

fn split(name: &str) -> OpenOptions {
    OpenOptions { split: Some(name.to_owned()), ..OpenOptions::default() }
}

fn select(selection: Selection) -> OpenOptions {
    OpenOptions { selection, ..OpenOptions::default() }
}

fn frames(max: usize) -> OpenOptions {
    let frames = FramesConfig { max, ..FramesConfig::default() };
    OpenOptions { frames, ..OpenOptions::default() }
}

fn open(path: &Path, options: &OpenOptions) -> Dataset {
    Dataset::open_with(path, options).unwrap()
}

#[track_caller]
fn refused(path: &Path, options: &OpenOptions, words: &[&str]) {
    let error = Dataset::open_with(path, options).unwrap_err().to_string();
    assert!(words.iter().all(|word| error.contains(word)), "{error}");
}

fn ids(dataset: &Dataset) -> Vec<&str> {
    dataset.iter().map(Row::sample_id).collect()
}

/// The classes of rows that ask for one.
fn classes(dataset: &Dataset) -> Vec<&str> {
    let class = |row: &'_ Row| match (&row.question, &row.truth) {
        (Question::Class, Truth::Text(_)) => {}
        other => panic!("{other:?}"),
    };
    dataset.iter().for_each(class);
    let text = |row| match row {
        &Row { truth: Truth::Text(ref text), .. } => text.as_ref(),
        other => panic!("{other:?}"),
    };
    dataset.iter().map(text).collect()
}

fn corners(row: &Row) -> Vec<[f64; 4]> {
    match &row.truth {
        Truth::Boxes(boxes) => boxes.iter().map(Rect::corners).collect(),
        Truth::Text(text) => panic!("{text}"),
    }
}

fn expression(row: &Row) -> &str {
    match &row.question {
        Question::Expression(text) => text,
        other => panic!("{other:?}"),
    }
}

fn picture() -> Vec<u8> {
    black(64, 64)
}

/// Three pictures with ids 1 to 3: a cat and a dog on the first, a cat on the second, nothing on the third.
fn coco() -> Value {
    let image =
        |id: u8| json!({"id": id, "file_name": format!("{id}.png"), "width": 64, "height": 64});
    let object = |image: u8, category: u8| json!({"image_id": image, "category_id": category, "bbox": [1, 2, 30, 40]});
    json!({
        "images": [image(1), image(2), image(3)],
        "annotations": [object(1, 1), object(1, 2), object(2, 1)],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}, {"id": 3, "name": "bus"}]})
}

fn coco_folder(coco: &Value) -> Folder {
    let folder = Folder::new(&[("c.json", coco.to_string().as_bytes())]);
    (1..=3).for_each(|id| folder.write(&format!("{id}.png"), &picture()));
    folder
}

#[test]
fn categories_are_chosen_and_unknown_ones_refused() {
    let folder = coco_folder(&coco());
    let of = |names: &[&str]| {
        let categories = names.iter().map(ToString::to_string).collect();
        select(Selection { categories, ..Selection::default() })
    };
    let path = folder.path("c.json");
    assert_eq!(ids(&open(&path, &of(&["dog"]))), ["1-dog"]);
    assert_eq!(ids(&open(&path, &of(&[]))), ["1-cat", "1-dog", "2-cat"]);
    refused(&path, &of(&["cow"]), &["no category \"cow\"", "it has 3, as: bus, cat, dog"]);
}

/// Boxes of one id may be of either picture; a picture that is listed twice is one.
#[test]
fn two_pictures_of_one_id_are_left_out() {
    let mut annotations = coco();
    annotations["images"][1]["id"] = json!(1);
    let left = |annotations: &Value| {
        let folder = coco_folder(annotations);
        let path = folder.path("c.json");
        let dataset =
            open(&path, &select(Selection { absent: Absent::Every, ..Selection::default() }));
        let skipped: Vec<String> =
            dataset.skipped_parts().iter().map(ToString::to_string).collect();
        let names: Vec<String> = ids(&dataset).iter().map(ToString::to_string).collect();
        (names, skipped.join("\n"))
    };
    let (rows, skipped) = left(&annotations);
    assert!(rows.iter().all(|row| row.starts_with("3-")), "{rows:?}");
    assert_eq!(skipped.matches("image 1: another image has the same id").count(), 2, "{skipped}");
    let mut annotations = coco();
    annotations["images"][1] = annotations["images"][0].clone();
    let (rows, _) = left(&annotations);
    assert_eq!(rows.iter().filter(|row| row.starts_with("1-")).count(), 3, "{rows:?}");
}

#[test]
fn what_is_absent_is_asked_at_the_declared_rate() {
    let folder = coco_folder(&coco());
    let of = |absent| select(Selection { absent, ..Selection::default() });
    let path = folder.path("c.json");
    let every = open(&path, &of(Absent::Every));
    assert_eq!(every.len(), 9);
    let is_empty = |row: &&Row| corners(row).is_empty();
    assert_eq!(every.iter().filter(is_empty).count(), 6);
    // Three questions for what is there.
    for (rate, n) in [(1.0, 3), (0.34, 1), (2.0, 6), (9.0, 6)] {
        let drawn = open(&path, &of(Absent::Share(rate)));
        assert_eq!(drawn.iter().filter(is_empty).count(), n, "{rate}");
        assert_eq!(ids(&drawn), ids(&open(&path, &of(Absent::Share(rate)))));
    }
}

#[test]
fn lvis_knows_of_some_categories_only_that_they_are_absent() {
    let mut lvis = coco();
    for image in lvis["images"].as_array_mut().unwrap() {
        image["neg_category_ids"] = json!([3]);
        let name = image["file_name"].as_str().unwrap().to_owned();
        image["coco_url"] = json!(format!("http://images.cocodataset.org/val2017/{name}"));
        image.as_object_mut().unwrap().remove("file_name");
    }
    lvis["images"][0]["not_exhaustive_category_ids"] = json!([1]);
    let folder = Folder::new(&[("annotations/lvis_v1_val.json", lvis.to_string().as_bytes())]);
    (1..=3).for_each(|id| folder.write(&format!("val2017/{id}.png"), &picture()));
    let options = select(Selection { absent: Absent::Every, ..Selection::default() });
    let dataset = open(&folder.path("annotations/lvis_v1_val.json"), &options);
    // Nothing is known of a dog on the second picture.
    assert_eq!(ids(&dataset), ["1-bus", "1-cat", "1-dog", "2-bus", "2-cat", "3-bus"]);
    let Truth::Boxes(cats) = &dataset.get(1).truth else { panic!("boxes") };
    assert_eq!(cats.crowds[0].corners(), [0.0, 0.0, 64.0, 64.0]);
}

#[test]
fn roboflow_has_a_title_among_its_categories() {
    let mut coco = coco();
    coco["categories"] = json!([
        {"id": 0, "name": "pets", "supercategory": "none"}, {"id": 1, "name": "cat", "supercategory": "pets"},
        {"id": 2, "name": "dog", "supercategory": "pets"}]);
    let text = coco.to_string();
    let folder = Folder::new(&[
        ("train/_annotations.coco.json", text.as_bytes()),
        ("valid/_annotations.coco.json", text.as_bytes()),
    ]);
    for id in 1..=3 {
        folder.write(&format!("train/{id}.png"), &picture());
        folder.write(&format!("valid/{id}.png"), &picture());
    }
    let absent = Selection { absent: Absent::Every, ..Selection::default() };
    let options = OpenOptions { selection: absent, ..split("valid") };
    assert_eq!(open(&folder.path(""), &options).len(), 6);
    assert_eq!(open(&folder.path("train"), &OpenOptions::default()).len(), 3);
    refused(&folder.path(""), &OpenOptions::default(), &["several splits", "train (1 file)"]);
}

#[test]
fn pascal_voc_has_its_splits_in_lists() {
    let xml = |name: &str| {
        format!(
            "<annotation><filename>{name}.png</filename><object><name>cat</name><bndbox><xmin>1</xmin>\
             <ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object></annotation>"
        )
    };
    let folder = Folder::new(&[
        ("ImageSets/Main/trainval.txt", b"a\nb\n"),
        ("ImageSets/Main/test.txt", b"c\n"),
        ("ImageSets/Main/cat_test.txt", b"c 1\n"),
    ]);
    for name in ["a", "b", "c"] {
        folder.write(&format!("Annotations/{name}.xml"), xml(name).as_bytes());
        folder.write(&format!("JPEGImages/{name}.png"), &picture());
    }
    let root = folder.path("");
    assert_eq!(ids(&open(&root, &split("trainval"))), ["a-cat", "b-cat"]);
    assert_eq!(ids(&open(&root, &split("test"))), ["c-cat"]);
    refused(&root, &split("val"), &["no split \"val\"", "test, trainval"]);
    refused(&root, &OpenOptions::default(), &["several splits", "test, trainval"]);
}

#[test]
fn reason_seg_has_instructions_and_outlines() {
    let shape = |label: &str, points: Value| json!({"label": label, "points": points, "shape_type": "polygon"});
    let one = json!({"text": ["what can be eaten", "the food"], "is_sentence": true, "shapes": [
        shape("ignore", json!([[0, 0], [5, 0], [5, 5]])),
        shape("target", json!([[10, 10], [20, 10], [15, 30]])),
        shape("target", json!([[40, 12], [44, 12], [44, 20]]))]});
    let empty = json!({"text": ["nothing"], "shapes": []});
    let folder = Folder::new(&[
        ("ReasonSeg/val/a.json", one.to_string().as_bytes()),
        ("ReasonSeg/val/b.json", empty.to_string().as_bytes()),
        ("ReasonSeg/val/a.jpg", &picture()),
    ]);
    let path = folder.path("ReasonSeg");
    let dataset = open(&path, &split("val"));
    assert_eq!(ids(&dataset), ["a", "a-1"]);
    assert_eq!(expression(dataset.get(1)), "the food");
    assert_eq!(corners(dataset.get(0)), [[10.0, 10.0, 44.0, 30.0]]);
    assert!(dataset.skipped()[0].to_string().starts_with("b.json: it has no outline"));
    let official =
        Selection { outlines: Outlines::First, first_question: true, ..Selection::default() };
    let official = open(&path, &OpenOptions { selection: official, ..split("val") });
    assert_eq!((ids(&official), corners(official.get(0))), (vec!["a"], vec![[0.0, 0.0, 5.0, 5.0]]));
}

#[test]
fn references_of_refcoco() {
    let sentence =
        |id: u8, text: &str| json!({"sent": text, "sent_id": id, "raw": text, "tokens": []});
    let reference = |annotation: u8, split: &str, sentences: Value| {
        json!({
        "ref_id": 1, "ann_id": annotation, "image_id": 9, "split": split, "category_id": 1, "sentences": sentences,
        "file_name": "COCO_train2014_000000000009_1.png"})
    };
    let references = json!([
        reference(7, "testA", json!([sentence(1, "left man"), sentence(2, " in red ")])),
        reference(8, "train", json!([sentence(3, "dog")]))
    ]);
    let instances = json!({
        "images": [{"id": 9, "file_name": "a.png", "width": 64, "height": 64}],
        "annotations": [{"id": 7, "image_id": 9, "bbox": [10, 20, 30, 40]}], "categories": []});
    let folder = Folder::new(&[
        ("refcoco/refs(unc).json", references.to_string().as_bytes()),
        ("refcoco/instances.json", instances.to_string().as_bytes()),
        ("images/mscoco/images/train2014/a.png", &picture()),
    ]);
    let path = folder.path("refcoco/refs(unc).json");
    let dataset = open(&path, &split("testA"));
    assert_eq!((ids(&dataset), expression(dataset.get(1))), (vec!["1", "2"], "in red"));
    assert_eq!(corners(dataset.get(0)), [[10.0, 20.0, 40.0, 60.0]]);
    refused(&path, &split("train"), &["no usable row", "no picture 9 with annotation 8"]);
    refused(&path, &split("testB"), &["no split \"testB\"", "testA, train"]);
}

#[test]
fn rows_of_a_box_and_what_refers_to_it() {
    let rows = [
        json!({"question_id": "5", "image": "a.png", "bbox": [10, 20, 30, 40], "answer": ["left man", "in red"],
               "question": "Describe what is marked."}),
        json!({"image": "a.png", "bbox": [10, 20, 30, 40], "expression": "the dog"}),
    ];
    let lines: Vec<String> = rows.iter().map(Value::to_string).collect();
    let folder = Folder::new(&[("rows.jsonl", lines.join("\n").as_bytes()), ("a.png", &picture())]);
    let path = folder.path("rows.jsonl");
    let dataset = open(&path, &OpenOptions::default());
    assert_eq!(ids(&dataset), ["5", "5-1", "1"]);
    assert_eq!(corners(dataset.get(2)), [[10.0, 20.0, 40.0, 60.0]]);
    let as_corners =
        Selection { bbox: Some(BboxForm::Corners), first_question: true, ..Selection::default() };
    let dataset = open(&path, &select(as_corners));
    assert_eq!(
        (ids(&dataset), corners(dataset.get(0))),
        (vec!["5", "1"], vec![[10.0, 20.0, 30.0, 40.0]])
    );
}

#[test]
fn shapes_are_read_where_they_are_asked_for() {
    let mut coco = coco();
    coco["annotations"][0]["segmentation"] = json!([[1, 2, 31, 2, 31, 42], [5, 5, 9, 5, 9, 9]]);
    coco["annotations"][1]["segmentation"] = json!({"size": [64, 64], "counts": "61X13mN000`0"});
    coco["annotations"][2]["segmentation"] = json!([[1, 2, 3]]);
    let folder = coco_folder(&coco);
    let masks = select(Selection { masks: true, ..Selection::default() });
    let dataset = open(&folder.path("c.json"), &masks);
    assert_eq!(ids(&dataset), ["1-cat", "1-dog"]);
    let why = dataset.skipped_parts().last().unwrap().to_string();
    assert!(why.contains("neither lists of x and y nor run lengths"), "{why}");
    let shapes = |idx: usize| match &dataset.get(idx).truth {
        Truth::Boxes(boxes) => boxes.outlines.to_vec(),
        Truth::Text(text) => panic!("{text}"),
    };
    let lines =
        vec![vec![[1.0, 2.0], [31.0, 2.0], [31.0, 42.0]], vec![[5.0, 5.0], [9.0, 5.0], [9.0, 9.0]]];
    assert_eq!(shapes(0), [Outline::Polygons(lines)]);
    let [Outline::Runs(runs)] = &shapes(1)[..] else { panic!("{:?}", shapes(1)) };
    assert!(runs.contains("61X13mN000`0") && runs.contains("[64,64]"), "{runs}");
    // Not asked for, a shape that is none does no harm.
    assert_eq!(open(&folder.path("c.json"), &OpenOptions::default()).len(), 3);
}

#[test]
fn tracks_of_the_mot_challenge() {
    let gt = "1,1,1,1,32,16,1,1,1.0\n2,1,3,1,32,16,1,1,1.0\n2,2,1,1,6,6,0,1,1.0\n3,7,1,1,32,32,1,1,1.0\n3,8,1,1,9,9,1,7,1.0\n";
    let folder = Folder::new(&[("MOT17-02/gt/gt.txt", gt.as_bytes())]);
    (1..=3).for_each(|n| folder.write(&format!("MOT17-02/img1/00000{n}.jpg"), &picture()));
    let two = frames(2);
    let dataset = open(&folder.path("MOT17-02/gt/gt.txt"), &two);
    assert_eq!(ids(&dataset), ["MOT17-02-1", "MOT17-02-3"]);
    let row = dataset.get(0);
    assert_eq!((row.pictures.len(), &row.question), (2, &Question::Tracks));
    let Truth::Text(text) = &row.truth else { panic!("text") };
    let items: Value = serde_json::from_str(text).unwrap();
    assert_eq!(
        items,
        json!([
        {"frame": 1, "id": "1", "box": [0.0, 0.0, 500.0, 250.0]},
        {"frame": 2, "id": "1", "box": [31.0, 0.0, 531.0, 250.0]}])
    );
}

#[test]
fn moments_of_charades() {
    let list =
        "AO8RW 0.0 6.9##a person is putting a book on a shelf.\nGONE 1.0 2.0##gone\nnonsense\n";
    let folder = Folder::new(&[("charades_sta_train.txt", list.as_bytes())]);
    (0..10).for_each(|n| folder.write(&format!("frames/AO8RW/{n:03}.jpg"), &picture()));
    let four = frames(4);
    let dataset = open(&folder.path("charades_sta_train.txt"), &four);
    let row = dataset.get(0);
    let name = |idx: usize| row.pictures[idx].path().unwrap().file_name().unwrap().to_owned();
    assert_eq!([0, 1, 2, 3].map(name), ["000.jpg", "002.jpg", "005.jpg", "007.jpg"]);
    assert_eq!(expression(row), "a person is putting a book on a shelf.");
    assert_eq!(row.truth, Truth::Text("{\"start_time\":0.0,\"end_time\":6.9}".into()));
    let why: Vec<String> = dataset.skipped().iter().map(ToString::to_string).collect();
    assert!(
        why[0].starts_with("line 2: no frames in") && why[1].starts_with("line 3: expected VIDEO"),
        "{why:?}"
    );
}

#[test]
fn a_choice_among_rows_in_words_is_refused() {
    let row = "{\"image\": \"a.png\", \"problem\": \"What?\", \"solution\": \"cat\"}";
    let folder = Folder::new(&[("rows.jsonl", row.as_bytes()), ("a.png", &picture())]);
    let cat = Selection { categories: vec!["cat".into()], ..Selection::default() };
    refused(&folder.path("rows.jsonl"), &select(cat), &["data.categories chooses among annotated"]);
}

#[test]
fn a_list_says_which_rows_are_used() {
    let folder = coco_folder(&coco());
    folder.write("shots.txt", b"2-cat\n1-dog\n");
    let of = |list: &str| {
        let rows = Some(folder.path(list));
        open(&folder.path("c.json"), &select(Selection { rows, ..Selection::default() }))
    };
    assert_eq!(ids(&of("shots.txt")), ["1-dog", "2-cat"]);
    folder.write("more.txt", b"2-cat\n2-cow\n");
    let rows = Some(folder.path("more.txt"));
    let options = select(Selection { rows, ..Selection::default() });
    refused(&folder.path("c.json"), &options, &["no usable row \"2-cow\"", "more.txt"]);
}

#[test]
fn shots_are_drawn_of_each_class_whatever_the_others_are() {
    let image = |id: usize| json!({"id": id, "file_name": format!("shot-{id}.png")});
    let object = |id: usize| json!({"image_id": id, "category_id": id % 3, "bbox": [1, 2, 30, 40]});
    let coco = json!({
        "images": (0..30).map(image).collect::<Vec<_>>(),
        "annotations": (0..30).map(object).collect::<Vec<_>>(),
        "categories": [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}, {"id": 2, "name": "bus"}]});
    let folder = coco_folder(&coco);
    (0..30).for_each(|id| folder.write(&format!("shot-{id}.png"), &picture()));
    let class = |row: &Row| match &row.question {
        Question::Category(name) => Some(name.clone()),
        _ => None,
    };
    let shots = |n| ClassShots { n, absent: 0.5, ..ClassShots::default() };
    let drawn = |categories: &[&str], n: usize, seed: u64| {
        let categories = categories.iter().map(ToString::to_string).collect();
        let absent = Absent::Share(1.0);
        let options = select(Selection { categories, absent, ..Selection::default() });
        let dataset = open(&folder.path("c.json"), &options);
        dataset.shots_per_class(shots(n), seed, class)
    };
    let present = |dataset: &Dataset| -> Vec<String> {
        let present = dataset.iter().filter(|row| !corners(row).is_empty());
        present.map(|row| row.sample_id().to_owned()).collect()
    };
    let three = drawn(&[], 4, 0).unwrap();
    let (all, n) = (present(&three), three.len());
    assert_eq!((all.len(), n), (12, 18), "half as many questions for what is absent");
    for name in ["cat", "dog", "bus"] {
        let of_one = present(&drawn(&[name], 4, 0).unwrap());
        let of_all: Vec<String> = all.iter().filter(|id| id.ends_with(name)).cloned().collect();
        assert_eq!(of_one, of_all);
    }
    assert_ne!(all, present(&drawn(&[], 4, 1).unwrap()));
    let error = drawn(&[], 11, 0).unwrap_err().to_string();
    assert!(error.contains("10 usable rows of class \"bus\", 11 a class"), "{error}");
    let none = open(&folder.path("c.json"), &OpenOptions::default());
    let error =
        none.clone().shots_per_class(shots(1), 0, |_| None::<Arc<str>>).unwrap_err().to_string();
    assert!(error.contains("is of no class"), "{error}");
    let fewer = ClassShots { fewer: true, ..shots(11) };
    assert_eq!(none.shots_per_class(fewer, 0, class).unwrap().len(), 30);
}
