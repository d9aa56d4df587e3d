//! From images and videos to pixel patches, and the spaces that coordinates live in.
//!
//! How pictures are scaled and cut comes in as plain data ([`ImageSettings`]); which files it stands in and what a
//! family of models does otherwise is the processor's to know.
//!
//! ```
//! // The sides that the model sees: multiples of 28, and about as many pixels as before.
//! assert_eq!(vrft_vision::smart_resize(480, 640, 28, 3136, 1_003_520)?, (476, 644));
//! # Ok::<(), vrft_vision::VisionError>(())
//! ```

mod attack;
mod decode;
pub mod endings;
mod error;
mod header;
mod jpeg;
mod patches;
mod preprocessor;
mod resample;
mod sampling;
mod settings;
mod size;
mod space;
mod tiles;
mod video;
mod zoom;

pub use attack::{PixelBall, PixelRange};
pub use decode::{Pixels, decode};
pub use error::VisionError;
pub use header::{Header, MAX_PIXELS};
pub use image::metadata::Orientation;
pub use patches::{Grid, ImageKey, Patches};
pub use preprocessor::{Clip, Preprocessor};
pub use resample::{Filter, resample};
pub use sampling::{FrameSampling, FrameTarget, SamplingRule};
pub use settings::{ImageSettings, VideoBounds, VideoSettings};
pub use size::smart_resize;
pub use space::{CoordinateSpace, Original, Rect, Resized, Sides, Space, Stored, Thousandths};
pub use tiles::{Tiles, Tiling};
pub use video::Video;
pub use zoom::{ZOOMED, Zoomable, Zoomed, zoom};
