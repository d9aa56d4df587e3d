//! JSON as it is written in practice.

use base64::Engine;
use serde_json::json;
use vrft_messages::{Part, Role, Turn};

use crate::testing::{Folder, png};
use crate::{Dataset, Question, Truth};

const ROW: &str = r#"{"image": "img/a.png", "problem": "p", "solution": "s"}"#;

fn folder(name: &str, content: &[u8]) -> Folder {
    Folder::new(&[("img/a.png", &png(2, [1, 2, 3, 4])), (name, content)])
}

/// The file has so many rows that are all alike.
#[track_caller]
fn check(name: &str, content: &[u8], n_rows: usize) {
    let folder = folder(name, content);
    let dataset = Dataset::open(&folder.path(name)).unwrap();
    assert_eq!((dataset.len(), dataset.skipped()), (n_rows, [].as_slice()));
    for row in dataset.iter() {
        assert_eq!(row.question, Question::Turns([Turn::question(1, "p")].into()));
        assert_eq!(row.truth, Truth::Text("s".into()));
        assert_eq!(row.decode(), Ok(()));
    }
}

#[track_caller]
fn refused(content: &[u8], words: &[&str]) {
    let folder = folder("a.jsonl", content);
    let error = Dataset::open(&folder.path("a.jsonl")).unwrap_err().to_string();
    assert!(words.iter().all(|word| error.contains(word)), "{error}");
}

/// The one row of a file.
fn row(row: &serde_json::Value) -> Result<(Vec<Turn>, String), String> {
    let folder = folder("a.jsonl", row.to_string().as_bytes());
    let dataset = Dataset::open(&folder.path("a.jsonl")).map_err(|error| error.to_string())?;
    match (&dataset.get(0).question, &dataset.get(0).truth) {
        (Question::Turns(turns), Truth::Text(text)) => Ok((turns.to_vec(), text.to_string())),
        other => panic!("{other:?}"),
    }
}

#[test]
fn lists_of_rows_under_any_name() {
    let list = format!("[\n {ROW},\n {ROW}\n]");
    check("a.json", list.as_bytes(), 2);
    check("a.jsonl", list.as_bytes(), 2);
    check("a.json", format!("{ROW}\n{ROW}\n").as_bytes(), 2);
}

/// Create ML's, in which no key can be renamed to make rows.
#[test]
fn annotations_of_a_tool_are_told_from_rows() {
    let row = json!({"image": "img/a.png", "annotations": [{"label": "mug", "coordinates": {"x": 4, "y": 4, "width": 2, "height": 2}}]});
    let folder = folder("a.json", json!([row]).to_string().as_bytes());
    let error = Dataset::open(&folder.path("a.json")).unwrap_err().to_string();
    assert!(error.contains("another tool") && error.ends_with("export them as COCO"), "{error}");
}

#[test]
fn a_list_that_breaks_off_is_told_with_row_line_and_column() {
    let rows = [ROW; 3].join(",\n ");
    let broken = format!("\n[\n {rows},\n {{\"image\": \"img/a.png\", problem: 1}}\n]");
    let folder = folder("a.json", broken.as_bytes());
    let error = Dataset::open(&folder.path("a.json")).unwrap_err().to_string();
    assert!(
        error.contains("a list of rows: row 3: ") && error.ends_with("at line 6, column 25"),
        "{error}"
    );
    // Of a file of lines the row says which.
    refused(b"{\"image\" 1}\n", &["row 0", "at column 10"]);
}

#[test]
fn a_byte_order_mark_is_passed_over() {
    check("a.jsonl", format!("\u{feff}{ROW}\n{ROW}\n").as_bytes(), 2);
    check("a.json", format!("\u{feff}[{ROW}]").as_bytes(), 1);
}

#[test]
fn lines_may_end_as_windows_ends_them() {
    check("a.jsonl", format!("{ROW}\r\n\r\n{ROW}\r\n").as_bytes(), 2);
    check("a.jsonl", ROW.replace("img/", "img\\\\").as_bytes(), 1);
}

#[test]
fn nan_in_a_field_that_nobody_asks_for_does_not_matter() {
    let row = ROW.replace('}', ", \"score\": NaN, \"low\": -Infinity}");
    check("a.jsonl", format!("{row}\n{ROW}").as_bytes(), 2);
    check("a.json", format!("[{row}, {ROW}]").as_bytes(), 2);
}

#[test]
fn a_picture_may_be_an_object_or_base64() {
    let base64 = base64::engine::general_purpose::STANDARD.encode(png(2, [1, 2, 3, 4]));
    for image in [
        json!({"path": "img/a.png", "bytes": null}),
        json!({"path": null, "bytes": base64}),
        json!(format!("data:image/png;base64,{base64}")),
        json!([base64]),
    ] {
        let row = json!({"image": image, "problem": "p", "solution": "s"});
        check("a.jsonl", row.to_string().as_bytes(), 1);
    }
}

#[test]
fn utf_16_is_refused_with_the_remedy() {
    let utf16: Vec<u8> = ROW.encode_utf16().flat_map(u16::to_le_bytes).collect();
    refused(&[b"\xff\xfe".as_slice(), &utf16].concat(), &["UTF-16", "iconv"]);
}

#[test]
fn an_address_of_the_web_is_refused_with_the_remedy() {
    let row = ROW.replace("img/a.png", "https://example.org/a.png");
    refused(row.as_bytes(), &["row 0", "https://example.org/a.png", "download"]);
}

#[test]
fn a_row_without_a_picture_is_a_bad_row() {
    refused(ROW.replace("\"img/a.png\"", "null").as_bytes(), &["row 0: image is null"]);
}

#[test]
fn marks_are_places_of_images() {
    let (turns, _) =
        row(&json!({"image": "img/a.png", "problem": "<image>\np", "solution": "s"})).unwrap();
    assert_eq!(turns, [Turn::question(1, "p")]);
    let (turns, _) =
        row(&json!({"image": "img/a.png", "problem": "On <image>?", "solution": "s"})).unwrap();
    let parts = vec![Part::Text("On ".into()), Part::Image, Part::Text("?".into())];
    assert_eq!(turns, [Turn { role: Role::User, parts }]);
    let why = row(&json!({"image": "img/a.png", "problem": "<image><image>p", "solution": "s"}))
        .unwrap_err();
    assert!(why.contains("2 places for an image (<image>), the row has 1"), "{why}");
}

#[test]
fn an_answer_may_be_a_list_or_an_object() {
    for solution in [json!([391, 188, 641, 344]), json!({"Position": [1, 2, 3, 4]}), json!(5)] {
        let row = row(&json!({"image": "img/a.png", "problem": "p", "solution": solution}));
        assert_eq!(row.unwrap().1, solution.to_string());
    }
}

#[test]
fn numbers_are_written_as_they_stand_and_what_stands_for_none_is_refused() {
    let solution = |text: &str| {
        let folder = folder("a.jsonl", ROW.replace("\"s\"", text).as_bytes());
        let dataset = Dataset::open(&folder.path("a.jsonl")).map_err(|error| error.to_string())?;
        let Truth::Text(text) = &dataset.get(0).truth else { panic!("no text") };
        Ok::<_, String>(text.to_string())
    };
    for (text, expected) in [
        ("1e-7", "1e-7"),
        ("7.0", "7.0"),
        ("18446744073709551615", "18446744073709551615"),
        ("100000000000000000000", "100000000000000000000"),
        ("[1, 2.5]", "[1,2.5]"),
    ] {
        assert_eq!(solution(text).unwrap(), expected, "{text}");
    }
    for none in ["\"nan\"", "\"NaN\"", "\"null\""] {
        let why = solution(none).unwrap_err();
        assert!(why.contains("row 0: its solution \"") && why.contains("for none"), "{why}");
    }
    for none in ["null", "NaN"] {
        let why = solution(none).unwrap_err();
        assert!(why.contains("row 0: solution is null, or no number (NaN)"), "{why}");
    }
}

#[test]
fn a_solution_beside_a_conversation_is_the_answer() {
    let turns = json!([{"role": "system", "content": "Be careful."}, {"role": "user", "content": "<image>p"}]);
    let mut asked = json!({"images": ["img/a.png"], "messages": turns, "solution": "s"});
    let expected = vec![Turn::system("Be careful."), Turn::question(1, "p")];
    assert_eq!(row(&asked), Ok((expected, "s".to_owned())));
    asked["solution"] = json!(null);
    assert!(row(&asked).unwrap_err().contains("ends without an answer"));
}

#[test]
fn a_row_has_its_pictures_once() {
    let both = |images: &str| ROW.replace('}', &format!(", \"images\": {images}}}"));
    refused(both("[\"b.png\"]").as_bytes(), &["row 0", "both \"image\" and \"images\""]);
    check("a.jsonl", both("\"img/a.png\"").as_bytes(), 1);
    check("a.jsonl", both("null").as_bytes(), 1);
    let list =
        ROW.replace("\"image\": \"img/a.png\"", "\"image\": null, \"images\": [\"img/a.png\"]");
    check("a.jsonl", list.as_bytes(), 1);
}

#[test]
fn a_row_without_a_picture_is_refused() {
    for (image, why) in [("\"\"", "empty text"), ("null", "image is null")] {
        let row = ROW.replace("\"img/a.png\"", image);
        refused(row.as_bytes(), &["row 0", why]);
    }
    // An empty list is meant, and told.
    let row = ROW.replace("\"img/a.png\"", "[]");
    let folder = folder("a.jsonl", row.as_bytes());
    let notes = Dataset::open(&folder.path("a.jsonl")).unwrap().notes().join("\n");
    assert!(notes.contains("1 row has an empty list of images"), "{notes}");
}

#[test]
fn a_folder_of_pictures_may_have_its_rows_in_metadata() {
    let rows = ROW.replace("\"image\"", "\"file_name\"");
    check("metadata.jsonl", rows.as_bytes(), 1);
}

#[test]
fn what_is_no_data_yet_is_told_with_what_fetches_it() {
    refused(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", &["git lfs pull"]);
    refused(b"", &["it has no rows"]);
}

#[test]
fn a_first_answer_ends_the_conversation_if_it_is_a_text() {
    let of = |first: serde_json::Value| {
        let line = json!({"image": "img/a.png", "problem": "p", "solution": "s", "first": first});
        row(&line).unwrap()
    };
    let asked = Turn::question(1, "p");
    let answered = vec![asked.clone(), Turn::answer("wrong")];
    assert_eq!(of(json!("wrong")), (answered, "s".to_owned()));
    assert_eq!(of(json!(null)).0, std::slice::from_ref(&asked));
    // A column of this name may be about something else.
    assert_eq!(of(json!(3)).0, [asked]);
}

#[test]
fn an_object_over_several_lines_is_told_as_that() {
    let folder = Folder::new(&[("rows.jsonl", b"{\n \"image\": \"a.png\"\n}\n")]);
    let error = Dataset::open(&folder.path("rows.jsonl")).unwrap_err().to_string();
    assert!(error.contains("row 0: its object goes on in the next line"), "{error}");
    std::fs::rename(folder.path("rows.jsonl"), folder.path("rows.txt")).unwrap();
    let error = Dataset::open(&folder.path("rows.txt")).unwrap_err().to_string();
    assert!(error.contains("looks like JSON: rename it to .jsonl"), "{error}");
}

#[test]
fn a_list_of_one_answer_is_that_answer_and_several_names_are_refused() {
    let answer = |solution: serde_json::Value| {
        row(&json!({"image": "img/a.png", "problem": "p", "solution": solution}))
            .map(|(_, text)| text)
    };
    assert_eq!(answer(json!(["mug"])).unwrap(), "mug");
    assert_eq!(answer(json!(["0"])).unwrap(), "0");
    assert_eq!(answer(json!([7])).unwrap(), "7");
    // Places as ever.
    assert_eq!(answer(json!([1, 2, 30, 40])).unwrap(), "[1,2,30,40]");
    assert_eq!(answer(json!([{"bbox_2d": [1, 2, 3, 4]}])).unwrap(), r#"[{"bbox_2d":[1,2,3,4]}]"#);
    let why = answer(json!(["mug", "cup"])).unwrap_err();
    for words in ["row 0", "several names", "keep the right one", "\"mug, cup\""] {
        assert!(why.contains(words), "{why}");
    }
    assert!(answer(json!(["nan"])).unwrap_err().contains("stands for none"));
}

#[test]
fn json_within_json_is_called_that() {
    let boxes = json!([{"bbox_2d": [1, 2, 3, 4], "label": "mug"}]).to_string();
    let twice = json!(boxes).to_string();
    let row = |solution: &str| {
        json!({"image": "img/a.png", "problem": "p", "solution": solution}).to_string()
    };
    refused(
        row(&twice).as_bytes(),
        &["row 0: its solution is a text in a text", "json.dumps once"],
    );
    check("a.jsonl", row("s").as_bytes(), 1);
    assert_eq!(
        super::super::json::further_image(["image", "image_id", "image2x"].into_iter()),
        None
    );
}

#[test]
fn a_line_that_the_file_ends_in_is_not_said_to_go_on() {
    refused(br#"{"image": "img/a.png", "probl"#, &["the file ends within its object"]);
    refused(b"{\"image\":\n\"img/a.png\"}\n", &["row 0: its object goes on in the next line"]);
}

#[test]
fn a_further_picture_in_a_field_of_its_own_is_refused_by_name() {
    for key in ["image2", "image_2", "image_1"] {
        let row = json!({"image": "img/a.png", key: "img/b.png", "problem": "p", "solution": "s"});
        let words = format!("it has {key:?} beside its image");
        refused(row.to_string().as_bytes(), &[&words, "\"images\": [\"a.png\", \"b.png\"]"]);
        let empty = json!({"image": "img/a.png", key: "", "problem": "p", "solution": "s"});
        check("a.jsonl", empty.to_string().as_bytes(), 1);
    }
    let table = "image,image2,problem,solution\nimg/a.png,img/b.png,p,s\n";
    let folder = folder("a.csv", table.as_bytes());
    let error = Dataset::open(&folder.path("a.csv")).unwrap_err().to_string();
    assert!(error.contains("it has \"image2\" beside its image"), "{error}");
}
