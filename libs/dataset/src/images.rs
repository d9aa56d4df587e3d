//! Where the bytes of an image come from when a row only names it.

use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The bytes behind a path relative to `folder`, or behind a `data:` address with base64.
pub(crate) fn load(name: &str, folder: &Path) -> Result<Vec<u8>, String> {
    if let Some(data) = name.strip_prefix("data:") {
        let (_, base64) = data.split_once("base64,").ok_or("image: data address without base64")?;
        return STANDARD.decode(base64.trim()).map_err(|error| format!("image: {error}"));
    }
    let path = folder.join(name);
    fs::read(&path).map_err(|error| format!("image {path:?}: {error}"))
}
