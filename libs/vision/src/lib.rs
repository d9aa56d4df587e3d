//! Images and videos to the pixel patches of the Qwen2-VL family, and the spaces that coordinates live in.
//!
//! ```
//! // The sides that the model sees: multiples of 28, and about as many pixels as before.
//! assert_eq!(vrft_vision::smart_resize(480, 640, 28, 3136, 1_003_520)?, (476, 644));
//! # Ok::<(), vrft_vision::VisionError>(())
//! ```

mod decode;
mod error;
mod header;
mod jpeg;
mod keys;
mod patches;
mod preprocessor;
mod resample;
mod sampling;
mod settings;
mod size;
mod space;
mod video;

pub use decode::{Pixels, decode};
pub use error::VisionError;
pub use header::{Header, MAX_PIXELS};
pub use image::metadata::Orientation;
pub use patches::{Grid, Patches};
pub use preprocessor::{Clip, Preprocessor};
pub use resample::{Filter, resample};
pub use size::smart_resize;
pub use space::{Original, Rect, Resized, Sides, Space, Stored, Thousandths};
pub use video::Video;
