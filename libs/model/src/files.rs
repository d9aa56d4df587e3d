//! Reading the small files of a checkpoint, any of which may be absent.

use std::path::Path;

use serde_json::Value;

use crate::PolicyError;

/// The text of a file, or `None` if there is none.
pub(crate) fn read_text(path: &Path) -> Result<Option<String>, PolicyError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(PolicyError::Read { path: path.into(), source }),
    }
}

/// A parsed JSON file, or `None` if there is none.
pub(crate) fn read_json(path: &Path) -> Result<Option<Value>, PolicyError> {
    let Some(text) = read_text(path)? else { return Ok(None) };
    let parsed = serde_json::from_str(&text);
    parsed.map(Some).map_err(|error| damaged(path, error))
}

/// A file that is there but is not what its name promises.
pub(crate) fn damaged(path: &Path, error: impl ToString) -> PolicyError {
    PolicyError::Damaged { path: path.into(), message: error.to_string() }
}
