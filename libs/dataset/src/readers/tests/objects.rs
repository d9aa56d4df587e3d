//! Rows with boxes and the names of what is in them.

use serde_json::{Value, json};

use super::*;
use crate::DataSpace;

/// Rows about pictures of 200 × 100 pixels, `a.png` to `c.png`, and classes by their numbers.
fn folder(rows: &[Value]) -> Folder {
    let lines: Vec<String> = rows.iter().map(Value::to_string).collect();
    let folder =
        Folder::new(&[("rows.jsonl", lines.join("\n").as_bytes()), ("names.txt", b"mug\ncup\n")]);
    ["a.png", "b.png", "c.png"].iter().for_each(|name| folder.write(name, &black(200, 100)));
    folder
}

fn asked(dataset: &Dataset) -> Vec<(String, Vec<[f64; 4]>)> {
    let one = |row: &Row| match &row.question {
        Question::Category(name) => (format!("{} {name}", row.origin.row), corners(row)),
        other => panic!("{other:?}"),
    };
    dataset.iter().map(one).collect()
}

#[track_caller]
fn check(rows: &[Value], selection: &Selection, expected: &[(&str, &[[f64; 4]])]) -> Dataset {
    let folder = folder(rows);
    let dataset = open(&folder.path("rows.jsonl"), &select(selection.clone()));
    let expected: Vec<(String, Vec<[f64; 4]>)> =
        expected.iter().map(|(name, boxes)| ((*name).to_owned(), boxes.to_vec())).collect();
    assert_eq!(asked(&dataset), expected);
    dataset
}

const MUG: [f64; 4] = [10.0, 20.0, 110.0, 60.0];
const CUP: [f64; 4] = [120.0, 50.0, 190.0, 90.0];

fn by_corners() -> Selection {
    Selection { bbox: Some(BboxForm::Corners), ..Selection::default() }
}

#[test]
fn a_box_beside_a_class_is_no_class_alone_and_rows_about_a_picture_are_one() {
    for key in ["bbox", "box", "boxes", "bboxes"] {
        let row = |image: &str, numbers: [f64; 4], label: &str| json!({"image": image, key: numbers, "label": label});
        let rows = [row("a.png", MUG, "mug"), row("b.png", CUP, "cup"), row("a.png", CUP, "mug")];
        let expected: [(&str, &[[f64; 4]]); 2] = [("0 mug", &[MUG, CUP]), ("1 cup", &[CUP])];
        let dataset = check(&rows, &by_corners(), &expected);
        assert!(
            dataset.notes()[0].contains("3 rows have a box and a class"),
            "{:?}",
            dataset.notes()
        );
    }
}

#[test]
fn the_same_box_counts_once_and_keys_that_clash_are_noted() {
    let row = json!({"image": "a.png", "bbox": MUG, "label": "mug", "class": "cup", "class_id": 3});
    let expected: [(&str, &[[f64; 4]]); 1] = [("0 mug", &[MUG])];
    let notes = check(&[row.clone(), row], &by_corners(), &expected).notes().join("\n");
    assert!(notes.contains("1 box is there already"), "{notes}");
    assert!(notes.contains("\"label\" is read, and \"class\" is not"), "{notes}");
    assert!(!notes.contains("class_id"), "{notes}");
}

#[test]
fn lists_of_boxes_have_a_name_for_each_or_one_for_all() {
    let expected: [(&str, &[[f64; 4]]); 2] = [("0 cup", &[CUP]), ("0 mug", &[MUG])];
    for row in [
        json!({"image": "a.png", "boxes": [MUG, CUP], "labels": ["mug", "cup"]}),
        json!({"image": "a.png", "objects": {"bbox": [MUG, CUP], "categories": ["mug", "cup"]}}),
        json!({"image": "a.png", "objects": [{"bbox": MUG, "category": "mug"}, {"bbox": CUP, "category": "cup"}]}),
        json!({"file_name": "a.png", "boxes": [{"bbox": MUG, "label": "mug"}, {"bbox": CUP, "label": "cup"}], "label": null}),
    ] {
        check(&[row], &by_corners(), &expected);
    }
    let one = json!({"image": "a.png", "bboxes": [MUG, CUP], "label": "mug"});
    check(&[one], &by_corners(), &[("0 mug", &[MUG, CUP])]);
}

/// COCO's boxes are told by the rows: as corners, the second would leave the picture.
#[test]
fn objects_of_the_hub_are_sides_where_they_tell_it_and_numbers_have_names() {
    let objects =
        json!({"bbox": [[10, 20, 100, 40], [120, 50, 70, 40]], "category": [0, 1], "area": [1, 2]});
    let nothing = json!({"bbox": [], "category": []});
    let size = |objects: &Value, image: &str| json!({"image": image, "width": 200, "height": 100, "objects": objects});
    let selection = || Selection { classes: None, ..Selection::default() };
    let rows = [size(&objects, "a.png"), size(&nothing, "b.png")];
    let folder = folder(&rows);
    let path = folder.path("rows.jsonl");
    refused(&path, &select(selection()), &["row 0", "label 0 is a number", "data.classes"]);
    let named = Selection { classes: Some(folder.path("names.txt")), ..selection() };
    let dataset = open(&path, &select(named.clone()));
    assert_eq!(asked(&dataset), [("0 cup".to_owned(), vec![CUP]), ("0 mug".to_owned(), vec![MUG])]);
    // What is not there may be asked for, too.
    let every = Selection { absent: Absent::Every, ..named };
    let dataset = open(&path, &select(every));
    assert_eq!(asked(&dataset)[2..], [("1 cup".to_owned(), vec![]), ("1 mug".to_owned(), vec![])]);
    let mut other = size(&objects, "a.png");
    other["width"] = json!(400);
    folder.write("rows.jsonl", other.to_string().as_bytes());
    let options = select(Selection { classes: Some(folder.path("names.txt")), ..selection() });
    refused(&path, &options, &["annotated as 400 x 100"]);
}

/// As `datasets` writes cppe-5: names of the numbers in the metadata, at the depth of the objects.
#[test]
fn objects_in_a_table_of_the_hub_are_called_by_their_names() {
    use arrow::array::{
        ArrayRef, Float32Array, Int64Array, ListArray, RecordBatch, StringArray, StructArray,
    };
    use arrow::buffer::OffsetBuffer;
    use arrow::datatypes::{DataType, Field};

    let folder = folder(&[]);
    let list = |items: ArrayRef, lengths: &[usize]| -> ArrayRef {
        let field = Arc::new(Field::new("item", items.data_type().clone(), true));
        Arc::new(ListArray::new(
            field,
            OffsetBuffer::from_lengths(lengths.iter().copied()),
            items,
            None,
        ))
    };
    let numbers: ArrayRef =
        Arc::new(Float32Array::from(vec![10., 20., 100., 40., 120., 50., 70., 40.]));
    let boxes = list(list(numbers, &[4, 4]), &[1, 1]);
    let categories = list(Arc::new(Int64Array::from(vec![0, 1])), &[1, 1]);
    let field =
        |name: &str, array: &ArrayRef| Arc::new(Field::new(name, array.data_type().clone(), true));
    let objects: ArrayRef = Arc::new(StructArray::from(vec![
        (field("bbox", &boxes), boxes.clone()),
        (field("category", &categories), categories.clone()),
    ]));
    assert!(matches!(objects.data_type(), DataType::Struct(_)));
    let image: ArrayRef = Arc::new(StringArray::from(vec!["a.png", "b.png"]));
    let batch = RecordBatch::try_from_iter([("image", image), ("objects", objects)]).unwrap();
    let names = json!({"_type": "ClassLabel", "names": ["mug", "cup"]});
    for features in [
        json!({"feature": {"category": names, "bbox": {}}, "_type": "Sequence"}),
        json!({"category": {"feature": names, "_type": "Sequence"}, "bbox": {}}),
        json!([{"category": names}]),
    ] {
        let features = json!({"objects": features});
        let path = folder.write_of_hub("train.parquet", &batch, &features);
        let dataset = open(&path, &OpenOptions::default());
        assert_eq!(
            asked(&dataset),
            [("0 mug".to_owned(), vec![MUG]), ("1 cup".to_owned(), vec![CUP])]
        );
    }
}

#[test]
fn places_in_other_columns_are_refused_by_their_names() {
    for (key, written) in [
        ("bbox_2d", "bbox_2d"),
        ("point", "point_2d"),
        ("points", "point_2d"),
        ("box_2d", "box_2d"),
    ] {
        let row = json!({"image": "a.png", key: [1, 2, 3, 4], "label": "mug"});
        let folder = folder(&[row]);
        let words =
            ["row 0", &format!("{key:?}"), &format!("{written:?}"), "\"solution\"", "data.space"];
        refused(&folder.path("rows.jsonl"), &OpenOptions::default(), &words);
    }
    let sides =
        json!({"image": "a.png", "xmin": 1, "ymin": 2, "xmax": 3, "ymax": 4, "label": "mug"});
    let words = ["\"xmin\"", "\"bbox\"", "data.bbox"];
    refused(&folder(&[sides]).path("rows.jsonl"), &OpenOptions::default(), &words);
    // One corner and the sides, as of stickers cut out; a coordinate of something else alone is none.
    let corner =
        json!({"image": "a.png", "x": 1, "y": "2", "width": 3, "height": 4, "label": "mug"});
    refused(&folder(&[corner]).path("rows.jsonl"), &OpenOptions::default(), &["\"x\"", "\"bbox\""]);
    for row in [
        json!({"image": "a.png", "x": 1, "y": 2, "label": "mug"}),
        json!({"image": "a.png", "left": "arm", "top": "shelf", "label": "mug"}),
    ] {
        open(&folder(&[row]).path("rows.jsonl"), &OpenOptions::default());
    }
    let refused_row = |row: Value, words: &[&str]| {
        refused(&folder(&[row]).path("rows.jsonl"), &OpenOptions::default(), words);
    };
    refused_row(
        json!({"image": "a.png", "boxes": [MUG, CUP], "labels": ["mug"]}),
        &["2 boxes", "1 names"],
    );
    refused_row(
        json!({"image": "a.png", "bbox": null, "label": "mug"}),
        &["\"bbox\" should be four numbers"],
    );
    refused_row(
        json!({"image": "a.png", "objects": {"bbox": [MUG]}}),
        &["have no names", "\"category\""],
    );
    refused_row(json!({"image": "a.png", "objects": {"mug": 3}}), &["\"objects\" has no boxes"]);
}

#[test]
fn boxes_in_another_unit_than_pixels_are_read_where_it_is_told_or_declared() {
    let row =
        |numbers: [f64; 4], label: &str| json!({"image": "a.png", "bbox": numbers, "label": label});
    let of = |rows: &[Value], space: Option<DataSpace>| {
        let options = OpenOptions { space, selection: by_corners(), ..OpenOptions::default() };
        let dataset = Dataset::open_with(&folder(rows).path("rows.jsonl"), &options);
        dataset.map(|dataset| asked(&dataset)).map_err(|error| error.to_string())
    };
    let mug = [("0 mug".to_owned(), vec![[50.0, 50.0, 150.0, 75.0]])];
    let share = [0.25, 0.5, 0.75, 0.75];
    assert_eq!(of(&[row(share, "mug")], None).unwrap(), mug);
    let thousandths = [row([250., 500., 750., 750.], "mug")];
    assert_eq!(of(&thousandths, Some(DataSpace::Thousandths)).unwrap(), mug);
    let error = of(&thousandths, None).unwrap_err();
    assert!(error.contains("leaves the picture") && error.contains("data.space"), "{error}");
    let error = of(&[row(MUG, "mug"), row(share, "cup")], None).unwrap_err();
    assert!(error.contains("not in the same unit") && error.contains("data.space"), "{error}");
    let error = of(&[row(MUG, "mug")], Some(DataSpace::Resized)).unwrap_err();
    assert!(error.contains("data.space = \"resized\""), "{error}");
}

#[test]
fn a_box_without_area_takes_the_question_along_and_a_crowd_without_does_not() {
    let bad = [10.0, 20.0, 10.0, 60.0];
    let objects = |second: [f64; 4], is_crowd: u8| {
        json!({"bbox": [MUG, second, CUP], "category": ["mug", "mug", "cup"],
               "iscrowd": [0, is_crowd, 0]})
    };
    let rows = [
        json!({"image": "a.png", "objects": objects(bad, 0)}),
        json!({"image": "b.png", "objects": objects(bad, 1)}),
    ];
    let asked: [(&str, &[[f64; 4]]); 3] = [("0 cup", &[CUP]), ("1 cup", &[CUP]), ("1 mug", &[MUG])];
    let dataset = check(&rows, &by_corners(), &asked);
    assert_eq!((dataset.skipped_parts().len(), dataset.skipped().len()), (0, 1));
    let why = dataset.skipped()[0].to_string();
    assert!(why.starts_with("row 0 (0-mug): its bbox has no area"), "{why}");
}

#[test]
fn of_a_picture_that_a_bad_row_is_about_nothing_is_asked() {
    let row = |image: &str, bbox: Value, label: &str| json!({"image": image, "bbox": bbox, "label": label});
    let rows = [
        row("a.png", json!(MUG), "mug"),
        row("a.png", Value::Null, "mug"),
        row("b.png", json!(CUP), "cup"),
    ];
    let selection = Selection { absent: Absent::Every, ..by_corners() };
    let nothing: &[[f64; 4]] = &[];
    let dataset = check(&rows, &selection, &[("2 cup", &[CUP]), ("2 mug", nothing)]);
    assert_eq!(dataset.skipped()[0].place, "row 1");
    let part = dataset.skipped_parts()[0].to_string();
    assert!(part.starts_with("the question 0-mug: row 1 cannot be used"), "{part}");
}

#[test]
fn a_crowd_is_one_under_each_of_its_keys() {
    let crowds = |dataset: &Dataset| {
        let Truth::Boxes(boxes) = &dataset.get(0).truth else { panic!() };
        boxes.crowds.iter().map(Rect::corners).collect::<Vec<_>>()
    };
    for key in ["iscrowd", "is_crowd", "isCrowd", "crowd"] {
        let objects = json!({"bbox": [MUG, CUP], "category": ["mug", "mug"], key: [false, true]});
        let rows = [json!({"image": "a.png", "objects": objects})];
        assert_eq!(crowds(&check(&rows, &by_corners(), &[("0 mug", &[MUG])])), [CUP], "{key}");
        let apart =
            json!([{"bbox": MUG, "label": "mug", key: 0}, {"bbox": CUP, "label": "mug", key: 1}]);
        let rows = [json!({"image": "a.png", "objects": apart})];
        assert_eq!(crowds(&check(&rows, &by_corners(), &[("0 mug", &[MUG])])), [CUP], "{key}");
    }
    // How many there are is no flag.
    let row = json!({"image": "a.png", "bbox": MUG, "label": "mug", "crowd": 12});
    check(&[row], &by_corners(), &[("0 mug", &[MUG])]);
}
