//! All formats give the same rows; what is wrong is named.

use std::fs::File;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, Int64Array, LargeBinaryArray, ListArray, RecordBatch, StringArray,
    StructArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field};
use arrow::ipc::writer::{FileWriter, StreamWriter};
use base64::Engine;
use parquet::arrow::ArrowWriter;

use super::*;
use crate::{Picture, Truth};
use vrft_messages::Turn;

use crate::Question;
use crate::testing::{Folder, png, row};

fn image(k: u8) -> Vec<u8> {
    png(2, [k, 20, 30, 40])
}
fn texts(prefix: &str) -> ArrayRef {
    Arc::new(StringArray::from(vec![format!("{prefix} 0"), format!("{prefix} 1")]))
}
/// Hugging Face's image type: the first row has bytes, the second a path.
fn structs() -> ArrayRef {
    let bytes: ArrayRef = Arc::new(BinaryArray::from(vec![Some(image(0).as_slice()), None]));
    let path: ArrayRef = Arc::new(StringArray::from(vec![Some("gone.png"), Some("1.png")]));
    let fields =
        vec![Field::new("bytes", DataType::Binary, true), Field::new("path", DataType::Utf8, true)];
    Arc::new(StructArray::new(fields.into(), vec![bytes, path], None))
}
fn batch(image: ArrayRef) -> RecordBatch {
    let columns = [("image", image), ("problem", texts("p")), ("solution", texts("s"))];
    RecordBatch::try_from_iter(columns).unwrap()
}
fn folder() -> Folder {
    Folder::new(&[("0.png", &image(0)), ("1.png", &image(1))])
}
fn write_parquet(folder: &Folder, name: &str, batch: &RecordBatch) -> PathBuf {
    let path = folder.path(name);
    let mut writer =
        ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    path
}

fn images(row: &Row) -> Vec<Vec<u8>> {
    row.pictures.iter().map(|picture| picture.bytes().unwrap()).collect()
}

/// Two rows with the images 0 and 1.
#[track_caller]
fn check(path: &Path) {
    let dataset = Dataset::open(path).unwrap();
    assert_eq!(dataset.len(), 2);
    for (k, row) in dataset.iter().enumerate() {
        assert_eq!(images(row), [image(k as u8)]);
        assert_eq!(row.sample_id(), k.to_string());
        assert_eq!(row.question, Question::Turns([Turn::question(1, &format!("p {k}"))].into()));
        assert_eq!(row.truth, Truth::Text(format!("s {k}").into()));
    }
    assert_eq!(dataset.skipped(), []);
}
#[track_caller]
fn check_error(path: &Path, parts: &[&str]) {
    let error = Dataset::open(path).unwrap_err().to_string();
    assert!(parts.iter().all(|part| error.contains(part)), "{error}");
}

#[test]
fn parquet_with_structs() {
    let folder = folder();
    check(&write_parquet(&folder, "a.parquet", &batch(structs())));
}
#[test]
fn parquet_with_bytes() {
    let folder = folder();
    let images = Arc::new(LargeBinaryArray::from(vec![image(0).as_slice(), image(1).as_slice()]));
    check(&write_parquet(&folder, "a.parquet", &batch(images)));
}
#[test]
fn parquet_with_paths() {
    let folder = folder();
    let paths = Arc::new(StringArray::from(vec!["0.png", "1.png"]));
    check(&write_parquet(&folder, "a.parquet", &batch(paths)));
}
#[test]
fn parquet_with_lists() {
    let field = Arc::new(Field::new("item", structs().data_type().clone(), true));
    let offsets = OffsetBuffer::from_lengths([2, 0]);
    let lists = ListArray::new(field, offsets, structs(), None);
    let folder = folder();
    let path = write_parquet(&folder, "a.parquet", &batch(Arc::new(lists)));
    let dataset = Dataset::open(&path).unwrap();
    assert_eq!(images(dataset.get(0)), [image(0), image(1)]);
    assert_eq!(images(dataset.get(1)), [] as [Vec<u8>; 0]);
}
#[test]
fn arrow_file() {
    let folder = folder();
    let batch = batch(structs());
    let path = folder.path("a.arrow");
    let mut writer = FileWriter::try_new(File::create(&path).unwrap(), &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    check(&path);
}
#[test]
fn arrow_stream() {
    let folder = folder();
    let batch = batch(structs());
    let path = folder.path("a.arrow");
    let mut writer = StreamWriter::try_new(File::create(&path).unwrap(), &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    check(&path);
}
#[test]
fn json_lines() {
    let base64 = base64::engine::general_purpose::STANDARD.encode(image(1));
    let lines = format!(
        "{{\"image\": \"0.png\", \"problem\": \"p 0\", \"solution\": \"s 0\"}}\n\n\
         {{\"images\": [\"data:image/png;base64,{base64}\"], \"problem\": \"p 1\", \"solution\": \"s 1\"}}\n"
    );
    let folder = Folder::new(&[("0.png", &image(0)), ("a.jsonl", lines.as_bytes())]);
    check(&folder.path("a.jsonl"));
}
#[test]
fn conversations() {
    let line = |k: usize| {
        format!(
            "{{\"id\": {k}, \"image\": [\"{k}.png\"], \"conversations\": [{{\"from\": \"human\", \"value\": \"<image>\\np {k}\"}}, {{\"from\": \"gpt\", \"value\": \"s {k}\"}}]}}\n"
        )
    };
    let folder = folder();
    std::fs::write(folder.path("a.jsonl"), line(0) + &line(1)).unwrap();
    check(&folder.path("a.jsonl"));
}
#[test]
fn a_folder_of_shards_counts_through() {
    let folder = folder();
    write_parquet(&folder, "a-0.parquet", &batch(structs()).slice(0, 1));
    write_parquet(&folder, "a-1.parquet", &batch(structs()).slice(1, 1));
    check(&folder.path(""));
}
#[test]
fn sample_ids_may_be_given() {
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![70, 80]));
    let columns = [
        ("image", structs()),
        ("problem", texts("p")),
        ("solution", texts("s")),
        ("sample_id", ids),
    ];
    let folder = folder();
    let path = write_parquet(&folder, "a.parquet", &RecordBatch::try_from_iter(columns).unwrap());
    assert_eq!(Dataset::open(&path).unwrap().get(1).sample_id(), "80");
}

/// Rows with numbers of classes as `save_to_disk` leaves them: the names are beside the file.
#[test]
fn numbers_of_classes_have_the_names_that_are_saved_beside_them() {
    let folder = folder();
    let open = |numbers: [i64; 2]| {
        let labels: ArrayRef = Arc::new(Int64Array::from(numbers.to_vec()));
        let rows = RecordBatch::try_from_iter([("image", structs()), ("label", labels)]).unwrap();
        let file = File::create(folder.path("a.arrow")).unwrap();
        let mut writer = StreamWriter::try_new(file, &rows.schema()).unwrap();
        writer.write(&rows).unwrap();
        writer.finish().unwrap();
        Dataset::open(&folder.path("a.arrow")).unwrap()
    };
    let info = r#"{"features": {"label": {"_type": "ClassLabel", "names": ["mug", "cup"]}}}"#;
    folder.write("dataset_info.json", info.as_bytes());
    assert_eq!(open([1, 0]).get(0).truth, Truth::Text("cup".into()));
    let none = open([-1, 0]);
    assert_eq!((none.len(), none.skipped()), (1, &[][..]));
    assert!(none.skipped_parts()[0].to_string().starts_with("row 0: its class -1 stands for none"));
    let beyond = open([0, 2]);
    let why = beyond.skipped()[0].to_string();
    assert!(why.starts_with("row 1: class 2 is outside of the 2 names"), "{why}");
}

#[test]
fn columns_that_clash_are_refused() {
    let folder = folder();
    let columns = [("image", structs()), ("image2", structs()), ("label", texts("l"))];
    let path = write_parquet(&folder, "a.parquet", &RecordBatch::try_from_iter(columns).unwrap());
    check_error(&path, &["it has \"image2\" beside its image"]);
    let columns = [("image", structs()), ("label", texts("l")), ("label", texts("k"))];
    let path = write_parquet(&folder, "b.parquet", &RecordBatch::try_from_iter(columns).unwrap());
    check_error(&path, &["several columns \"label\""]);
    let columns = [("image", structs()), ("label", texts("l")), ("class", texts("k"))];
    let path = write_parquet(&folder, "c.parquet", &RecordBatch::try_from_iter(columns).unwrap());
    let dataset = Dataset::open(&path).unwrap();
    assert_eq!(dataset.get(0).truth, Truth::Text("l 0".into()));
    assert!(dataset.notes()[0].contains("\"class\" is not"), "{:?}", dataset.notes());
}

#[test]
fn a_missing_column_names_what_is_there() {
    let folder = folder();
    let columns = [("image", structs()), ("problem", texts("p")), ("answer", texts("s"))];
    let path = write_parquet(&folder, "a.parquet", &RecordBatch::try_from_iter(columns).unwrap());
    check_error(&path, &["a.parquet\" has no \"solution\" (text), it has: image, problem, answer"]);
    std::fs::write(folder.path("a.jsonl"), "{\"image\": \"0.png\", \"question\": 1}").unwrap();
    check_error(&folder.path("a.jsonl"), &["a.jsonl\" has no \"problem\"", "image, question"]);
}
#[test]
fn a_column_of_a_wrong_type_is_named() {
    let folder = folder();
    let numbers = Arc::new(Int64Array::from(vec![1, 2]));
    let path = write_parquet(&folder, "a.parquet", &batch(numbers));
    check_error(&path, &["\"image\" of", "should be encoded bytes, a path,", "got Int64"]);
}
#[test]
fn files_that_are_not_what_they_seem() {
    let folder = Folder::new(&[
        ("a.parquet", b"no"),
        ("b.arrow", b"ARROW1 no"),
        ("c.arrow", b"no"),
        ("d.rows", b"a,b"),
        ("e.jsonl", b""),
        ("f.jsonl", b"no\n"),
    ]);
    check_error(&folder.path("a.parquet"), &["cannot be read as Parquet"]);
    check_error(&folder.path("b.arrow"), &["cannot be read as Arrow"]);
    check_error(&folder.path("c.arrow"), &["c.arrow\""]);
    check_error(&folder.path("d.rows"), &["expected a file that ends in .parquet, .arrow"]);
    check_error(&folder.path("e.jsonl"), &["e.jsonl\" has no usable row"]);
    check_error(
        &folder.path("f.jsonl"),
        &["f.jsonl\" has no usable row; first: row 0: it is no JSON object"],
    );
    check_error(&folder.path("gone.parquet"), &["cannot read the data set", "gone.parquet"]);
    check_error(&Folder::new(&[]).path(""), &["expected a file that ends in"]);
}
#[test]
fn a_file_that_was_cut() {
    let folder = folder();
    let path = write_parquet(&folder, "a.parquet", &batch(structs()));
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    check_error(&path, &["a.parquet\" cannot be read as Parquet"]);
}

fn some(rows: Vec<Row>) -> Dataset {
    Dataset { path: "some".into(), ..Dataset::of(rows).unwrap() }
}
fn hundred() -> Dataset {
    some((0..100).map(|k| row(k, &k.to_string(), "s")).collect())
}
fn ids(dataset: &Dataset) -> Vec<usize> {
    dataset.iter().map(|row| row.sample_id().parse().unwrap()).collect()
}

#[test]
fn a_row_without_its_image_is_skipped() {
    let lines = "{\"image\": \"gone.png\", \"problem\": \"p\", \"solution\": \"s\"}\n\
        {\"image\": \"0.png\", \"problem\": \"p\", \"solution\": \"s\"}\n\
        {\"image\": \"0.png\", \"problem\": \"p\"}\n";
    let folder = Folder::new(&[("0.png", &image(0)), ("a.jsonl", lines.as_bytes())]);
    let dataset = Dataset::open(&folder.path("a.jsonl")).unwrap();
    assert_eq!((dataset.len(), dataset.get(0).sample_id()), (1, "1"));
    let skipped = dataset.skipped();
    assert!(skipped[0].row == 0 && skipped[0].why.contains("gone.png"), "{skipped:?}");
    assert_eq!(skipped[1].to_string(), "row 2: no \"solution\"");
}
#[test]
fn rows_that_fail_the_check_are_left_out() {
    let odd = |row: &Row| {
        if row.sample_id().ends_with('7') { Err("unlucky".to_owned()) } else { Ok(()) }
    };
    let dataset = hundred().retain_valid(odd, 0.1).unwrap();
    assert_eq!((dataset.len(), dataset.skipped().len()), (90, 10));
    let error = hundred().retain_valid(odd, 0.05).unwrap_err().to_string();
    assert!(error.starts_with("10 of 100 rows of \"some\" cannot be used, at most 5"), "{error}");
    assert!(error.contains("row 7: unlucky; row 17: unlucky"), "{error}");
}
#[test]
fn a_picture_that_breaks_off_is_found_when_it_is_decoded() {
    let whole = png(2, [1, 2, 3, 4]);
    let mut cut = row(0, "cut", "s");
    cut.pictures = vec![Arc::new(Picture::of_bytes(whole[..50].to_vec()).unwrap())];
    assert_eq!(row(0, "fine", "s").decode(), Ok(()));
    let why = cut.decode().unwrap_err();
    assert!(why.starts_with("image 0: "), "{why}");
}
#[test]
fn equal_pictures_are_one() {
    let folder = folder();
    let line = "{\"image\": \"0.png\", \"problem\": \"p\", \"solution\": \"s\"}\n";
    folder.write("a.jsonl", line.repeat(2).as_bytes());
    let dataset = Dataset::open(&folder.path("a.jsonl")).unwrap();
    let [a, b] = [0, 1].map(|idx| dataset.get(idx).clone());
    assert!(Arc::ptr_eq(&a.pictures[0], &b.pictures[0]));
    let (Question::Turns(a), Question::Turns(b)) = (a.question, b.question) else { panic!() };
    assert!(Arc::ptr_eq(&a, &b));
}
#[test]
fn nothing_left_is_an_error() {
    let error = hundred().retain_valid(|_| Err("bad".into()), 1.0).unwrap_err().to_string();
    assert!(error.starts_with("\"some\" has no usable row; first: row 0: bad"), "{error}");
}

#[test]
fn shots_are_drawn_with_the_seed() {
    let four = ids(&hundred().shots(4, 1, 0.5).unwrap());
    assert_eq!(four.len(), 4);
    assert!(four.is_sorted());
    assert_eq!(four, ids(&hundred().shots(4, 1, 0.5).unwrap()));
    assert_ne!(four, ids(&hundred().shots(4, 2, 0.5).unwrap()));
}
#[test]
fn no_shots_are_all() {
    assert_eq!(hundred().shots(0, 1, 0.5).unwrap().len(), 100);
    assert_eq!(hundred().shots(100, 1, 0.5).unwrap().len(), 100);
}
#[test]
fn more_shots_than_rows() {
    let error = hundred().shots(101, 1, 0.5).unwrap_err().to_string();
    assert_eq!(error, "\"some\" has 100 usable rows, 101 shots were asked for");
}

#[test]
fn a_comma_behind_a_row_is_named_as_such() {
    let row = "{\"image\": \"a.png\", \"problem\": \"?\", \"solution\": \"1\"}";
    let folder = Folder::new(&[("a.jsonl", format!("{row},\n[1]\n").as_bytes())]);
    check_error(
        &folder.path("a.jsonl"),
        &["row 0: a comma follows its object", "row 1: expected an object, as", "got [1]"],
    );
}

#[test]
fn a_table_of_commas_may_ask_in_words() {
    let text =
        "id,image,problem,solution\nfirst,a.png,\"How many, all in all?\",7\nsecond,a.png,?,\n";
    let folder = Folder::new(&[("a.csv", text.as_bytes()), ("a.png", &png(2, [1, 2, 3, 4]))]);
    let data = Dataset::open(&folder.path("a.csv")).unwrap();
    assert_eq!((data.len(), data.get(0).sample_id()), (1, "first"));
    assert_eq!(data.get(0).truth, Truth::Text("7".into()));
    assert_eq!(data.skipped()[0].why, "no \"solution\"");
    let semicolons = Folder::new(&[("a.csv", b"image;label\na.png;cat")]);
    check_error(&semicolons.path("a.csv"), &["has ';' between fields, expected commas"]);
}

#[test]
fn a_value_that_is_not_read_is_named_by_its_column() {
    let folder = folder();
    let times = Arc::new(arrow::array::TimestampSecondArray::from(vec![1, 2]));
    let columns = [("image", structs()), ("problem", texts("p")), ("solution", times as ArrayRef)];
    let path = write_parquet(&folder, "a.parquet", &RecordBatch::try_from_iter(columns).unwrap());
    check_error(&path, &["row 0: column \"solution\": values of type Timestamp"]);
}

/// 40 rows about a picture each, of which the last one is not there.
fn forty() -> Folder {
    let line = |n: usize| {
        format!("{{\"image\": \"{n}.png\", \"problem\": \"?\", \"solution\": \"{n}\"}}\n")
    };
    let folder = Folder::new(&[("a.jsonl", (0..40).map(line).collect::<String>().as_bytes())]);
    (0..39).for_each(|n| folder.write(&format!("{n}.png"), &png(2, [n as u8, 2, 3, 4])));
    folder
}

/// A side of them.
fn divided(folder: &Folder, is_held_out: bool) -> Dataset {
    let part = Some(crate::Part { hold_out: 0.2, is_held_out });
    let options = OpenOptions { part, ..OpenOptions::default() };
    Dataset::open_with(&folder.path("a.jsonl"), &options).unwrap()
}

#[test]
fn a_bad_row_counts_over_the_whole_file_on_whichever_side_it_is() {
    let folder = forty();
    let (learned, judged) = (divided(&folder, false), divided(&folder, true));
    assert_eq!((learned.len(), judged.len()), (31, 8));
    // One bad answer among those that are set aside, one among the others, and a picture that is missing: 3 of 40.
    let bad = [learned.get(4).sample_id().to_owned(), judged.get(2).sample_id().to_owned()];
    let check = |row: &Row| {
        if bad.iter().any(|bad| bad == row.sample_id()) { Err("bad".to_owned()) } else { Ok(()) }
    };
    for side in [learned, judged] {
        let checked = |limit| side.clone().check_rest(check).retain_valid(check, limit);
        assert_eq!(checked(0.075).unwrap().len(), side.len() - 1);
        let error = checked(0.074).unwrap_err().to_string();
        assert!(error.starts_with("3 of 40 rows of "), "{error}");
    }
    // Where the others are learned from, all are told.
    let told =
        divided(&folder, false).check_rest(check).retain_valid(check, 1.0).unwrap().summary(30);
    assert!(told[0].ends_with("40 rows, 37 usable, 3 skipped, 30 used"), "{told:?}");
    let told =
        divided(&folder, true).check_rest(check).retain_valid(check, 1.0).unwrap().summary(7);
    assert!(told[0].ends_with("8 rows, 7 usable, 1 skipped, 7 used"), "{told:?}");
}

#[test]
fn rows_of_the_same_id_are_noted() {
    let line = |id: &str| {
        format!(
            "{{\"id\": \"{id}\", \"image\": \"0.png\", \"problem\": \"p\", \"solution\": \"s\"}}\n"
        )
    };
    let notes = |ids: &[&str]| {
        let lines: String = ids.iter().map(|id| line(id)).collect();
        let folder = Folder::new(&[("0.png", &image(0)), ("a.jsonl", lines.as_bytes())]);
        Dataset::open(&folder.path("a.jsonl")).unwrap().notes().join("\n")
    };
    assert_eq!(notes(&["a", "b", "c"]), "");
    let told = notes(&["a", "b", "a", "b", "c"]);
    assert!(
        told.starts_with("2 rows have the id of another one, as row 2 that of row 0 (\"a\")"),
        "{told}"
    );
}

#[test]
fn pictures_of_which_none_is_there_are_told_as_that_also_where_rows_are_to_be_set_aside() {
    let row = |n: usize| {
        format!("{{\"image\": \"gone/{}.png\", \"problem\": \"p\", \"solution\": \"s\"}}\n", n / 2)
    };
    let rows: String = (0..20).map(row).collect();
    let folder = Folder::new(&[("a.jsonl", rows.as_bytes()), ("1.png", &image(1))]);
    let path = folder.path("a.jsonl");
    let part = |is_held_out| Some(crate::Part { hold_out: 0.2, is_held_out });
    for part in [None, part(true), part(false)] {
        let options = OpenOptions { part, ..OpenOptions::default() };
        let error = Dataset::open_with(&path, &options).unwrap_err().to_string();
        let named = format!("row 2: image: cannot read {:?}", folder.path("gone/1.png"));
        let words = ["none of the pictures", "(10)", "data.image_root", named.as_str()];
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
        assert!(
            !error.contains("hold_out") && error.matches("cannot read").count() == 5,
            "{error}"
        );
    }
    // One that is there, and rows that are bad for another reason.
    let one = "{\"image\": \"1.png\", \"problem\": \"p\", \"solution\": \"s\"}\n";
    std::fs::write(&path, [rows.as_str(), one].concat()).unwrap();
    let options = OpenOptions { part: part(true), ..OpenOptions::default() };
    let error = Dataset::open_with(&path, &options).unwrap_err().to_string();
    assert!(
        error.contains("about one picture") && error.contains("20 rows cannot be used"),
        "{error}"
    );
}
