//! Tensors in safetensors files: one file, or several with an index.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Display;
use std::fs::File;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use safetensors::tensor::{Dtype, Metadata, TensorView, View};
use serde::Deserialize;

use crate::CheckpointError;
use crate::nf4::{self, Nf4View, State};
use crate::stead::{no_weights, refuse_pointer};

pub(crate) const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// Bytes of the number that a file starts with: the length of its header.
const N_LEN: usize = 8;

/// The tensors of one or several safetensors files, mapped and not yet read.
///
/// Opening checks every header against the length of its file, so shapes and bytes that are asked for are what is
/// there. Each name is in one file alone.
#[derive(Debug)]
pub struct TensorFiles {
    files: Vec<Mapped>,
    /// Matrices of 4-bit numbers, by the name of their codes.
    nf4: BTreeMap<String, State>,
}

#[derive(Debug)]
struct Mapped {
    path: PathBuf,
    bytes: Mmap,
    header: Metadata,
    data_start: usize,
}

impl TensorFiles {
    /// Opens `model.safetensors` of a checkpoint directory, or else the files that its index names.
    ///
    /// # Errors
    /// A file that is absent, cut short or not safetensors; a tensor that is neither of floats nor a matrix of 4-bit
    /// numbers.
    pub fn open(dir: &Path) -> Result<Self, CheckpointError> {
        Self::of(&shards(dir)?)
    }

    /// Opens one file.
    ///
    /// # Errors
    /// As [`TensorFiles::open`].
    pub fn open_file(path: &Path) -> Result<Self, CheckpointError> {
        Self::of(&[path.to_owned()])
    }

    fn of(paths: &[PathBuf]) -> Result<Self, CheckpointError> {
        let files = paths.iter().map(|path| Mapped::open(path)).collect::<Result<_, _>>()?;
        let mut opened = Self { files, nf4: BTreeMap::new() };
        opened.nf4 = opened.states()?;
        opened.check_types()?;
        Ok(opened)
    }

    /// The matrices of 4-bit numbers.
    fn states(&self) -> Result<BTreeMap<String, State>, CheckpointError> {
        let mut states = BTreeMap::new();
        for file in &self.files {
            for name in file.header.offset_keys() {
                let Some((of, kind)) = name.split_once(nf4::ANY_STATE) else { continue };
                let damaged = |reason: String| {
                    CheckpointError::damaged(&file.path, format!("tensor {of} is {reason}"))
                };
                if kind != "nf4" {
                    return Err(damaged(format!("of 4 bits of type {kind:?}, not nf4")));
                }
                let state = State::parse(file.view(&name)?.data()).map_err(damaged)?;
                states.insert(of.to_owned(), state);
            }
        }
        Ok(states)
    }

    /// Whether all tensors are of floats, or belong to a matrix of 4-bit numbers.
    fn check_types(&self) -> Result<(), CheckpointError> {
        let floats = [Dtype::F64, Dtype::F32, Dtype::F16, Dtype::BF16];
        for file in &self.files {
            let tensors: BTreeMap<_, _> = file.header.tensors().into_iter().collect();
            let mut others = tensors.iter().filter(|(_, info)| !floats.contains(&info.dtype));
            if let Some((name, info)) = others.find(|(name, _)| !self.is_of_nf4(name)) {
                let message = format!("tensor {name} has type {:?}, not a float", info.dtype);
                return Err(CheckpointError::damaged(&file.path, message));
            }
        }
        Ok(())
    }

    /// Whether a tensor is a matrix of 4-bit numbers or a part of one.
    fn is_of_nf4(&self, name: &str) -> bool {
        let part_of = nf4::PARTS.iter().find_map(|part| name.strip_suffix(part));
        self.nf4.contains_key(part_of.unwrap_or(name))
    }

    /// The matrices of 4-bit numbers, by name.
    pub fn nf4_names(&self) -> BTreeSet<String> {
        self.nf4.keys().cloned().collect()
    }

    /// The shape of every tensor by its name, from the headers alone.
    pub fn shapes(&self) -> BTreeMap<String, Vec<usize>> {
        let all = self.files.iter().flat_map(|file| file.header.tensors());
        let floats = all.filter(|(name, _)| !self.is_of_nf4(name));
        let of_nf4 = self.nf4.iter().map(|(name, state)| (name.clone(), state.shape.clone()));
        floats.map(|(name, info)| (name, info.shape.clone())).chain(of_nf4).collect()
    }

    /// Turns each tensor into something else, in the order in which they lie in their files.
    ///
    /// # Errors
    /// A matrix of 4-bit numbers, see [`TensorFiles::read_nf4`]; the first that `convert` returns.
    pub fn read<T, E: From<CheckpointError>>(
        &self,
        convert: impl FnMut(&str, TensorView) -> Result<T, E>,
    ) -> Result<BTreeMap<String, T>, E> {
        self.check_floats()?;
        self.read_floats(convert)
    }

    /// Refuses matrices of 4-bit numbers, where nothing reads them.
    ///
    /// # Errors
    /// There is one.
    pub fn check_floats(&self) -> Result<(), CheckpointError> {
        match self.nf4.keys().next().zip(self.files.first()) {
            Some((name, file)) => {
                Err(CheckpointError::FourBits { path: file.path.clone(), name: name.clone() })
            }
            None => Ok(()),
        }
    }

    /// Which files these are: paths, sizes and times of their last change. Two that are alike hold the same tensors.
    pub fn identity(&self) -> String {
        let of_file = |file: &Mapped| {
            let path = file.path.canonicalize().unwrap_or_else(|_| file.path.clone());
            let changed = path.metadata().and_then(|metadata| metadata.modified());
            format!("{path:?} {} {:?}", file.bytes.len(), changed.ok())
        };
        self.files.iter().map(of_file).collect::<Vec<_>>().join(" ")
    }

    /// As [`TensorFiles::read`], without the matrices of 4-bit numbers, which [`TensorFiles::read_nf4`] reads.
    ///
    /// # Errors
    /// The first that `convert` returns.
    pub fn read_floats<T, E: From<CheckpointError>>(
        &self,
        mut convert: impl FnMut(&str, TensorView) -> Result<T, E>,
    ) -> Result<BTreeMap<String, T>, E> {
        let mut tensors = BTreeMap::new();
        for file in &self.files {
            for name in file.header.offset_keys().into_iter().filter(|name| !self.is_of_nf4(name)) {
                let converted = convert(&name, file.view(&name)?)?;
                tensors.insert(name, converted);
            }
        }
        Ok(tensors)
    }

    /// Turns each matrix of 4-bit numbers into something else.
    ///
    /// # Errors
    /// Parts that are missing or do not fit; the first that `convert` returns.
    pub fn read_nf4<T, E: From<CheckpointError>>(
        &self,
        mut convert: impl FnMut(&str, Nf4View) -> Result<T, E>,
    ) -> Result<BTreeMap<String, T>, E> {
        let mut matrices = BTreeMap::new();
        for (name, state) in &self.nf4 {
            let bytes = |part: &str| self.bytes(&format!("{name}{part}"));
            let view = state.view(bytes).map_err(|reason| {
                let path = self.files.first().map_or(Path::new(""), |file| &file.path);
                CheckpointError::damaged(path, format!("tensor {name} {reason}"))
            })?;
            matrices.insert(name.clone(), convert(name, view)?);
        }
        Ok(matrices)
    }

    /// Type and bytes of a tensor in any of the files.
    fn bytes(&self, name: &str) -> Option<(Dtype, &[u8])> {
        let file = self.files.iter().find(|file| file.header.info(name).is_some())?;
        let info = file.header.info(name)?;
        let (start, end) = info.data_offsets;
        Some((info.dtype, file.bytes.get(file.data_start + start..file.data_start + end)?))
    }
}

impl Mapped {
    fn open(path: &Path) -> Result<Self, CheckpointError> {
        let file = File::open(path).map_err(CheckpointError::read(path))?;
        if file.metadata().map_err(CheckpointError::read(path))?.len() == 0 {
            return Err(too_short(path, 0, N_LEN));
        }
        // Mapped, so that a tensor is copied once, from the system's cache to its place.
        // SAFETY: a checkpoint that another program cuts short meanwhile ends this one; nothing else can go wrong,
        // since bytes of any value are numbers.
        #[expect(unsafe_code, reason = "there is no other way to map a file")]
        let bytes = unsafe { Mmap::map(&file) }.map_err(CheckpointError::read(path))?;
        refuse_pointer(path, &bytes)?;
        let (header, data_start) = read_header(path, &bytes)?;
        Ok(Self { path: path.to_owned(), bytes, header, data_start })
    }

    fn view(&self, name: &str) -> Result<TensorView<'_>, CheckpointError> {
        let damaged = |message: String| CheckpointError::damaged(&self.path, message);
        let info = self.header.info(name).ok_or_else(|| damaged(format!("no tensor {name}")))?;
        let (start, end) = info.data_offsets;
        let data = self.bytes.get(self.data_start + start..self.data_start + end);
        let data = data.ok_or_else(|| damaged(format!("tensor {name} is outside of it")))?;
        TensorView::new(info.dtype, info.shape.clone(), data)
            .map_err(|error| damaged(format!("tensor {name}: {error}")))
    }
}

/// The header, checked against the length of the file, and where the data behind it starts.
fn read_header(path: &Path, bytes: &[u8]) -> Result<(Metadata, usize), CheckpointError> {
    let Some((len, rest)) = bytes.split_first_chunk::<N_LEN>() else {
        return Err(too_short(path, bytes.len(), N_LEN));
    };
    let len = usize::try_from(u64::from_le_bytes(*len)).unwrap_or(usize::MAX);
    let data_start = len.saturating_add(N_LEN);
    let Some(header) = rest.get(..len) else {
        return Err(too_short(path, bytes.len(), data_start));
    };
    let header: Metadata = serde_json::from_slice(header).map_err(|error| {
        CheckpointError::damaged(path, format!("not a safetensors file: {error}"))
    })?;
    match data_start.saturating_add(header.data_len()) {
        needed if needed > bytes.len() => Err(too_short(path, bytes.len(), needed)),
        _ => Ok((header, data_start)),
    }
}

fn too_short(path: &Path, len: usize, needed: usize) -> CheckpointError {
    let message = format!("{len} bytes where its header promises {needed}: cut short?");
    CheckpointError::damaged(path, message)
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The files of a checkpoint directory that hold tensors.
fn shards(dir: &Path) -> Result<Vec<PathBuf>, CheckpointError> {
    let index = dir.join(INDEX);
    if dir.join(SINGLE).is_file() {
        return Ok(vec![dir.join(SINGLE)]);
    }
    if !index.is_file() {
        return Err(no_weights(dir, SINGLE));
    }
    let text = std::fs::read(&index).map_err(CheckpointError::read(&index))?;
    let parsed: Index =
        serde_json::from_slice(&text).map_err(|error| CheckpointError::damaged(&index, error))?;
    let files: BTreeSet<String> = parsed.weight_map.into_values().collect();
    if let Some(outside) = files.iter().find(|file| file.contains(['/', '\\'])) {
        let message = format!("names {outside:?}, which is not a file beside it");
        return Err(CheckpointError::damaged(&index, message));
    }
    Ok(files.into_iter().map(|file| dir.join(file)).collect())
}

/// Writes one file of tensors.
///
/// # Errors
/// A file that cannot be written.
pub fn write_tensors<N: AsRef<str> + Ord + Display, T: View>(
    path: &Path,
    tensors: impl IntoIterator<Item = (N, T)>,
) -> Result<(), CheckpointError> {
    // transformers refuses a file that does not say which framework it is for.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize_to_file(tensors, Some(metadata), path)
        .map_err(|error| CheckpointError::write(path)(std::io::Error::other(error)))?;
    make_usual(path).map_err(CheckpointError::write(path))
}

/// Gives a file the permissions that any new file has: safetensors leaves it to its owner alone, and a policy is read by
/// other users' programs too.
fn make_usual(path: &Path) -> std::io::Result<()> {
    let probe = path.with_extension("probe");
    let permissions = File::create(&probe)?.metadata()?.permissions();
    std::fs::remove_file(&probe)?;
    std::fs::set_permissions(path, permissions)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two files and the index that names them.
    fn sharded() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (file, name) in [("a.safetensors", "first"), ("b.safetensors", "second")] {
            let data = [1_u8; 24];
            let view = TensorView::new(Dtype::F32, vec![2, 3], &data).unwrap();
            write_tensors(&dir.path().join(file), [(name, view)]).unwrap();
        }
        let index = r#"{"weight_map": {"first": "a.safetensors", "second": "b.safetensors"}}"#;
        std::fs::write(dir.path().join(INDEX), index).unwrap();
        dir
    }

    #[test]
    fn a_file_of_tensors_may_be_read_by_whoever_reads_its_neighbors() {
        let dir = sharded();
        let mode = |name: &str| dir.path().join(name).metadata().unwrap().permissions();
        assert_eq!(mode("a.safetensors"), mode(INDEX));
        assert_eq!(dir.path().read_dir().unwrap().count(), 3);
    }

    #[test]
    fn shapes_are_known_before_a_tensor_is_read() {
        let dir = sharded();
        let files = TensorFiles::open(dir.path()).unwrap();
        let expected = ["first", "second"].map(|name| (name.to_owned(), vec![2, 3]));
        assert_eq!(files.shapes(), BTreeMap::from(expected));
        let n_bytes = files.read(|_, view| Ok::<_, CheckpointError>(view.data().len())).unwrap();
        assert_eq!(n_bytes.into_values().collect::<Vec<_>>(), [24, 24]);
    }

    #[track_caller]
    fn check_refused(bytes: &[u8], expected: &str) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(SINGLE), bytes).unwrap();
        let message = TensorFiles::open(dir.path()).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }

    fn with_header(header: &str, n_bytes: usize) -> Vec<u8> {
        let len = (header.len() as u64).to_le_bytes();
        [len.as_slice(), header.as_bytes(), &vec![0; n_bytes]].concat()
    }

    #[test]
    fn a_header_that_lies_is_refused() {
        let entry = |shape: &str, end: usize| {
            format!(r#"{{"t": {{"dtype": "F32", "shape": {shape}, "data_offsets": [0, {end}]}}}}"#)
        };
        check_refused(&with_header(&entry("[2]", 8), 4), "where its header promises");
        check_refused(&with_header(&entry("[3]", 8), 8), "not a safetensors file");
        let huge = "[4611686018427387904, 4611686018427387904]";
        check_refused(&with_header(&entry(huge, 8), 8), "not a safetensors file");
        check_refused(&u64::MAX.to_le_bytes(), "8 bytes where its header promises");
        let integers = entry("[2]", 8).replace("F32", "I32");
        check_refused(&with_header(&integers, 8), "tensor t has type I32, not a float");
    }

    #[test]
    fn an_index_names_files_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let index = r#"{"weight_map": {"t": "../other.safetensors"}}"#;
        std::fs::write(dir.path().join(INDEX), index).unwrap();
        let message = TensorFiles::open(dir.path()).unwrap_err().to_string();
        assert!(message.contains("which is not a file beside it"), "{message}");
    }
}
