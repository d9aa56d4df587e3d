//! COCO annotations as specified, and as other tools write them.

use serde_json::{Value, json};
use vrft_vision::Rect;

use crate::testing::{Folder, black, turned_jpeg};
use crate::{
    Absent, BboxForm, BoxesAre, DataConfig, Dataset, DatasetError, EvaluationConfig, OpenOptions,
    Question, Selection, Truth,
};

/// One picture of 64 × 64 pixels, `a.png`, with a square.
fn one(annotation: Value) -> Value {
    json!({
        "images": [{"id": 1, "file_name": "a.png", "width": 64, "height": 64}],
        "annotations": [{"id": 5, "image_id": 1, "category_id": 1, "bbox": [10, 10, 30, 30]}, annotation],
        "categories": [{"id": 1, "name": "square"}]})
}

fn other() -> Value {
    json!({"id": 6, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]})
}

fn folder(coco: &Value) -> Folder {
    Folder::new(&[("a.png", &black(64, 64)), ("coco.json", coco.to_string().as_bytes())])
}

fn open(coco: &Value) -> Dataset {
    Dataset::open(&folder(coco).path("coco.json")).unwrap()
}

fn boxes(dataset: &Dataset, idx: usize) -> Vec<[f64; 4]> {
    match &dataset.get(idx).truth {
        Truth::Boxes(boxes) => boxes.iter().map(Rect::corners).collect(),
        Truth::Text(text) => panic!("{text}"),
    }
}

#[track_caller]
fn refused(coco: &Value, words: &[&str]) {
    let error = Dataset::open(&folder(coco).path("coco.json")).unwrap_err().to_string();
    assert!(words.iter().all(|word| error.contains(word)), "{error}");
}

/// The annotation is told and the others are used. If it would have been one of the squares, finding one more of these is no
/// mistake.
#[track_caller]
fn bad(annotation: Value, why: &str, of_squares: bool) {
    let mut coco = one(annotation);
    let disc = json!({"id": 7, "image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4]});
    coco["annotations"].as_array_mut().unwrap().push(disc);
    coco["categories"] = ["square", "disc", "bus"]
        .iter()
        .enumerate()
        .map(|(n, name)| json!({"id": n + 1, "name": name}))
        .collect();
    let selection = Selection { absent: Absent::Every, ..Selection::default() };
    let options = OpenOptions { selection, ..OpenOptions::default() };
    let dataset = Dataset::open_with(&folder(&coco).path("coco.json"), &options).unwrap();
    let ids: Vec<&str> = dataset.iter().map(|row| row.sample_id()).collect();
    assert_eq!(ids, ["1-bus", "1-disc", "1-square"]);
    // One alone is no bad row.
    assert_eq!((dataset.skipped().len(), dataset.skipped_parts().len()), (0, 1));
    assert_eq!(dataset.skipped_parts()[0].to_string(), why);
    let Truth::Boxes(squares) = &dataset.get(2).truth else { panic!("boxes") };
    assert_eq!((squares.len(), squares.crowds.len()), (1, usize::from(of_squares)));
}

#[test]
fn categories_of_one_name_are_told_with_their_ids() {
    let mut coco = one(json!({"image_id": 1, "category_id": 7, "bbox": [1, 2, 3, 4]}));
    let told = |coco: &Value| open(coco).notes().join("\n");
    coco["categories"] = json!([{"id": 1, "name": "square"}, {"id": 7, "name": "disc"}]);
    assert!(!told(&coco).contains("one name"));
    coco["categories"] = json!([{"id": 1, "name": "square"}, {"id": 7, "name": "square "}]);
    let words = "warning: categories of one name are one: 1 and 7 are \"square\"; give them names of their own";
    assert!(told(&coco).contains(words), "{}", told(&coco));
    assert_eq!(open(&coco).len(), 1);
}

#[test]
fn a_row_for_each_category_on_a_picture() {
    let coco = json!({
        "images": [{"id": 7, "file_name": "a.png", "width": 200, "height": 100},
                   {"id": 8, "file_name": "no.png", "width": 9, "height": 9}],
        "annotations": [
            {"image_id": 7, "category_id": 2, "bbox": [20, 10, 100, 50]},
            {"image_id": 7, "category_id": 1, "bbox": [0, 0, 201, 100]},
            {"image_id": 7, "category_id": 2, "bbox": [0, 0, 10, 10], "iscrowd": 0},
            {"image_id": 7, "category_id": 2, "bbox": [0, 0, 99, 99], "iscrowd": 1},
            {"image_id": 8, "category_id": 1, "bbox": [0, 0, 9, 9]}],
        "categories": [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}]});
    let folder =
        Folder::new(&[("a.png", &black(200, 100)), ("c.json", coco.to_string().as_bytes())]);
    let dataset = Dataset::open(&folder.path("c.json")).unwrap();
    let ids: Vec<_> = dataset.iter().map(|row| row.sample_id()).collect();
    assert_eq!(ids, ["7-cat", "7-dog"]);
    assert_eq!(boxes(&dataset, 0), [[20.0, 10.0, 120.0, 60.0], [0.0, 0.0, 10.0, 10.0]]);
    assert_eq!(boxes(&dataset, 1), [[0.0, 0.0, 200.0, 100.0]]);
    assert_eq!(dataset.get(0).question, Question::Category("cat".into()));
    assert!(std::sync::Arc::ptr_eq(&dataset.get(0).pictures[0], &dataset.get(1).pictures[0]));
    let why = dataset.skipped()[0].to_string();
    assert!(why.starts_with("row 2 (8-dog): image") && why.contains("no.png"), "{why}");
}

#[test]
fn what_the_protocol_asks_for_besides_the_boxes_is_kept() {
    let mut coco = one(
        json!({"id": 6, "image_id": 1, "category_id": 1, "bbox": [40, 0, 20, 9], "iscrowd": 1}),
    );
    coco["annotations"][0]["area"] = json!(450.5);
    let dataset = open(&coco);
    let Truth::Boxes(boxes) = &dataset.get(0).truth else { panic!("boxes") };
    assert_eq!((boxes.len(), &boxes.areas[..]), (1, &[450.5][..]));
    assert_eq!(boxes.crowds[0].corners(), [40.0, 0.0, 60.0, 9.0]);
    // A crowd alone is nothing to ask for.
    coco["annotations"][0]["iscrowd"] = json!(1);
    refused(&coco, &["no usable row"]);
}

#[test]
fn an_annotation_that_cannot_be_used_is_told_and_the_others_are_used() {
    let of_box = |bbox: Value, why: &str| {
        let mut annotation = other();
        annotation["bbox"] = bbox;
        bad(annotation, &format!("annotation 6: its bbox {why}"), true);
    };
    of_box(json!([]), "is empty");
    of_box(json!(null), "is null");
    of_box(json!([1, 2, "x", 4]), "is not four numbers");
    of_box(json!([12.5, 12.5, 4.0, 0.0]), "has no area: [12.5, 12.5, 4, 0]");
    of_box(json!([9, 9, -4, 3]), "has a width or height below 0: [9, 9, -4, 3]");
    bad(json!({"id": 6, "image_id": 1, "category_id": 1}), "annotation 6: it has no bbox", true);
    let mut turned = other();
    turned["attributes"] = json!({"occluded": false, "rotation": 45.0});
    bad(
        turned,
        "annotation 6: its box is turned by 45 degrees (attributes.rotation), which four numbers cannot say: write the box around it, and no rotation",
        true,
    );
    let astray = json!({"image_id": 2, "category_id": 1, "bbox": [1, 2, 3, 4]});
    bad(astray, "annotation number 1: there is no image 2", false);
    let astray = json!({"id": 6, "image_id": 1, "category_id": 9, "bbox": [1, 2, 3, 4]});
    bad(astray, "annotation 6: categories has no name for its category 9", false);
}

#[test]
fn sides_that_are_declared_to_be_corners_are_too_many_bad_rows() {
    let mut coco = one(other());
    let annotation =
        |n: usize| json!({"id": n, "image_id": 1, "category_id": 1, "bbox": [30, 3, 20, 40]});
    coco["annotations"] = (0..24).map(annotation).collect();
    coco["annotations"][7]["bbox"] = json!([1, 2, 30, 40]);
    // Two questions are left.
    coco["annotations"][23] = json!({"image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4]});
    coco["categories"] = json!([{"id": 1, "name": "square"}, {"id": 2, "name": "disc"}]);
    let selection = Selection { bbox: Some(BboxForm::Corners), ..Selection::default() };
    let corners = OpenOptions { selection, ..OpenOptions::default() };
    let dataset = Dataset::open_with(&folder(&coco).path("coco.json"), &corners).unwrap();
    let error = dataset.retain_valid(|_| Ok(()), 0.05).unwrap_err().to_string();
    assert!(
        error.contains("22 of 24 rows") && error.contains("annotation 0: its bbox has its"),
        "{error}"
    );
}

#[test]
fn corners_that_leave_the_picture_are_not_told_to_be_corners() {
    let mut coco = one(other());
    coco["annotations"] =
        json!([{"id": 1, "image_id": 1, "category_id": 1, "bbox": [-3.5, -2, 64, 60]}]);
    let selection = Selection { bbox: Some(BboxForm::Corners), ..Selection::default() };
    for selection in [Selection::default(), selection] {
        let options = OpenOptions { selection, ..OpenOptions::default() };
        let error = Dataset::open_with(&folder(&coco).path("coco.json"), &options).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("leaves the picture") && !error.contains("as corners"), "{error}");
    }
}

#[test]
fn flags_may_be_words_and_ids_text() {
    let mut coco = one(other());
    coco["annotations"][0]["iscrowd"] = json!(false);
    coco["annotations"][1]["iscrowd"] = json!(true);
    assert_eq!(boxes(&open(&coco), 0).len(), 1);
    let mut coco = one(other());
    coco["images"][0]["id"] = json!("a/b");
    coco["annotations"][0]["image_id"] = json!("a/b");
    coco["annotations"][1]["image_id"] = json!("a/b");
    assert_eq!(open(&coco).get(0).sample_id(), "a-b-square");
    let mut coco = one(other());
    coco["annotations"][0]["image_id"] = json!("1");
    coco["annotations"][0]["area"] = json!(null);
    assert_eq!(boxes(&open(&coco), 0).len(), 2);
}

#[test]
fn a_size_that_is_not_known_is_the_picture_s() {
    for side in [json!(-1), json!(0), json!(null)] {
        let mut coco = one(other());
        coco["images"][0]["width"] = side.clone();
        coco["images"][0]["height"] = side;
        assert_eq!(boxes(&open(&coco), 0).len(), 2);
    }
}

#[test]
fn the_size_of_another_picture_is_refused() {
    let mut coco = one(other());
    coco["images"][0]["width"] = json!(128);
    refused(&coco, &["row 0 (1-square): image", "a.png", "annotated as 128 x 64", "64 x 64"]);
}

#[test]
fn corners_in_place_of_sides_leave_the_picture() {
    let mut coco = one(other());
    coco["annotations"][1]["bbox"] = json!([30, 30, 60, 60]);
    refused(&coco, &["row 0 (1-square)", "a.png", "(30, 30) to (90, 90) leaves", "by 26"]);
}

#[test]
fn annotations_without_names_are_no_rows() {
    let mut coco = one(other());
    coco["categories"] = json!([]);
    refused(&coco, &["no usable row", "annotation 5: categories has no name for its category 1"]);
}

#[test]
fn other_json_is_an_error() {
    let folder = Folder::new(&[("x.json", b"{\"images\": []}")]);
    let error = Dataset::open(&folder.path("x.json")).unwrap_err().to_string();
    assert!(error.contains("cannot be read as COCO annotations: missing field"), "{error}");
}

#[test]
fn pictures_are_found_as_coco_lays_them_out() {
    let text = one(other()).to_string();
    for (file, picture) in [
        ("annotations/instances_train2017.json", "train2017/a.png"),
        ("annotations/instances_train2017.json", "images/train2017/a.png"),
        ("annotations/lvis_v1_train.json", "images/train/a.png"),
        ("annotations/train.json", "images/a.png"),
        ("_annotations.coco.json", "a.png"),
    ] {
        let folder = Folder::new(&[(file, text.as_bytes()), (picture, &black(64, 64))]);
        let dataset = Dataset::open(&folder.path(file)).unwrap();
        assert_eq!(dataset.get(0).pictures[0].path(), Some(folder.path(picture).as_path()));
    }
}

#[test]
fn a_root_of_the_images_may_be_named() {
    let text = one(other()).to_string();
    let pictures = Folder::new(&[("a.png", &black(64, 64))]);
    let folder = Folder::new(&[("coco.json", text.as_bytes())]);
    let options = OpenOptions { image_root: Some(pictures.path("")), ..OpenOptions::default() };
    assert!(Dataset::open(&folder.path("coco.json")).is_err());
    assert_eq!(Dataset::open_with(&folder.path("coco.json"), &options).unwrap().len(), 1);
}

#[test]
fn lvis_names_the_address_of_the_picture() {
    let mut coco = one(other());
    coco["images"][0] = json!({"id": 1, "coco_url": "http://images.cocodataset.org/train2017/a.png",
                               "width": 64, "height": 64});
    let text = coco.to_string();
    let folder =
        Folder::new(&[("train2017/a.png", &black(64, 64)), ("lvis.json", text.as_bytes())]);
    assert_eq!(Dataset::open(&folder.path("lvis.json")).unwrap().len(), 1);
}

/// A picture of 40 × 30 pixels that EXIF turns, with a box.
fn turned(exif: u8, size: (u32, u32), boxes_are: Option<BoxesAre>) -> Dataset {
    let coco = json!({
        "images": [{"id": 1, "file_name": "a.jpg", "width": size.0, "height": size.1}],
        "annotations": [{"image_id": 1, "category_id": 1, "bbox": [1, 2, 10, 20]}],
        "categories": [{"id": 1, "name": "square"}]});
    let folder = Folder::new(&[
        ("a.jpg", &turned_jpeg(40, 30, exif)),
        ("coco.json", coco.to_string().as_bytes()),
    ]);
    let options = OpenOptions { boxes_are, ..OpenOptions::default() };
    Dataset::open_with(&folder.path("coco.json"), &options).unwrap()
}

#[test]
fn boxes_turn_with_the_picture_where_they_are_of_the_file_s_pixels() {
    assert_eq!(boxes(&turned(6, (40, 30), None), 0), [[8.0, 1.0, 28.0, 11.0]]);
    assert_eq!(boxes(&turned(6, (30, 40), None), 0), [[1.0, 2.0, 11.0, 22.0]]);
    assert_eq!(turned(6, (40, 30), None).notes(), [] as [String; 0]);
}

#[test]
fn where_sizes_cannot_tell_the_configuration_does() {
    let by_default = turned(3, (40, 30), None);
    assert_eq!(boxes(&by_default, 0), [[29.0, 8.0, 39.0, 28.0]]);
    let note = &by_default.notes()[0];
    assert!(
        note.contains("1 row") && note.ends_with("data.boxes_are = \"stored\", the default"),
        "{note}"
    );
    let displayed = turned(3, (40, 30), Some(BoxesAre::Displayed));
    assert_eq!(boxes(&displayed, 0), [[1.0, 2.0, 11.0, 22.0]]);
}

#[test]
fn what_is_declared_counts_more_than_the_annotated_size() {
    let displayed = turned(6, (40, 30), Some(BoxesAre::Displayed));
    assert_eq!(boxes(&displayed, 0), [[1.0, 2.0, 11.0, 22.0]]);
    let note = displayed.notes().join("\n");
    assert!(note.contains("the annotated sizes of 1 row (row 0 (1-square))"), "{note}");
    assert!(
        note.contains("as stored") && note.contains("= \"displayed\", as configured"),
        "{note}"
    );
    // It agrees with the size.
    assert_eq!(turned(6, (30, 40), Some(BoxesAre::Displayed)).notes(), [] as [String; 0]);
}

#[test]
fn sizes_that_the_boxes_contradict_are_refused_with_the_key_that_helps() {
    // As shown, 30 × 40; the sizes are those of the files.
    let coco = json!({
        "images": [{"id": 1, "file_name": "a.jpg", "width": 40, "height": 30},
                   {"id": 2, "file_name": "b.jpg", "width": 40, "height": 30}],
        "annotations": [{"image_id": 1, "category_id": 1, "bbox": [1, 8, 10, 30]},
                        {"image_id": 2, "category_id": 1, "bbox": [1, 2, 10, 20]}],
        "categories": [{"id": 1, "name": "cup"}]});
    let picture = turned_jpeg(40, 30, 6);
    let files = [("a.jpg", &picture[..]), ("b.jpg", &picture), ("c.json", &[])];
    let folder = Folder::new(&files);
    folder.write("c.json", coco.to_string().as_bytes());
    let open = |boxes_are| {
        let options = OpenOptions { boxes_are, ..OpenOptions::default() };
        Dataset::open_with(&folder.path("c.json"), &options)
    };
    let error = open(None).unwrap_err().to_string();
    for words in ["those of 1 row (row 0 (1-cup)) leave", "data.boxes_are = \"displayed\""] {
        assert!(error.contains(words), "{words:?} is not in {error}");
    }
    let read = open(Some(BoxesAre::Displayed)).unwrap();
    assert_eq!(boxes(&read, 0), [[1.0, 8.0, 11.0, 38.0]]);
    assert_eq!(boxes(&read, 1), [[1.0, 2.0, 11.0, 22.0]]);
}

#[test]
fn a_picture_under_two_ids_is_one_question_and_a_box_counts_once() {
    let box_of =
        |image: u8, bbox: [u8; 4]| json!({"image_id": image, "category_id": 1, "bbox": bbox});
    let image = |id: u8| json!({"id": id, "file_name": "a.png", "width": 64, "height": 64});
    let first = [1, 2, 3, 4];
    let coco = json!({
        "images": [image(1), image(9)],
        "annotations": [box_of(1, first), box_of(9, [10, 10, 30, 30]), box_of(9, first), box_of(1, first)],
        "categories": [{"id": 1, "name": "cup"}]});
    let dataset = open(&coco);
    assert_eq!(boxes(&dataset, 0), [[1.0, 2.0, 4.0, 6.0], [10.0, 10.0, 40.0, 40.0]]);
    assert_eq!((dataset.len(), dataset.get(0).sample_id()), (1, "1-cup"));
    let notes = dataset.notes().join("\n");
    for words in ["1 entry is about a picture", "9 (a.png)", "2 boxes are there already"] {
        assert!(notes.contains(words), "{words:?} is not in {notes}");
    }
}

#[test]
fn categories_that_share_an_id_are_refused_and_those_without_a_name_are_not_asked_about() {
    let mut coco = one(other());
    coco["categories"] = json!([{"id": 1, "name": "square"}, {"id": 1, "name": "circle"}]);
    refused(&coco, &["category 1 is \"square\" and \"circle\"", "an id of its own"]);
    coco["categories"] = json!([{"id": 1, "name": 1}]);
    refused(&coco, &["the name of category 1 is 1, which is no text", "\"name\": \"1\""]);
    coco["categories"] = json!([{"id": 1, "name": "square"}, {"id": 1, "name": "square"}]);
    assert_eq!(open(&coco).len(), 1);
    coco["categories"] = json!([{"id": 1, "name": "square"}, {"id": 2, "name": " "}]);
    coco["annotations"][1]["category_id"] = json!(2);
    let dataset = open(&coco);
    assert_eq!(dataset.skipped_parts()[0].why, "categories has no name for its category 2");
}

#[test]
fn boxes_in_shares_of_the_sides_are_no_pixels() {
    let mut annotation = other();
    annotation["bbox"] = json!([0.1, 0.25, 0.5, 0.5]);
    bad(
        annotation,
        "annotation 6: its bbox [0.1, 0.25, 0.5, 0.5] lies within the first pixel: COCO counts pixels, not shares of the \
         sides; multiply these by width and height",
        true,
    );
}

#[test]
fn corners_in_place_of_sides_are_refused_where_they_show_and_suspected_where_they_do_not() {
    let mut coco = one(other());
    coco["annotations"] =
        json!([{"id": 1, "image_id": 1, "category_id": 1, "bbox": [30, 20, 60, 60]}]);
    refused(&coco, &["leaves the picture", "would fit as corners"]);
    let selection = Selection { bbox: Some(BboxForm::Corners), ..Selection::default() };
    let corners = OpenOptions { selection, ..OpenOptions::default() };
    let dataset = Dataset::open_with(&folder(&coco).path("coco.json"), &corners).unwrap();
    assert_eq!(boxes(&dataset, 0), [[30.0, 20.0, 60.0, 60.0]]);
    let annotation =
        |n: usize| json!({"id": n, "image_id": 1, "category_id": 1, "bbox": [n, 3, 30, 40]});
    coco["annotations"] = (0..20).map(annotation).collect();
    let notes = |coco: &Value| open(coco).notes().join("\n");
    assert!(notes(&coco).contains("all 20 annotations"), "{}", notes(&coco));
    coco["annotations"][7]["bbox"] = json!([30, 3, 20, 40]);
    assert_eq!(notes(&coco), "");
}

#[test]
fn json_of_another_tool_is_told_from_annotations_that_are_damaged() {
    let labelme = json!({"version": "5.0", "shapes": [], "imagePath": "a.png"});
    refused(&labelme, &["missing field `images`", "the keys images, annotations and categories"]);
}

#[test]
fn pictures_whose_sizes_do_not_tell_are_read_as_those_of_the_data_beside() {
    let coco = |size: Option<(u32, u32)>| {
        let sides =
            size.map(|(w, h)| format!(r#""width": {w}, "height": {h},"#)).unwrap_or_default();
        format!(
            r#"{{"images": [{{"id": 1, {sides} "file_name": "a.jpg"}}],
                "annotations": [{{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 10, 20]}}],
                "categories": [{{"id": 1, "name": "cup"}}]}}"#
        )
    };
    let (displayed, unknown) = (coco(Some((30, 40))), coco(None));
    let folder = Folder::new(&[
        ("train.json", displayed.as_bytes()),
        ("test.json", unknown.as_bytes()),
        ("a.jpg", &turned_jpeg(40, 30, 6)),
    ]);
    let (train, test) = (folder.path("train.json"), folder.path("test.json"));
    let data = DataConfig { train: train.clone(), ..DataConfig::default() };
    let evaluation = EvaluationConfig { test: test.clone(), ..EvaluationConfig::default() };
    let judged = Dataset::open_with(&test, &data.options_to_judge(&evaluation)).unwrap();
    assert_eq!(boxes(&judged, 0), [[1.0, 2.0, 11.0, 22.0]]);
    assert!(judged.notes()[0].contains("displayed") && judged.notes()[0].contains("train.json"));
    // And the other way round.
    let (data, evaluation) = (
        DataConfig { train: test.clone(), ..data },
        EvaluationConfig { test: train, ..evaluation },
    );
    let learned = Dataset::open_with(&test, &data.options_to_learn(None, &evaluation)).unwrap();
    assert_eq!(boxes(&learned, 0), [[1.0, 2.0, 11.0, 22.0]]);
}

/// Pictures of 40 × 30 pixels in their files, of which EXIF shows 30 × 40, without their sizes in the annotations.
fn unsized_boxes(boxes: &[[u32; 4]]) -> Result<Dataset, DatasetError> {
    let names: Vec<String> = (0..boxes.len()).map(|n| format!("{n}.jpg")).collect();
    let coco = json!({
        "images": names.iter().enumerate().map(|(id, name)| json!({"id": id, "file_name": name})).collect::<Vec<_>>(),
        "annotations": boxes.iter().enumerate()
            .map(|(id, bbox)| json!({"id": id, "image_id": id, "category_id": 1, "bbox": bbox})).collect::<Vec<_>>(),
        "categories": [{"id": 1, "name": "cup"}]});
    let folder = Folder::new(&[("coco.json", coco.to_string().as_bytes())]);
    names.iter().for_each(|name| folder.write(name, &turned_jpeg(40, 30, 6)));
    Dataset::open(&folder.path("coco.json"))
}

#[test]
fn without_sizes_boxes_are_read_in_the_pixels_that_they_fit() {
    // Up to 38 downwards: beyond the 30 that are stored.
    let displayed = unsized_boxes(&[[1, 2, 10, 20], [1, 8, 10, 30], [5, 8, 20, 28]]).unwrap();
    assert_eq!(displayed.boxes_are(), Some(BoxesAre::Displayed));
    assert_eq!(boxes(&displayed, 0), [[1.0, 2.0, 11.0, 22.0]]);
    let note = displayed.notes().join("\n");
    assert!(
        note.contains("since the boxes of 2 rows lie within their pictures in no other way"),
        "{note}"
    );
    // Up to 38 to the right: beyond the 30 that are shown.
    let stored = unsized_boxes(&[[1, 2, 10, 20], [8, 1, 30, 10]]).unwrap();
    assert_eq!(boxes(&stored, 0), [[8.0, 1.0, 28.0, 11.0]]);
    assert!(stored.notes()[0].contains("the boxes of 1 row"), "{:?}", stored.notes());
    let mixed = unsized_boxes(&[[1, 8, 10, 30], [8, 1, 30, 10]]).unwrap_err().to_string();
    for words in
        ["1 row (row 1 (1-cup)) by where their boxes lie that they are as stored", "data.boxes_are"]
    {
        assert!(mixed.contains(words), "{words:?} is not in {mixed}");
    }
}

#[test]
fn categories_whose_names_differ_in_case_alone_are_one() {
    let mut coco = one(json!({"id": 6, "image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4]}));
    coco["categories"] = json!([{"id": 1, "name": "Car"}, {"id": 2, "name": "car"}]);
    let dataset = open(&coco);
    assert_eq!((dataset.len(), boxes(&dataset, 0).len()), (1, 2));
    assert_eq!(dataset.get(0).question, Question::Category("Car".into()));
    assert!(dataset.notes()[0].contains("\"car\" for \"Car\""), "{:?}", dataset.notes());
}

#[test]
fn numbers_in_quotes_are_numbers() {
    let quoted = json!({"id": 6, "image_id": 1, "category_id": 1, "bbox": ["1", "2", " 3", "4.5"]});
    assert_eq!(boxes(&open(&one(quoted)), 0)[1], [1.0, 2.0, 4.0, 6.5]);
}
