//! Differentiable tensor operations: the forward and the backward of what a transformer trains through.
//!
//! candle's own fused operations are made for inference and cut the gradient, and its matrix product transposes by
//! copying in the backward pass. The operations here carry their backward. Who comes from PyTorch needs five words:
//!
//! - **[`Context`]** is what a computation is given besides its operands: the device, the [`Backend`] and the mode,
//!   which is inference, decoding or training. It is the first argument of every operation, as if `torch.no_grad()`
//!   and `torch.device` were a value; nothing is found in a thread or in a global.
//! - **[`Tape`]** is the autograd graph of one forward pass. A context made by [`Context::training`] records on it,
//!   and [`Tape::backward`] goes through it once, freeing activations on its way.
//! - **[`Activation`]** is a value between operations. It is no candle tensor, so that an operation of candle, which
//!   would cut the gradient, does not compile; [`Activation::detach`] is the way to its values.
//! - **[`Weight`]** is a parameter, trainable or frozen. The gradients of trainable ones are summed in [`Gradients`].
//! - **Operation** is a function such as [`rms_norm`] and a folder under `ops/`: `mod.rs` defines it, and beside it
//!   stand `cpu.rs`, fused for main memory, `composed.rs`, the reference of candle's operations, and where there is
//!   one `cuda.rs`. A test holds the implementations to each other and to finite differences.
//!
//! An operation on a GPU is added beside its others. For attention these are: `ops/attention/cuda.cu`, the kernels;
//! `ops/attention/cuda.rs` with `forward` and `backward`, which launch them; two arms and a `mod` line in
//! `ops/attention/mod.rs`. `build.rs` finds and compiles the kernels. `tests/cuda_on_cpu/attention.rs` has their cases and
//! runs the same kernels on the CPU, so that they are tested without a GPU.
//!
//! Axes: `N` rows (tokens), `D` width, `V` vocabulary. All results are deterministic: sums over rows are taken in
//! blocks of fixed size, whatever the number of threads.

mod autograd;
mod context;
mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
pub mod dynamic_map;
mod matmul;
mod ops;
mod process;
#[cfg(test)]
mod testing;

#[cfg(feature = "cuda")]
pub use autograd::NarrowWeights;
pub use autograd::{Activation, Gradients, Tape, Weight, checkpoint};
pub use context::{Backend, Context, open_cuda};
pub use cpu::exp::exp_in_place;
pub use cpu::vectorized;
#[cfg(feature = "cuda")]
pub use cuda::{SharedMemory, give_back_freed_gpu_memory, gpu_id, gpu_memory};
pub use matmul::{gemm_backend, gemm_backend_error, gemm_flops, measure_gflops};
#[cfg(feature = "cuda")]
pub use ops::{
    AdamwNumbers, AdapterFactors, DecodeStep, DrawRow, DrawSettings, GpuMoments, GpuSampler,
    PackedWeights, Packing, Projection, StepLayer, StepWeights, adamw_on_gpu, squares_on_gpu,
};
pub use ops::{
    AttentionGroup, AttentionLayout, DecodeGroup, DecodeLayout, DecodeTables, LayoutTables,
    Nf4Factors, Nf4Matrix, Nf4Parts, Tap, TokenLogprobs, add, add_linear, append_newest, attention,
    cast, decode_attention, dropout, embedding, gelu, gelu_tanh, layer_norm, linear, linear_part,
    linears, mix_rows, put_rows, quick_gelu, replace_rows, reshape, rms_norm, rotary, scale,
    select_rows, swiglu, token_logprobs,
};
pub use process::{give_back_freed_memory, keep_freed_memory, on_worker, share_one_heap};
