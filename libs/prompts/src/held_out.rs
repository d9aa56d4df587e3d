//! What a stream's policy is judged on: questions about frames that were set aside, as rows.

use std::path::Path;
use std::sync::Arc;

use vrft_dataset::{Dataset, Origin, Picture, Question, Row, Truth};
use vrft_messages::{Prompt, PromptBatch, file};

/// The file of a run folder that keeps the questions.
pub const HELD_OUT_FILE: &str = "held-out.arrow";

/// The questions that a run of a stream has set aside; `None` if it has not.
///
/// # Errors
/// A file that cannot be read, or a picture in it that cannot.
pub fn held_out(run_dir: &Path) -> Result<Option<Dataset>, String> {
    let path = run_dir.join(HELD_OUT_FILE);
    if !path.exists() {
        return Ok(None);
    }
    let questions: PromptBatch =
        file::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    held_out_rows(questions).map(Some)
}

/// Questions as they were sent, as rows.
///
/// # Errors
/// A picture that cannot be read, by the name of its sample.
pub fn held_out_rows(questions: PromptBatch) -> Result<Dataset, String> {
    let rows = questions.prompts.into_iter().enumerate().map(|(row, prompt)| of(row, prompt));
    let rows: Vec<Row> = rows.collect::<Result<_, _>>()?;
    Dataset::of(rows).map_err(|error| error.to_string())
}

fn of(row: usize, prompt: Prompt) -> Result<Row, String> {
    let sample_id: Arc<str> = prompt.sample_id.as_str().into();
    let pictures = prompt.images.into_iter().map(|image| {
        let picture = Picture::of_bytes(image.bytes);
        picture.map(Arc::new).map_err(|error| format!("held-out question {sample_id:?}: {error}"))
    });
    Ok(Row {
        pictures: pictures.collect::<Result<_, _>>()?,
        origin: Origin { file: Path::new(HELD_OUT_FILE).into(), row, sample_id: sample_id.clone() },
        question: Question::Turns(prompt.turns.into()),
        truth: Truth::Text(prompt.answer.into()),
    })
}
