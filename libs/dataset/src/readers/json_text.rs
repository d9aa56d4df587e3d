//! JSON as it is written in practice: with a byte order mark, with NaN, in UTF-16.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use crate::DatasetError;

/// What begins a UTF-8 file that some editors write.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Opens a file of JSON behind its byte order mark.
///
/// # Errors
/// A file that cannot be read; UTF-16.
pub(crate) fn open(path: &Path) -> Result<BufReader<File>, DatasetError> {
    let failed = |source| DatasetError::Read { path: path.to_owned(), source };
    let mut reader = BufReader::with_capacity(1 << 16, super::open_file(path)?);
    let start = reader.fill_buf().map_err(failed)?;
    if start.starts_with(b"\xff\xfe") || start.starts_with(b"\xfe\xff") {
        return Err(DatasetError::Content {
            path: path.to_owned(),
            format: "JSON",
            message:
                "it is written in UTF-16, expected UTF-8: `iconv -f utf-16 -t utf-8` converts it"
                    .to_owned(),
        });
    }
    if start.starts_with(BYTE_ORDER_MARK) {
        reader.consume(BYTE_ORDER_MARK.len());
    }
    Ok(reader)
}

/// The first byte that is not blank, without reading past it; `None` in an empty file.
pub(crate) fn first_byte(reader: &mut impl BufRead) -> std::io::Result<Option<u8>> {
    loop {
        let start = reader.fill_buf()?;
        if start.is_empty() {
            return Ok(None);
        }
        match start.iter().position(|byte| !byte.is_ascii_whitespace()) {
            Some(place) => {
                reader.consume(place);
                return Ok(reader.fill_buf()?.first().copied());
            }
            None => {
                let blank = start.len();
                reader.consume(blank);
            }
        }
    }
}

/// JSON text in which the numbers that Python writes and JSON does not have, `NaN`, `Infinity` and `-Infinity`, are
/// `null`.
pub(crate) struct WithoutNan<R> {
    inner: R,
    state: State,
    /// Cleaned bytes that were not read yet, from `start` on.
    ready: Vec<u8>,
    start: usize,
}

/// Where in JSON a byte stands.
#[derive(Clone, Copy, PartialEq)]
enum State {
    Between,
    String,
    Escape,
    /// After a minus that may belong to an infinity.
    Minus,
    /// Within a word that was replaced.
    Word,
}

impl<R: BufRead> WithoutNan<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, state: State::Between, ready: Vec::new(), start: 0 }
    }

    /// Takes in a byte.
    pub(super) fn push(&mut self, byte: u8) {
        if self.state == State::Word && byte.is_ascii_alphabetic() {
            return;
        }
        if self.state == State::Minus && byte != b'I' {
            self.ready.push(b'-');
        }
        self.state = match (self.state, byte) {
            (State::String, b'\\') => State::Escape,
            (State::String, b'"') => State::Between,
            (State::String | State::Escape, _) => State::String,
            (_, b'"') => State::String,
            (_, b'-') => State::Minus,
            (_, b'N' | b'I') => {
                self.ready.extend_from_slice(b"null");
                State::Word
            }
            _ => State::Between,
        };
        if !matches!(self.state, State::Minus | State::Word) {
            self.ready.push(byte);
        }
    }

    /// Cleaned bytes that were not read yet.
    pub(super) fn n_ready(&self) -> usize {
        self.ready.len() - self.start
    }

    /// Cleans what the reader has in its buffer.
    fn refill(&mut self) -> std::io::Result<()> {
        self.ready.clear();
        self.start = 0;
        while self.ready.is_empty() {
            let chunk = self.inner.fill_buf()?.to_vec();
            if chunk.is_empty() {
                return Ok(());
            }
            chunk.iter().for_each(|byte| self.push(*byte));
            self.inner.consume(chunk.len());
        }
        Ok(())
    }
}

impl<R: BufRead> Read for WithoutNan<R> {
    fn read(&mut self, target: &mut [u8]) -> std::io::Result<usize> {
        if self.start == self.ready.len() {
            self.refill()?;
        }
        let n_bytes = target.len().min(self.ready.len() - self.start);
        target[..n_bytes].copy_from_slice(&self.ready[self.start..self.start + n_bytes]);
        self.start += n_bytes;
        Ok(n_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(text: &str, buffer: usize) -> String {
        let mut cleaned = String::new();
        let reader = BufReader::with_capacity(buffer, text.as_bytes());
        WithoutNan::new(reader).read_to_string(&mut cleaned).unwrap();
        cleaned
    }

    #[test]
    fn numbers_that_json_does_not_have_are_null() {
        let text = r#"{"a": NaN, "b": [-Infinity, Infinity, -1], "c": "NaN \" Infinity", "d": "\\", "e": NaN}"#;
        let expected =
            r#"{"a": null, "b": [null, null, -1], "c": "NaN \" Infinity", "d": "\\", "e": null}"#;
        for buffer in [1, 3, 1000] {
            assert_eq!(cleaned(text, buffer), expected);
        }
    }

    #[test]
    fn the_first_byte_is_found_behind_blanks() {
        let mut reader = BufReader::with_capacity(2, "\n\r\n  [1]".as_bytes());
        assert_eq!(first_byte(&mut reader).unwrap(), Some(b'['));
        assert_eq!(first_byte(&mut "  ".as_bytes()).unwrap(), None);
    }
}
