//! Masks of one frame, as dora's hub has them: the pixels of all masks one after the other, yes or no.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};

use super::{FRAME_ID, Tag, Tags, text};
use crate::MessageError;

/// Masks of a frame's size, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Masks {
    /// Width of the frame in pixels.
    pub width: u32,
    /// Height of the frame in pixels.
    pub height: u32,
    /// The pixels of each mask.
    pub masks: Vec<Vec<bool>>,
    /// The frame, if it has a name.
    pub frame_id: Option<String>,
}

impl Masks {
    /// The message of `dora-sam2` and of `vrft-segment`: a flat array of booleans, with `width`, `height` and `primitive` in
    /// its metadata.
    pub fn to_hub(&self) -> (Tags, ArrayRef) {
        let mut tags = Tags::from([
            ("width".to_owned(), Tag::Integer(self.width.into())),
            ("height".to_owned(), Tag::Integer(self.height.into())),
            ("primitive".to_owned(), Tag::Text("masks".to_owned())),
        ]);
        tags.extend(self.frame_id.iter().map(|id| (FRAME_ID.to_owned(), Tag::Text(id.clone()))));
        (tags, Arc::new(BooleanArray::from(self.masks.concat())))
    }

    /// Reads what a segmentation node sent; no pixels at all are no masks.
    ///
    /// # Errors
    /// An array that is not of booleans; pixels that are not whole frames of the size that the metadata say.
    pub fn from_hub(tags: &Tags, data: &ArrayRef) -> Result<Self, MessageError> {
        let side = |name: &str| match tags.get(name) {
            Some(Tag::Integer(side)) => u32::try_from(*side).unwrap_or(0),
            _ => 0,
        };
        let (width, height) = (side("width"), side("height"));
        let frame_id = text(tags, FRAME_ID).map(str::to_owned);
        if data.is_empty() {
            return Ok(Self { width, height, masks: vec![], frame_id });
        }
        let pixels = data.as_boolean_opt().ok_or_else(|| MessageError::ColumnType {
            message: "masks",
            column: "",
            expected: "an array of booleans",
            got: data.data_type().clone(),
        })?;
        let pixels: Vec<bool> = pixels.iter().map(|pixel| pixel.unwrap_or(false)).collect();
        let n = (width as usize).saturating_mul(height as usize);
        if n == 0 || !pixels.len().is_multiple_of(n) {
            let why = format!("{} pixels are no frames of {width} x {height}", pixels.len());
            return Err(MessageError::Row { message: "masks", row: 0, why });
        }
        let masks = pixels.chunks_exact(n).map(<[bool]>::to_vec).collect();
        Ok(Self { width, height, masks, frame_id })
    }
}
