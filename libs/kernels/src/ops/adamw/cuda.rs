//! On an NVIDIA GPU, by the kernels in `cuda.cu`.

use candle_core::{DType, Result, Tensor, bail};

use super::{AdamwNumbers, GpuMoments};
use crate::cuda::{
    Argument, Module, address, blocks, count, flat, number, place_of, upload_wide, word,
};

const KERNELS: Module =
    Module { name: "adamw", ptx: include_str!(concat!(env!("OUT_DIR"), "/adamw.ptx")) };

/// Values that share a scale in 8 bits, and threads of a block.
const BLOCK: usize = 256;
const MOST_BLOCKS: usize = 4096;
/// Parts that a tensor's squares are summed in. Fixed, so that sums have one order on every GPU.
const PARTS: usize = 64;

pub(super) fn update(
    weight: &Tensor,
    gradient: &Tensor,
    moments: &GpuMoments,
    numbers: &AdamwNumbers,
) -> Result<()> {
    let n = weight.elem_count();
    let fits = |tensor: &Tensor| tensor.elem_count() == n;
    let all_fit = fits(gradient)
        && match moments {
            GpuMoments::F32(both) | GpuMoments::Bf16(both) => both.iter().all(fits),
            GpuMoments::Int8 { codes, scales, tables } => {
                codes.iter().all(fits)
                    && scales.iter().all(|scales| scales.elem_count() == n.div_ceil(BLOCK))
                    && tables.elem_count() == 4 * BLOCK
            }
        };
    if !all_fit || [weight.dtype(), gradient.dtype()] != [DType::F32; 2] {
        bail!("adamw: moments and gradient should have {n} values in f32")
    }
    if n == 0 {
        return Ok(());
    }
    let device = weight.device().as_cuda_device()?;
    let numbers_of = numbers.arguments();
    let (kernel, grid, mut arguments) = match moments {
        GpuMoments::F32([first, second]) => {
            let own = [address(weight)?, address(first)?, address(second)?, address(gradient)?];
            ("adamw_f32", flat(n), [&own[..], &[count(n)]].concat())
        }
        GpuMoments::Bf16([first, second]) => {
            let own = [address(weight)?, address(first)?, address(second)?, address(gradient)?];
            let rest = [count(n), word(numbers.key)];
            ("adamw_bf16", flat(n), [&own[..], &rest].concat())
        }
        GpuMoments::Int8 { codes, scales, tables } => {
            let own = [address(weight)?, address(&codes[0])?, address(&codes[1])?];
            let scales = [address(&scales[0])?, address(&scales[1])?, address(tables)?];
            let rest = [address(gradient)?, count(n)];
            let grid = blocks(n.div_ceil(BLOCK).min(MOST_BLOCKS), BLOCK);
            ("adamw_int8", grid, [&own[..], &scales, &rest].concat())
        }
    };
    arguments.extend(numbers_of);
    KERNELS.launch(device, kernel, grid, &arguments)
}

impl AdamwNumbers {
    fn arguments(&self) -> [Argument; 8] {
        [
            self.scale,
            self.blend,
            self.beta2,
            1.0 - self.beta2,
            self.keep,
            self.rate,
            1.0 / self.root,
            self.eps,
        ]
        .map(number)
    }
}

pub(super) fn squares(tensors: &[&Tensor]) -> Result<f64> {
    let Some(first) = tensors.first() else { return Ok(0.0) };
    let device = first.device().as_cuda_device()?;
    let mut sum = 0.0;
    // So many as a grid has in its second direction.
    for tensors in tensors.chunks(u16::MAX.into()) {
        let partial = Tensor::zeros((tensors.len(), PARTS), DType::F64, first.device())?;
        let row = |tensor: &&Tensor| Ok([place_of(tensor)?, tensor.elem_count() as u64]);
        let table = tensors.iter().map(row).collect::<Result<Vec<_>>>()?;
        let table = upload_wide(table.as_flattened(), device)?;
        let mut grid = blocks(PARTS, BLOCK);
        grid.grid_dim.1 = tensors.len() as u32;
        KERNELS.launch(device, "squares", grid, &[address(&table)?, address(&partial)?])?;
        sum += partial.flatten_all()?.to_vec1::<f64>()?.into_iter().sum::<f64>();
    }
    Ok(sum)
}
