//! Comma-separated values (RFC 4180): fields in quotes may hold commas, line breaks and doubled quotes.

use std::path::Path;

use serde_json::{Map, Value};

use super::labeled::Labeled;
use super::layouts;
use super::objects::corner_of;
use super::split_column::{self, SplitColumn};
use super::unread::Unread;
use super::unworded::{asks_itself, is_words, read_beside};
use super::{content, json};
use crate::{DatasetError, Skipped};

/// Names that a column of pictures has.
const PICTURE: [&str; 7] = ["image", "filename", "file_name", "file", "path", "image_id", "img"];
/// Names that a column of classes has, the first of them first; in FGVC Aircraft's tables `classes` are names and `labels`
/// numbers.
const CLASS: [&str; 7] = ["label", "class", "classes", "labels", "category", "variant", "name"];
/// Columns of tables for detection.
const BOXES: [&str; 28] = [
    "xmin",
    "ymin",
    "xmax",
    "ymax",
    "x_min",
    "y_min",
    "x_max",
    "y_max",
    "x1",
    "y1",
    "x2",
    "y2",
    "x_center",
    "y_center",
    "xtl",
    "ytl",
    "x_left",
    "y_top",
    "bbox_x",
    "bbox_y",
    "bbox_x1",
    "bbox_xmin",
    "bbox_left",
    "bbox",
    "bboxes",
    "boxes",
    "box",
    "bbox_2d",
];
/// Columns of other places.
const PLACES: [&str; 3] = ["point", "points", "polygon"];

/// Names of the columns of rows that ask in words.
const ROWS: [&str; 2] = ["problem", "solution"];

/// What is read of a table without questions.
const CLASSES: &str = "pictures and their classes";

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
        let wrong = |why: String| content(path, "comma-separated values", why);
        let mut records = records(&text).map_err(wrong)?;
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

    /// Checks that no column that is read is there twice with different fields, nor a further picture.
    ///
    /// # Errors
    /// One is.
    pub(crate) fn check_columns(&self) -> Result<(), DatasetError> {
        let names: Vec<&str> = self.header.iter().map(|name| name.trim()).collect();
        let wrong = |why| content(self.path, "comma-separated values", why);
        let is = |names: &[&str], name: &str| names.iter().any(|n| n.eq_ignore_ascii_case(name));
        for (place, name) in names.iter().enumerate() {
            let is_read = is(&PICTURE, name) || is(&CLASS, name) || is(&ROWS, name);
            let others = names.iter().enumerate().skip(place + 1);
            let mut twins = others.filter(|(_, other)| other.eq_ignore_ascii_case(name));
            if is_read && twins.any(|(other, _)| self.differ(place, other)) {
                let why = format!(
                    "it has several columns {name:?} with different fields: keep one of them"
                );
                return Err(wrong(why));
            }
        }
        let further = json::further_image(names.iter().copied());
        let has_first = names.iter().any(|name| is(&PICTURE, name));
        further.filter(|_| has_first).map_or(Ok(()), |key| Err(wrong(json::why_not_further(key))))
    }

    /// Notes which splits the fields of a column name.
    pub(crate) fn note_splits(&self, splits: &mut SplitColumn) {
        let columns = self.header.iter().enumerate().filter(|(_, name)| split_column::is_one(name));
        for (place, name) in columns {
            let fields = self.records.iter().filter_map(|record| record.get(place));
            fields.for_each(|field| splits.note_one(name.trim(), field));
        }
    }

    /// Whether two columns have different fields.
    fn differ(&self, place: usize, other: usize) -> bool {
        let field =
            |record: &'_ Vec<String>, place: usize| record.get(place).map(|f| f.trim().to_owned());
        self.records.iter().any(|record| field(record, place) != field(record, other))
    }

    /// What should be known of columns that mean the same as one of these and have other fields.
    pub(crate) fn notes(&self) -> Vec<String> {
        let of = |names: &[&'static str]| {
            let place = |name: &&str| {
                self.header.iter().position(|column| column.trim().eq_ignore_ascii_case(name))
            };
            let places: Vec<usize> = names.iter().filter_map(place).collect();
            let first = places.first().copied()?;
            let other = places[1..].iter().find(|other| self.differ(first, **other))?;
            let name = |place: usize| self.header[place].trim();
            Some(read_beside("it has the columns", name(first), name(*other)))
        };
        let is_read = |name: &str| {
            let is = |names: &[&str]| names.iter().any(|n| n.eq_ignore_ascii_case(name));
            is(&PICTURE) || is(&CLASS) || split_column::is_one(name) || name.is_empty()
        };
        let mut unread = Unread::default();
        let columns = self.header.iter().map(|column| column.trim());
        columns.filter(|name| !is_read(name)).for_each(|name| unread.note(name));
        [of(&PICTURE), of(&CLASS), unread.told()].into_iter().flatten().collect()
    }

    /// Whether a record has a field for each column; empty ones behind the last column are none.
    fn check_length(&self, record: &[String]) -> Result<(), String> {
        let n =
            record.iter().rposition(|field| !field.trim().is_empty()).map_or(0, |last| last + 1);
        let expected = self.header.len();
        if record.len() >= expected && n <= expected {
            return Ok(());
        }
        let last = record.last().map_or("", |field| field.as_str());
        Err(format!(
            "expected {expected} fields, got {}, of which {last:?} is the last: a field with a comma stands in quotes",
            record.len()
        ))
    }

    /// Rows that ask in words, if it has the columns of these.
    pub(crate) fn rows(&self) -> Option<impl Iterator<Item = Result<Map<String, Value>, String>>> {
        let has = |name: &str| self.header.iter().any(|column| column.trim() == name);
        (ROWS.iter().all(|name| has(name)) || layouts::pair(has).is_some()).then_some(())?;
        Some(self.records.iter().map(|record| {
            self.check_length(record)?;
            let fields = self.header.iter().zip(record);
            // An empty field is none.
            let fields = fields.filter(|(_, field)| !field.is_empty());
            Ok(fields
                .map(|(name, field)| (name.trim().to_owned(), field.as_str().into()))
                .collect())
        }))
    }

    /// Checks that no column says where in its picture a class is.
    fn check_boxes(&self) -> Result<(), DatasetError> {
        let names: Vec<String> =
            self.header.iter().map(|name| name.trim().to_lowercase()).collect();
        let has = |name: &str| names.iter().any(|n| n == name);
        let corner = corner_of(has);
        let is_of_corner = |name: &str| corner.is_some_and(|pair| pair.contains(&name));
        let is_of_box =
            |name: &&str| BOXES.contains(name) || PLACES.contains(name) || is_of_corner(name);
        let columns = self.header.iter().zip(&names).filter(|(_, name)| is_of_box(&name.as_str()));
        let of_boxes: Vec<&str> = columns.map(|(column, _)| column.trim()).collect();
        if of_boxes.is_empty() {
            return Ok(());
        }
        let message = format!(
            "columns of boxes ({}), which are not read out of comma-separated values: write the rows as JSONL, as \
                 {{\"image\": \"a.png\", \"bbox\": [1, 2, 30, 40], \"label\": \"mug\"}} with data.bbox = \"corners\" \
                 (x1, y1, x2, y2) or \"sides\" (x, y, width, height), or as COCO or Pascal VOC; or take the columns out \
                 where the classes alone are to be learned",
            of_boxes.join(", ")
        );
        Err(content(self.path, CLASSES, message))
    }

    /// Checks that no column asks something of its own about the pictures whose classes are in another.
    fn check_asked(&self, class: usize) -> Result<(), DatasetError> {
        let is_asked = |place: &usize| {
            is_words(self.header[*place].trim())
                && self.records.iter().any(|r| r.get(*place).is_some_and(|f| !f.trim().is_empty()))
        };
        if let Some(asked) = (0..self.header.len()).find(is_asked) {
            let why = asks_itself(self.header[asked].trim(), self.header[class].trim());
            return Err(content(self.path, CLASSES, why));
        }
        Ok(())
    }

    /// The pictures and their classes, and the lines that cannot be read.
    ///
    /// # Errors
    /// No column of pictures or of classes.
    pub(crate) fn labeled(&self) -> Result<(Vec<Labeled>, Vec<Skipped>), DatasetError> {
        let Self { path, header, records } = self;
        self.check_boxes()?;
        let place = |names: &[&str], column, expected| {
            let is = |name: &str| header.iter().position(|h| h.trim().eq_ignore_ascii_case(name));
            names.iter().find_map(|name| is(name)).ok_or_else(|| DatasetError::MissingColumn {
                path: (*path).to_owned(),
                column,
                expected,
                found: header.clone(),
            })
        };
        let picture = place(&PICTURE, "image", "the name of a picture's file")?;
        let class =
            place(&CLASS, "label", "the class of the picture; or \"problem\" and \"solution\"")?;
        self.check_asked(class)?;
        let (mut labeled, mut bad) = (Vec::with_capacity(records.len()), Vec::new());
        for (row, record) in records.iter().enumerate() {
            let field = |place: usize| match record[place].trim() {
                "" => Err(format!("its field {:?} is empty", header[place].trim())),
                field => Ok(field.to_owned()),
            };
            let read = self.check_length(record).and_then(|()| {
                let (picture, class) = (field(picture)?, field(class)?);
                Ok(Labeled { row, picture, class })
            });
            match read {
                Ok(one) => labeled.push(one),
                Err(why) => bad.push(Skipped { place: format!("row {row}"), row, why }),
            }
        }
        Ok((labeled, bad))
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
            '\r' if !is_quoted && chars.peek() == Some(&'\n') => {}
            // Older programs on a Mac end lines by a carriage return alone.
            '\n' | '\r' if !is_quoted => {
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
        assert_eq!(records("a,b\rc,d\r").unwrap(), [["a", "b"], ["c", "d"]]);
        assert!(records("a,\"b").unwrap_err().contains("does not end"));
    }

    #[test]
    fn a_line_of_another_length_is_a_bad_row() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text =
            "image,label\na.png,rose\nb.png\nc.png,tulip, red\nd.png,rose,,\n,rose\ne.png, \n";
        std::fs::write(file.path(), text).unwrap();
        let (good, bad) = Table::read(file.path()).unwrap().labeled().unwrap();
        let good: Vec<(usize, &str)> =
            good.iter().map(|one| (one.row, one.class.as_str())).collect();
        assert_eq!(good, [(0, "rose"), (3, "rose")]);
        let bad: Vec<String> = bad.iter().map(ToString::to_string).collect();
        assert!(bad[0].starts_with("row 1: expected 2 fields, got 1"), "{bad:?}");
        assert!(
            bad[1].starts_with("row 2: expected 2 fields, got 3, of which \" red\""),
            "{bad:?}"
        );
        assert_eq!(
            bad[2..],
            ["row 4: its field \"image\" is empty", "row 5: its field \"label\" is empty"]
        );
    }
}
