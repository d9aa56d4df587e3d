//! Where an error of the parser stands in a file: by the lines and columns that an editor shows.

use std::io::{BufRead, BufReader};
use std::path::Path;

use super::json_text::{self, WithoutNan};

/// What the parser says, with the place in the file. `is_begun` says that blanks before the first sign were read before the
/// parser began, which then counts from there on.
pub(crate) fn told(path: &Path, error: &serde_json::Error, is_begun: bool) -> String {
    match place(path, error, is_begun) {
        Some((line, column)) => format!("{} at line {line}, column {column}", words(error)),
        None => error.to_string(),
    }
}

/// The same of one line, whose number is known otherwise.
pub(crate) fn told_of_line(error: &serde_json::Error) -> String {
    match error.column() {
        0 => words(error),
        column => format!("{} at column {column}", words(error)),
    }
}

/// What the parser says without its own place.
fn words(error: &serde_json::Error) -> String {
    let told = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    told.strip_suffix(&place).map_or(told.clone(), str::to_owned)
}

fn place(path: &Path, error: &serde_json::Error, is_begun: bool) -> Option<(usize, usize)> {
    let (line, column) = (error.line(), error.column());
    if line == 0 {
        return None;
    }
    let mut reader = json_text::open(path).ok()?;
    let (blank_lines, blanks) = if is_begun { skipped(&mut reader) } else { (0, 0) };
    // An error at the end of a line is told of the start of the next one.
    let is_end = column == 0 && line > 1;
    let n = if is_end { line - 1 } else { line };
    let mut text = Vec::new();
    for _ in 0..n {
        text.clear();
        reader.read_until(b'\n', &mut text).ok()?;
    }
    let text = text.strip_suffix(b"\n").unwrap_or(&text);
    let before = if n == 1 { blanks } else { 0 };
    let column = if is_end { text.len() + 1 } else { column_of(text, column) };
    Some((blank_lines + n, before + column))
}

/// The blank lines that the reader was moved past, and the blanks before the first sign in its line.
fn skipped(reader: &mut BufReader<std::fs::File>) -> (usize, usize) {
    let (mut lines, mut blanks) = (0, 0);
    while let Ok(&[byte, ..]) = reader.fill_buf()
        && byte.is_ascii_whitespace()
    {
        (lines, blanks) = if byte == b'\n' { (lines + 1, 0) } else { (lines, blanks + 1) };
        reader.consume(1);
    }
    (lines, blanks)
}

/// The column in a line of the file that is the n-th of what the parser was given of it.
fn column_of(line: &[u8], n: usize) -> usize {
    let mut cleaned = WithoutNan::new(&b""[..]);
    let reaches = |byte: &u8| {
        cleaned.push(*byte);
        cleaned.n_ready() >= n
    };
    line.iter().position(reaches).map_or(line.len(), |place| place) + 1
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// What is told of a file that the parser breaks off in.
    fn told_of(text: &str, is_begun: bool) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        std::fs::write(&path, text).unwrap();
        let mut reader = json_text::open(&path).unwrap();
        if is_begun {
            json_text::first_byte(&mut reader).unwrap();
        }
        let read: Result<Value, _> = serde_json::from_reader(WithoutNan::new(reader));
        told(&path, &read.unwrap_err(), is_begun)
    }

    #[test]
    fn a_place_is_that_of_the_file() {
        for is_begun in [false, true] {
            let told = |text: &str| told_of(text, is_begun);
            assert!(told("[1,\n 2,\n 3 4]").ends_with(" at line 3, column 4"));
            assert!(told("\n\n  [1,\n 2 3]").ends_with(" at line 4, column 4"));
            assert!(told("\u{feff} [1 2]").ends_with(" at line 1, column 5"));
            // At the end of a line, and behind numbers that JSON does not have.
            assert!(
                told("[1,\n {\"a\n\"}]").ends_with(" at line 2, column 5"),
                "{}",
                told("[1,\n {\"a\n\"}]")
            );
            assert!(told("[-Infinity, NaN 1]").ends_with(" at line 1, column 17"));
        }
    }
}
