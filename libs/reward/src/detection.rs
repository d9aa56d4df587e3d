//! A predicted box with its confidence, as average precision and reports want it.

use crate::{Answer, BBox, Place};

/// A predicted box.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detection {
    /// Where.
    pub bbox: BBox,
    /// How sure, from 0 to 1; 1 where the task asks for no confidence.
    pub confidence: f64,
}

impl Answer {
    /// The boxes of an answer.
    pub fn detections(&self) -> Vec<Detection> {
        let each = self.items().iter().filter_map(|item| match item.place {
            Place::Box(bbox) => {
                Some(Detection { bbox, confidence: item.confidence.unwrap_or(1.0) })
            }
            _ => None,
        });
        each.collect()
    }
}
