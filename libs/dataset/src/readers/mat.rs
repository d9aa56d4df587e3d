//! The arrays of a MATLAB file (level 5, compressed or not): what Oxford Flowers and Stanford Cars need, and no more.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use flate2::read::ZlibDecoder;

use super::content;
use crate::DatasetError;

/// Bytes before the first element.
const HEADER: usize = 128;
/// Most bytes of a file, and of what it unpacks to: labels of pictures are a few megabytes.
const MAX_BYTES: u64 = 64 << 20;
/// Arrays within arrays that are followed.
const MAX_DEPTH: usize = 4;

/// Types of elements that occur here, by their numbers in the format's description.
const COMPRESSED: u32 = 15;
const MATRIX: u32 = 14;

/// Classes of arrays, by their numbers in the format's description.
const CELL: u32 = 1;
const STRUCTURE: u32 = 2;
const TEXT: u32 = 4;
const NUMBERS: std::ops::RangeInclusive<u32> = 6..=15;

/// An array.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Array {
    Numbers(Vec<f64>),
    Text(String),
    /// Arrays of any kind.
    Cells(Vec<Array>),
    /// Records with the same fields; their values record by record.
    Records {
        fields: Vec<String>,
        values: Vec<Array>,
    },
    /// A class that is not read, by its number.
    Other(u32),
}

/// The arrays of a file, by their names.
#[derive(Debug)]
pub(crate) struct MatFile<'a> {
    path: &'a Path,
    arrays: BTreeMap<String, Array>,
}

impl<'a> MatFile<'a> {
    /// Reads a file.
    ///
    /// # Errors
    /// A file that cannot be read or is none of MATLAB's.
    pub(crate) fn read(path: &'a Path) -> Result<Self, DatasetError> {
        let mut bytes = Vec::new();
        super::open_file(path)?
            .take(MAX_BYTES)
            .read_to_end(&mut bytes)
            .map_err(|source| DatasetError::Read { path: path.to_owned(), source })?;
        let arrays = arrays(&bytes).map_err(|why| content(path, "a MATLAB file", why))?;
        Ok(Self { path, arrays })
    }

    /// The array of this name, if it is there.
    pub(crate) fn get(&self, name: &str) -> Option<&Array> {
        self.arrays.get(name)
    }

    /// All numbers of the array of this name, in the order of the file.
    ///
    /// # Errors
    /// No such array, or none of numbers.
    pub(crate) fn numbers(&self, name: &str) -> Result<&[f64], DatasetError> {
        match self.get(name) {
            Some(Array::Numbers(numbers)) => Ok(numbers),
            Some(_) => Err(self.error(format!("{name:?} is no array of numbers"))),
            None => {
                let names: Vec<&str> = self.arrays.keys().map(String::as_str).collect();
                Err(self.error(format!("no array {name:?}, it has: {}", names.join(", "))))
            }
        }
    }

    /// What is wrong with the file.
    pub(crate) fn error(&self, why: impl ToString) -> DatasetError {
        content(self.path, "a MATLAB file", why)
    }
}

impl Array {
    /// The text of a text.
    pub(crate) fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The number of an array of one.
    pub(crate) fn number(&self) -> Option<f64> {
        if let Self::Numbers(numbers) = self
            && let [number] = numbers[..]
        {
            Some(number)
        } else {
            None
        }
    }

    /// The texts of a list of texts.
    pub(crate) fn texts(&self) -> Option<Vec<&str>> {
        if let Self::Cells(cells) = self { cells.iter().map(Self::text).collect() } else { None }
    }
}

fn arrays(bytes: &[u8]) -> Result<BTreeMap<String, Array>, String> {
    if bytes.get(124..128).is_none_or(|end| end != [0, 1, b'I', b'M']) {
        return Err("expected level 5, written on a little-endian machine; MATLAB saves it with '-v7', not '-v7.3'".to_owned());
    }
    let mut arrays = BTreeMap::new();
    let mut rest = &bytes[HEADER..];
    while !rest.is_empty() {
        let element = Element::take(&mut rest)?;
        let mut unpacked = Vec::new();
        let matrix = if element.kind == COMPRESSED {
            let mut decoder = ZlibDecoder::new(element.data).take(MAX_BYTES);
            decoder.read_to_end(&mut unpacked).map_err(|error| error.to_string())?;
            Element::take(&mut unpacked.as_slice())?
        } else {
            element
        };
        if matrix.kind == MATRIX {
            let (name, array) = array(matrix.data, MAX_DEPTH)?;
            arrays.insert(name, array);
        }
    }
    Ok(arrays)
}

/// The name and the content of a matrix.
fn array(mut parts: &[u8], depth: usize) -> Result<(String, Array), String> {
    if parts.is_empty() {
        // What was never set has neither name nor sides.
        return Ok((String::new(), Array::Numbers(Vec::new())));
    }
    // Flags, sides, name; the real part of numbers comes first.
    let flags = Element::take(&mut parts)?;
    let class = u32::from(*flags.data.first().ok_or("it breaks off")?);
    let sides = Element::take(&mut parts)?.numbers()?;
    let name = Element::take(&mut parts)?.text()?;
    let n = sides.iter().product::<f64>();
    // Every array takes eight bytes at least.
    let n_arrays = |n: f64| {
        let fits = n >= 0.0 && n <= parts.len() as f64;
        fits.then_some(n as usize).ok_or("it breaks off")
    };
    let array = match class {
        _ if depth == 0 => return Err("arrays within arrays within arrays".to_owned()),
        CELL => Array::Cells(inner(&mut parts, n_arrays(n)?, depth)?),
        STRUCTURE => {
            let width = Element::take(&mut parts)?.numbers()?;
            let width = width.first().copied().unwrap_or(0.0) as usize;
            let names = Element::take(&mut parts)?;
            if width == 0 {
                return Err("the names of its fields have no length".to_owned());
            }
            let names = names.data.chunks_exact(width);
            let until_zero = |name: &[u8]| {
                let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
                String::from_utf8_lossy(&name[..end]).into_owned()
            };
            let fields: Vec<String> = names.map(until_zero).collect();
            let n = n_arrays(n * fields.len() as f64)?;
            Array::Records { values: inner(&mut parts, n, depth)?, fields }
        }
        TEXT => Array::Text(Element::take(&mut parts)?.text()?),
        class if NUMBERS.contains(&class) => Array::Numbers(Element::take(&mut parts)?.numbers()?),
        class => Array::Other(class),
    };
    Ok((name, array))
}

fn inner(parts: &mut &[u8], n: usize, depth: usize) -> Result<Vec<Array>, String> {
    let one = |_| {
        let element = Element::take(parts)?;
        if element.kind == MATRIX {
            Ok(array(element.data, depth - 1)?.1)
        } else {
            Err("it has no array where one should be".to_owned())
        }
    };
    (0..n).map(one).collect()
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

    /// Letters of one byte, of UTF-8, or of UTF-16.
    fn text(&self) -> Result<String, String> {
        match self.kind {
            1 | 2 | 16 => Ok(String::from_utf8_lossy(self.data).into_owned()),
            4 | 17 => {
                let units =
                    self.data.chunks_exact(2).map(|two| u16::from_le_bytes([two[0], two[1]]));
                Ok(String::from_utf16_lossy(&units.collect::<Vec<u16>>()))
            }
            _ if self.data.is_empty() => Ok(String::new()),
            other => Err(format!("texts of type {other} are not read")),
        }
    }
}
