//! Samples of JSON lines: keys as the columns of a table, or conversations as LLaVA and VLM-R1 have them.

use std::path::Path;

use serde_json::{Map, Value};

use crate::dataset::FoundRows;
use crate::{DatasetError, Sample, images};

/// Where a conversation has its image; the policy's own template puts it.
const IMAGE_MARK: &str = "<image>";

/// Reads a file of one JSON object a line; empty lines do not count as rows.
pub(crate) fn read_lines(path: &Path) -> Result<FoundRows, DatasetError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| DatasetError::Read { path: path.to_owned(), source })?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let rows: Vec<_> = lines.map(serde_json::from_str::<Map<String, Value>>).collect();
    check_keys(path, &rows)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let numbered = rows.into_iter().enumerate();
    Ok(numbered
        .map(|(row, object)| sample(&object.map_err(|error| error.to_string())?, row, folder))
        .collect())
}

/// A key that no object has is an error of the file, not of its rows.
fn check_keys(
    path: &Path,
    rows: &[Result<Map<String, Value>, serde_json::Error>],
) -> Result<(), DatasetError> {
    let objects: Vec<_> = rows.iter().flatten().collect();
    let Some(first) = objects.first() else { return Ok(()) };
    let wanted = [
        ("image", ["image", "images"], "a path, a data address, or a list of these"),
        ("problem", ["problem", "conversations"], "text"),
        ("solution", ["solution", "conversations"], "text"),
    ];
    for (column, keys, expected) in wanted {
        let has = |object: &&Map<String, Value>| keys.iter().any(|key| object.contains_key(*key));
        if !objects.iter().any(has) {
            let (path, found) = (path.to_owned(), first.keys().cloned().collect());
            return Err(DatasetError::MissingColumn { path, column, expected, found });
        }
    }
    Ok(())
}

fn sample(object: &Map<String, Value>, row: usize, folder: &Path) -> Result<Sample, String> {
    let image = object.get("image").or_else(|| object.get("images")).ok_or("no \"image\"")?;
    let (problem, solution) = match object.get("conversations") {
        Some(turns) => (spoken(turns, "human")?, spoken(turns, "gpt")?),
        None => (text(object, "problem")?, text(object, "solution")?),
    };
    let id = object.get("sample_id").or_else(|| object.get("id"));
    Ok(Sample {
        sample_id: match id {
            Some(Value::String(id)) => id.clone(),
            Some(Value::Number(id)) => id.to_string(),
            Some(other) => return Err(format!("sample_id should be text, got {other}")),
            None => row.to_string(),
        },
        images: load(image, folder)?,
        problem,
        solution,
    })
}

fn text(object: &Map<String, Value>, key: &str) -> Result<String, String> {
    match object.get(key) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(other) => Err(format!("{key:?} should be text, got {other}")),
        None => Err(format!("no {key:?}")),
    }
}

/// What the first turn of a speaker says.
fn spoken(turns: &Value, speaker: &str) -> Result<String, String> {
    let turns = turns.as_array().ok_or("\"conversations\" should be a list")?;
    let turn = turns.iter().find(|turn| turn["from"] == speaker);
    let words = turn.and_then(|turn| turn["value"].as_str());
    let words = words.ok_or_else(|| format!("no turn of {speaker:?} in \"conversations\""))?;
    Ok(words.replace(IMAGE_MARK, "").trim().to_owned())
}

fn load(image: &Value, folder: &Path) -> Result<Vec<Vec<u8>>, String> {
    match image {
        Value::String(name) => Ok(vec![images::load(name, folder)?]),
        Value::Array(names) => names
            .iter()
            .map(|name| match name {
                Value::String(name) => images::load(name, folder),
                other => Err(format!("image should be a path, got {other}")),
            })
            .collect(),
        other => Err(format!("image should be a path or a list of paths, got {other}")),
    }
}
