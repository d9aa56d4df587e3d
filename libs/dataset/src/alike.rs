//! Rows that are alike in what should tell them apart.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use crate::summary::{self, verb};
use crate::{Picture, Question, Row, Truth};

/// Characters of a true answer that a note shows.
const N_SHOWN: usize = 40;

/// What should be known of such rows.
pub(crate) fn notes(rows: &[Row]) -> impl Iterator<Item = String> {
    same_names(rows).into_iter().chain(same_questions(rows))
}

/// That rows have the name of another one, which is not wrong and mostly a mistake.
fn same_names(rows: &[Row]) -> Option<String> {
    let mut first: HashMap<&str, &Row> = HashMap::with_capacity(rows.len());
    let mut shared = Vec::new();
    for row in rows {
        match first.entry(row.sample_id()) {
            Entry::Vacant(free) => _ = free.insert(row),
            Entry::Occupied(other) => shared.push((*other.get(), row)),
        }
    }
    let (one, other) = shared.first()?;
    Some(format!(
        "{} {} the id of another one, as row {} that of row {} ({:?}): by it alone they cannot be told apart in what \
         is written about them",
        summary::rows(shared.len()),
        verb(shared.len(), "has", "have"),
        other.origin.row,
        one.origin.row,
        one.sample_id()
    ))
}

/// That the same is asked about the same picture with another true answer, which no answer can satisfy.
fn same_questions(rows: &[Row]) -> Option<String> {
    let mut first: HashMap<(Vec<*const Picture>, &Question), &Row> =
        HashMap::with_capacity(rows.len());
    let mut others = Vec::new();
    for row in rows.iter().filter(|row| matches!(row.truth, Truth::Text(_))) {
        let pictures = row.pictures.iter().map(Arc::as_ptr).collect();
        match first.entry((pictures, &row.question)) {
            Entry::Vacant(free) => _ = free.insert(row),
            Entry::Occupied(other) if other.get().truth != row.truth => {
                others.push((*other.get(), row))
            }
            Entry::Occupied(_) => {}
        }
    }
    let (one, other) = others.first()?;
    let told = |row: &Row| match &row.truth {
        Truth::Text(text) => text.chars().take(N_SHOWN).collect::<String>(),
        Truth::Boxes(_) => String::new(),
    };
    Some(format!(
        "warning: {} {} the same about the same picture as another row and {} another true answer, as row {} ({:?}) and row {} \
         ({:?}): an answer is paid by its own row alone",
        summary::rows(others.len()),
        verb(others.len(), "asks", "ask"),
        verb(others.len(), "has", "have"),
        one.origin.row,
        told(one),
        other.origin.row,
        told(other)
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::Dataset;
    use crate::testing::Folder;

    #[test]
    fn answers_that_contradict_each_other_are_told() {
        let row = |problem: &str, solution: &str| json!({"image": "a.png", "problem": problem, "solution": solution});
        let notes = |rows: &[serde_json::Value]| {
            Dataset::open(&Folder::of_rows(rows).path("rows.jsonl")).unwrap().notes().to_vec()
        };
        let told = notes(&[row("p", "3"), row("q", "4"), row("p", "5"), row("p", "3")]);
        assert_eq!(told.len(), 1);
        assert!(
            told[0].contains("1 row asks the same")
                && told[0].contains("row 0 (\"3\") and row 2 (\"5\")"),
            "{told:?}"
        );
        assert!(notes(&[row("p", "3"), row("q", "4"), row("p", "3")]).is_empty());
    }
}
