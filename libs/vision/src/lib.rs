//! Image bytes to the pixel patches of the Qwen2-VL family, and the spaces that box coordinates live in.

mod patches;

pub use patches::{Grid, Patches};
