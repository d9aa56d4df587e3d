//! Files and pictures for tests.

use std::fs;
use std::io::Cursor;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use image::{DynamicImage, GrayImage, ImageFormat};
use parquet::arrow::ArrowWriter;
use serde_json::{Value, json};
use vrft_messages::Turn;

use crate::{Origin, Picture, Question, Row, Truth};

/// A folder that goes away with the test.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    /// A folder with these files.
    pub(crate) fn new(files: &[(&str, &[u8])]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (name, content) in files {
            folder.write(name, content);
        }
        folder
    }

    /// With these rows in `rows.jsonl`, beside a black `a.png` of 200 × 100 pixels.
    pub(crate) fn of_rows(rows: &[Value]) -> Self {
        let lines: Vec<String> = rows.iter().map(Value::to_string).collect();
        let lines = lines.join("\n");
        Self::new(&[("rows.jsonl", lines.as_bytes()), ("a.png", &black(200, 100))])
    }

    /// With empty files of these names.
    pub(crate) fn of(names: &[&str]) -> Self {
        Self::new(&names.iter().map(|name| (*name, [].as_slice())).collect::<Vec<_>>())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a parquet file as Hugging Face's `datasets` does, with these features in its metadata.
    pub(crate) fn write_of_hub(&self, name: &str, rows: &RecordBatch, features: &Value) -> PathBuf {
        let written = json!({"info": {"features": features}}).to_string();
        let metadata = [("huggingface".to_owned(), written)].into();
        let schema = Arc::new(rows.schema().as_ref().clone().with_metadata(metadata));
        let rows = rows.clone().with_schema(schema.clone()).unwrap();
        let path = self.path(name);
        let file = std::fs::File::create(&path).unwrap();
        let mut writer = ArrowWriter::try_new(file, schema, None).unwrap();
        writer.write(&rows).unwrap();
        writer.close().unwrap();
        path
    }

    /// Writes a file, and the folders around it.
    pub(crate) fn write(&self, name: &str, content: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

/// A gray PNG with these pixels, row by row.
pub(crate) fn png(width: u32, pixels: [u8; 4]) -> Vec<u8> {
    encoded(GrayImage::from_raw(width, 4 / width, pixels.to_vec()).unwrap().into())
}

/// A black PNG of this size.
pub(crate) fn black(width: u32, height: u32) -> Vec<u8> {
    encoded(GrayImage::new(width, height).into())
}

fn encoded(image: DynamicImage) -> Vec<u8> {
    let mut png = Cursor::new(Vec::new());
    image.write_to(&mut png, ImageFormat::Png).unwrap();
    png.into_inner()
}

/// A black JPEG of this size that EXIF turns.
pub(crate) fn turned_jpeg(width: u32, height: u32, exif: u8) -> Vec<u8> {
    let mut jpeg = Cursor::new(Vec::new());
    DynamicImage::from(GrayImage::new(width, height))
        .write_to(&mut jpeg, ImageFormat::Jpeg)
        .unwrap();
    let jpeg = jpeg.into_inner();
    // APP1 with one entry: orientation (0x0112), a short.
    let entry = [1, 18, 0, 3, 0, 0, 0, 1, 0, exif, 0, 0];
    let tiff = [b"MM\0*\0\0\0\x08\0\x01".as_slice(), &entry, &[0; 4]].concat();
    let segment = [b"Exif\0\0".as_slice(), &tiff].concat();
    let length = (segment.len() as u16 + 2).to_be_bytes();
    [&jpeg[..2], &[0xff, 0xe1], &length, &segment, &jpeg[2..]].concat()
}

/// The pixels of a gray image, row by row.
pub(crate) fn pixels(bytes: &[u8]) -> [u8; 4] {
    image::load_from_memory(bytes).unwrap().to_luma8().into_raw().try_into().unwrap()
}

/// A row with one small image.
pub(crate) fn row(number: usize, sample_id: &str, solution: &str) -> Row {
    Row {
        origin: Origin {
            file: PathBuf::from("some").into(),
            row: number,
            sample_id: sample_id.into(),
        },
        question: Question::Turns(Arc::from([Turn::question(1, "where?")])),
        pictures: vec![Arc::new(Picture::of_bytes(png(2, [1, 2, 3, 4])).unwrap())],
        truth: Truth::Text(solution.into()),
    }
}
