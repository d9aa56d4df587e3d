//! The numeric arrays of a MATLAB file (level 5, compressed or not): what Oxford Flowers needs, and no more.

use std::io::Read;
use std::path::Path;

use flate2::read::ZlibDecoder;

use super::content;
use crate::DatasetError;

/// Bytes before the first element.
const HEADER: usize = 128;
/// Most bytes of a file, and of what it unpacks to: labels of pictures are a few kilobytes.
const MAX_BYTES: u64 = 64 << 20;

/// Types of elements that occur here, by their numbers in the format's description.
const COMPRESSED: u32 = 15;
const MATRIX: u32 = 14;

/// All numbers of the array of this name, in the order of the file.
///
/// # Errors
/// A file that cannot be read or is no such file; no such array; complex or sparse numbers.
pub(crate) fn numbers(path: &Path, name: &str) -> Result<Vec<f64>, DatasetError> {
    let mut bytes = Vec::new();
    super::open_file(path)?
        .take(MAX_BYTES)
        .read_to_end(&mut bytes)
        .map_err(|source| DatasetError::Read { path: path.to_owned(), source })?;
    find(&bytes, name).map_err(|why| content(path, "a MATLAB file", why))
}

fn find(bytes: &[u8], wanted: &str) -> Result<Vec<f64>, String> {
    if bytes.get(124..128).is_none_or(|end| end != [0, 1, b'I', b'M']) {
        return Err("expected level 5, written on a little-endian machine".to_owned());
    }
    let mut names = Vec::new();
    let mut rest = &bytes[HEADER..];
    while !rest.is_empty() {
        let element = Element::take(&mut rest)?;
        let mut unpacked = Vec::new();
        let matrix = if element.kind == COMPRESSED {
            let decoder = ZlibDecoder::new(element.data).take(MAX_BYTES);
            let mut decoder = decoder;
            decoder.read_to_end(&mut unpacked).map_err(|error| error.to_string())?;
            Element::take(&mut unpacked.as_slice())?
        } else {
            element
        };
        if matrix.kind != MATRIX {
            continue;
        }
        // Flags, dimensions, name, real part.
        let mut parts = matrix.data;
        let (_flags, _sides) = (Element::take(&mut parts)?, Element::take(&mut parts)?);
        let name = String::from_utf8_lossy(Element::take(&mut parts)?.data).into_owned();
        if name == wanted {
            return Element::take(&mut parts)?.numbers();
        }
        names.push(name);
    }
    Err(format!("no array {wanted:?}, it has: {}", names.join(", ")))
}

/// A tag and its data.
struct Element<'a> {
    kind: u32,
    data: &'a [u8],
}

impl<'a> Element<'a> {
    /// The next element; what comes after it begins at a multiple of eight bytes.
    fn take(rest: &mut &'a [u8]) -> Result<Self, String> {
        let word = |at: usize| {
            let bytes: Option<&[u8; 4]> = rest.get(at..).and_then(|rest| rest.first_chunk());
            bytes.map(|bytes| u32::from_le_bytes(*bytes)).ok_or("it breaks off")
        };
        let first = word(0)?;
        // A small element has its length in the upper half of the first word, and its data in the second.
        let (kind, start, len): (u32, usize, usize) = match first >> 16 {
            0 => (first, 8, word(4)? as usize),
            len => (first & 0xffff, 4, len as usize),
        };
        let end = start.checked_add(len).ok_or("it breaks off")?;
        let data = rest.get(start..end).ok_or("it breaks off")?;
        let is_packed = kind == COMPRESSED;
        let next = if is_packed { end } else { end.next_multiple_of(8) };
        *rest = rest.get(next..).unwrap_or_default();
        Ok(Self { kind, data })
    }

    fn numbers(&self) -> Result<Vec<f64>, String> {
        fn all<const N: usize>(data: &[u8], number: impl Fn([u8; N]) -> f64) -> Vec<f64> {
            data.chunks_exact(N).filter_map(|one| one.try_into().ok()).map(number).collect()
        }
        Ok(match self.kind {
            1 => all(self.data, |[byte]: [u8; 1]| f64::from(byte.cast_signed())),
            2 => all(self.data, |[byte]: [u8; 1]| f64::from(byte)),
            3 => all(self.data, |bytes| f64::from(i16::from_le_bytes(bytes))),
            4 => all(self.data, |bytes| f64::from(u16::from_le_bytes(bytes))),
            5 => all(self.data, |bytes| f64::from(i32::from_le_bytes(bytes))),
            6 => all(self.data, |bytes| f64::from(u32::from_le_bytes(bytes))),
            7 => all(self.data, |bytes| f64::from(f32::from_le_bytes(bytes))),
            9 => all(self.data, f64::from_le_bytes),
            other => return Err(format!("numbers of type {other} are not read")),
        })
    }
}
