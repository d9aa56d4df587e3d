//! Comma-separated values (RFC 4180): fields in quotes may hold commas, line breaks and doubled quotes.

use std::path::Path;

use super::content;
use super::labeled::Labeled;
use crate::DatasetError;

/// Names that a column of pictures has.
const PICTURE: [&str; 7] = ["image", "filename", "file_name", "file", "path", "image_id", "img"];
/// Names that a column of classes has; in FGVC Aircraft's tables the first of them is the name and the last a number.
const CLASS: [&str; 7] = ["classes", "class", "label", "labels", "category", "variant", "name"];

/// The pictures and classes of a table.
///
/// # Errors
/// A file that cannot be read; no column of pictures or of classes; a line with too few fields.
pub(crate) fn labeled(path: &Path) -> Result<Vec<Labeled>, DatasetError> {
    let text = crate::files::read_text(path)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut records = records(text).map_err(|why| content(path, "comma-separated values", why))?;
    if records.is_empty() {
        return Err(content(path, "comma-separated values", "it is empty"));
    }
    let header = records.remove(0);
    let place = |names: &[&str], column, expected| {
        let is = |name: &str| header.iter().position(|h| h.trim().eq_ignore_ascii_case(name));
        names.iter().find_map(|name| is(name)).ok_or_else(|| DatasetError::MissingColumn {
            path: path.to_owned(),
            column,
            expected,
            found: header.clone(),
        })
    };
    let picture = place(&PICTURE, "image", "the name of a picture's file")?;
    let class = place(&CLASS, "label", "the class of the picture")?;
    let row = |(idx, record): (usize, Vec<String>)| {
        let field = |place: usize| record.get(place).map(|field| field.trim().to_owned());
        let (picture, class) = field(picture).zip(field(class)).ok_or_else(|| {
            let message =
                format!("row {idx}: expected {} fields, got {}", header.len(), record.len());
            content(path, "comma-separated values", message)
        })?;
        Ok(Labeled { picture, class })
    };
    records.into_iter().enumerate().map(row).collect()
}

/// All records with their fields.
fn records(text: &str) -> Result<Vec<Vec<String>>, String> {
    let mut records = Vec::new();
    let mut record = Vec::new();
    let mut field = String::new();
    let mut is_quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if is_quoted && chars.next_if_eq(&'"').is_some() => field.push('"'),
            '"' if is_quoted => is_quoted = false,
            '"' if field.is_empty() => is_quoted = true,
            ',' if !is_quoted => record.push(std::mem::take(&mut field)),
            '\r' if !is_quoted => {}
            '\n' if !is_quoted => {
                record.push(std::mem::take(&mut field));
                records.push(std::mem::take(&mut record));
            }
            other => field.push(other),
        }
    }
    if is_quoted {
        return Err("a quoted field does not end".to_owned());
    }
    if !field.is_empty() || !record.is_empty() {
        record.push(field);
        records.push(record);
    }
    // An empty line is one empty field.
    records.retain(|record| record.iter().any(|field| !field.is_empty()));
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_hold_commas_breaks_and_quotes() {
        let text = "image,label\r\n\"a,1.png\",\"say \"\"rose\"\"\nred\"\r\n\r\nb.png,tulip";
        let expected = [["image", "label"], ["a,1.png", "say \"rose\"\nred"], ["b.png", "tulip"]];
        assert_eq!(records(text).unwrap(), expected);
        assert!(records("a,\"b").unwrap_err().contains("does not end"));
    }
}
