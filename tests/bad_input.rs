//! Bad input gets one clear error that names the file, key or row, and never a panic.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, RecordBatch, StringArray, StructArray};
use arrow::datatypes::{DataType, Field};
use parquet::arrow::ArrowWriter;
use vrft_config::Document;
use vrft_tests::{Run, root, vrft};

const PROBLEM: &str = "Detect all objects.";
const SOLUTION: &str = "<answer>[{'Position': [100, 100, 300, 300], 'Confidence': 1}]</answer>";

/// A row of a data set.
#[derive(Clone)]
struct Row {
    image: Vec<u8>,
    solution: &'static str,
}

/// The smallest useful image: one pixel, as the BMP format has it.
fn good() -> Row {
    let mut bmp = b"BM".to_vec();
    bmp.extend(58u32.to_le_bytes());
    bmp.extend([0; 4]);
    bmp.extend(54u32.to_le_bytes());
    bmp.extend(40u32.to_le_bytes());
    bmp.extend(1u32.to_le_bytes());
    bmp.extend(1u32.to_le_bytes());
    bmp.extend([1, 0, 24, 0]);
    bmp.extend([0; 24]);
    bmp.extend([200, 100, 50, 0]);
    Row { image: bmp, solution: SOLUTION }
}

fn write(folder: &Path, problem_column: &str, rows: &[Row]) -> PathBuf {
    let bytes: ArrayRef =
        Arc::new(BinaryArray::from_iter_values(rows.iter().map(|row| row.image.as_slice())));
    let field = Arc::new(Field::new("bytes", DataType::Binary, true));
    let image: ArrayRef = Arc::new(StructArray::from(vec![(field, bytes)]));
    let problem: ArrayRef = Arc::new(StringArray::from(vec![PROBLEM; rows.len()]));
    let solution: ArrayRef =
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.solution)));
    let columns = [("image", image), (problem_column, problem), ("solution", solution)];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let path = folder.join("data.parquet");
    let file = std::fs::File::create(&path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    path
}

/// Runs on these rows; the error must contain these words.
#[track_caller]
fn refused(problem_column: &str, rows: &[Row], words: &[&str]) {
    let run = Run::small().set("data.shots=0");
    let data = write(run.folder(), problem_column, rows);
    let run = run.set(&format!("data.train={data:?}"));
    run.finish().failed(&["data.parquet"]).failed(words);
}

#[test]
fn an_empty_data_set() {
    refused("problem", &[], &["no usable row"]);
}

#[test]
fn a_wrong_column() {
    refused("question", &[good()], &["problem", "question"]);
}

#[test]
fn a_corrupt_image() {
    let broken = Row { image: b"\xff\xd8\xff\xe0 not a JPEG after all".to_vec(), ..good() };
    refused("problem", &[broken.clone(), broken], &["row 0", "image"]);
}

#[test]
fn a_box_outside_the_image() {
    let solution = "<answer>[{'Position': [100, 100, 1300, 300], 'Confidence': 1}]</answer>";
    refused("problem", &[Row { solution, ..good() }], &["row 0", "1300"]);
}

#[test]
fn a_confidence_that_is_not_a_number() {
    let solution = "<answer>[{'Position': [100, 100, 300, 300], 'Confidence': NaN}]</answer>";
    refused("problem", &[Row { solution, ..good() }], &["row 0", "NaN"]);
}

#[test]
fn one_bad_row_among_many_is_skipped_and_counted() {
    let run = Run::small().set("data.shots=0").set("learner.steps=1");
    let broken = Row { image: vec![1, 2, 3], ..good() };
    let rows: Vec<Row> = (0..40).map(|k| if k == 7 { broken.clone() } else { good() }).collect();
    let data = write(run.folder(), "problem", &rows);
    let run = run.set(&format!("data.train={data:?}"));
    run.finish().ok();
    let log = std::fs::read_to_string(run.out().join("run.log")).unwrap();
    assert!(log.contains("skipped=1"), "{log}");
    // What is left out, and why, is in the report as well.
    let report = std::fs::read_to_string(run.out().join("report.html")).unwrap();
    for words in ["40 rows, 39 usable, 1 skipped, 39 used", "skipped row 7: "] {
        assert!(report.contains(words), "{words:?} is not in the report");
    }
    // And is said where the rows are only judged on.
    let data = data.display().to_string();
    let eval =
        ["eval", "--config", "tests/digits.toml", "--data", &data, "--set", "evaluation.limit=12"];
    let output = Command::new(vrft()).args(eval).current_dir(root()).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.contains("# skipped row 7: "), "{errors}");
}

#[test]
fn an_unknown_configuration_key() {
    Run::small().set("learner.stepz=1").finish().failed(&["stepz", "steps"]);
}

#[test]
fn a_group_of_one() {
    Run::small()
        .set("rollout.group_size=1")
        .finish()
        .failed(&["rollout.group_size = 1", "at least 2"]);
}

#[test]
fn a_missing_checkpoint() {
    Run::small()
        .set("policy.path=nowhere/at/all")
        .finish()
        .failed(&["policy.path", "nowhere/at/all"]);
}

#[test]
fn a_model_of_the_hub_that_is_not_on_this_machine() {
    let run = Run::small().set("policy.path=Nobody/Nothing-2B");
    let run = run.env("HF_HUB_OFFLINE", "1").env("HF_HUB_CACHE", "nowhere");
    run.finish().failed(&["policy.path", "Nobody/Nothing-2B", "HF_HUB_OFFLINE", "hf download"]);
}

/// A copy of the starter checkpoint with one file changed.
fn checkpoint(run: &Run, file: &str, change: impl Fn(&mut Vec<u8>)) -> PathBuf {
    let config = Document::load(&root().join("tests/digits.toml"), &[]).unwrap();
    let starter = config.get("policy.path").and_then(|path| path.as_str()).unwrap();
    let copy = run.folder().join("checkpoint");
    std::fs::create_dir_all(&copy).unwrap();
    for entry in std::fs::read_dir(root().join(starter)).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, copy.join(path.file_name().unwrap())).unwrap();
    }
    let mut bytes = std::fs::read(copy.join(file)).unwrap();
    change(&mut bytes);
    if bytes.is_empty() {
        std::fs::remove_file(copy.join(file)).unwrap()
    } else {
        std::fs::write(copy.join(file), bytes).unwrap()
    }
    copy
}

#[track_caller]
fn checkpoint_refused(file: &str, change: impl Fn(&mut Vec<u8>), words: &[&str]) {
    let run = Run::small();
    let copy = checkpoint(&run, file, change);
    let run = run.set(&format!("policy.path={copy:?}"));
    run.finish().failed(&[file]).failed(words);
}

#[test]
fn a_truncated_checkpoint() {
    checkpoint_refused("model.safetensors", |bytes| bytes.truncate(bytes.len() / 2), &[]);
}

#[test]
fn a_checkpoint_without_a_tokenizer() {
    checkpoint_refused("tokenizer.json", Vec::clear, &[]);
}

#[test]
fn a_configuration_of_another_architecture() {
    let rename = |bytes: &mut Vec<u8>| {
        let text = String::from_utf8(bytes.clone()).unwrap();
        *bytes = text.replace("\"qwen2_vl\"", "\"llava\"").into_bytes();
    };
    checkpoint_refused("config.json", rename, &["llava"]);
}
