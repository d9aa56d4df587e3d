//! What coordinates count, and how they are converted between what a data set, a task and a model count in.

use serde::{Deserialize, Serialize};

use super::BBox;

/// Thousandths of the image: coordinates run from 0 to this on both axes, whatever its size (Visual-RFT).
pub const SPACE: f64 = 1000.0;

/// Where the axes end that count percent.
pub(crate) const PERCENT: f64 = 100.0;

/// Farthest coordinate that is believed where a space has no end.
const FAR: f64 = 100_000.0;

/// What coordinates count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Space {
    /// 0 to 1000 on both axes, whatever the size of the image (Visual-RFT).
    #[default]
    Thousandths,
    /// Shares of the image's sides, 0 to 1.
    Unit,
    /// Percent of the image's sides, 0 to 100 (Molmo's points).
    Percent,
    /// Pixels of the image as the model sees it, or any other unit without an upper end.
    Pixels,
}

impl Space {
    /// Where the axes end.
    pub(crate) fn extent(self) -> f64 {
        match self {
            Space::Thousandths => SPACE,
            Space::Unit => 1.0,
            Space::Percent => PERCENT,
            Space::Pixels => FAR,
        }
    }

    /// The length that distances are measured in.
    pub(crate) fn unit(self) -> f64 {
        match self {
            Space::Pixels => 1.0,
            bounded => bounded.extent(),
        }
    }

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Space::Thousandths => "thousandths",
            Space::Unit => "unit",
            Space::Percent => "percent",
            Space::Pixels => "pixels",
        }
    }
}

/// A [`Space`] in one image. Pixels come with the size of the image that they are pixels of, without which they cannot
/// be converted: the image as it is stored, or as it is resized for the model.
///
/// ```
/// use vrft_reward::{BBox, Frame};
/// let seen = Frame::pixels(644, 476); // what a model sees of a photo of 640 × 480
/// let bbox = BBox::try_new([250.0, 500.0, 1000.0, 1000.0])?;
/// assert_eq!(bbox.converted(Frame::Thousandths, seen).corners(), [161.0, 238.0, 644.0, 476.0]);
/// assert_eq!(bbox.converted(Frame::Thousandths, seen).converted(seen, Frame::Thousandths), bbox);
/// # Ok::<(), vrft_reward::Flaw>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame {
    /// Thousandths of width and height.
    Thousandths,
    /// Shares of width and height.
    Unit,
    /// Percent of width and height.
    Percent,
    /// Pixels of an image of this size.
    Pixels {
        /// Width of the image.
        width: u32,
        /// Height of the image.
        height: u32,
    },
}

impl Frame {
    /// Pixels of an image of this size.
    pub fn pixels(width: u32, height: u32) -> Self {
        Frame::Pixels { width, height }
    }

    /// The frame of a space in an image of this size, as the model sees it.
    pub fn of(space: Space, width: u32, height: u32) -> Self {
        match space {
            Space::Thousandths => Frame::Thousandths,
            Space::Unit => Frame::Unit,
            Space::Percent => Frame::Percent,
            Space::Pixels => Frame::Pixels { width, height },
        }
    }

    /// What its coordinates count.
    pub fn space(self) -> Space {
        match self {
            Frame::Thousandths => Space::Thousandths,
            Frame::Unit => Space::Unit,
            Frame::Percent => Space::Percent,
            Frame::Pixels { .. } => Space::Pixels,
        }
    }

    /// Width and height of the whole image in this frame.
    pub fn extent(self) -> [f64; 2] {
        match self {
            Frame::Thousandths => [SPACE, SPACE],
            Frame::Unit => [1.0, 1.0],
            Frame::Percent => [PERCENT, PERCENT],
            Frame::Pixels { width, height } => [f64::from(width), f64::from(height)],
        }
    }

    /// A point of this frame in another frame of the same image.
    pub fn point_to(self, other: Frame, [x, y]: [f64; 2]) -> [f64; 2] {
        if self == other {
            return [x, y];
        }
        let [from_width, from_height] = self.extent();
        let [to_width, to_height] = other.extent();
        [x / from_width * to_width, y / from_height * to_height]
    }
}

impl BBox {
    /// The same box of the same image in another frame of coordinates.
    pub fn converted(&self, from: Frame, to: Frame) -> Self {
        let [x1, y1] = from.point_to(to, [self.x1, self.y1]);
        let [x2, y2] = from.point_to(to, [self.x2, self.y2]);
        Self { x1, y1, x2, y2 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAMES: [Frame; 5] = [
        Frame::Thousandths,
        Frame::Unit,
        Frame::Percent,
        Frame::Pixels { width: 777, height: 333 },
        Frame::Pixels { width: 784, height: 336 },
    ];

    #[test]
    fn the_whole_image_is_the_whole_image_in_every_frame() {
        for from in FRAMES {
            for to in FRAMES {
                assert_eq!(from.point_to(to, from.extent()), to.extent());
            }
        }
    }
    #[test]
    fn a_point_converted_there_and_back_is_where_it_was() {
        for from in FRAMES {
            for to in FRAMES {
                let point = [0.12, 0.34];
                let back = to.point_to(from, from.point_to(to, point));
                assert!((back[0] - point[0]).abs() < 1e-12 && (back[1] - point[1]).abs() < 1e-12);
            }
        }
    }
    #[test]
    fn coordinates_of_the_same_frame_are_not_touched() {
        let odd = [1.0 / 3.0, 2.0 / 3.0];
        assert_eq!(FRAMES[3].point_to(FRAMES[3], odd), odd);
    }
}
