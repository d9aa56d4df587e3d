//! Files and samples for tests.

use std::fs;
use std::io::Cursor;
use std::path::PathBuf;

use image::{GrayImage, ImageFormat};

use crate::Sample;

/// A folder that goes away with the test.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new(files: &[(&str, &[u8])]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (name, content) in files {
            fs::write(folder.path(name), content).unwrap();
        }
        folder
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// A gray PNG with these pixels, row by row.
pub(crate) fn png(width: u32, pixels: [u8; 4]) -> Vec<u8> {
    let image = GrayImage::from_raw(width, 4 / width, pixels.to_vec()).unwrap();
    let mut png = Cursor::new(Vec::new());
    image.write_to(&mut png, ImageFormat::Png).unwrap();
    png.into_inner()
}

/// The pixels of a gray image, row by row.
pub(crate) fn pixels(bytes: &[u8]) -> [u8; 4] {
    image::load_from_memory(bytes).unwrap().to_luma8().into_raw().try_into().unwrap()
}

/// A sample with one small image.
pub(crate) fn sample(sample_id: &str, solution: &str) -> Sample {
    Sample {
        sample_id: sample_id.to_owned(),
        images: vec![png(2, [1, 2, 3, 4])],
        problem: "where?".to_owned(),
        solution: solution.to_owned(),
    }
}
