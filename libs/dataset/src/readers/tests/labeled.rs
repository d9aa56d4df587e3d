//! Pictures with a class each: folders, tables, lists, splits, Oxford Flowers.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use serde_json::json;

use super::*;

#[test]
fn a_folder_for_each_class() {
    let folder = Folder::new(&[("classes.txt", b"n02\ttulip\n")]);
    for name in ["train/n01/a.png", "train/n02/b.png", "test/n01/c.png"] {
        folder.write(&format!("set/{name}"), &picture());
    }
    let train = open(&folder.path("set"), &split("train"));
    assert_eq!(
        (ids(&train), classes(&train)),
        (vec!["n01-a.png", "n02-b.png"], vec!["n01", "n02"])
    );
    assert_eq!(classes(&open(&folder.path("set/test"), &OpenOptions::default())), ["n01"]);
    refused(&folder.path("set"), &OpenOptions::default(), &["several splits"]);
    // A list of classes chooses and names.
    let classes_file = Some(folder.path("classes.txt"));
    let selection = Selection { classes: classes_file, ..Selection::default() };
    let listed = open(&folder.path("set"), &OpenOptions { selection, ..split("train") });
    assert_eq!(classes(&listed), ["tulip"]);
}

/// ChartQA has its questions beside `label`, sets of memes the words on them.
#[test]
fn a_question_beside_a_class_is_not_left_out() {
    let folder = Folder::new(&[("a.png", &picture())]);
    let write = |row: Value| folder.write("rows.jsonl", format!("{row}\n").as_bytes());
    for (key, label) in
        [("query", json!(["14"])), ("question", json!("yes")), ("sentence", json!("A"))]
    {
        write(json!({"image": "a.png", key: "How many bars are red?", "label": label}));
        refused(
            &folder.path("rows.jsonl"),
            &OpenOptions::default(),
            &[key, "\"problem\"", "\"solution\""],
        );
    }
    write(json!({"image": "a.png", "prompt": "a cup at sea", "label": "made"}));
    refused(&folder.path("rows.jsonl"), &OpenOptions::default(), &["\"prompt\" beside \"label\""]);
    write(json!({"image": "a.png", "sentences": ["left of the cup"], "label": "cup"}));
    let words = ["\"sentences\" beside \"label\""];
    refused(&folder.path("rows.jsonl"), &OpenOptions::default(), &words);
    folder.write("t.csv", b"file,Question,class\na.png,How many bars?,14\n");
    refused(
        &folder.path("t.csv"),
        &OpenOptions::default(),
        &["\"Question\" beside \"class\"", "\"problem\""],
    );
    // An empty one asks nothing, and other words are told.
    write(json!({"image": "a.png", "question": "", "label": "cup"}));
    assert!(open(&folder.path("rows.jsonl"), &OpenOptions::default()).notes().is_empty());
    // What nothing is made of is told, also what would be a question if another were not.
    write(json!({"image": "a.png", "problem": "p", "solution": "1", "prompt": "q", "level": 2}));
    let dataset = open(&folder.path("rows.jsonl"), &OpenOptions::default());
    assert_eq!(dataset.notes(), ["rows also have \"level\", \"prompt\", which nothing is made of"]);
    write(
        json!({"image": "a.png", "caption": "at sea", "count": 3, "nothing": null, "label": "cup"}),
    );
    let dataset = open(&folder.path("rows.jsonl"), &OpenOptions::default());
    assert_eq!(classes(&dataset), ["cup"]);
    assert_eq!(
        dataset.notes(),
        ["rows also have \"caption\", \"count\", which nothing is made of"]
    );
}

/// Roboflow has YOLO's labels beside the pictures of each split.
#[test]
fn folders_of_tools_are_no_classes() {
    for pair in
        [["train/images/a.png", "train/images/b.png"], ["train/images/a.png", "train/masks/a.png"]]
    {
        let folder =
            Folder::new(&[("data.yaml", b"nc: 1"), ("train/labels/a.txt", b"0 0.5 0.5 0.1 0.1")]);
        pair.iter().for_each(|name| folder.write(name, &picture()));
        refused(&folder.path(""), &split("train"), &["export COCO"]);
    }
    // Beside a class one may well be called so.
    let folder = Folder::new(&[]);
    for name in ["masks/a.png", "gloves/b.png"] {
        folder.write(name, &picture());
    }
    assert_eq!(classes(&open(&folder.path(""), &OpenOptions::default())), ["gloves", "masks"]);
}

#[test]
fn pictures_of_any_ending_are_rows_and_those_that_are_not_decoded_bad_rows() {
    let folder = Folder::new(&[
        ("c0/.DS_Store", b"x"),
        ("c0/Thumbs.db", b"x"),
        ("c1/b.heic", b"\0\0\0\x18ftypheic"),
        ("c1/c.SVG", b"<svg/>"),
        ("c1/notes.txt", b"a rose"),
    ]);
    let pictures = ["c0/a.jpg", "c0/b.GIF", "c1/a.TIFF", "c1/d.jfif", "c1/e.ppm", "c2/f.tif"];
    // What is called .heic may be a JPEG, and is read.
    for name in pictures.into_iter().chain(["c1/f.heic"]) {
        folder.write(name, &picture());
    }
    let mut tiff = std::io::Cursor::new(Vec::new());
    let gray = image::DynamicImage::from(image::GrayImage::new(8, 8));
    gray.write_to(&mut tiff, image::ImageFormat::Tiff).unwrap();
    folder.write("c2/g.DNG", tiff.get_ref());
    folder.write("c2/h.tiff", tiff.get_ref());
    let dataset = open(&folder.path(""), &OpenOptions::default());
    let expected = [
        "c0-a.jpg",
        "c0-b.GIF",
        "c1-a.TIFF",
        "c1-d.jfif",
        "c1-e.ppm",
        "c1-f.heic",
        "c2-f.tif",
        "c2-h.tiff",
    ];
    assert_eq!(ids(&dataset), expected);
    let bad: Vec<String> = dataset.skipped().iter().map(ToString::to_string).collect();
    assert_eq!(bad.len(), 3, "{bad:?}");
    // By the name of the format, where the file tells it.
    for (bad, format) in bad.iter().zip(["HEIC", "SVG", ".dng"]) {
        assert!(
            bad.contains(&format!("{format} is not decoded")) && bad.contains("convert it to"),
            "{bad}"
        );
    }
}

#[test]
fn a_table_beside_pictures_says_what_they_are_and_not_their_folders() {
    let all = OpenOptions::default;
    let set = |tables: &[(&str, &str)]| {
        let folder = Folder::new(&[]);
        tables.iter().for_each(|(name, text)| folder.write(name, text.as_bytes()));
        for name in ["train/cam1/a.png", "train/cam2/b.png", "test/cam1/c.png"] {
            folder.write(name, &picture());
        }
        folder
    };
    // In the folder of a split.
    let text = "file_name,light,label\ncam1/a.png,3,rose\ncam2/b.png,4,tulip\n";
    let of_test = "\u{feff}\"file_name\",label\ncam1/c.png,tulip\n";
    let folder = set(&[("train/metadata.csv", text), ("test/metadata.csv", of_test)]);
    assert_eq!(classes(&open(&folder.path(""), &split("train"))), ["rose", "tulip"]);
    assert_eq!(classes(&open(&folder.path(""), &split("test"))), ["tulip"]);
    refused(&folder.path(""), &all(), &["several splits"]);
    // Beside the pictures.
    let tables = [
        ("train/cam1/metadata.csv", "file_name,label\na.png,rose\n"),
        ("train/cam2/metadata.csv", "file_name,label\nb.png,tulip\n"),
    ];
    assert_eq!(classes(&open(&set(&tables).path(""), &split("train"))), ["rose", "tulip"]);
    assert_eq!(classes(&open(&set(&tables).path("train"), &all())), ["rose", "tulip"]);
    // In the root.
    let text = "file_name,label\ntrain/cam1/a.png,rose\ntest/cam1/c.png,tulip\n";
    let root = set(&[("metadata.csv", text)]);
    assert_eq!(classes(&open(&root.path(""), &all())), ["rose", "tulip"]);
    // One that names no files is about something else.
    let other = set(&[("train/metadata.csv", "camera,label\ncam1,Canon\n")]);
    assert_eq!(classes(&open(&other.path(""), &split("train"))), ["cam1", "cam2"]);
}

#[test]
fn a_list_without_endings_finds_pictures_of_any() {
    let folder = Folder::new(&[("list.txt", b"a rose\nb.x tulip\n")]);
    folder.write("images/a.TIF", &picture());
    folder.write("images/b.x.jpeg", &picture());
    let dataset = open(&folder.path("list.txt"), &OpenOptions::default());
    assert_eq!(ids(&dataset), ["a.TIF", "b.x.jpeg"]);
}

#[test]
fn a_table_of_boxes_is_not_taken_for_one_of_classes() {
    let folder = Folder::new(&[(
        "boxes.csv",
        b"filename,width,height,class,XMin,ymin,xmax,ymax\na.png,8,8,mug,1,2,3,4\n",
    )]);
    let words = ["columns of boxes (XMin, ymin, xmax, ymax)", "JSONL", ADVISED];
    refused(&folder.path("boxes.csv"), &OpenOptions::default(), &words);
    // What is advised is read.
    folder.write("boxes.jsonl", ADVISED.as_bytes());
    folder.write("a.png", &picture());
    let selection = Selection { bbox: Some(BboxForm::Corners), ..Selection::default() };
    let dataset = open(&folder.path("boxes.jsonl"), &select(selection));
    assert_eq!(dataset.get(0).question, Question::Category("mug".into()));
    assert_eq!(corners(dataset.get(0)), [[1.0, 2.0, 30.0, 40.0]]);
}

/// A row that the refusal of a table of boxes has as an example.
const ADVISED: &str = r#"{"image": "a.png", "bbox": [1, 2, 30, 40], "label": "mug"}"#;

#[test]
fn tables_and_lists_name_pictures_and_classes() {
    let folder = Folder::new(&[
        ("cars.csv", b"image,label\ncars/1.png,\"Audi, R8\"\ncars/2.png,Fiat 500\n"),
        ("images_variant_train.txt", b"0034309 707-320\n0034958 A310\n"),
        (
            "annotations/trainval.txt",
            b"#Image CLASS-ID SPECIES BREED ID\nAbyssinian_100 1 1 1\ngreat_pyrenees_7 2 2 1\n",
        ),
        ("annotations/numbers.csv", b"image,label\nAbyssinian_100.jpg,1\ngreat_pyrenees_7.jpg,2\n"),
        ("names.txt", b"cat\ndog\n"),
    ]);
    for name in [
        "cars/1.png",
        "cars/2.png",
        "images/0034309.jpg",
        "images/0034958.jpg",
        "images/Abyssinian_100.jpg",
        "images/great_pyrenees_7.jpg",
    ] {
        folder.write(name, &picture());
    }
    let all = OpenOptions::default();
    assert_eq!(classes(&open(&folder.path("cars.csv"), &all)), ["Audi, R8", "Fiat 500"]);
    assert_eq!(classes(&open(&folder.path("images_variant_train.txt"), &all)), ["707-320", "A310"]);
    let pets = open(&folder.path("annotations/trainval.txt"), &all);
    assert_eq!(classes(&pets), ["Abyssinian", "great_pyrenees"]);
    let names = Selection { classes: Some(folder.path("names.txt")), ..Selection::default() };
    let numbers = folder.path("annotations/numbers.csv");
    assert_eq!(classes(&open(&numbers, &select(names))), ["cat", "dog"]);
    let one = Selection { categories: vec!["A310".to_owned()], ..Selection::default() };
    let variants = folder.path("images_variant_train.txt");
    assert_eq!(ids(&open(&variants, &select(one))), ["0034958.jpg"]);
    folder.write("bad.csv", b"image,kind\na.png,b\n");
    refused(&folder.path("bad.csv"), &all, &["no \"label\"", "image, kind"]);
}

#[test]
fn splits_that_papers_share() {
    let splits = json!({"train": [["a.png", 0, "rose"]], "val": [], "test": [["b.png", 1, "tulip"], ["a.png", 0, "rose"]]});
    let folder = Folder::new(&[
        ("split_zhou_OxfordFlowers.json", splits.to_string().as_bytes()),
        ("jpg/a.png", &picture()),
        ("jpg/b.png", &picture()),
    ]);
    let path = folder.path("split_zhou_OxfordFlowers.json");
    assert_eq!(classes(&open(&path, &split("train"))), ["rose"]);
    assert_eq!(classes(&open(&path, &split("test"))), ["tulip", "rose"]);
    refused(&path, &OpenOptions::default(), &["several splits", "train, val, test"]);
    refused(&path, &split("val"), &["no usable row"]);
}

/// An element of a MATLAB file.
fn element(kind: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = [kind.to_le_bytes(), (data.len() as u32).to_le_bytes()].concat();
    bytes.extend(data);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

/// A matrix of bytes, or of doubles, in one row.
fn matrix(name: &str, kind: u32, data: &[u8], n: u32) -> Vec<u8> {
    let sides = [1_u32.to_le_bytes(), n.to_le_bytes()].concat();
    // A name of up to four letters is packed into its tag.
    let named = if name.len() <= 4 {
        let mut small = ((name.len() as u32) << 16 | 1).to_le_bytes().to_vec();
        small.extend(name.as_bytes());
        small.resize(8, 0);
        small
    } else {
        element(1, name.as_bytes())
    };
    // An array of bytes, by its class.
    let parts =
        [element(6, &[9, 0, 0, 0, 0, 0, 0, 0]), element(5, &sides), named, element(kind, data)];
    element(14, &parts.concat())
}

fn mat(matrices: &[Vec<u8>], is_packed: bool) -> Vec<u8> {
    let mut file = vec![b' '; 124];
    file.extend([0, 1, b'I', b'M']);
    for matrix in matrices {
        if is_packed {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(matrix).unwrap();
            let packed = encoder.finish().unwrap();
            file.extend([15_u32.to_le_bytes(), (packed.len() as u32).to_le_bytes()].concat());
            file.extend(packed);
        } else {
            file.extend(matrix);
        }
    }
    file
}

#[test]
fn oxford_flowers_as_published() {
    let labels = mat(&[matrix("labels", 2, &[2, 1, 2], 3)], true);
    let doubles = [3.0_f64.to_le_bytes(), 1.0_f64.to_le_bytes()].concat();
    let sets = mat(
        &[matrix("trnid", 2, &[2], 1), matrix("tstid", 9, &doubles, 2), matrix("val", 2, &[1], 1)],
        false,
    );
    let folder = Folder::new(&[
        ("imagelabels.mat", &labels),
        ("setid.mat", &sets),
        ("names.txt", b"rose\ntulip\n"),
    ]);
    (1..=3).for_each(|n| folder.write(&format!("jpg/image_0000{n}.jpg"), &picture()));
    let path = folder.path("imagelabels.mat");
    assert_eq!(classes(&open(&path, &split("train"))), ["1"]);
    let names = Selection { classes: Some(folder.path("names.txt")), ..Selection::default() };
    let test = open(&path, &OpenOptions { selection: names, ..split("test") });
    assert_eq!(classes(&test), ["tulip", "tulip"]);
    assert_eq!(ids(&test), ["image_00003.jpg", "image_00001.jpg"]);
    refused(&path, &split("val"), &["no array \"valid\"", "trnid, tstid, val"]);
    folder.write("imagelabels.mat", &labels[..140]);
    refused(&path, &split("train"), &["imagelabels.mat", "MATLAB"]);
}

/// What `tests/cars/make_cars.py` writes.
macro_rules! cars {
    ($name:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cars/", $name))
    };
}

#[test]
fn stanford_cars_as_published_in_one_file() {
    let folder = Folder::new(&[("cars_annos.mat", cars!("cars_annos.mat"))]);
    (1..=3).for_each(|n| folder.write(&format!("car_ims/00000{n}.jpg"), &picture()));
    let path = folder.path("cars_annos.mat");
    let train = open(&path, &split("train"));
    assert_eq!(classes(&train), ["AM General Hummer SUV 2000", "Acura RL Sedan 2012"]);
    assert_eq!(ids(&train), ["car_ims-000001.jpg", "car_ims-000002.jpg"]);
    assert_eq!(ids(&open(&path, &split("test"))), ["car_ims-000003.jpg"]);
    refused(&path, &OpenOptions::default(), &["train", "test"]);
    refused(&path, &split("val"), &["train", "test"]);
}

#[test]
fn stanford_cars_as_published_in_a_kit() {
    let folder = Folder::new(&[
        ("devkit/cars_train_annos.mat", cars!("cars_train_annos.mat")),
        ("devkit/cars_test_annos.mat", cars!("cars_test_annos.mat")),
        ("devkit/cars_test_annos_withlabels.mat", cars!("cars_test_annos_withlabels.mat")),
    ]);
    let train = folder.path("devkit/cars_train_annos.mat");
    refused(&train, &OpenOptions::default(), &["cars_meta.mat beside it, which is not there"]);
    folder.write("devkit/cars_meta.mat", cars!("cars_meta.mat"));
    // Pictures of both splits are called alike.
    for picture_of in ["cars_train/00001.jpg", "cars_train/00002.jpg", "cars_test/00001.jpg"] {
        folder.write(picture_of, &picture());
    }
    let rows = open(&train, &OpenOptions::default());
    assert_eq!(classes(&rows), ["Acura RL Sedan 2012", "AM General Hummer SUV 2000"]);
    assert_eq!(ids(&rows), ["00001.jpg", "00002.jpg"]);
    let test = folder.path("devkit/cars_test_annos_withlabels.mat");
    // Another picture than that of training.
    folder.write("cars_test/00001.jpg", &black(48, 32));
    let rows = open(&test, &split("test"));
    assert_ne!(
        rows.get(0).pictures[0].header().stored,
        open(&train, &split("train")).get(0).pictures[0].header().stored
    );
    assert_eq!(ids(&rows), ["00001.jpg"]);
    assert_eq!(classes(&rows), ["AM General Hummer SUV 2000"]);
    refused(&test, &split("train"), &["test"]);
    let without = folder.path("devkit/cars_test_annos.mat");
    refused(&without, &split("test"), &["cars_test_annos_withlabels.mat has"]);
    folder.write("names.txt", b"hummer\nacura\n");
    let names = Selection { classes: Some(folder.path("names.txt")), ..Selection::default() };
    let rows = open(&train, &OpenOptions { selection: names, ..split("train") });
    assert_eq!(classes(&rows), ["acura", "hummer"]);
}

#[test]
fn a_damaged_file_of_cars_is_refused_and_never_a_panic() {
    let whole = cars!("cars_train_annos.mat");
    let folder = Folder::new(&[("cars_meta.mat", cars!("cars_meta.mat"))]);
    let path = folder.path("cars_train_annos.mat");
    for end in (0..whole.len()).step_by(7) {
        folder.write("cars_train_annos.mat", &whole[..end]);
        assert!(Dataset::open_with(&path, &split("train")).is_err(), "{end}");
    }
    for at in (128..whole.len()).step_by(3) {
        for value in [0, 1, 14, 0x7f, 0xff] {
            let mut bytes = whole.to_vec();
            bytes[at] = value;
            folder.write("cars_train_annos.mat", &bytes);
            drop(Dataset::open_with(&path, &split("train")));
        }
    }
}

#[test]
fn rows_with_a_label() {
    let rows = "{\"image\": \"a.png\", \"label\": 1}\n{\"image\": \"a.png\", \"label\": 0}\n";
    let folder = Folder::new(&[
        ("rows.jsonl", rows.as_bytes()),
        ("a.png", &picture()),
        ("names.txt", b"rose\ntulip\n"),
    ]);
    let path = folder.path("rows.jsonl");
    refused(&path, &OpenOptions::default(), &["label 1 is a number", "data.classes"]);
    let named = Selection { classes: Some(folder.path("names.txt")), ..Selection::default() };
    assert_eq!(classes(&open(&path, &select(named.clone()))), ["tulip", "rose"]);
    let rose = Selection { categories: vec!["rose".into()], ..named };
    assert_eq!(classes(&open(&path, &select(rose))), ["rose"]);
}

/// Hugging Face's `datasets` keeps the names of a column of classes in the metadata of the file.
#[test]
fn classes_of_the_hub_are_called_by_their_names() {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};

    let folder = Folder::new(&[("a.png", &picture())]);
    let image: ArrayRef = Arc::new(StringArray::from(vec!["a.png"; 3]));
    let label: ArrayRef = Arc::new(Int64Array::from(vec![1, 0, -1]));
    let features = json!({"label": {"_type": "ClassLabel", "names": ["rose", "tulip"]}});
    let of = |column: &str| {
        let columns = [(column, image.clone()), ("label", label.clone())];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let path = folder.write_of_hub("metadata.parquet", &batch, &features);
        open(&path, &OpenOptions::default())
    };
    // As a table beside pictures calls it.
    assert_eq!(classes(&of("file_name")), ["tulip", "rose"]);
    let dataset = of("image");
    assert_eq!(classes(&dataset), ["tulip", "rose"]);
    // Without a class, as the hub writes it for rows that are not labeled.
    let part = dataset.skipped_parts()[0].to_string();
    assert!(part.starts_with("row 2: its class -1 stands for none"), "{part}");
}

#[test]
fn of_two_columns_of_classes_the_documented_one_is_read_and_that_is_noted() {
    let rows = |other: &str| format!("image,label,{other}\na.png,mug,0\nb.png,cup,1\n");
    let folder = Folder::new(&[("a.png", &picture()), ("b.png", &picture())]);
    let read = |text: &str| {
        folder.write("a.csv", text.as_bytes());
        open(&folder.path("a.csv"), &OpenOptions::default())
    };
    let two = read(&rows("class"));
    assert_eq!(classes(&two), ["mug", "cup"]);
    assert!(
        two.notes()[0].contains("\"label\" is read, and \"class\" is not"),
        "{:?}",
        two.notes()
    );
    // The other order makes no difference, and equal fields are no clash.
    assert_eq!(classes(&read("image,class,label\na.png,0,mug\nb.png,1,cup\n")), ["mug", "cup"]);
    let equal = read("image,label,class,label\na.png,mug,mug,mug\nb.png,cup,cup,cup\n");
    assert_eq!(equal.notes(), [] as [String; 0]);
    folder.write("a.csv", rows("label").as_bytes());
    refused(
        &folder.path("a.csv"),
        &OpenOptions::default(),
        &["several columns \"label\"", "keep one"],
    );
    // The same of rows in JSON.
    let line = |name: &str, class: &str| {
        json!({"image": name, "label": "mug", "class": class}).to_string()
    };
    folder.write("a.jsonl", [line("a.png", "x"), line("b.png", "mug")].join("\n").as_bytes());
    let rows = open(&folder.path("a.jsonl"), &OpenOptions::default());
    assert_eq!(classes(&rows), ["mug", "mug"]);
    assert!(rows.notes()[0].contains("\"label\" is read"), "{:?}", rows.notes());
}

#[test]
fn a_class_of_none_is_left_out_and_an_empty_one_is_a_bad_row() {
    let folder = Folder::new(&[("names.txt", b"mug\ncup\n"), ("a.png", &picture())]);
    let write = |labels: &[serde_json::Value]| {
        let line = |label| json!({"image": "a.png", "label": label}).to_string();
        let lines: Vec<String> = labels.iter().map(line).collect();
        folder.write("a.jsonl", lines.join("\n").as_bytes());
    };
    let listed = Selection { classes: Some(folder.path("names.txt")), ..Selection::default() };
    write(&[json!(0), json!(-1), json!(1), json!([1]), json!([0, 1])]);
    let dataset = open(&folder.path("a.jsonl"), &select(listed));
    assert_eq!(classes(&dataset), ["mug", "cup", "cup"]);
    let parts: Vec<String> = dataset.skipped_parts().iter().map(ToString::to_string).collect();
    assert!(parts[0].starts_with("row 1: its class -1 stands for none"), "{parts:?}");
    let bad: Vec<String> = dataset.skipped().iter().map(ToString::to_string).collect();
    assert!(bad.len() == 1 && bad[0].starts_with("row 4: it has 2 classes"), "{bad:?}");
    write(&[json!("mug"), json!(" ")]);
    let dataset = open(&folder.path("a.jsonl"), &OpenOptions::default());
    assert_eq!(dataset.skipped()[0].to_string(), "row 1: its class is an empty text");
    // A table counts in the same way.
    folder.write("a.csv", b"image,label\na.png,0\na.png,1\na.png,2\na.png,-1\n");
    let table = open(&folder.path("a.csv"), &OpenOptions::default());
    assert_eq!((table.len(), table.skipped(), table.skipped_parts().len()), (3, &[][..], 1));
}
