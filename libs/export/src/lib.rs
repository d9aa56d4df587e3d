//! A checkpoint of the Hugging Face layout as files that llama.cpp opens: the language model, and the vision tower with its
//! projector (`mmproj`), in GGUF.
//!
//! Names, dimensions, types and bytes of all tensors are those that llama.cpp's own converter writes. Weights are read one
//! tensor at a time, so a model of any size needs the memory of its largest tensor.
//!
//! ```no_run
//! # fn main() -> Result<(), vrft_export::ExportError> {
//! use vrft_export::{Storage, export_gguf};
//! let files = export_gguf("merged".as_ref(), "llama".as_ref(), Storage::Q8_0, None)?;
//! println!("{:?} and {:?}", files.text, files.tower);
//! # Ok(()) }
//! ```

mod convert;
mod error;
mod families;
mod gguf;
mod storage;
mod text;
mod tokenizer;

pub use convert::{Files, export_gguf};
pub use error::ExportError;
pub use gguf::{GgufFile, Stored, Value};
pub use storage::{Storage, TensorType};
