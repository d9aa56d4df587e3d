//! Where frames come from.

use eyre::{WrapErr, bail};

use crate::Arguments;
use crate::{device, folder::Folder, video::Video};

/// A picture with what dora's image convention says of it.
pub(crate) struct Picture {
    pub(crate) bytes: Vec<u8>,
    pub(crate) encoding: String,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

/// Frames, one at a time.
pub(crate) trait Source {
    /// The next one; `None` after the last.
    fn next(&mut self) -> eyre::Result<Option<Picture>>;
}

/// Opens what the path names.
pub(crate) fn open(arguments: &Arguments) -> eyre::Result<Box<dyn Source>> {
    let path = arguments.path()?;
    let kind = std::fs::metadata(path).wrap_err_with(|| format!("camera source {path:?}"))?;
    if kind.is_dir() {
        return Ok(Box::new(Folder::open(arguments)?));
    }
    if kind.is_file() {
        return Ok(Box::new(Video::open(arguments)?));
    }
    if path.starts_with("/dev") {
        return device::open(path);
    }
    bail!("camera source {path:?} is neither a folder, a file nor a device")
}
