//! The mechanism of configurations: one TOML file of sections, each of which belongs to the crate that works by it.
//!
//! This crate reads the file, applies `--set section.key=value`, resolves presets and says where a wrong value was
//! written. It knows no section: its owner implements [`Section`], and a crate that needs it asks the [`Document`].
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use vrft_config::{ConfigError, Document, Section, require};
//!
//! #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
//! #[serde(default, deny_unknown_fields)]
//! struct CameraConfig {
//!     fps: u32,
//! }
//!
//! impl Section for CameraConfig {
//!     const NAME: &'static str = "camera";
//!     fn check(&self) -> Result<(), ConfigError> {
//!         require(self.fps <= 60, "camera.fps", self.fps, "at most 60")
//!     }
//! }
//!
//! let document = Document::parse("[camera]\nfps = 30", "example.toml")?;
//! assert_eq!(document.section::<CameraConfig>()?.fps, 30);
//! let wrong = Document::parse("[camera]\nfps = 90", "example.toml")?.section::<CameraConfig>().unwrap_err();
//! assert_eq!(wrong.to_string(), "camera.fps = 90: expected at most 60 (example.toml, line 2)");
//! # Ok::<(), ConfigError>(())
//! ```
//! A section that is left out takes its defaults.

mod chosen;
mod document;
mod error;
mod excerpt;
mod overrides;
mod paths;
mod preset;
mod print;
mod replace;
mod section;
mod table;
mod unknown;

pub use document::Document;
pub use error::{ConfigError, Place, missing, require};
pub use paths::{joined, shown};
pub use print::Printed;
pub use replace::replace;
pub use section::Section;
pub use table::overlay;
