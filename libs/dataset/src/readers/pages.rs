//! What a Parquet file claims of its pages, held against the bytes that are there: its reader allocates what a page
//! header says before it finds out that there is less.
//!
//! A page header is a struct in Thrift's compact protocol, of which three numbers are read and the rest is skipped:
//! <https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};

use parquet::arrow::ProjectionMask;
use parquet::basic::Compression;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};

/// Bytes that a page may have when decompressed, whatever it is compressed to.
const MIN_PAGE: u64 = 16 << 20;

/// Rows that a file may have besides one for each of its bytes.
const MIN_ROWS: u64 = 1 << 20;

/// How deep the structs of a page header may be nested.
const MAX_DEPTH: usize = 8;

/// How often a page may be larger than its compressed form.
fn max_ratio(compression: Compression) -> u64 {
    match compression {
        Compression::UNCOMPRESSED => 1,
        Compression::SNAPPY => 64,
        Compression::LZ4 | Compression::LZ4_RAW => 256,
        Compression::GZIP(_) => 1032,
        _ => 1 << 14,
    }
}

/// Checks all pages of the columns that are read.
///
/// # Errors
/// A claim that does not fit into the file.
pub(super) fn check(
    file: &File,
    metadata: &ParquetMetaData,
    columns: &ProjectionMask,
) -> Result<(), String> {
    let n_bytes = file.metadata().map_err(|error| error.to_string())?.len();
    let n_rows: i64 = metadata.row_groups().iter().map(|group| group.num_rows().max(0)).sum();
    if n_rows as u64 > MIN_ROWS + n_bytes {
        return Err(format!("{n_rows} rows do not fit into {n_bytes} bytes: it is damaged"));
    }
    let mut reader = BufReader::new(file);
    for group in metadata.row_groups() {
        if group.num_rows() < 0 {
            return Err("a number of rows below 0: it is damaged".to_owned());
        }
        // Without rows there may be no page at all.
        let chunks = group.columns().iter().enumerate().filter(|_| group.num_rows() > 0);
        for (idx, chunk) in chunks {
            if columns.leaf_included(idx) {
                let name = chunk.column_path().string();
                check_chunk(&mut reader, n_bytes, chunk)
                    .map_err(|why| format!("column {name:?}: {why}: it is damaged"))?;
            }
        }
    }
    Ok(())
}

fn check_chunk(
    reader: &mut BufReader<&File>,
    n_bytes: u64,
    chunk: &ColumnChunkMetaData,
) -> Result<(), String> {
    let data = chunk.data_page_offset();
    let start = chunk.dictionary_page_offset().map_or(data, |dictionary| dictionary.min(data));
    let (Ok(start), Ok(length)) = (u64::try_from(start), u64::try_from(chunk.compressed_size()))
    else {
        return Err("a place below 0".to_owned());
    };
    let end = start.checked_add(length).filter(|end| *end <= n_bytes);
    let end = end.ok_or_else(|| format!("{length} bytes at {start} of {n_bytes}"))?;
    if chunk.num_values() < 0 || chunk.dictionary_page_offset().is_some_and(|place| place < 0) {
        return Err("a number below 0".to_owned());
    }
    let mut place = start;
    while place < end {
        reader.seek(SeekFrom::Start(place)).map_err(|error| error.to_string())?;
        let mut header = Header { bytes: reader.by_ref().take(end - place), n_read: 0 };
        let (uncompressed, compressed) = header.sizes()?;
        let after = (place + header.n_read).saturating_add(compressed);
        if after > end {
            return Err(format!("a page of {compressed} bytes at {place}, which ends at {end}"));
        }
        if uncompressed > MIN_PAGE.max(compressed.saturating_mul(max_ratio(chunk.compression()))) {
            return Err(format!("a page of {uncompressed} bytes in {compressed} compressed ones"));
        }
        place = after;
    }
    Ok(())
}

/// A page header under way.
struct Header<R> {
    bytes: R,
    n_read: u64,
}

impl<R: Read> Header<R> {
    /// Bytes of the page when decompressed, and as it is.
    fn sizes(&mut self) -> Result<(u64, u64), String> {
        let (mut uncompressed, mut compressed) = (None, None);
        let mut field = 0;
        while let Some((id, kind)) = self.field(field)? {
            field = id;
            match (id, kind) {
                (2, 5) => uncompressed = Some(self.number()?),
                (3, 5) => compressed = Some(self.number()?),
                _ => self.skip(kind, 0)?,
            }
        }
        let size = |size: Option<i64>| size.and_then(|size| u64::try_from(size).ok());
        size(uncompressed).zip(size(compressed)).ok_or_else(|| "a page without a size".to_owned())
    }

    /// Number and type of the next field; `None` at the end of a struct.
    fn field(&mut self, before: i64) -> Result<Option<(i64, u8)>, String> {
        let byte = self.byte()?;
        if byte == 0 {
            return Ok(None);
        }
        let id = match byte >> 4 {
            0 => self.number()?,
            step => before.saturating_add(i64::from(step)),
        };
        Ok(Some((id, byte & 0xf)))
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Result<(), String> {
        match kind {
            // True and false are in the type.
            1 | 2 => Ok(()),
            3 => self.byte().map(drop),
            4..=6 => self.varint().map(drop),
            7 => self.pass(8),
            8 => {
                let length = self.varint()?;
                self.pass(length)
            }
            9 | 10 => {
                let byte = self.byte()?;
                let n = if byte >> 4 == 15 { self.varint()? } else { u64::from(byte >> 4) };
                // In a list a boolean takes a byte of its own. Each element takes one at least, so this ends.
                let kind = if matches!(byte & 0xf, 1 | 2) { 3 } else { byte & 0xf };
                (0..n).try_for_each(|_| self.skip_within(kind, depth))
            }
            12 => {
                let mut field = 0;
                while let Some((id, kind)) = self.field(field)? {
                    field = id;
                    self.skip_within(kind, depth)?;
                }
                Ok(())
            }
            other => Err(format!("a page header with a value of type {other}")),
        }
    }

    fn skip_within(&mut self, kind: u8, depth: usize) -> Result<(), String> {
        if depth == MAX_DEPTH {
            return Err("a page header that is nested too deeply".to_owned());
        }
        self.skip(kind, depth + 1)
    }

    /// A signed number: its sign is in the lowest bit.
    fn number(&mut self) -> Result<i64, String> {
        let number = self.varint()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    /// Seven bits a byte, the lowest first.
    fn varint(&mut self) -> Result<u64, String> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err("a number that does not end".to_owned())
    }

    fn byte(&mut self) -> Result<u8, String> {
        let mut byte = [0];
        self.bytes
            .read_exact(&mut byte)
            .map_err(|_end| "a page header that breaks off".to_owned())?;
        self.n_read += 1;
        Ok(byte[0])
    }

    fn pass(&mut self, n: u64) -> Result<(), String> {
        let passed = std::io::copy(&mut self.bytes.by_ref().take(n), &mut std::io::sink());
        let passed = passed.map_err(|error| error.to_string())?;
        self.n_read += passed;
        if passed == n { Ok(()) } else { Err("a page header that breaks off".to_owned()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(bytes: &[u8]) -> Result<(u64, u64), String> {
        Header { bytes, n_read: 0 }.sizes()
    }

    #[test]
    fn two_sizes_are_found_among_the_fields() {
        // Type 0; 100 and 50 bytes; a struct with a text and a list, which is skipped.
        let header =
            [0x15, 0, 0x15, 200, 1, 0x15, 100, 0x2c, 0x18, 2, 7, 7, 0x19, 0x25, 2, 4, 0, 0];
        assert_eq!(sizes(&header), Ok((100, 50)));
        assert!(sizes(&header[..header.len() - 1]).unwrap_err().contains("breaks off"));
    }

    #[test]
    fn what_is_no_header_is_refused() {
        assert!(sizes(&[0]).unwrap_err().contains("without a size"));
        assert!(sizes(&[0x15, 0, 0x15, 1, 0x15, 1, 0]).unwrap_err().contains("without a size"));
        assert!(sizes(&[0x1c; 40]).unwrap_err().contains("nested"));
        assert!(sizes(&[0x15, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255]).is_err());
    }
}
