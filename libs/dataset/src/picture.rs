//! A picture of a row: known by its header, read when it is needed.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use image::ImageFormat;
use twox_hash::XxHash3_128;
use vrft_vision::{Header, MAX_PIXELS, Orientation, Pixels, VisionError, endings};

use crate::store::Blob;
use crate::video::Frame;

/// Most bytes of an encoded picture: what is longer is read into memory for nothing.
const MAX_BYTES: u64 = 1 << 30;

/// Bytes at the end of a file that tell most pictures from others of the same length.
const TAIL_BYTES: u64 = 4096;

/// An encoded picture, in a file of its own or inside the file of the rows.
#[derive(Debug)]
pub struct Picture {
    source: Source,
    header: Header,
    n_bytes: u64,
}

/// Where the encoded bytes are.
#[derive(Debug)]
enum Source {
    File(Box<Path>),
    Blob(Blob),
    Frame(Frame),
}

/// Why a picture cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// The file cannot be read.
    #[error("cannot read {path:?}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A pipe, a device or a folder where a file should be.
    #[error("{path:?} is not a regular file")]
    NotAFile {
        /// What was named.
        path: PathBuf,
    },
    /// A frame of a video that cannot be decoded.
    #[error("{0}")]
    Frame(String),
    /// Bytes that were taken out of the file of the rows cannot be read again.
    #[error("cannot read a picture back from temporary storage: {0}")]
    Store(std::io::Error),
    /// More pixels than are allowed.
    #[error(
        "{}{width} × {height} pixels are more than {max} (data.max_image_pixels): scale the picture down",
        path.as_ref().map_or(String::new(), |path| format!("{path:?}: "))
    )]
    TooLarge {
        /// The file, if it has one of its own.
        path: Option<PathBuf>,
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
        /// Pixels that a picture may have.
        max: usize,
    },
    /// A file of more bytes than any picture has.
    #[error("{path:?} has {n_bytes} bytes, more than a picture may have ({MAX_BYTES})")]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Its length.
        n_bytes: u64,
    },
    /// A picture of a format that is not decoded, by the ending of its name.
    #[error("{path:?}: .{ending} is not decoded, convert it to JPEG or PNG")]
    Ending {
        /// The file.
        path: PathBuf,
        /// How its name ends.
        ending: String,
    },
    /// The bytes are no picture that can be used.
    #[error("{}{source}", path.as_ref().map_or(String::new(), |path| format!("{path:?}: ")))]
    Vision {
        /// The file, if it has one of its own.
        path: Option<PathBuf>,
        /// What is wrong.
        source: VisionError,
    },
}

impl Picture {
    /// A picture file. Only its header is read.
    ///
    /// # Errors
    /// Something that is not a regular file, symbolic links followed; a header that makes no sense.
    pub fn open(path: &Path) -> Result<Self, PictureError> {
        Self::open_within(path, None)
    }

    /// [`Picture::open`] of a picture that may have no more than so many pixels.
    pub(crate) fn open_within(
        path: &Path,
        max_pixels: Option<usize>,
    ) -> Result<Self, PictureError> {
        let failed = |source| PictureError::Read { path: path.to_owned(), source };
        // Opening a pipe would wait for somebody to write to it.
        let metadata = std::fs::metadata(path).map_err(failed)?;
        if !metadata.is_file() {
            return Err(PictureError::NotAFile { path: path.to_owned() });
        }
        let n_bytes = metadata.len();
        if n_bytes > MAX_BYTES {
            return Err(PictureError::TooLong { path: path.to_owned(), n_bytes });
        }
        let mut reader = BufReader::new(File::open(path).map_err(failed)?);
        let header = Header::read_within(&mut reader, max_pixels.unwrap_or(MAX_PIXELS));
        if let Some(ending) = endings::not_decoded(path)
            && is_another_format(&header, path)
        {
            return Err(PictureError::Ending { path: path.to_owned(), ending });
        }
        let header = header.map_err(|source| refused(Some(path), source))?;
        Ok(Self { source: Source::File(path.into()), header, n_bytes })
    }

    /// A picture in memory.
    ///
    /// # Errors
    /// A header that makes no sense.
    pub fn of_bytes(bytes: Vec<u8>) -> Result<Self, PictureError> {
        let header = header(&bytes, None)?;
        let n_bytes = bytes.len() as u64;
        Ok(Self { source: Source::Blob(Blob::Memory(bytes.into())), header, n_bytes })
    }

    /// A moment of a video.
    pub(crate) fn of_frame(frame: Frame) -> Self {
        let header = frame.video.header();
        Self { source: Source::Frame(frame), header, n_bytes: 0 }
    }

    pub(crate) fn stored(
        blob: Blob,
        bytes: &[u8],
        max_pixels: Option<usize>,
    ) -> Result<Self, PictureError> {
        let n_bytes = bytes.len() as u64;
        Ok(Self { source: Source::Blob(blob), header: header(bytes, max_pixels)?, n_bytes })
    }

    /// Format, size and orientation.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Whether EXIF turns it: it is shown in another way than it is stored.
    pub fn is_turned(&self) -> bool {
        self.header.orientation != Orientation::NoTransforms
    }

    /// Whether it has to be decoded out of a video each time it is asked for.
    pub fn is_frame(&self) -> bool {
        matches!(self.source, Source::Frame(_))
    }

    /// Number of encoded bytes; 0 where these are made when they are asked for.
    pub fn n_bytes(&self) -> u64 {
        self.n_bytes
    }

    /// The encoded bytes.
    ///
    /// # Errors
    /// A file that cannot be read any more.
    pub fn bytes(&self) -> Result<Vec<u8>, PictureError> {
        match &self.source {
            Source::File(path) => std::fs::read(path)
                .map_err(|source| PictureError::Read { path: path.to_path_buf(), source }),
            Source::Blob(blob) => blob.read().map_err(PictureError::Store),
            Source::Frame(frame) => frame.png().map_err(PictureError::Frame),
        }
    }

    /// A number that pictures of the same content share; `None` if it cannot be read any more. Frames are known by video
    /// and time, since decoding them takes long.
    pub(crate) fn content_key(&self) -> Option<u128> {
        match &self.source {
            Source::Frame(frame) => Some(frame.key()),
            _ => Some(XxHash3_128::oneshot(&self.bytes().ok()?)),
        }
    }

    /// A number of its last bytes, which pictures of the same content share and few others: cheaper than
    /// [`Picture::content_key`] where a picture is a file.
    pub(crate) fn tail_key(&self) -> Option<u128> {
        let Source::File(path) = &self.source else { return self.content_key() };
        let mut file = File::open(path).ok()?;
        file.seek(SeekFrom::End(-(self.n_bytes.min(TAIL_BYTES) as i64))).ok()?;
        let mut tail = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut tail).ok()?;
        Some(XxHash3_128::oneshot(&tail))
    }

    /// The pixels, upright and without transparency.
    ///
    /// # Errors
    /// A file that cannot be read or decoded to its end.
    pub fn decode(&self) -> Result<Pixels, PictureError> {
        let pixels = vrft_vision::decode(&self.bytes()?);
        pixels.map_err(|source| PictureError::Vision { path: self.path().map(Into::into), source })
    }

    /// Why its bytes cannot be decoded, behind the name of its file.
    pub fn named(&self, why: &VisionError) -> String {
        self.path().map_or_else(|| why.to_string(), |path| format!("{path:?}: {why}"))
    }

    /// A number that is the same for the same picture on any machine: of its bytes, or of its folder and name.
    pub(crate) fn key(&self) -> u64 {
        match &self.source {
            Source::File(path) => {
                let parts: Vec<_> = path.iter().rev().take(2).collect();
                XxHash3_128::oneshot(parts.join("/".as_ref()).as_encoded_bytes()) as u64
            }
            Source::Blob(blob) => XxHash3_128::oneshot(&blob.read().unwrap_or_default()) as u64,
            Source::Frame(frame) => XxHash3_128::oneshot(frame.group.as_bytes()) as u64,
        }
    }

    /// The file outside of that of the rows which holds it: its own, or the video that it is a moment of.
    pub fn file(&self) -> Option<&Path> {
        match &self.source {
            Source::File(path) => Some(path),
            Source::Frame(frame) => Some(frame.video.path()),
            Source::Blob(_) => None,
        }
    }

    /// The file, if the picture has one of its own.
    pub fn path(&self) -> Option<&Path> {
        match &self.source {
            Source::File(path) => Some(path),
            Source::Blob(_) | Source::Frame(_) => None,
        }
    }
}

/// Pictures are equal if they are the same bytes in the same place.
impl PartialEq for Picture {
    fn eq(&self, other: &Self) -> bool {
        match (&self.source, &other.source) {
            (Source::File(a), Source::File(b)) => a == b,
            (Source::Blob(a), Source::Blob(b)) => a == b,
            (Source::Frame(a), Source::Frame(b)) => a == b,
            _ => false,
        }
    }
}

fn header(bytes: &[u8], max_pixels: Option<usize>) -> Result<Header, PictureError> {
    let mut reader = std::io::Cursor::new(bytes);
    Header::read_within(&mut reader, max_pixels.unwrap_or(MAX_PIXELS))
        .map_err(|source| refused(None, source))
}

/// Whether a file is of the format that its name alone says, which is not decoded; a JPEG may well be called .heic.
fn is_another_format(header: &Result<Header, VisionError>, path: &Path) -> bool {
    match header {
        Ok(header) => header.format == ImageFormat::Tiff && endings::is_raw(path),
        Err(why) => matches!(why, VisionError::Decode { .. }),
    }
}

/// Why a header is refused, with the key that sets the limit where that is why.
fn refused(path: Option<&Path>, source: VisionError) -> PictureError {
    let path = path.map(Path::to_owned);
    match source {
        VisionError::TooLarge { width, height, max } => {
            PictureError::TooLarge { path, width, height, max }
        }
        source => PictureError::Vision { path, source },
    }
}
