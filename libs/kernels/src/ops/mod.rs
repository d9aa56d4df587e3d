//! The operations: one folder each, with its definition in `mod.rs` and its implementations beside it.
//!
//! `cpu.rs` is the fused one for main memory, `composed.rs` the reference of candle's operations, `cuda.rs` and
//! `cuda.cu` one for NVIDIA GPUs. Each implementation has the same functions, `forward` and `backward` on tensors;
//! `mod.rs` checks the shapes, chooses by [`Backend`](crate::Backend), and records the operation on the tape.

#[cfg(feature = "cuda")]
mod adamw;
mod add;
mod attention;
mod decode_attention;
#[cfg(feature = "cuda")]
mod decode_step;
mod dropout;
mod gelu;
mod layer_norm;
mod linear;
mod mix_rows;
mod nf4;
mod rms_norm;
mod rotary;
mod rows;
#[cfg(feature = "cuda")]
mod sample;
mod scale;
mod swiglu;
mod token_logprobs;

#[cfg(feature = "cuda")]
pub use adamw::{AdamwNumbers, GpuMoments, adamw_on_gpu, squares_on_gpu};
pub use add::add;
#[cfg(feature = "cuda")]
pub(crate) use add::add_in_place;
pub use attention::{AttentionGroup, AttentionLayout, LayoutTables, attention};
pub use decode_attention::{
    DecodeGroup, DecodeLayout, DecodeTables, append_newest, decode_attention,
};
#[cfg(feature = "cuda")]
pub use decode_step::{
    AdapterFactors, DecodeStep, PackedWeights, Packing, Projection, StepLayer, StepWeights,
};
pub use dropout::dropout;
pub use gelu::{gelu, gelu_tanh, quick_gelu};
pub use layer_norm::layer_norm;
pub use linear::{add_linear, linear, linear_part, linears};
pub use mix_rows::{Tap, mix_rows};
pub use nf4::{Nf4Factors, Nf4Matrix, Nf4Parts};
pub use rms_norm::rms_norm;
pub use rotary::rotary;
#[cfg(feature = "cuda")]
pub(crate) use rows::narrow_all;
pub use rows::{cast, embedding, put_rows, replace_rows, reshape, select_rows};
#[cfg(feature = "cuda")]
pub use sample::{DrawRow, DrawSettings, GpuSampler};
pub use scale::scale;
pub use swiglu::swiglu;
pub use token_logprobs::{TokenLogprobs, token_logprobs};
