//! Data sets of images, questions and verifiable answers: from a file to samples in a reproducible order.
//!
//! | what `open` is given | how a sample is found in it |
//! |---|---|
//! | `.parquet`, `.arrow` | columns `image` (or `images`), `problem`, `solution`, and if there is one `sample_id` |
//! | `.jsonl` | the same keys, or `image` and `conversations` of `human` and `gpt` |
//! | `.json` | COCO annotations: one sample for each image and each of its categories |
//! | a folder | its `.parquet`, `.arrow` or `.jsonl` files in the order of their names; else its Pascal VOC `.xml` files |
//!
//! An image is its encoded bytes, a path relative to the file, Hugging Face's `struct<bytes, path>`, or a list of
//! any of these. A row that cannot be used is left out and kept in mind ([`Dataset::skipped`]); a file without
//! usable rows, or without a column, is an error that says what was expected and what is there.

mod annotations;
mod coco;
mod columns;
mod config;
mod dataset;
mod error;
mod flip;
mod images;
mod json;
mod mixture;
mod open;
mod order;
mod sample;
mod shots;
mod table;
#[cfg(test)]
mod testing;
mod voc;

pub use config::{DataConfig, EvaluationConfig, Flip, SourceConfig};
pub use dataset::Dataset;
pub use error::DatasetError;
pub use flip::{flip, flip_for};
pub use mixture::Mixture;
pub use order::Order;
pub use sample::{BadRow, Sample};
