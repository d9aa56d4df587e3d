//! Differentiable tensor operations: the forward and the backward of what a transformer trains through.
//!
//! candle's own fused operations are made for inference and cut the gradient; its matrix product transposes
//! by copying on the way back. The operations here carry their backward and are fused on the CPU in f32 and
//! bfloat16; elsewhere, or in another type, they are composed of candle's own with the same result. A [`Tape`]
//! records both alike.
//!
//! Axes: `N` rows (tokens), `D` width, `V` vocabulary. All results are deterministic: sums over rows are
//! taken in blocks of fixed size, whatever the number of threads.

mod activation;
mod add;
mod attention;
mod buffer;
mod decode;
mod element;
mod exp;
mod gradients;
mod head;
mod heap;
mod layer_norm;
mod linear;
mod matmul;
mod path;
mod rms_norm;
mod rotary;
mod rows;
mod scale;
mod simd;
mod span;
mod swiglu;
mod tape;
#[cfg(test)]
mod testing;
mod token_logprobs;
mod worker;

pub use activation::{gelu, quick_gelu};
pub use add::add;
pub use attention::attention;
pub use decode::{DecodeGroup, decode_attention};
pub use exp::exp_in_place;
pub use gradients::Gradients;
pub use heap::{give_back_freed_memory, keep_freed_memory, share_one_heap};
pub use layer_norm::layer_norm;
pub use linear::{linear, linear_part, linears};
pub use matmul::{gemm_backend, gemm_backend_error, gemm_flops, measure_gflops};
pub use path::{composed, decoding, is_fused};
pub use rms_norm::rms_norm;
pub use rotary::rotary;
pub use rows::{cast, put_rows, replace_rows, reshape, select_rows};
pub use scale::{mask, scale};
pub use simd::vectorized;
pub use span::{AttentionGroup, AttentionLayout};
pub use swiglu::swiglu;
pub use tape::{Tape, checkpoint};
pub use token_logprobs::token_logprobs;
pub use worker::on_worker;
