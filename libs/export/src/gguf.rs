//! The format GGUF, version 3: metadata, the list of tensors, then their bytes, each at a multiple of 32.
//! [The specification](https://github.com/ggml-org/ggml/blob/master/docs/gguf.md).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::{ExportError, TensorType};

const MAGIC: [u8; 4] = *b"GGUF";
const VERSION: u32 = 3;
const ALIGNMENT: u64 = 32;

/// Most entries of a list, and bytes of a text, that are read: no vocabulary or template has more.
const MOST: u64 = 1 << 26;

/// A value of the metadata.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A whole number of 0 or more.
    U32(u32),
    /// A whole number.
    I32(i32),
    /// A number.
    F32(f32),
    /// True or false.
    Bool(bool),
    /// Words.
    Text(String),
    /// Values of one kind; one or more.
    List(Vec<Value>),
}

/// A tensor of a file that is written: its name, the length along each axis with the slowest first, and its type.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// The name by which llama.cpp finds it.
    pub name: String,
    /// Lengths, with the slowest axis first, as PyTorch has them.
    pub shape: Vec<usize>,
    /// How its weights are stored.
    pub kind: TensorType,
}

impl Stored {
    fn n_bytes(&self) -> u64 {
        self.kind.n_bytes(self.shape.iter().product()) as u64
    }
}

impl Value {
    /// The number of the kind of value.
    fn number(&self) -> u32 {
        match self {
            Self::U32(_) => 4,
            Self::I32(_) => 5,
            Self::F32(_) => 6,
            Self::Bool(_) => 7,
            Self::Text(_) => 8,
            Self::List(_) => 9,
        }
    }

    fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        match self {
            Self::U32(value) => out.write_all(&value.to_le_bytes()),
            Self::I32(value) => out.write_all(&value.to_le_bytes()),
            Self::F32(value) => out.write_all(&value.to_le_bytes()),
            Self::Bool(value) => out.write_all(&[u8::from(*value)]),
            Self::Text(value) => write_text(out, value),
            Self::List(values) => {
                let kind = values.first().map_or(4, Self::number);
                out.write_all(&kind.to_le_bytes())?;
                out.write_all(&(values.len() as u64).to_le_bytes())?;
                values.iter().try_for_each(|value| value.write(out))
            }
        }
    }

    fn read(input: &mut impl Read, kind: u32) -> std::io::Result<Self> {
        Ok(match kind {
            4 => Self::U32(u32::from_le_bytes(read(input)?)),
            5 => Self::I32(i32::from_le_bytes(read(input)?)),
            6 => Self::F32(f32::from_le_bytes(read(input)?)),
            7 => Self::Bool(read::<1>(input)? != [0]),
            8 => Self::Text(read_text(input)?),
            9 => {
                let kind = u32::from_le_bytes(read(input)?);
                if kind == 9 {
                    return Err(invalid("lists of lists are not read"));
                }
                let n = at_most(u64::from_le_bytes(read(input)?))?;
                Self::List((0..n).map(|_| Self::read(input, kind)).collect::<Result<_, _>>()?)
            }
            other => return Err(invalid(&format!("values of kind {other} are not read"))),
        })
    }
}

/// A file that is being written: metadata and the list of tensors are there, their bytes come in any order.
pub(crate) struct Writer {
    path: PathBuf,
    file: BufWriter<File>,
    /// Where the bytes of each tensor begin, and how many there are.
    places: BTreeMap<String, (u64, u64)>,
}

impl Writer {
    /// Begins a file.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(crate) fn create(
        path: &Path,
        metadata: &[(String, Value)],
        tensors: &[Stored],
    ) -> Result<Self, ExportError> {
        let failed = ExportError::file(path);
        let mut file = BufWriter::new(File::create(path).map_err(&failed)?);
        let mut head = Vec::new();
        let mut ends = Vec::new();
        write_head(&mut head, metadata, tensors, &mut ends).map_err(&failed)?;
        head.resize(aligned(head.len() as u64) as usize, 0);
        let start = head.len() as u64;
        file.write_all(&head).map_err(&failed)?;
        let end = start + tensors.iter().map(|tensor| aligned(tensor.n_bytes())).sum::<u64>();
        file.get_ref().set_len(end).map_err(&failed)?;
        let places = tensors.iter().zip(ends);
        let places = places
            .map(|(tensor, offset)| (tensor.name.clone(), (start + offset, tensor.n_bytes())));
        Ok(Self { path: path.to_owned(), places: places.collect(), file })
    }

    /// Writes the bytes of a tensor that was announced.
    ///
    /// # Errors
    /// A tensor that was not, or not of so many bytes; a disk that is full.
    pub(crate) fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), ExportError> {
        let expected = self.places.remove(name).filter(|(_, n)| *n == bytes.len() as u64);
        let (at, _) = expected.ok_or_else(|| ExportError::Tensor {
            name: name.to_owned(),
            shape: vec![bytes.len()],
        })?;
        let place = self.file.seek(SeekFrom::Start(at));
        let written = place.and_then(|_| self.file.write_all(bytes));
        written.map_err(ExportError::file(&self.path))
    }

    /// Ends the file; every tensor must have come.
    ///
    /// # Errors
    /// A tensor that did not come, a disk that is full.
    pub(crate) fn finish(mut self) -> Result<(), ExportError> {
        if let Some(name) = self.places.keys().next() {
            return Err(ExportError::unsupported(
                "the checkpoint",
                &format!("one with {name}"),
                "none",
            ));
        }
        let failed = ExportError::file(&self.path);
        self.file.flush().and_then(|()| self.file.get_ref().sync_data()).map_err(failed)
    }
}

fn write_head(
    out: &mut Vec<u8>,
    metadata: &[(String, Value)],
    tensors: &[Stored],
    offsets: &mut Vec<u64>,
) -> std::io::Result<()> {
    out.write_all(&MAGIC)?;
    out.write_all(&VERSION.to_le_bytes())?;
    out.write_all(&(tensors.len() as u64).to_le_bytes())?;
    out.write_all(&(metadata.len() as u64).to_le_bytes())?;
    for (key, value) in metadata {
        write_text(out, key)?;
        out.write_all(&value.number().to_le_bytes())?;
        value.write(out)?;
    }
    let mut offset: u64 = 0;
    for tensor in tensors {
        write_text(out, &tensor.name)?;
        out.write_all(&(tensor.shape.len() as u32).to_le_bytes())?;
        for length in tensor.shape.iter().rev() {
            out.write_all(&(*length as u64).to_le_bytes())?;
        }
        out.write_all(&tensor.kind.number().to_le_bytes())?;
        out.write_all(&offset.to_le_bytes())?;
        offsets.push(offset);
        offset += aligned(tensor.n_bytes());
    }
    Ok(())
}

/// A file that was written, read back: its metadata, and its tensors with their bytes.
#[derive(Debug)]
pub struct GgufFile {
    /// The metadata by key.
    pub metadata: BTreeMap<String, Value>,
    /// The tensors in their order.
    pub tensors: Vec<(Stored, Vec<u8>)>,
}

impl GgufFile {
    /// Reads a whole file into memory; of the types of values and tensors, those that this crate writes.
    ///
    /// # Errors
    /// A file that cannot be read, or is of another kind.
    pub fn read(path: &Path) -> Result<Self, ExportError> {
        let failed = ExportError::file(path);
        let mut file = BufReader::new(File::open(path).map_err(&failed)?);
        Self::read_from(&mut file).map_err(&failed)
    }

    fn read_from<R: Read + Seek>(input: &mut R) -> std::io::Result<Self> {
        if read(input)? != MAGIC || u32::from_le_bytes(read(input)?) != VERSION {
            return Err(invalid("expected a GGUF file of version 3"));
        }
        let n_tensors = at_most(u64::from_le_bytes(read(input)?))?;
        let n_values = at_most(u64::from_le_bytes(read(input)?))?;
        let mut metadata = BTreeMap::new();
        for _ in 0..n_values {
            let key = read_text(input)?;
            let kind = u32::from_le_bytes(read(input)?);
            metadata.insert(key, Value::read(input, kind)?);
        }
        let stored = (0..n_tensors).map(|_| read_stored(input)).collect::<Result<Vec<_>, _>>()?;
        let start = aligned(input.stream_position()?);
        let mut tensors = Vec::new();
        for (tensor, offset) in stored {
            input.seek(SeekFrom::Start(start + offset))?;
            let mut bytes = Vec::new();
            // Grows with what is there, whatever the list of tensors claims.
            let n = input.by_ref().take(tensor.n_bytes()).read_to_end(&mut bytes)?;
            if n as u64 != tensor.n_bytes() {
                return Err(invalid(&format!("tensor {} is cut short", tensor.name)));
            }
            tensors.push((tensor, bytes));
        }
        Ok(Self { metadata, tensors })
    }
}

fn read_stored(input: &mut impl Read) -> std::io::Result<(Stored, u64)> {
    let name = read_text(input)?;
    let n_axes = u32::from_le_bytes(read(input)?);
    if n_axes > 8 {
        return Err(invalid("a tensor has more than 8 axes"));
    }
    let lengths = (0..n_axes).map(|_| Ok(u64::from_le_bytes(read(input)?) as usize));
    let mut shape = lengths.collect::<std::io::Result<Vec<usize>>>()?;
    shape.reverse();
    let number = u32::from_le_bytes(read(input)?);
    let kind = TensorType::of_number(number)
        .ok_or_else(|| invalid(&format!("tensors of type {number} are not read")))?;
    Ok((Stored { name, shape, kind }, u64::from_le_bytes(read(input)?)))
}

fn write_text(out: &mut impl Write, text: &str) -> std::io::Result<()> {
    out.write_all(&(text.len() as u64).to_le_bytes())?;
    out.write_all(text.as_bytes())
}

fn read_text(input: &mut impl Read) -> std::io::Result<String> {
    let n = at_most(u64::from_le_bytes(read(input)?))?;
    let mut bytes = vec![0; n as usize];
    input.read_exact(&mut bytes)?;
    String::from_utf8(bytes).map_err(|error| invalid(&error.to_string()))
}

fn read<const N: usize>(input: &mut impl Read) -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    input.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn at_most(n: u64) -> std::io::Result<u64> {
    if n > MOST { Err(invalid(&format!("{n} is more than there can be"))) } else { Ok(n) }
}

fn aligned(n: u64) -> u64 {
    n.next_multiple_of(ALIGNMENT)
}

fn invalid(why: &str) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.gguf");
        let text = |text: &str| Value::Text(text.to_owned());
        let metadata = [
            ("name".to_owned(), text("é")),
            ("n".to_owned(), Value::U32(7)),
            ("list".to_owned(), Value::List(vec![text("a"), text("")])),
            ("eps".to_owned(), Value::F32(1e-6)),
            ("is".to_owned(), Value::List(vec![Value::Bool(true), Value::Bool(false)])),
        ];
        let stored = |name: &str, shape: &[usize]| Stored {
            name: name.into(),
            shape: shape.into(),
            kind: TensorType::F16,
        };
        let tensors = [stored("a", &[3, 5]), stored("b", &[2])];
        let mut writer = Writer::create(&path, &metadata, &tensors).unwrap();
        assert!(writer.write("c", &[0; 4]).is_err(), "not announced");
        writer.write("b", &[1; 4]).unwrap();
        writer.write("a", &[2; 30]).unwrap();
        writer.finish().unwrap();
        let file = GgufFile::read(&path).unwrap();
        assert_eq!(file.metadata, BTreeMap::from(metadata));
        let [a, b] = tensors;
        assert_eq!(file.tensors, [(a, vec![2; 30]), (b, vec![1; 4])]);
        assert_eq!(path.metadata().unwrap().len() % ALIGNMENT, 0);
    }

    #[test]
    fn a_tensor_that_never_came_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.gguf");
        let tensor = Stored { name: "absent".into(), shape: vec![1], kind: TensorType::F32 };
        let error = Writer::create(&path, &[], &[tensor]).unwrap().finish().unwrap_err();
        assert!(error.to_string().contains("absent"), "{error}");
    }

    #[test]
    fn a_file_of_another_kind_is_refused() {
        for bytes in
            [&b"GGUF"[..], b"GGML\x03\0\0\0", b"GGUF\x03\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\0\0"]
        {
            let mut input = std::io::Cursor::new(bytes);
            assert!(GgufFile::read_from(&mut input).is_err(), "{bytes:?}");
        }
    }
}
