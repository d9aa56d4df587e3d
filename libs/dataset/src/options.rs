//! How a data set is opened.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{BoxesAre, FramesConfig, RobotConfig, Selection};

/// What the coordinates of true answers count, in words or in columns of boxes. Annotations (COCO, Pascal VOC) are always in
/// pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataSpace {
    /// Thousandths of the picture's sides, 0 to 1000.
    Thousandths,
    /// Shares of the picture's sides, 0 to 1.
    Unit,
    /// Percent of the picture's sides, 0 to 100.
    Percent,
    /// Pixels of the picture in its full size.
    Pixels,
    /// Pixels of the picture as the model sees it, scaled.
    Resized,
}

impl DataSpace {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            DataSpace::Thousandths => "thousandths",
            DataSpace::Unit => "unit",
            DataSpace::Percent => "percent",
            DataSpace::Pixels => "pixels",
            DataSpace::Resized => "resized",
        }
    }
}

/// What a file or folder does not say about itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OpenOptions {
    /// Which split of a folder that has several.
    pub split: Option<String>,
    /// Folder that the names of pictures start at; without it, that of the file, or COCO's own layout.
    pub image_root: Option<PathBuf>,
    /// Also read pictures from outside of the data set's folder.
    pub allow_outside: bool,
    /// What the numbers of boxes in columns count; `None` for pixels, or shares of the sides where they look like these.
    pub space: Option<DataSpace>,
    /// In which pixels boxes are where EXIF turns a picture and the annotated size does not tell.
    pub boxes_are: Option<BoxesAre>,
    /// Another data set that is read by the same conventions: what these rows leave open, it may tell.
    pub beside: Option<Box<Beside>>,
    /// Of a data set that is both learned from and judged on, the part that is wanted.
    pub part: Option<Part>,
    /// Which questions are asked about the pictures.
    pub selection: Selection,
    /// Most pixels that a picture may have; `None` for as many as are ever decoded.
    pub max_image_pixels: Option<usize>,
    /// What is shown of videos.
    pub frames: FramesConfig,
    /// How a folder of LeRobot becomes rows.
    pub robot: RobotConfig,
}

/// A data set that tells something about another one: what is judged on beside what is learned from.
#[derive(Debug, Clone, PartialEq)]
pub struct Beside {
    /// File or folder.
    pub path: PathBuf,
    /// How it is opened.
    pub options: OpenOptions,
}

/// One side of a data set that is divided by its pictures, so that none is on both.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Part {
    /// Share of the pictures that are set aside.
    pub hold_out: f64,
    /// Whether these are wanted, or the others.
    pub is_held_out: bool,
}
