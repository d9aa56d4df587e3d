//! Data sets of pictures, questions and verifiable answers: from files to rows in a reproducible order.
//!
//! | what [`Dataset::open`] is given | how a row is found in it |
//! |---|---|
//! | `.parquet`, `.arrow`, `.feather` | columns `image` (or `images`), `problem`, `solution`, and if there is one `sample_id` or `id` |
//! | `.jsonl`, or a list in a `.json` | the same keys |
//! | either of these | `conversations` or `messages` in place of `problem`, and of `solution` too |
//! | either of these | `label`, or `bbox` with `expression`, in place of `problem` and `solution` |
//! | another `.json` | COCO annotations (LVIS too): one row for each picture and each of its categories; RefCOCO's references with `instances.json` beside them; `split_zhou_*.json` |
//! | `.csv`, `.txt`, `.mat` | pictures with their classes: tables, the lists of FGVC Aircraft and Oxford Pets, Oxford Flowers, Stanford Cars |
//! | `gt.txt`, `charades_sta_train.txt` | frames of videos: tracks of the MOT challenge, moments of Charades-STA |
//! | a folder | its `.parquet`, `.arrow` or `.jsonl` files of one split, by their names; else COCO annotations of Roboflow and ODinW; Pascal VOC `.xml` files, or its root with `ImageSets`; ReasonSeg; pictures in a folder for each class |
//! | a folder of `save_to_disk` | the files that its `state.json` names |
//! | a folder of LeRobot | a row for each moment of an episode: the pictures of its cameras, its task, a column as the truth |
//!
//! An image is its encoded bytes, a path relative to the file, a `file://` or `data:` address, Hugging Face's
//! `struct<bytes, path>`, or a list of any of these. `<image>` in a text is the place of an image; without any, images
//! come first. `video` or `videos` name video files, and `<video>` is the place of one: some of its frames are shown.
//!
//! Opening reads rows and the headers of pictures; pixels are decoded when they are asked for ([`Row::decode`]). A row
//! [`Selection`] says which of the questions that annotations allow are asked: categories, and what is not there. A row
//! that cannot be used is left out and reported ([`Dataset::skipped`]); a file without usable rows, or without a
//! column, is an error that says what was expected and what is there.

mod alike;
mod checked;
mod config;
mod dataset;
mod error;
mod files;
mod forms;
mod geometry;
mod held_out;
mod hold_out;
mod mirror;
mod mixture;
mod moving;
mod opening;
mod options;
mod order;
mod overlap;
mod path;
mod picture;
mod pictures;
mod readers;
mod row;
mod select;
mod shots;
mod store;
mod summary;
#[cfg(test)]
mod testing;
mod turned;
mod units;
mod video;

pub use config::{Ask, DataConfig, EvaluationConfig, Flip, SourceConfig};
pub use dataset::Dataset;
pub use error::DatasetError;
pub use geometry::BoxesAre;
pub use held_out::{HeldOut, held_out, shared};
pub use mirror::Mirror;
pub use mixture::Mixture;
pub use moving::{FramesConfig, RobotConfig};
pub use options::{Beside, DataSpace, OpenOptions, Part};
pub use order::Order;
pub use overlap::Overlap;
pub use picture::{Picture, PictureError};
pub use row::{Boxes, Origin, Outline, Question, Row, Skipped, Truth};
pub use select::{Absent, BboxForm, Outlines, Selection};
pub use shots::ClassShots;
