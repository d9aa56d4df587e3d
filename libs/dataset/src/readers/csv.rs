//! Comma-separated values (RFC 4180): fields in quotes may hold commas, line breaks and doubled quotes.

use std::path::Path;

use serde_json::{Map, Value};

use super::content;
use super::labeled::Labeled;
use crate::DatasetError;

/// Names that a column of pictures has.
const PICTURE: [&str; 7] = ["image", "filename", "file_name", "file", "path", "image_id", "img"];
/// Names that a column of classes has; in FGVC Aircraft's tables the first of them is the name and the last a number.
const CLASS: [&str; 7] = ["classes", "class", "label", "labels", "category", "variant", "name"];
/// Columns of tables for detection.
const BOXES: [&str; 12] = [
    "xmin", "ymin", "xmax", "ymax", "x_min", "y_min", "x_max", "y_max", "bbox", "boxes",
    "x_center", "y_center",
];

/// Names of the columns of rows that ask in words.
const ROWS: [&str; 2] = ["problem", "solution"];

/// A table with its header.
pub(crate) struct Table<'a> {
    path: &'a Path,
    header: Vec<String>,
    records: Vec<Vec<String>>,
}

impl<'a> Table<'a> {
    /// Reads a file.
    ///
    /// # Errors
    /// A file that cannot be read, is empty or has a quoted field that does not end; fields that are not set off by commas.
    pub(crate) fn read(path: &'a Path) -> Result<Self, DatasetError> {
        let text = crate::files::read_text(path)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let wrong = |why: String| content(path, "comma-separated values", why);
        let mut records = records(text).map_err(wrong)?;
        if records.is_empty() {
            return Err(wrong("it is empty".to_owned()));
        }
        let header = records.remove(0);
        if let ([only], Some(mark)) =
            (&header[..], header[0].chars().find(|c| [';', '\t'].contains(c)))
        {
            return Err(wrong(format!(
                "its header {only:?} has {mark:?} between fields, expected commas"
            )));
        }
        Ok(Self { path, header, records })
    }

    /// Rows that ask in words, if it has the columns of these.
    pub(crate) fn rows(&self) -> Option<impl Iterator<Item = Result<Map<String, Value>, String>>> {
        let has = |name: &str| self.header.iter().any(|column| column.trim() == name);
        ROWS.iter().all(|name| has(name)).then_some(())?;
        Some(self.records.iter().map(|record| {
            if record.len() != self.header.len() {
                return Err(format!("expected {} fields, got {}", self.header.len(), record.len()));
            }
            let fields = self.header.iter().zip(record);
            // An empty field is none.
            let fields = fields.filter(|(_, field)| !field.is_empty());
            Ok(fields
                .map(|(name, field)| (name.trim().to_owned(), field.as_str().into()))
                .collect())
        }))
    }

    /// The pictures and their classes.
    ///
    /// # Errors
    /// No column of pictures or of classes; a line with too few fields.
    pub(crate) fn labeled(self) -> Result<Vec<Labeled>, DatasetError> {
        let Self { path, header, records } = self;
        let of_boxes: Vec<&str> = header
            .iter()
            .map(|name| name.trim())
            .filter(|name| BOXES.iter().any(|of_box| name.eq_ignore_ascii_case(of_box)))
            .collect();
        if !of_boxes.is_empty() {
            let message = format!(
                "columns of boxes ({}), which are not read out of comma-separated values: write the rows as JSONL with \
                 \"image\" and \"boxes\", as COCO or as Pascal VOC; or take the columns out where the classes alone are \
                 to be learned",
                of_boxes.join(", ")
            );
            return Err(content(path, "pictures and their classes", message));
        }
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
        let class =
            place(&CLASS, "label", "the class of the picture; or \"problem\" and \"solution\"")?;
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
