//! Whole data is read; damaged data is an error, whatever byte of it is wrong, and never a panic.

use arrow::array::{Array, RecordBatch};
use arrow::ipc::writer::{FileWriter, StreamWriter};

use super::*;
use crate::{EncodedImage, Message, Prompt, PromptBatch, Turn};

/// Strings with nulls, numbers, bytes, and lists of structs.
fn prompts() -> RecordBatch {
    let image = EncodedImage { bytes: vec![7; 40], encoding: "png".into(), width: 4, height: 3 };
    let prompt = |prompt_id| Prompt {
        prompt_id,
        sample_id: "../a".into(),
        task: "detection".into(),
        turns: [
            (prompt_id > 0).then(|| Turn::system("You see.")),
            Some(Turn::question(prompt_id as usize, "Where?")),
        ]
        .into_iter()
        .flatten()
        .collect(),
        images: vec![image.clone(); prompt_id as usize],
        answer: "[]".into(),
        policy_version: 3,
    };
    RecordBatch::from(PromptBatch { prompts: (0..3).map(prompt).collect() }.to_arrow())
}

fn file() -> Vec<u8> {
    let batch = prompts();
    let mut writer = FileWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

fn stream() -> Vec<u8> {
    let batch = prompts();
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

/// Rows of all batches.
fn n_rows(bytes: &[u8]) -> Result<usize, ArrowError> {
    let rows = |batch: Result<RecordBatch, ArrowError>| batch.map(|batch| batch.num_rows());
    if is_file(bytes) {
        return read_file(bytes)?.map(rows).sum();
    }
    read_stream(bytes)?.map(rows).sum()
}

#[test]
fn whole_data_is_read() {
    assert_eq!(n_rows(&file()).unwrap(), 3);
    assert_eq!(n_rows(&stream()).unwrap(), 3);
    assert!(prompts().column(3).null_count() == 1, "a column with nulls is among those checked");
}

#[test]
fn a_footer_larger_than_the_file_is_refused_before_it_is_allocated() {
    let mut small = b"ARROW1\0\0".to_vec();
    small.resize(18, 0);
    small.extend(i32::MAX.to_le_bytes());
    small.extend(b"ARROW1");
    let error = n_rows(&small).unwrap_err().to_string();
    assert!(error.contains("its footer should have 2147483647 bytes"), "{error}");
    for n in 0..18 {
        assert!(read_file(&small[..n]).is_err());
    }
}

#[test]
fn data_that_breaks_off_is_refused() {
    for whole in [file(), stream()] {
        let most = if is_file(&whole) { whole.len() } else { whole.len() - 8 };
        for n in 1..most {
            // A stream may end after its schema: then it has no rows.
            assert!(n_rows(&whole[..n]).unwrap_or(0) < 3, "{n} of {} bytes", whole.len());
        }
    }
}

#[test]
fn no_wrong_byte_ends_the_program() {
    for whole in [file(), stream()] {
        for at in 0..whole.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff, whole[at] ^ 1, whole[at].wrapping_add(1)] {
                let mut damaged = whole.clone();
                damaged[at] = value;
                // Data that happens to be sound is as good as an error.
                let batches = n_rows(&damaged);
                assert!(batches.is_err() || batches.is_ok_and(|n| n < 1 << 28));
            }
        }
    }
}

#[test]
fn only_regular_files_are_read() {
    assert!(read_bytes(&std::env::temp_dir()).is_err());
    assert!(read_bytes("/dev/zero".as_ref()).is_err());
}
