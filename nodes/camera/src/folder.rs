//! A folder of pictures, in the order of their names.

use std::path::PathBuf;

use eyre::{ContextCompat, WrapErr, ensure};
use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use tracing::warn;
use vrft_vision::{Header, endings};

use crate::Arguments;
use crate::source::{Picture, Source};

pub(crate) struct Folder {
    files: Vec<PathBuf>,
    encoding: String,
    once: bool,
    next: usize,
}

impl Folder {
    pub(crate) fn open(arguments: &Arguments) -> eyre::Result<Self> {
        let path = arguments.path()?;
        let entries =
            std::fs::read_dir(path).wrap_err_with(|| format!("camera source {path:?}"))?;
        let mut files: Vec<PathBuf> =
            entries.map(|entry| Ok(entry?.path())).collect::<eyre::Result<_>>()?;
        let n_others = leave_out_others(&mut files);
        let why = if n_others > 0 { " of a format that is decoded" } else { "" };
        ensure!(!files.is_empty(), "camera source {path:?} holds no pictures{why}");
        files.sort();
        Ok(Self { files, encoding: arguments.encoding.clone(), once: arguments.once, next: 0 })
    }
}

impl Source for Folder {
    fn next(&mut self) -> eyre::Result<Option<Picture>> {
        if self.next == self.files.len() {
            if self.once {
                return Ok(None);
            }
            self.next = 0;
        }
        let file = &self.files[self.next];
        self.next += 1;
        let picture = || read(std::fs::read(file)?, &self.encoding);
        picture().map(Some).wrap_err_with(|| format!("{file:?}"))
    }
}

/// Leaves the pictures that are decoded, and says which others are there; their number.
fn leave_out_others(files: &mut Vec<PathBuf>) -> usize {
    files.retain(|file| endings::is_picture(file));
    let n_pictures = files.len();
    let first = files.iter().find(|file| endings::not_decoded(file).is_some()).cloned();
    files.retain(|file| endings::not_decoded(file).is_none());
    let n_others = n_pictures - files.len();
    if let Some(first) = first {
        warn!(n_others, ?first, "Pictures of formats that are not decoded are left out.");
    }
    n_others
}

/// A picture file, as it is or converted.
fn read(bytes: Vec<u8>, encoding: &str) -> eyre::Result<Picture> {
    if encoding == "keep" {
        let header = Header::of(&bytes)?;
        let (width, height) = header.displayed();
        return Ok(Picture { bytes, encoding: header.encoding().to_owned(), width, height });
    }
    let pixels = vrft_vision::decode(&bytes)?;
    let (width, height) = (pixels.width as u32, pixels.height as u32);
    let image =
        RgbImage::from_raw(width, height, pixels.rgb).wrap_err("a picture without pixels")?;
    let bytes = match encoding {
        "rgb8" => image.into_raw(),
        "bgr8" => image.pixels().flat_map(|p| [p.0[2], p.0[1], p.0[0]]).collect(),
        "jpeg" => {
            let mut jpeg = Vec::new();
            JpegEncoder::new_with_quality(&mut jpeg, 95).encode_image(&image)?;
            jpeg
        }
        other => eyre::bail!("encoding {other:?}: expected keep, rgb8, bgr8 or jpeg"),
    };
    Ok(Picture { bytes, encoding: encoding.to_owned(), width, height })
}
