//! What a configuration says of data and has no effect on it.

use vrft_dataset::{DataConfig, Dataset, Question, Row, Truth};

/// That `data.question` is not asked, since rows have questions of their own.
pub(crate) fn question(question: Option<&str>, dataset: &Dataset) -> Option<String> {
    question?;
    let n = dataset.iter().filter(|row| matches!(row.question, Question::Turns(_))).count();
    let all = dataset.len();
    (n > 0).then(|| {
        format!(
            "data.question is not used for {n} of {all} rows: they have a question of their own"
        )
    })
}

/// That `data.negatives` added no question, in data to learn from.
pub fn negatives(data: &DataConfig, dataset: &Dataset) -> Option<String> {
    if data.negatives == 0.0 || dataset.iter().chain(dataset.rest()).any(asks_in_vain) {
        return None;
    }
    let asks_for_category =
        |row: &Row| matches!((&row.question, &row.truth), (Question::Category(_), Truth::Boxes(_)));
    let why = if dataset.iter().any(asks_for_category) {
        "every category that is asked for is on every picture, or the share is too small for one question"
    } else {
        "rows of this kind are asked as they are; only of annotated boxes (COCO, LVIS, VOC) questions for what is absent are \
         made"
    };
    let negatives = data.negatives;
    Some(format!("warning: data.negatives = {negatives} has no effect: {why}"))
}

/// Whether a row asks for a category that is not on its picture.
fn asks_in_vain(row: &Row) -> bool {
    matches!((&row.question, &row.truth), (Question::Category(_), Truth::Boxes(boxes)) if boxes.is_empty())
}
