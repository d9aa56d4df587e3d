//! On an NVIDIA GPU, by the kernel in `cuda.cu`.

use candle_core::{DType, Result, Tensor, bail};

use super::{DrawRow, DrawSettings};
use crate::cuda::{Module, address, blocks, empty, number, size, upload};

const KERNELS: Module =
    Module { name: "sample", ptx: include_str!(concat!(env!("OUT_DIR"), "/sample.ptx")) };

const THREADS: usize = 1024;
/// What the kernel draws from a line that is no distribution.
const NO_TOKEN: u32 = u32::MAX;

pub(super) fn draw(
    logits: &Tensor,
    rows: &[DrawRow],
    settings: &DrawSettings,
) -> Result<Vec<Option<(u32, f32)>>> {
    let (n, vocab_size) = logits.dims2()?;
    if rows.len() != n || logits.dtype() != DType::F32 {
        let dtype = logits.dtype();
        bail!("draw: {n} lines of f32 expected for {} rows, got {dtype:?}", rows.len())
    }
    if n == 0 {
        return Ok(Vec::new());
    }
    let device = logits.device().as_cuda_device()?;
    let of_row = |row: &DrawRow| {
        [row.seed as u32, (row.seed >> 32) as u32, row.position, u32::from(row.may_end)]
    };
    let table: Vec<u32> = rows.iter().flat_map(of_row).collect();
    let table = upload(&table, device)?;
    let ends = upload(settings.end_ids, device)?;
    // Tokens and the bits of their logprobs, to be fetched together.
    let drawn = empty((2, n), DType::U32, device)?;
    let greedy = settings.temperature == 0.0;
    let temperature = if greedy { 1.0 } else { settings.temperature };
    let arguments = [
        address(logits)?,
        address(&table)?,
        address(&ends)?,
        address(&drawn)?,
        crate::cuda::from_address(&drawn, n)?,
        size(vocab_size)?,
        size(settings.end_ids.len())?,
        number(1.0 / temperature),
        size(usize::from(greedy))?,
        size(settings.top_k)?,
        number(settings.top_p),
        number(settings.min_p),
    ];
    KERNELS.launch(device, "sample", blocks(n, THREADS), &arguments)?;
    let drawn = drawn.to_vec2::<u32>()?;
    let pairs = drawn[0].iter().zip(&drawn[1]);
    Ok(pairs
        .map(|(token, bits)| (*token != NO_TOKEN).then_some((*token, f32::from_bits(*bits))))
        .collect())
}
