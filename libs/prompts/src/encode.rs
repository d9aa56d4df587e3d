//! A conversation about a row as the model reads it, with what is wrong with a picture told by its file.

use serde_json::Value;
use vrft_dataset::Row;
use vrft_processor::{EncodedPrompt, Processor, ProcessorError};

/// Encodes a conversation about the pictures of a row.
///
/// # Errors
/// A picture that cannot be read or decoded, by its file; a conversation that the model cannot take.
pub fn encode(processor: &Processor, messages: &Value, row: &Row) -> Result<EncodedPrompt, String> {
    let images = row
        .pictures
        .iter()
        .enumerate()
        .map(|(idx, picture)| picture.bytes().map_err(|error| format!("image {idx}: {error}")));
    let images: Vec<Vec<u8>> = images.collect::<Result<_, _>>()?;
    let images: Vec<&[u8]> = images.iter().map(Vec::as_slice).collect();
    let encoded = processor.encode_messages(messages, &images, &[], true);
    encoded.map_err(|error| match error {
        ProcessorError::Image { image_idx, source } => {
            let why = row.pictures.get(image_idx).map(|picture| picture.named(&source));
            format!("image {image_idx}: {}", why.unwrap_or_else(|| source.to_string()))
        }
        other => other.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use vrft_dataset::Dataset;
    use vrft_reward::config::RewardConfig;

    use super::*;
    use crate::Prompter;

    #[test]
    fn a_picture_that_breaks_off_is_told_by_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        image::RgbImage::new(64, 64).save(&path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() * 2 / 3]).unwrap();
        let row = r#"{"image": "a.png", "problem": "What?", "solution": "1"}"#;
        std::fs::write(folder.path().join("rows.jsonl"), row).unwrap();
        let rows = Dataset::open(&folder.path().join("rows.jsonl")).unwrap();
        let starter = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/starter");
        let processor = Processor::load(&starter).unwrap();
        let told = |row: &Row| {
            let messages = Prompter::new(&RewardConfig::default(), "").chat_messages(row);
            encode(&processor, &messages, row).unwrap_err()
        };
        let error = told(rows.get(0));
        assert!(error.starts_with(&format!("image 0: {path:?}: cannot decode")), "{error}");
        std::fs::remove_file(&path).unwrap();
        let error = told(rows.get(0));
        assert!(error.starts_with(&format!("image 0: cannot read {path:?}")), "{error}");
    }
}
