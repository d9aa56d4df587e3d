//! TensorBoard event files, written during the run: `tensorboard/<node>/events.out.tfevents.*`.
//!
//! An event file is a sequence of records: length (u64), its masked CRC-32C, data, its masked CRC-32C, all little
//! endian. The data is an `Event` of TensorFlow's `event.proto`, of which five fields are needed. Each node has a
//! folder of its own, which TensorBoard calls a run, so that curves of the same name lie over each other.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use eyre::WrapErr;
use vrft_messages::{Metric, MetricBatch};

/// Event files of a run.
pub(crate) struct TensorBoard {
    folder: PathBuf,
    files: BTreeMap<String, File>,
}

impl TensorBoard {
    pub(crate) fn new(run_dir: &Path) -> Self {
        Self { folder: run_dir.join("tensorboard"), files: BTreeMap::new() }
    }

    /// Appends the metrics of a node; a number that is undefined is left out.
    pub(crate) fn append(&mut self, node: &str, batch: &MetricBatch) -> eyre::Result<()> {
        let mut bytes = Vec::new();
        for metric in batch.metrics.iter().filter(|metric| metric.value.is_finite()) {
            bytes.extend(record(&scalar_event(metric)));
        }
        let context = || format!("tensorboard/{node}");
        self.file(node).wrap_err_with(context)?.write_all(&bytes).wrap_err_with(context)
    }

    fn file(&mut self, node: &str) -> std::io::Result<&mut File> {
        if !self.files.contains_key(node) {
            let folder = self.folder.join(vrft_node::file_name(node));
            fs::create_dir_all(&folder)?;
            let now = vrft_node::unix_secs();
            // A resumed run adds a file; TensorBoard reads all of a folder in the order of their names.
            let path = folder.join(format!("events.out.tfevents.{:010}.vrft", now as u64));
            let mut file = File::create(path)?;
            file.write_all(&record(&first_event(now)))?;
            self.files.insert(node.to_owned(), file);
        }
        Ok(self.files.get_mut(node).expect("was just inserted"))
    }
}

/// The framing of one event.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &masked_crc(&length).to_le_bytes(), data, &masked_crc(data).to_le_bytes()]
        .concat()
}

/// The mask keeps the checksum of data that holds checksums meaningful (TensorFlow's `record_writer`).
fn masked_crc(data: &[u8]) -> u32 {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// `Event { wall_time = 1, file_version = 3 }`, which opens a file.
fn first_event(at: f64) -> Vec<u8> {
    let mut event = double_field(1, at);
    event.extend(bytes_field(3, b"brain.Event:2"));
    event
}

/// `Event { wall_time = 1, step = 2, summary = 5 { value = 1 { tag = 1, simple_value = 2 } } }`.
fn scalar_event(metric: &Metric) -> Vec<u8> {
    let mut value = bytes_field(1, metric.name.as_bytes());
    value.push(2 << 3 | 5);
    value.extend((metric.value as f32).to_le_bytes());
    let mut event = double_field(1, metric.at);
    event.push(2 << 3);
    event.extend(varint(metric.step));
    event.extend(bytes_field(5, &bytes_field(1, &value)));
    event
}

fn double_field(number: u8, value: f64) -> Vec<u8> {
    let mut field = vec![number << 3 | 1];
    field.extend(value.to_le_bytes());
    field
}

fn bytes_field(number: u8, value: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    field.extend(varint(value.len() as u64));
    field.extend(value);
    field
}

/// Seven bits a byte, lowest first; the eighth says that more follow.
fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = vec![];
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /* Equivalent python code (tensorboard 2, crc32c as in tensorboard.summary.writer.record_writer):
    from tensorboard.compat.proto import event_pb2, summary_pb2
    value = summary_pb2.Summary.Value(tag="policy/kl", simple_value=0.25)
    event = event_pb2.Event(wall_time=1.5, step=300, summary=summary_pb2.Summary(value=[value]))
    print(event.SerializeToString().hex()) */
    const EVENT: &str = "09000000000000f83f10ac022a120a100a09706f6c6963792f6b6c150000803e";

    /// The CRC-32C of "123456789", from RFC 3720's appendix, masked by hand.
    const MASKED: u32 = 0xe306_9283_u32.rotate_right(15).wrapping_add(0xa282_ead8);

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn an_event_has_the_bytes_of_tensorboards_own() {
        let metric = Metric { step: 300, name: "policy/kl".into(), value: 0.25, at: 1.5 };
        assert_eq!(hex(&scalar_event(&metric)), EVENT);
    }

    #[test]
    fn a_record_frames_its_data() {
        let record = record(b"123456789");
        assert_eq!(record[..8], 9u64.to_le_bytes());
        assert_eq!(record[12..21], *b"123456789");
        assert_eq!(record[21..], MASKED.to_le_bytes());
    }

    #[test]
    fn every_node_has_a_file_and_undefined_numbers_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let mut board = TensorBoard::new(folder.path());
        let metric = |value| Metric { step: 1, name: "x".into(), value, at: 0.0 };
        board.append("learner", &MetricBatch { metrics: vec![metric(f64::NAN)] }).unwrap();
        board.append("sft", &MetricBatch { metrics: vec![metric(1.0)] }).unwrap();
        let size = |node: &str| {
            let entry = fs::read_dir(folder.path().join("tensorboard").join(node)).unwrap().next();
            entry.unwrap().unwrap().metadata().unwrap().len()
        };
        assert_eq!(size("learner"), 40);
        assert!(size("sft") > size("learner"));
    }
}
