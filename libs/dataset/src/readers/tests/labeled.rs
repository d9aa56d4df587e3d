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
    let parts = [element(6, &[0; 8]), element(5, &sides), named, element(kind, data)];
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

#[test]
fn rows_with_a_label() {
    let rows = "{\"image\": \"a.png\", \"label\": 1}\n{\"image\": \"a.png\", \"label\": 0}\n";
    let folder = Folder::new(&[
        ("rows.jsonl", rows.as_bytes()),
        ("a.png", &picture()),
        ("names.txt", b"rose\ntulip\n"),
    ]);
    let path = folder.path("rows.jsonl");
    refused(&path, &OpenOptions::default(), &["label 1 is a number: data.classes has to name it"]);
    let named = Selection { classes: Some(folder.path("names.txt")), ..Selection::default() };
    assert_eq!(classes(&open(&path, &select(named.clone()))), ["tulip", "rose"]);
    let rose = Selection { categories: vec!["rose".into()], ..named };
    assert_eq!(classes(&open(&path, &select(rose))), ["rose"]);
}
