//! The first of two stages in which Visual-RFT evaluates detection: is there such an object at all?
//!
//! Its program asks the model that training starts from, once, and asks base and tuned models for boxes only where that
//! answered yes. What a model could find beyond that is missed by all of them alike. The program's question is not
//! published; this one is ours.

use std::collections::BTreeMap;
use std::path::Path;

use vrft_dataset::Row;
use vrft_messages::Turn;

/// Tokens of an answer that is yes or no.
pub(crate) const MAX_TOKENS: usize = 8;

/// What is asked about a row.
pub(crate) fn question(category: Option<&str>, row: &Row) -> Vec<Turn> {
    let category = category.unwrap_or("object");
    let words = format!("Is there any {category} in the image? Answer yes or no.");
    vec![Turn::question(row.pictures.len(), &words)]
}

/// Whether an answer begins with yes.
pub(crate) fn is_yes(answer: &str) -> bool {
    let word: String = answer.chars().skip_while(|c| !c.is_alphabetic()).take(3).collect();
    word.eq_ignore_ascii_case("yes")
}

/// Of each row whether the file says that it is asked.
///
/// # Errors
/// A file that cannot be read, or does not name a row.
pub(crate) fn asked<'a>(
    path: &Path,
    rows: impl Iterator<Item = &'a Row>,
) -> Result<Vec<bool>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let exists: BTreeMap<String, bool> = serde_json::from_str(&text)
        .map_err(|error| format!("expected an object of true and false by sample: {error}"))?;
    rows.map(|row| {
        let name = row.sample_id();
        exists.get(name).copied().ok_or_else(|| format!("no sample {name:?}"))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yes_is_yes_however_it_is_written() {
        assert!(["Yes", " yes.", "\"Yes, there is"].iter().all(|answer| is_yes(answer)));
        assert!(["No", "", "ye", "There is, yes"].iter().all(|answer| !is_yes(answer)));
    }
}
