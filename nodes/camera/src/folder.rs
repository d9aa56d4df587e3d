//! A folder of pictures, in the order of their names.

use std::io::Cursor;
use std::path::PathBuf;

use eyre::{WrapErr, ensure};
use image::ImageReader;
use image::codecs::jpeg::JpegEncoder;

use crate::Arguments;
use crate::source::{Picture, Source};

const EXTENSIONS: [&str; 5] = ["png", "jpg", "jpeg", "webp", "bmp"];

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
        files.retain(|file| extension(file).is_some_and(|found| EXTENSIONS.contains(&&*found)));
        ensure!(!files.is_empty(), "camera source {path:?} holds no pictures ({EXTENSIONS:?})");
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

fn extension(file: &std::path::Path) -> Option<String> {
    Some(file.extension()?.to_str()?.to_ascii_lowercase())
}

/// A picture file, as it is or converted.
fn read(bytes: Vec<u8>, encoding: &str) -> eyre::Result<Picture> {
    let reader = ImageReader::new(Cursor::new(&bytes)).with_guessed_format()?;
    if encoding == "keep" {
        let format = reader.format().map_or("image", |format| match format {
            image::ImageFormat::Jpeg => "jpeg",
            other => other.extensions_str().first().copied().unwrap_or("image"),
        });
        let (width, height) = reader.into_dimensions()?;
        return Ok(Picture { bytes, encoding: format.to_owned(), width, height });
    }
    let image = reader.decode()?.into_rgb8();
    let (width, height) = image.dimensions();
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
