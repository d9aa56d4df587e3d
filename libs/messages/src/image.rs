//! Pictures as they travel: encoded bytes, and the sizes that coordinates are measured in.

use arrow::array::{Array, StructArray};
use arrow::datatypes::UInt32Type;

use crate::MessageError;
use crate::build::{binaries, numbers, strings, table};
use crate::columns::Columns;

/// An image file in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct EncodedImage {
    /// The bytes of the file.
    pub bytes: Vec<u8>,
    /// Format of the file, such as `png` or `jpeg`.
    pub encoding: String,
    /// Width in pixels, upright.
    pub width: u32,
    /// Height in pixels, upright.
    pub height: u32,
}

/// A picture's size in pixels, upright: as it is, and as the model sees it.
///
/// Both travel with the completions, so that who reads coordinates (a reward, a viewer) can convert between them
/// without a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageSize {
    /// Width of the picture itself.
    pub width: u32,
    /// Height of the picture itself.
    pub height: u32,
    /// Width after the model's preprocessor has resized it.
    pub resized_width: u32,
    /// Height after the model's preprocessor has resized it.
    pub resized_height: u32,
}

/// A table with a row for each picture.
pub(crate) fn images_to_arrow(images: &[&EncodedImage]) -> StructArray {
    table(vec![
        ("bytes", binaries(images.iter().map(|image| image.bytes.as_slice()))),
        ("encoding", strings(images.iter().map(|image| image.encoding.as_str()))),
        ("width", numbers::<UInt32Type>(images.iter().map(|image| image.width))),
        ("height", numbers::<UInt32Type>(images.iter().map(|image| image.height))),
    ])
}

/// The pictures of a table; `message` is what it is part of, for errors.
pub(crate) fn read_images(
    message: &'static str,
    array: &StructArray,
) -> Result<Vec<EncodedImage>, MessageError> {
    if array.is_empty() {
        return Ok(Vec::new());
    }
    let columns = Columns::new(message, array);
    let bytes = columns.binaries("bytes")?;
    let encodings = columns.strings("encoding")?;
    let widths = columns.primitive::<UInt32Type>("width")?;
    let heights = columns.primitive::<UInt32Type>("height")?;
    let image = |row: usize| EncodedImage {
        bytes: bytes[row].to_vec(),
        encoding: encodings.value(row).to_owned(),
        width: widths.value(row),
        height: heights.value(row),
    };
    Ok((0..columns.n_rows()).map(image).collect())
}

/// A table with a row for each size.
pub(crate) fn sizes_to_arrow(sizes: &[ImageSize]) -> StructArray {
    let column = |side: fn(&ImageSize) -> u32| numbers::<UInt32Type>(sizes.iter().map(side));
    table(vec![
        ("width", column(|size| size.width)),
        ("height", column(|size| size.height)),
        ("resized_width", column(|size| size.resized_width)),
        ("resized_height", column(|size| size.resized_height)),
    ])
}

/// The sizes of a table; `message` is what it is part of, for errors.
pub(crate) fn read_sizes(
    message: &'static str,
    array: &StructArray,
) -> Result<Vec<ImageSize>, MessageError> {
    if array.is_empty() {
        return Ok(Vec::new());
    }
    let columns = Columns::new(message, array);
    let widths = columns.primitive::<UInt32Type>("width")?;
    let heights = columns.primitive::<UInt32Type>("height")?;
    let resized_widths = columns.primitive::<UInt32Type>("resized_width")?;
    let resized_heights = columns.primitive::<UInt32Type>("resized_height")?;
    let size = |row| ImageSize {
        width: widths.value(row),
        height: heights.value(row),
        resized_width: resized_widths.value(row),
        resized_height: resized_heights.value(row),
    };
    Ok((0..columns.n_rows()).map(size).collect())
}
