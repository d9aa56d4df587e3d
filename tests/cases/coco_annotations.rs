//! COCO as other tools write it, and pictures that EXIF turns.

use super::*;

/// A box of a 400 × 200 picture in thousandths, as Visual-RFT's rows have it.
fn position(corners: [u32; 4]) -> String {
    format!("'Position': {corners:?}")
}

#[test]
fn annotations_of_another_size_than_the_picture_s_are_refused_with_both() {
    let folder = folder();
    picture(folder.path(), "a.png", (400, 200), 0);
    let bbox = [json!([40, 20, 120, 60])];
    for (width, height) in [(200, 100), (800, 400), (400, 201)] {
        let text = coco(&[("a.png", width.into(), height.into())], &bbox);
        let data = write(folder.path(), "coco.json", text);
        let annotated = format!("annotated as {width} x {height} pixels and has 400 x 200");
        refused(&data, &[], &["coco.json", &annotated]);
    }
    let text = coco(&[("a.png", 400.into(), 200.into())], &bbox);
    accepted(&write(folder.path(), "coco.json", text), &[], &["1 row, 1 usable, 0 skipped"]);
}

/// Annotated as the file is stored, 400 × 200; the square at [40, 20, 160, 80] is elsewhere once the picture is turned.
#[test]
fn boxes_turn_with_the_picture_whichever_way_it_is_turned() {
    for (orientation, corners) in [
        (1, [100, 100, 400, 400]),
        (3, [600, 600, 900, 900]),
        (5, [100, 100, 400, 400]),
        (6, [600, 100, 900, 400]),
        (7, [600, 600, 900, 900]),
        (8, [100, 600, 400, 900]),
    ] {
        let folder = folder();
        let names: Vec<String> = (0..4).map(|k| format!("{k}.jpg")).collect();
        for (k, name) in names.iter().enumerate() {
            turned(folder.path(), name, (400, 200 + 2 * k as u32), orientation);
        }
        let size = |k: usize| (names[k].as_str(), Value::from(400), Value::from(200 + 2 * k));
        let bbox = json!([40, 20, 120, 60]);
        let pictures: Vec<_> = (0..4).map(size).collect();
        let data = write(folder.path(), "coco.json", coco(&pictures, &vec![bbox; 4]));
        let said = proposed(&data, &["4 rows, 4 usable"]);
        assert!(said.contains(&position(corners)), "{orientation}: {corners:?} is not in\n{said}");
    }
}

#[test]
fn pictures_are_found_where_coco_and_its_kin_lay_them() {
    for (annotations, pictures) in [
        ("annotations/instances_val2017.json", "val2017"),
        ("annotations/instances_train2014.json", "images/train2014"),
        ("annotations/person_keypoints_val2017.json", "val2017"),
        ("train/_annotations.coco.json", "train"),
        ("labels.json", "data"),
        ("coco.json", ""),
    ] {
        let folder = folder();
        let below = folder.path().join(pictures);
        picture(&below, "a.png", (64, 48), 1);
        let text = coco(&[("a.png", 64.into(), 48.into())], &[json!([4, 2, 12, 6])]);
        let data = write(folder.path(), annotations, text);
        accepted(&data, &[], &["1 row, 1 usable, 0 skipped, 1 used"]);
    }
    let folder = folder();
    picture(&folder.path().join("elsewhere"), "a.png", (64, 48), 1);
    let text = coco(&[("a.png", 64.into(), 48.into())], &[json!([4, 2, 12, 6])]);
    let data = write(folder.path(), "annotations/mine.json", text);
    refused(&data, &[], &["mine.json", "a.png", "data.image_root"]);
    let root = format!("data.image_root={}", folder.path().join("elsewhere").display());
    accepted(&data, &[&root], &["1 row, 1 usable, 0 skipped, 1 used"]);
}

#[test]
fn a_bad_annotation_is_left_out_and_the_others_are_used() {
    for (bad, words) in [
        (json!([]), "annotation 1"),
        (json!(null), "annotation 1"),
        (json!([12.5, 12.5, 4.0, 0.0]), "annotation 1"),
        (json!([12, 12, -4, 5]), "annotation 1"),
        (json!([1, 2, 3]), "annotation 1"),
        (json!("none"), "annotation 1"),
    ] {
        let folder = folder();
        picture(folder.path(), "a.png", (64, 64), 1);
        let mut text: Value = serde_json::from_str(&coco(
            &[("a.png", 64.into(), 64.into())],
            &[json!([10, 10, 30, 30]), bad.clone()],
        ))
        .unwrap();
        text["annotations"][1]["image_id"] = 0.into();
        let data = write(folder.path(), "coco.json", text.to_string());
        accepted(&data, &[], &["1 row, 1 usable", words]);
        // Absent altogether.
        text["annotations"][1].as_object_mut().unwrap().remove("bbox");
        accepted(&write(folder.path(), "coco.json", text.to_string()), &[], &["1 usable", words]);
    }
}

#[test]
fn ids_flags_and_sizes_may_be_written_as_other_tools_do() {
    type Change = fn(&mut Value);
    let changes: [Change; 7] = [
        |all| {
            all["images"][0]["id"] = "one".into();
            all["annotations"][0]["image_id"] = "one".into();
        },
        |all| all["annotations"][0]["iscrowd"] = false.into(),
        |all| all["annotations"][0]["iscrowd"] = "0".into(),
        |all| {
            all["images"][0].as_object_mut().unwrap().remove("width");
            all["images"][0].as_object_mut().unwrap().remove("height");
        },
        |all| (all["images"][0]["width"], all["images"][0]["height"]) = (json!(-1), json!(-1)),
        |all| (all["images"][0]["width"], all["images"][0]["height"]) = (json!(null), json!(0)),
        |all| all["annotations"][0]["bbox"] = json!(["10", "10", "30", "30"]),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let folder = folder();
        picture(folder.path(), "a.png", (64, 64), 1);
        let text = coco(&[("a.png", 64.into(), 64.into())], &[json!([10, 10, 30, 30])]);
        let mut all: Value = serde_json::from_str(&text).unwrap();
        change(&mut all);
        let data = write(folder.path(), "coco.json", all.to_string());
        let said = accepted(&data, &[], &[]);
        assert!(said.contains("1 row, 1 usable, 0 skipped"), "change {number}: {said}");
    }
}

#[test]
fn what_is_no_box_of_the_picture_is_refused_with_what_it_may_be() {
    for (bbox, words) in [
        (json!([30, 30, 60, 60]), "data.bbox = \"corners\""),
        (json!([300, 10, 20, 20]), "leaves the picture of 64 x 64 pixels"),
        (json!([0.1, 0.1, 0.5, 0.5]), "shares"),
    ] {
        let folder = folder();
        picture(folder.path(), "a.png", (64, 64), 1);
        let text = coco(&[("a.png", 64.into(), 64.into())], &[bbox]);
        let data = write(folder.path(), "coco.json", text);
        refused(&data, &[], &["coco.json", words]);
    }
    // Two pixels outside are drawn by people.
    let folder = folder();
    picture(folder.path(), "a.png", (64, 64), 1);
    let text = coco(&[("a.png", 64.into(), 64.into())], &[json!([10, 10, 55.5, 40])]);
    accepted(&write(folder.path(), "coco.json", text), &[], &["1 usable"]);
    let nameless = json!({"images": [{"id": 1, "file_name": "a.png", "width": 64, "height": 64}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 30, 30]}]});
    let data = write(folder.path(), "coco.json", nameless.to_string());
    refused(&data, &[], &["no usable row", "has no name for its category 1"]);
}

/// LVIS has the address of each picture in place of its name.
#[test]
fn addresses_of_pictures_name_their_files() {
    let folder = folder();
    picture(&folder.path().join("val2017"), "000000000001.jpg", (64, 48), 1);
    let text = coco(&[("", 64.into(), 48.into())], &[json!([4, 2, 12, 6])]);
    let mut all: Value = serde_json::from_str(&text).unwrap();
    all["images"][0].as_object_mut().unwrap().remove("file_name");
    all["images"][0]["coco_url"] = "http://images.cocodataset.org/val2017/000000000001.jpg".into();
    let data = write(folder.path(), "annotations/lvis_v1_val.json", all.to_string());
    accepted(&data, &[], &["1 row, 1 usable, 0 skipped"]);
}
