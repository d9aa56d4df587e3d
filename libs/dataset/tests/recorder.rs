//! What dora's hub records for LLaMA-Factory (`llama-factory-recorder`) is read as it is: ShareGPT rows in a JSON list, with
//! pictures beside it.

use std::path::Path;

use vrft_dataset::{Dataset, Question, Truth};
use vrft_messages::Turn;

#[test]
fn rows_that_the_hub_recorded_are_questions_with_their_answers() {
    let photos = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/digits/test.parquet");
    let photo = Dataset::open(&photos).unwrap().get(0).pictures[0].bytes().unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("demo")).unwrap();
    let mut rows = Vec::new();
    for (n, answer) in ["Turn left.", "Stop."].into_iter().enumerate() {
        std::fs::write(folder.path().join(format!("demo/image-{n}.png")), &photo).unwrap();
        rows.push(format!(
            "{{\"messages\": [{{\"content\": \"<image>What should the robot do?\", \"role\": \"user\"}}, \
             {{\"content\": \"{answer}\", \"role\": \"assistant\"}}], \"images\": [\"demo/image-{n}.png\"]}}"
        ));
    }
    let recorded = folder.path().join("demo.json");
    std::fs::write(&recorded, format!("[\n {}\n]", rows.join(",\n "))).unwrap();
    let dataset = Dataset::open(&recorded).unwrap();
    assert_eq!((dataset.len(), dataset.skipped().len()), (2, 0));
    for (n, answer) in ["Turn left.", "Stop."].into_iter().enumerate() {
        let row = dataset.get(n);
        let asked = [Turn::question(1, "What should the robot do?")];
        assert_eq!(row.question, Question::Turns(asked.into()));
        assert_eq!(row.truth, Truth::Text(answer.into()));
        assert_eq!(row.pictures[0].bytes().unwrap(), photo);
    }
}
