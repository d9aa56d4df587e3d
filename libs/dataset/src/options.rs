//! How a data set is opened.

use std::path::PathBuf;

use crate::BoxesAre;

/// What a file or folder does not say about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenOptions {
    /// Which split of a folder that has several.
    pub split: Option<String>,
    /// Folder that the names of pictures start at; without it, that of the file, or COCO's own layout.
    pub image_root: Option<PathBuf>,
    /// Also read pictures from outside of the data set's folder.
    pub allow_outside: bool,
    /// In which pixels boxes are where EXIF turns a picture and the annotated size does not tell.
    pub boxes_are: Option<BoxesAre>,
}
