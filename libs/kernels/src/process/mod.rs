//! Settings of the whole process: how it keeps memory, and where its loops run.

mod heap;
mod worker;

pub use heap::{give_back_freed_memory, keep_freed_memory, share_one_heap};
pub use worker::on_worker;
