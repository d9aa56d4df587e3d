//! What it would cost to send the patches that a rollout made of a picture to the learner, beside what it costs to send
//! the picture's file once more.
//!
//! ```sh
//! cargo bench -p vrft-messages --bench images      # patches and files as messages, there and back
//! cargo bench -p vrft-vision --bench patches       # files to patches
//! ```

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float32Array, RecordBatch, StructArray};
use arrow::datatypes::Float32Type;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use criterion::{Criterion, criterion_group, criterion_main};
use vrft_messages::{EncodedImage, Message, Prompt, PromptBatch, Turn};

/// As dora does it: the message becomes Arrow IPC, travels, and is read.
fn travel(data: &StructArray) -> StructArray {
    let batch = RecordBatch::from(data.clone());
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).expect("a schema");
    writer.write(&batch).expect("writes");
    let bytes = writer.into_inner().expect("ends");
    let mut reader = StreamReader::try_new(&bytes[..], None).expect("reads");
    StructArray::from(reader.next().expect("a batch").expect("is whole"))
}

fn prompt(n_bytes: usize) -> PromptBatch {
    let image = EncodedImage {
        bytes: (0..n_bytes).map(|n| (n * 31) as u8).collect(),
        encoding: "jpeg".into(),
        width: 448,
        height: 448,
    };
    let prompt = Prompt {
        prompt_id: 0,
        sample_id: "0".into(),
        task: "detection".into(),
        turns: vec![Turn::question(1, "Where?")],
        images: vec![image],
        answer: "[]".into(),
        policy_version: 0,
    };
    PromptBatch { prompts: vec![prompt] }
}

fn images(criterion: &mut Criterion) {
    // Side, bytes of a JPEG as in the bench of `vrft-vision`; patches of 2 × 3 × 14 × 14 values.
    for (side, n_bytes) in [(448_usize, 100_000), (1344, 900_000)] {
        let batch = prompt(n_bytes);
        let name = format!("file of {side}x{side}: {} kB", n_bytes / 1000);
        criterion.bench_function(&name, |bencher| {
            bencher.iter(|| PromptBatch::from_arrow(&travel(&batch.to_arrow())).expect("arrives"));
        });
        let n_values = (side / 14) * (side / 14) * 2 * 3 * 14 * 14;
        let patches: Vec<f32> = (0..n_values).map(|n| n as f32).collect();
        let name = format!("patches of {side}x{side}: {} kB", n_values * 4 / 1000);
        criterion.bench_function(&name, |bencher| {
            bencher.iter(|| {
                let column: ArrayRef = Arc::new(Float32Array::from(patches.clone()));
                let message = StructArray::try_from(vec![("pixels", column)]).expect("a column");
                let arrived = travel(&message);
                arrived.column(0).as_primitive::<Float32Type>().values().to_vec()
            });
        });
    }
}

criterion_group!(benches, images);
criterion_main!(benches);
