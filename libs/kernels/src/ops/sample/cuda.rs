//! On an NVIDIA GPU, by the kernel in `cuda.cu`.

use candle_core::cuda_backend::cudarc::driver::LaunchConfig;
use candle_core::{CudaDevice, DType, Device, Result, Tensor, bail};

use super::{DrawRow, DrawSettings};
use crate::cuda::{Module, address, blocks, empty, from_address, number, size, upload, word};

const KERNELS: Module =
    Module { name: "sample", ptx: include_str!(concat!(env!("OUT_DIR"), "/sample.ptx")) };

const THREADS: usize = 1024;
/// Parts of a line, and the threads of each, where many blocks have a line.
const PARTS: usize = 32;
const PART_THREADS: usize = 256;
/// Numbers of 32 bits that a part says.
const PART_WORDS: usize = 4;
/// What the kernel draws from a line that is no distribution.
const NO_TOKEN: u32 = u32::MAX;

/// Draws from the logits of rows that mostly are those of the draw before: their table is copied to the GPU where they
/// are not, and of a token its id and its logprob come back.
#[derive(Debug)]
pub struct GpuSampler {
    settings: DrawSettings,
    ends: Tensor,
    /// The rows that the table has, with the places that it says.
    known: Vec<DrawRow>,
    table: Option<Tensor>,
    places: Option<Places>,
}

/// Where draws of so many rows go.
#[derive(Debug)]
struct Places {
    n_rows: usize,
    /// What parts of lines say.
    parts: Tensor,
    /// Tokens and the bits of their logprobs, to be fetched together.
    drawn: Tensor,
}

impl Places {
    fn new(n_rows: usize, device: &CudaDevice) -> Result<Self> {
        let parts = empty((n_rows * PARTS, PART_WORDS), DType::U32, device)?;
        Ok(Self { n_rows, parts, drawn: empty((2, n_rows), DType::U32, device)? })
    }
}

impl GpuSampler {
    /// Draws by these settings.
    ///
    /// # Errors
    /// A device that is no GPU.
    pub fn new(settings: DrawSettings, device: &Device) -> Result<Self> {
        let ends = upload(&settings.end_ids, device.as_cuda_device()?)?;
        Ok(Self { settings, ends, known: Vec::new(), table: None, places: None })
    }

    /// A token for each line of logits (R, V), f32 on the GPU, with its logprob in the whole distribution; nothing for a
    /// line that is no distribution.
    ///
    /// A draw depends on its line, the row's seed and position alone. The stream is another one than the CPU sampler's:
    /// same chances, other tokens.
    ///
    /// # Errors
    /// Logits that are not on a GPU, another number of rows than of lines.
    pub fn draw(&mut self, logits: &Tensor, rows: &[DrawRow]) -> Result<Vec<Option<(u32, f32)>>> {
        let (n, vocab_size) = logits.dims2()?;
        if rows.len() != n || logits.dtype() != DType::F32 {
            let dtype = logits.dtype();
            bail!("draw: {n} lines of f32 expected for {} rows, got {dtype:?}", rows.len())
        }
        if n == 0 {
            return Ok(Vec::new());
        }
        let device = logits.device().as_cuda_device()?;
        let offset = match advance(&self.known, rows) {
            Some(offset) => offset,
            None => {
                self.known = rows.to_vec();
                self.table = None;
                0
            }
        };
        let table = match &self.table {
            Some(table) => table,
            None => {
                let of_row =
                    |row: &DrawRow| [row.seed as u32, (row.seed >> 32) as u32, row.position];
                let table: Vec<u32> = rows.iter().flat_map(of_row).collect();
                self.table.insert(upload(&table, device)?)
            }
        };
        let Places { parts, drawn, .. } = match self.places.take() {
            Some(places) if places.n_rows == n => self.places.insert(places),
            _ => self.places.insert(Places::new(n, device)?),
        };
        let settings = &self.settings;
        let greedy = settings.temperature == 0.0;
        let temperature = if greedy { 1.0 } else { settings.temperature };
        let inverse = number(1.0 / temperature);
        let [logits, tokens, vocab_size] = [address(logits)?, address(drawn)?, size(vocab_size)?];
        let logprobs = from_address(drawn, n)?;
        let of_rows = [
            word(offset),
            word(u32::try_from(settings.min_tokens).unwrap_or(u32::MAX)),
            vocab_size,
            size(settings.end_ids.len())?,
            inverse,
            size(usize::from(greedy))?,
        ];
        let tables = [logits, address(table)?, address(&self.ends)?];
        if settings.keeps_all() {
            let parts = address(parts)?;
            let arguments = [&tables[..], &[parts], &of_rows].concat();
            let grid =
                LaunchConfig { grid_dim: (n as u32, PARTS as u32, 1), ..blocks(n, PART_THREADS) };
            KERNELS.launch(device, "sample_parts", grid, &arguments)?;
            let arguments = [logits, parts, tokens, logprobs, size(PARTS)?, vocab_size, inverse];
            KERNELS.launch(device, "sample_join", blocks(n, 32), &arguments)?;
        } else {
            let kept = [size(settings.top_k)?, number(settings.top_p), number(settings.min_p)];
            let arguments = [&tables[..], &[tokens, logprobs], &of_rows, &kept].concat();
            KERNELS.launch(device, "sample", blocks(n, THREADS), &arguments)?;
        }
        let drawn = drawn.to_vec2::<u32>()?;
        let pairs = drawn[0].iter().zip(&drawn[1]);
        Ok(pairs
            .map(|(token, bits)| (*token != NO_TOKEN).then_some((*token, f32::from_bits(*bits))))
            .collect())
    }
}

/// How many places all rows are behind where they were known to be; nothing if they are other rows.
fn advance(known: &[DrawRow], rows: &[DrawRow]) -> Option<u32> {
    let (first, is) = (known.first()?, rows.first()?);
    let offset = is.position.checked_sub(first.position)?;
    let moved = known.iter().map(|row| DrawRow { position: row.position + offset, ..*row });
    moved.eq(rows.iter().copied()).then_some(offset)
}
