//! Weights in memory that other processes may map, and what these must know of it.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};
use vrft_kernels::{Nf4Factors, Nf4Matrix, Nf4Parts, SharedMemory};

use super::{Base, PackedBase, PackedGroupBase, Wanted};
use crate::ModelError;
use crate::checkpoint::Destination;
use crate::packing_for_gpu::PACKED_TOGETHER;
use crate::quantized::Quantized;

/// Bytes of a piece, where no tensor is larger.
const PIECE: usize = 64 << 20;
/// Tensors begin at multiples of so many bytes, as kernels load them.
const ALIGNMENT: usize = 256;

/// What lies where; all that another process needs.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Map {
    pieces: Vec<Piece>,
    tensors: BTreeMap<String, Place>,
    matrices: BTreeMap<String, MatrixPlace>,
    packed: BTreeMap<String, GroupPlace>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Piece {
    dtype: String,
    n: usize,
    handle: Vec<u8>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Place {
    piece: usize,
    /// In values.
    start: usize,
    dims: Vec<usize>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct MatrixPlace {
    dims: [usize; 2],
    block: usize,
    codes: Place,
    factors: Place,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum GroupPlace {
    Each(Place),
    Nf4(MatrixPlace),
}

/// Layers of one input, which lie behind each other.
#[derive(Debug)]
struct Group {
    /// Name of the first one's weight.
    first: String,
    rows: usize,
    /// Places for the first factors of their adapters.
    room: usize,
    width: usize,
    /// How many are not there yet.
    missing: usize,
    place: Option<GroupPlace>,
}

/// Memory that is filled.
pub(super) struct Arena<'a> {
    device: &'a Device,
    pieces: Vec<SharedMemory>,
    dtypes: Vec<(DType, usize)>,
    /// The piece of a type that has room left, and from where on.
    open: BTreeMap<&'static str, (usize, usize)>,
    groups: Vec<Group>,
    /// Group and first row of a weight.
    slots: BTreeMap<String, (usize, usize)>,
    map: Map,
}

impl<'a> Arena<'a> {
    pub(super) fn new(wanted: &Wanted<'a>) -> Self {
        let mut arena = Self {
            device: wanted.device,
            pieces: Vec::new(),
            dtypes: Vec::new(),
            open: BTreeMap::new(),
            groups: Vec::new(),
            slots: BTreeMap::new(),
            map: Map::default(),
        };
        arena.plan(wanted);
        arena
    }

    /// Which weights are to lie behind each other.
    fn plan(&mut self, wanted: &Wanted) {
        let shapes = wanted.files.shapes();
        for layer in 0.. {
            let layer = format!("{}.layers.{layer}", wanted.names.text());
            let n_groups = self.groups.len();
            for modules in PACKED_TOGETHER {
                let names = modules.iter().map(|module| format!("{layer}.{module}.weight"));
                let shape = |name: String| match shapes.get(&name).map(Vec::as_slice) {
                    Some(&[rows, width]) => Some((name, rows, width)),
                    _ => None,
                };
                let Some(parts) = names.map(shape).collect::<Option<Vec<_>>>() else { continue };
                let Some((first, _, width)) = parts.first().cloned() else { continue };
                if parts.iter().any(|(_, _, other)| *other != width) {
                    continue;
                }
                let mut rows = 0;
                for (name, n, _) in &parts {
                    self.slots.insert(name.clone(), (self.groups.len(), rows));
                    rows += n;
                }
                let room = wanted.rank * parts.len();
                let missing = parts.len();
                self.groups.push(Group { first, rows, room, width, missing, place: None });
            }
            if self.groups.len() == n_groups {
                return;
            }
        }
    }

    /// A place for values that follow each other.
    fn take(&mut self, dtype: DType, dims: &[usize]) -> Result<Place, ModelError> {
        let n: usize = dims.iter().product();
        let unit = ALIGNMENT / dtype.size_in_bytes();
        let (piece, start) = match self.open.get(dtype.as_str()) {
            Some(&(piece, start)) if start + n <= self.dtypes[piece].1 => (piece, start),
            _ => {
                let n = n.max(PIECE / dtype.size_in_bytes());
                self.pieces.push(SharedMemory::allocate(self.device, dtype, n)?);
                self.dtypes.push((dtype, n));
                (self.pieces.len() - 1, 0)
            }
        };
        self.open.insert(dtype.as_str(), (piece, (start + n).next_multiple_of(unit)));
        Ok(Place { piece, start, dims: dims.to_vec() })
    }

    fn write(&self, place: &Place, tensor: &Tensor) -> Result<(), ModelError> {
        Ok(self.pieces[place.piece].write(place.start, tensor)?)
    }

    /// The place of a weight: in its group, or one of its own.
    fn place(&mut self, name: &str, dtype: DType, dims: &[usize]) -> Result<Place, ModelError> {
        let Some(&(group, row)) = self.slots.get(name) else { return self.take(dtype, dims) };
        let Group { rows, room, width, ref place, .. } = self.groups[group];
        let whole = match place {
            Some(GroupPlace::Each(whole)) => whole.clone(),
            None => self.take(dtype, &[rows + room, width])?,
            Some(GroupPlace::Nf4(_)) => return self.take(dtype, dims),
        };
        let place = Place { start: whole.start + row * width, dims: dims.to_vec(), ..whole };
        self.groups[group].place = Some(GroupPlace::Each(whole));
        self.groups[group].missing -= 1;
        Ok(place)
    }

    /// As [`Arena::place`], of a matrix of 4-bit numbers.
    fn matrix_place(&mut self, name: &str, parts: &Nf4Parts) -> Result<MatrixPlace, ModelError> {
        let (dims, block) = (parts.dims, parts.block);
        let slot = self.slots.get(name).filter(|_| dims[1].is_multiple_of(block)).copied();
        let Some((group, row)) = slot else { return self.take_matrix(dims, block) };
        let whole = match &self.groups[group].place {
            Some(GroupPlace::Nf4(whole)) if whole.block == block => whole.clone(),
            None => self.take_matrix([self.groups[group].rows, dims[1]], block)?,
            Some(_) => return self.take_matrix(dims, block),
        };
        let part = |of: &Place, values: usize| Place {
            start: of.start + row * dims[1] / values,
            dims: vec![dims[0] * dims[1] / values],
            ..of.clone()
        };
        let (codes, factors) = (part(&whole.codes, 2), part(&whole.factors, block));
        self.groups[group].place = Some(GroupPlace::Nf4(whole));
        self.groups[group].missing -= 1;
        Ok(MatrixPlace { dims, block, codes, factors })
    }

    fn take_matrix(&mut self, dims: [usize; 2], block: usize) -> Result<MatrixPlace, ModelError> {
        let n = dims[0] * dims[1];
        let codes = self.take(DType::U8, &[n.div_ceil(2)])?;
        let factors = self.take(DType::F32, &[n.div_ceil(block)])?;
        Ok(MatrixPlace { dims, block, codes, factors })
    }

    /// The weights, and what others need to use them, if the driver can share memory.
    pub(super) fn finish(mut self) -> Result<(Base, Result<String, ModelError>), ModelError> {
        // Others may read what has been copied.
        self.device.synchronize()?;
        for group in self.groups {
            if let (0, Some(place)) = (group.missing, group.place) {
                self.map.packed.insert(group.first, place);
            }
        }
        let base = self.map.base(&self.pieces)?;
        let piece = |(memory, (dtype, n)): (&SharedMemory, &(DType, usize))| {
            let dtype = dtype.as_str().to_owned();
            Ok::<_, ModelError>(Piece { dtype, n: *n, handle: memory.handle()? })
        };
        let pieces = self.pieces.iter().zip(&self.dtypes).map(piece).collect::<Result<_, _>>();
        let text = pieces.and_then(|pieces| {
            self.map.pieces = pieces;
            Ok(serde_json::to_string(&self.map).map_err(candle_core::Error::wrap)?)
        });
        Ok((base, text))
    }
}

impl Destination for &mut Arena<'_> {
    fn put(&mut self, name: &str, tensor: Tensor) -> Result<Tensor, ModelError> {
        let place = self.place(name, tensor.dtype(), tensor.dims())?;
        self.write(&place, &tensor)?;
        let shared = place.tensor(&self.pieces)?;
        self.map.tensors.insert(name.to_owned(), place);
        Ok(shared)
    }

    fn put_matrix(&mut self, name: &str, matrix: Nf4Matrix) -> Result<Nf4Matrix, ModelError> {
        let matrix = matrix.with_plain_factors()?;
        let parts = matrix.parts();
        let place = self.matrix_place(name, parts)?;
        self.write(&place.codes, &parts.codes)?;
        if let Nf4Factors::Plain(factors) = &parts.factors {
            self.write(&place.factors, factors)?;
        }
        let shared = place.matrix(&self.pieces)?;
        self.map.matrices.insert(name.to_owned(), place);
        Ok(shared)
    }
}

/// The weights that another process has loaded.
///
/// # Errors
/// Memory of a process that has ended, or that the driver cannot map here.
pub(super) fn open(device: &Device, text: &str) -> Result<Base, ModelError> {
    let map: Map = serde_json::from_str(text).map_err(candle_core::Error::wrap)?;
    let memory = |piece: &Piece| {
        let dtype = piece.dtype.parse::<DType>().map_err(candle_core::Error::wrap)?;
        SharedMemory::open(device, dtype, piece.n, &piece.handle)
    };
    let pieces = map.pieces.iter().map(memory).collect::<Result<Vec<_>, _>>()?;
    map.base(&pieces)
}

impl Map {
    fn base(&self, pieces: &[SharedMemory]) -> Result<Base, ModelError> {
        let tensor = |(name, place): (&String, &Place)| Ok((name.clone(), place.tensor(pieces)?));
        let tensors = self.tensors.iter().map(tensor).collect::<Result<_, ModelError>>()?;
        let matrix =
            |(name, place): (&String, &MatrixPlace)| Ok((name.clone(), place.matrix(pieces)?));
        let quantized = self.matrices.iter().map(matrix).collect::<Result<Quantized, ModelError>>();
        let group = |(name, place): (&String, &GroupPlace)| {
            let group = match place {
                GroupPlace::Each(place) => PackedGroupBase::Each(place.tensor(pieces)?),
                GroupPlace::Nf4(place) => PackedGroupBase::Nf4(place.matrix(pieces)?),
            };
            Ok((name.clone(), group))
        };
        let groups = self.packed.iter().map(group).collect::<Result<_, ModelError>>()?;
        Ok(Base { tensors, quantized: quantized?, packed: PackedBase { groups, room: None } })
    }
}

impl Place {
    fn tensor(&self, pieces: &[SharedMemory]) -> Result<Tensor, ModelError> {
        match pieces.get(self.piece) {
            Some(memory) => Ok(memory.tensor(self.start, &self.dims)?),
            None => Err(ModelError::input("piece of shared memory", pieces.len(), self.piece)),
        }
    }
}

impl MatrixPlace {
    fn matrix(&self, pieces: &[SharedMemory]) -> Result<Nf4Matrix, ModelError> {
        Ok(Nf4Matrix::from_parts(Nf4Parts {
            dims: self.dims,
            codes: self.codes.tensor(pieces)?,
            block: self.block,
            factors: Nf4Factors::Plain(self.factors.tensor(pieces)?),
        })?)
    }
}
