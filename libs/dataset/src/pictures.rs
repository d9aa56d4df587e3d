//! All pictures that the rows of a data set name, each once.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rayon::prelude::*;

use crate::path::Locator;
use crate::row::Skipped;
use crate::store::Store;
use crate::video::{Frame, Video};
use crate::{DatasetError, Picture};

/// How base64 of the known formats begins, where a row has it without `data:` in front.
const BARE_BASE64: [&str; 7] = ["/9j/", "iVBORw0KGgo", "R0lGOD", "UklGR", "Qk", "SUkq", "TU0AK"];

/// Shorter texts are names.
const MIN_BARE_BASE64: usize = 100;

/// A picture among those of the data set.
pub(crate) type PictureIdx = usize;

/// A picture as a row has it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    /// A path, a `file://` or `data:` address, or base64.
    Name(String),
    /// The encoded bytes.
    Bytes(Vec<u8>),
    /// A moment of a video file.
    Frame {
        /// Name of the file.
        video: String,
        /// Seconds from its start.
        at_secs: f64,
        /// What belongs together in it, as an episode; empty for all of it.
        group: String,
    },
}

/// Pictures while rows are read: names are collected, bytes are kept.
#[derive(Debug, Default)]
pub(crate) struct Pictures {
    locators: Vec<Locator>,
    by_name: HashMap<(usize, Box<str>), PictureIdx>,
    list: Vec<Named>,
    store: Store,
    /// By name and where it is looked for.
    videos: HashMap<(usize, Box<str>), Result<Arc<Video>, String>>,
    /// Most pixels that one may have; `None` for as many as are ever decoded.
    max_pixels: Option<usize>,
}

#[derive(Debug)]
enum Named {
    File { name: Box<str>, locator: usize },
    Inside(Arc<Picture>),
}

/// What became of the pictures: usable, or not and why.
pub(crate) type Opened = Vec<Result<Arc<Picture>, String>>;

impl Pictures {
    /// None with more pixels than this.
    pub(crate) fn limit(&mut self, max_pixels: Option<usize>) {
        self.max_pixels = max_pixels;
    }

    /// Names that are added from now on are looked for there.
    pub(crate) fn locate_with(&mut self, locator: Locator) {
        self.locators.push(locator);
    }

    /// Takes in the picture of a row.
    ///
    /// # Errors
    /// Bytes that are no picture; a full disk.
    pub(crate) fn add(&mut self, cell: Cell) -> Result<PictureIdx, String> {
        match cell {
            Cell::Bytes(bytes) => self.add_bytes(&bytes),
            Cell::Frame { video, at_secs, group } => {
                let video = self.video(&video)?;
                let group = format!("{}{group}", video.path().display()).into();
                let picture = Picture::of_frame(Frame { video, at_secs, group });
                self.list.push(Named::Inside(Arc::new(picture)));
                Ok(self.list.len() - 1)
            }
            Cell::Name(name) => match decoded(&name) {
                Some(bytes) => self.add_bytes(&bytes?),
                None => Ok(self.add_name(&name)),
            },
        }
    }

    /// Takes in the name of a file.
    pub(crate) fn add_name(&mut self, name: &str) -> PictureIdx {
        let locator = self.locators.len() - 1;
        let list = &mut self.list;
        *self.by_name.entry((locator, name.into())).or_insert_with(|| {
            list.push(Named::File { name: name.into(), locator });
            list.len() - 1
        })
    }

    /// A video file, which is looked at once.
    ///
    /// # Errors
    /// A path outside of the data set; a file that cannot be read as a video.
    pub(crate) fn video(&mut self, name: &str) -> Result<Arc<Video>, String> {
        let locator = self.locators.len() - 1;
        let key = (locator, Box::from(name));
        let opened = self.videos.entry(key).or_insert_with(|| {
            let path = self.locators[locator].resolve(name)?;
            Video::open(&path).map(Arc::new)
        });
        opened.clone()
    }

    fn add_bytes(&mut self, bytes: &[u8]) -> Result<PictureIdx, String> {
        let blob = self.store.keep(bytes).map_err(|error| {
            format!("image: cannot keep {} bytes in a temporary file: {error}", bytes.len())
        })?;
        let picture = Picture::stored(blob, bytes, self.max_pixels);
        let picture = picture.map_err(|error| format!("image: {error}"))?;
        self.list.push(Named::Inside(Arc::new(picture)));
        Ok(self.list.len() - 1)
    }

    /// Bytes in the temporary file.
    pub(crate) fn n_spilled(&self) -> u64 {
        self.store.n_spilled()
    }

    /// Finds all files and reads their headers, on all processors.
    pub(crate) fn open(self) -> Opened {
        let (locators, max_pixels) = (&self.locators, self.max_pixels);
        self.list
            .into_par_iter()
            .map(|named| match named {
                Named::Inside(picture) => Ok(picture),
                Named::File { name, locator } => {
                    let path = locators[locator].resolve(&name)?;
                    let picture = Picture::open_within(&path, max_pixels);
                    Ok(Arc::new(picture.map_err(|error| format!("image: {error}"))?))
                }
            })
            .collect()
    }
}

/// Checks that a picture could be opened, if there are any, by what became of them and of the rows.
///
/// # Errors
/// None could, with the first rows that were left out for that, each picture once.
pub(crate) fn check_any(
    pictures: &Opened,
    skipped: &[Skipped],
    path: &Path,
) -> Result<(), DatasetError> {
    if pictures.is_empty() || pictures.iter().any(Result::is_ok) {
        return Ok(());
    }
    let mut whys: HashSet<&str> =
        pictures.iter().filter_map(|picture| Some(picture.as_ref().err()?.as_str())).collect();
    let bad = skipped.iter().filter(|row| whys.remove(row.why.as_str())).cloned().collect();
    Err(DatasetError::NoPictures { path: path.to_owned(), n: pictures.len(), bad })
}

/// The bytes of a text that is a picture and not the name of one.
fn decoded(text: &str) -> Option<Result<Vec<u8>, String>> {
    let base64 = if let Some(data) = text.strip_prefix("data:") {
        match data.split_once("base64,") {
            Some((_, base64)) => base64,
            None => return Some(Err("image: data address without base64".to_owned())),
        }
    } else if text.len() >= MIN_BARE_BASE64 && BARE_BASE64.iter().any(|s| text.starts_with(s)) {
        // A long path may begin alike, but has other characters, as a full stop.
        let is_base64 = |b: u8| b.is_ascii_alphanumeric() || b"+/=\r\n".contains(&b);
        text.bytes().all(is_base64).then_some(text)?
    } else {
        return None;
    };
    let base64: String = base64.split_ascii_whitespace().collect();
    Some(STANDARD.decode(base64).map_err(|error| format!("image: {error}")))
}
