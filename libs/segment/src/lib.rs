//! Masks from boxes: the Segment Anything Model (SAM, arXiv 2304.02643), asked for the object in each box of a picture.
//!
//! ```no_run
//! use vrft_segment::{SegmentConfig, Segmenter};
//! let segmenter = Segmenter::load(&SegmentConfig { model: "facebook/sam-vit-base".into(), ..SegmentConfig::default() })?;
//! let pixels = vrft_vision::decode(&std::fs::read("photo.jpg").unwrap()).unwrap();
//! let seen = segmenter.look(&pixels)?;
//! for segment in segmenter.segment(&seen, &[[10.0, 20.0, 300.0, 200.0]])? {
//!     println!("{} pixels, said to be right to {:.2}", segment.mask.area(), segment.iou);
//! }
//! # Ok::<(), vrft_segment::SegmentError>(())
//! ```
//! Inference only, on the CPU, in f32. The picture is encoded once, however many boxes are asked for. Pixels, logits and masks
//! equal those of transformers' `SamModel` and `SamProcessor`, see `tests/golden.rs`. The image encoder and the transformer
//! of the decoder are candle-transformers'; prompts and the end of the decoder are ours, because there candle takes another
//! GELU than SAM and one box at a time.

mod config;
mod decoder;
mod error;
mod names;
mod pixels;
mod prompt;
mod segmenter;
mod sizes;
mod upscale;
mod weights;

pub use config::SegmentConfig;
pub use error::SegmentError;
pub use segmenter::{Seen, Segment, Segmenter};
