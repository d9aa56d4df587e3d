//! Arrow IPC from outside: every length in it is checked before anything is allocated or decoded by it.
//!
//! Arrow's own readers believe what a file says of itself: a footer that claims to be 1 GB long is given 1 GB before
//! it is found to be missing, and buffers that end beyond their message end the program. [`read_file`] and
//! [`read_stream`] look at all such claims first; what passes is left to Arrow, which validates the values.

mod check;

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use arrow::error::ArrowError;
use arrow::ipc::reader::{FileReader, StreamReader, read_footer_length};

/// How the file format begins and ends; without it, the content is a stream.
const MAGIC: &[u8] = b"ARROW1";

/// Length of the footer's size and the magic word after it.
const TRAILER: usize = 10;

/// Reads a whole regular file: what it holds bounds what its reader allocates.
///
/// # Errors
/// A file that cannot be read; a folder, a pipe, a device.
pub fn read_bytes(path: &Path) -> std::io::Result<Vec<u8>> {
    let kind = std::fs::metadata(path)?;
    if !kind.is_file() {
        return Err(std::io::Error::other("it should be a regular file"));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(kind.len()).unwrap_or(0));
    File::open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether these bytes are in the file format; else they can only be a stream.
pub fn is_file(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// A reader of the file format, all of whose messages were checked.
///
/// # Errors
/// A length that does not fit into these bytes, a type that is not read here, damage.
pub fn read_file(bytes: &[u8]) -> Result<FileReader<Cursor<&[u8]>>, ArrowError> {
    check::footer(bytes, footer(bytes)?)?;
    FileReader::try_new(Cursor::new(bytes), None)
}

/// A reader of the stream format, all of whose messages were checked.
///
/// # Errors
/// As [`read_file`].
pub fn read_stream(bytes: &[u8]) -> Result<StreamReader<Cursor<&[u8]>>, ArrowError> {
    check::stream(bytes)?;
    StreamReader::try_new(Cursor::new(bytes), None)
}

/// The bytes of a file's footer.
fn footer(bytes: &[u8]) -> Result<&[u8], ArrowError> {
    let rest = bytes.len().checked_sub(TRAILER).filter(|rest| *rest >= MAGIC.len());
    let rest = rest.ok_or_else(|| damaged("it is too short"))?;
    let mut trailer = [0; TRAILER];
    trailer.copy_from_slice(&bytes[rest..]);
    let length = read_footer_length(trailer)?;
    let start = rest.checked_sub(length);
    let start = start.ok_or_else(|| damaged(&format!("its footer should have {length} bytes")))?;
    Ok(&bytes[start..rest])
}

fn damaged(why: &str) -> ArrowError {
    ArrowError::ParseError(format!("damaged Arrow data: {why}"))
}

#[cfg(test)]
mod tests;
