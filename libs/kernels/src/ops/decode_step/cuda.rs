//! The launches of a step, and the places of its results.

use std::sync::Arc;

use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::{CudaSlice, DevicePtr, LaunchConfig};
use candle_core::{CudaDevice, DType, Result, Tensor, bail};

use super::numbers::{Field, Sizes};
use super::{Projection, StepLayer, StepWeights, Values};
use crate::DecodeLayout;
use crate::cuda::{
    Argument, Graph, Matrix, Module, Product, address, count, empty, flat, name_of, none, number,
    place_of, product, size,
};
use crate::ops::decode_attention::{Caches, cuda as attention};
use crate::ops::nf4::{Wide, few_rows_on_gpu};
use crate::ops::rows::select_to;

const KERNELS: Module =
    Module { name: "decode_step", ptx: include_str!(concat!(env!("OUT_DIR"), "/decode_step.ptx")) };

/// Threads for a row.
const ROW_THREADS: usize = 512;
/// Threads for a head.
const HEAD_THREADS: usize = 128;
/// Graphs that are kept.
const MOST_GRAPHS: usize = 8;

/// Steps of one session: the places of their results, and the graphs of the sizes that it met.
#[derive(Debug)]
pub struct DecodeStep {
    weights: Arc<StepWeights>,
    places: Option<Places>,
    graphs: Vec<(Key, Option<Graph>)>,
}

/// What a graph holds on to: it may be repeated where all of this is the same.
#[derive(Debug, PartialEq, Eq)]
struct Key {
    sizes: Sizes,
    /// Where the caches are.
    caches: Vec<u64>,
}

/// Keys and values of each layer, as they are given to [`decode_attention`](crate::decode_attention).
#[derive(Clone, Copy)]
struct AllCaches<'a> {
    prefix: &'a [[Tensor; 2]],
    suffix: &'a [[Tensor; 2]],
}

impl<'a> AllCaches<'a> {
    fn of_layer(self, idx: usize) -> Caches<'a> {
        Caches { prefix: self.prefix[idx].each_ref(), suffix: self.suffix[idx].each_ref() }
    }

    fn addresses(self) -> Result<Vec<u64>> {
        let all = self.prefix.iter().chain(self.suffix).flatten();
        all.map(place_of).collect()
    }
}

impl DecodeStep {
    /// Steps by these weights.
    pub fn new(weights: Arc<StepWeights>) -> Self {
        Self { weights, places: None, graphs: Vec::new() }
    }

    /// Logits (rows, V) in f32 after one more token of each row at its position. The token's keys and values are put
    /// into the rows' slots of `suffix`; caches are as in [`decode_attention`](crate::decode_attention), one pair for each
    /// layer. The logits are overwritten by the next step.
    ///
    /// # Errors
    /// Caches and a layout that do not fit tokens and weights; a GPU that fails.
    pub fn run(
        &mut self,
        tokens: &[u32],
        positions: &[u32],
        layout: &DecodeLayout,
        prefix: &[[Tensor; 2]],
        suffix: &[[Tensor; 2]],
    ) -> Result<Tensor> {
        let caches = AllCaches { prefix, suffix };
        check(&self.weights, tokens, positions, layout, caches)?;
        let weights = self.weights.clone();
        let heads = weights.heads();
        let tables = layout.tables(heads.n_kv_heads, heads.repeats());
        let sizes = Sizes::of(tokens.len(), &tables);
        let device = weights.device()?;
        if !self.places.as_ref().is_some_and(|places| places.have_room_for(sizes)) {
            self.graphs.clear();
            self.places = Some(Places::new(&weights, sizes, self.places.take())?);
        }
        weights.take_hold()?;
        let Some(places) = &mut self.places else { bail!("decode_step: there are no places") };
        let numbers = sizes.numbers(tokens, positions, layout, &tables);
        device.cuda_stream().memcpy_htod(&numbers, &mut places.numbers).w()?;
        let key = Key { sizes, caches: caches.addresses()? };
        self.graphs.retain(|(other, _)| other.caches == key.caches);
        let step = Step { weights: &weights, places, caches, sizes, device };
        match self.graphs.iter_mut().find(|(other, _)| *other == key) {
            // The first of its sizes loads the kernels, the second is recorded.
            None => {
                step.launch()?;
                self.graphs.truncate(MOST_GRAPHS - 1);
                self.graphs.insert(0, (key, None));
            }
            Some((_, graph)) => {
                let graph = match graph {
                    Some(graph) => graph,
                    None => graph.insert(Graph::record(device, || step.launch())?),
                };
                graph.launch()?;
            }
        }
        places.logits.narrow(0, 0, tokens.len())
    }
}

/// Where results of a step go, for up to so many rows.
#[derive(Debug)]
struct Places {
    sizes: Sizes,
    numbers: CudaSlice<u32>,
    /// The residual stream, and what it is normalized to, (R, width).
    x: Tensor,
    h: Tensor,
    /// (R, outputs and inner values), as `gate_up`.
    qkv: Tensor,
    /// Queries, and what they attended to, (R, n_heads · head_dim).
    q: Tensor,
    attended: Tensor,
    /// What is added to the stream, (R, width and inner values).
    y: Tensor,
    gate_up: Tensor,
    inner: Tensor,
    room: Option<attention::Room>,
    logits: Tensor,
}

impl Places {
    /// For these sizes, and all that there was room for before.
    fn new(weights: &StepWeights, sizes: Sizes, before: Option<Self>) -> Result<Self> {
        let before = before.map(|places| places.sizes);
        let most = |of: fn(Sizes) -> usize| of(sizes).max(before.map_or(0, of));
        let sizes = Sizes {
            n_rows: most(|sizes| sizes.n_rows),
            n_pieces: most(|sizes| sizes.n_pieces),
            n_parts: most(|sizes| sizes.n_parts),
        };
        let device = weights.device()?;
        let dtype = weights.embedding.dtype();
        let n = sizes.n_rows;
        let of = |width: usize| empty((n, width), dtype, device);
        let Some(layer) = weights.layers.first() else { bail!("decode_step: no layers") };
        let heads = weights.heads();
        let q_width = heads.n_heads * heads.head_dim;
        let width = weights.width()?;
        let by_pieces = heads.uses_tensor_cores(dtype)?;
        let room = || attention::Room::new(n * sizes.n_parts, q_width, heads.n_heads, device);
        Ok(Self {
            sizes,
            numbers: device.cuda_stream().alloc_zeros(sizes.len()).w()?,
            x: of(width)?,
            h: of(width)?,
            qkv: of(layer.qkv.weights.n_rows())?,
            q: of(q_width)?,
            attended: of(q_width)?,
            y: of(layer.out.weights.n_rows().max(layer.down.weights.n_rows()))?,
            gate_up: of(layer.gate_up.weights.n_rows())?,
            inner: of(layer.down.weights.d_in)?,
            room: by_pieces.then(room).transpose()?,
            logits: empty((n, weights.head.dim(0)?), DType::F32, device)?,
        })
    }

    fn have_room_for(&self, sizes: Sizes) -> bool {
        sizes.n_rows <= self.sizes.n_rows
            && sizes.n_pieces <= self.sizes.n_pieces
            && sizes.n_parts <= self.sizes.n_parts
    }
}

/// A step whose numbers are on the GPU.
struct Step<'a> {
    weights: &'a StepWeights,
    places: &'a Places,
    caches: AllCaches<'a>,
    sizes: Sizes,
    device: &'a CudaDevice,
}

impl Step<'_> {
    fn launch(&self) -> Result<()> {
        let Self { weights, places, device, .. } = *self;
        let n = self.sizes.n_rows;
        let Places { x, h, q, attended, y, gate_up, inner, .. } = places;
        select_to(device, &weights.embedding, self.field(Field::Tokens), n, x)?;
        let next = |idx: usize| match weights.layers.get(idx) {
            Some(layer) => &layer.input_norm,
            None => &weights.norm,
        };
        self.add_norm(None, next(0))?;
        for (idx, layer) in weights.layers.iter().enumerate() {
            self.project(h, &layer.qkv, &places.qkv)?;
            self.place(layer, self.caches.of_layer(idx))?;
            attention::launch(
                device,
                q,
                self.caches.of_layer(idx),
                weights.heads(),
                self.tables(),
                places.room.as_ref(),
                (attended, n),
            )?;
            self.project(attended, &layer.out, y)?;
            self.add_norm(Some(&layer.out), &layer.mlp_norm)?;
            self.project(h, &layer.gate_up, gate_up)?;
            self.gate(&layer.gate_up)?;
            self.project(inner, &layer.down, y)?;
            self.add_norm(Some(&layer.down), next(idx + 1))?;
        }
        let a = Matrix::rows(h, weights.width()?, 0, n);
        let b = Matrix::whole(&weights.head)?.t();
        let to = Matrix::rows(&places.logits, weights.head.dim(0)?, 0, n);
        product(device, &Product { a, b, to, adds: false, scale: 1.0 })
    }

    /// Where a field of the step's numbers is.
    fn field(&self, field: Field) -> Argument {
        let (start, _) = self.places.numbers.device_ptr(self.places.numbers.stream());
        Argument::Address(start + 4 * self.sizes.start(field) as u64)
    }

    fn tables(&self) -> attention::Tables {
        attention::Tables {
            pieces: self.field(Field::Pieces),
            n_pieces: self.sizes.n_pieces,
            rows: self.field(Field::Rows),
            n_parts: self.sizes.n_parts,
        }
    }

    /// A projection without its bias, and the inner values of its adapters behind it.
    fn project(&self, x: &Tensor, by: &Projection, to: &Tensor) -> Result<()> {
        let n = self.sizes.n_rows;
        match &by.weights.values {
            Values::Each(all) => {
                let b = Matrix::whole(all)?;
                let (n_outputs, d_in) = b.dims;
                let a = Matrix::rows(x, d_in, 0, n);
                let to = Matrix::rows(to, n_outputs, 0, n);
                product(self.device, &Product { a, b: b.t(), to, adds: false, scale: 1.0 })
            }
            Values::Nf4(matrix, inner) => {
                few_rows_on_gpu(x, n, Wide { matrix, inner: inner.as_ref() }, to)
            }
        }
    }

    /// Adds what a projection gave to the stream, and normalizes it.
    fn add_norm(&self, added: Option<&Projection>, norm: &Tensor) -> Result<()> {
        let Places { x, h, y, .. } = self.places;
        let adapter = added.and_then(|added| added.adapter.as_ref());
        let arguments = [
            optional(added.map(|_| y))?,
            optional(added.and_then(|added| added.bias.as_ref()))?,
            optional(adapter.map(|adapter| &adapter.b))?,
            address(x)?,
            address(norm)?,
            address(h)?,
            size(self.weights.width()?)?,
            size(added.map_or(0, |added| added.weights.n_rows()))?,
            size(added.map_or(Ok(0), Projection::rank)?)?,
            number(adapter.map_or(0.0, |adapter| adapter.scale)),
            number(self.weights.norm_eps),
        ];
        self.start("add_norm", [self.sizes.n_rows, 1], ROW_THREADS, &arguments)
    }

    /// Queries to their place, keys and values to the caches.
    fn place(&self, layer: &StepLayer, caches: Caches) -> Result<()> {
        let Places { qkv, q, .. } = self.places;
        let heads = self.weights.heads();
        let [keys, values] = caches.suffix;
        let adapter = layer.qkv.adapter.as_ref();
        let [q_norm, k_norm] = &layer.head_norms;
        let arguments = [
            address(qkv)?,
            optional(layer.qkv.bias.as_ref())?,
            optional(adapter.map(|adapter| &adapter.b))?,
            optional(q_norm.as_ref())?,
            optional(k_norm.as_ref())?,
            self.field(Field::Positions),
            address(&self.weights.frequencies)?,
            self.field(Field::Newest),
            address(q)?,
            address(keys)?,
            address(values)?,
            size(heads.n_heads)?,
            size(heads.n_kv_heads)?,
            size(heads.head_dim)?,
            size(layer.qkv.weights.n_rows())?,
            size(layer.qkv.rank()?)?,
            number(adapter.map_or(0.0, |adapter| adapter.scale)),
            number(self.weights.norm_eps),
        ];
        let grid = [self.sizes.n_rows, heads.n_heads + 2 * heads.n_kv_heads];
        self.start("place", grid, HEAD_THREADS, &arguments)
    }

    fn gate(&self, by: &Projection) -> Result<()> {
        let Places { gate_up, inner, .. } = self.places;
        let n = self.sizes.n_rows;
        let width = by.weights.n_outputs / 2;
        let adapter = by.adapter.as_ref();
        let arguments = [
            address(gate_up)?,
            optional(by.bias.as_ref())?,
            optional(adapter.map(|adapter| &adapter.b))?,
            address(inner)?,
            count(n),
            size(width)?,
            size(by.weights.n_rows())?,
            size(by.rank()?)?,
            number(adapter.map_or(0.0, |adapter| adapter.scale)),
        ];
        let kernel = self.kernel("gated")?;
        KERNELS.launch(self.device, &kernel, flat(n * width), &arguments)
    }

    fn start(
        &self,
        kernel: &str,
        [x, y]: [usize; 2],
        n_threads: usize,
        arguments: &[Argument],
    ) -> Result<()> {
        let grid = LaunchConfig {
            grid_dim: (x as u32, y as u32, 1),
            block_dim: (n_threads as u32, 1, 1),
            shared_mem_bytes: 0,
        };
        KERNELS.launch(self.device, &self.kernel(kernel)?, grid, arguments)
    }

    fn kernel(&self, name: &str) -> Result<String> {
        Ok(format!("decode_step_{name}_{}", name_of(self.places.x.dtype())?))
    }
}

fn optional(tensor: Option<&Tensor>) -> Result<Argument> {
    tensor.map_or_else(|| Ok(none()), address)
}

fn check(
    weights: &StepWeights,
    tokens: &[u32],
    positions: &[u32],
    layout: &DecodeLayout,
    caches: AllCaches,
) -> Result<()> {
    let n = tokens.len();
    let n_layers = weights.layers.len();
    let n_rows: usize = layout.groups.iter().map(|group| group.rows.len()).sum();
    let kv_width = weights.n_kv_heads * weights.head_dim;
    let dtype = weights.embedding.dtype();
    if n == 0 || positions.len() != n || n_rows != n {
        let n_positions = positions.len();
        bail!("decode_step: {n} tokens, {n_positions} positions, {n_rows} rows of the layout")
    }
    if caches.prefix.len() != n_layers || caches.suffix.len() != n_layers {
        bail!("decode_step: {n_layers} layers, caches of {}", caches.suffix.len())
    }
    for (prefix, suffix) in caches.prefix.iter().zip(caches.suffix) {
        for (prefix, suffix) in prefix.iter().zip(suffix) {
            let (n_prefix, width) = prefix.dims2()?;
            let (n_slots, capacity, suffix_width) = suffix.dims3()?;
            let are_there = layout.groups.iter().all(|group| {
                group.prefix.end <= n_prefix
                    && (1..=capacity).contains(&group.n_suffix)
                    && group.slots.iter().all(|slot| *slot < n_slots)
            });
            let fits = [width, suffix_width] == [kv_width; 2] && layout.capacity == capacity;
            if !are_there || !fits || prefix.dtype() != dtype || suffix.dtype() != dtype {
                bail!("decode_step: the layout does not fit its caches")
            }
        }
    }
    Ok(())
}
