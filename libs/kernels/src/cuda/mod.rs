//! Launching the operations' own CUDA kernels on candle's tensors.
//!
//! An operation's `cuda.cu` is compiled to PTX by `build.rs` and stands beside the `cuda.rs` that launches it. What the
//! kernels have in common is in the headers of this folder.

mod biased;
mod device;
mod graph;
mod launch;
mod product;
mod shared;
mod upload;

pub(crate) use biased::product_and_bias;
pub(crate) use device::open;
pub use device::{give_back_freed_gpu_memory, gpu_memory};
pub(crate) use graph::Graph;
pub(crate) use launch::{
    Argument, Module, address, blocks, count, empty, flat, from_address, name_of, none, number,
    place_of, size, word,
};
pub(crate) use product::{Matrix, Product, product};
pub use shared::{SharedMemory, gpu_id};
pub(crate) use upload::{Uploaded, upload, upload_wide};
