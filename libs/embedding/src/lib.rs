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

mod encoder;
mod error;
mod layout;

pub use encoder::{Embedding, Encoder};
pub use error::EmbeddingError;
