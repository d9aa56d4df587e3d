//! What sentences mean, as vectors: a BERT in the layout of sentence-transformers, its tokens averaged.
//!
//! ```no_run
//! let encoder = vrft_embedding::Encoder::load("all-MiniLM-L6-v2".as_ref())?;
//! let [opens, closes] = &encoder.encode(&["a man opens the door", "somebody closes a window"])?[..] else {
//!     unreachable!()
//! };
//! println!("{}", opens.cosine(closes));
//! # Ok::<(), vrft_embedding::EmbeddingError>(())
//! ```
//! Inference only, on CPU, in f32. Vectors equal those of transformers, see `tests/golden.rs`.

mod config;
#[cfg(feature = "encoder")]
mod encoder;
#[cfg(feature = "encoder")]
mod error;
#[cfg(feature = "encoder")]
mod layout;

pub use config::SemanticConfig;
#[cfg(feature = "encoder")]
pub use encoder::{Embedding, Encoder};
#[cfg(feature = "encoder")]
pub use error::EmbeddingError;
