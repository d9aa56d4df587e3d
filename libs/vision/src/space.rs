//! The spaces that coordinates live in, as types: a box of one space cannot pass for one of another.
//!
//! Some models answer in thousandths of the image, others in pixels of the scaled image that they see, and annotations
//! are in pixels of the image as it lies on disk.
//!
//! ```
//! use vrft_vision::{Original, Rect, Sides, Thousandths};
//! let sides = Sides::new((640.0, 480.0), (644.0, 476.0));
//! let annotated = Rect::<Original>::new([64.0, 48.0, 640.0, 480.0]);
//! assert_eq!(annotated.to::<Thousandths>(&sides).corners(), [100.0, 100.0, 1000.0, 1000.0]);
//! ```
//!
//! To take a box for one of another space does not compile:
//!
//! ```compile_fail,E0308
//! use vrft_vision::{Original, Rect, Thousandths};
//! let annotated = Rect::<Original>::new([64.0, 48.0, 640.0, 480.0]);
//! let answer: Rect<Thousandths> = annotated;
//! ```

use std::fmt;
use std::marker::PhantomData;

use image::metadata::Orientation;

use crate::Header;

/// Width and height of an image, as it is and as the model sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sides {
    original: (f64, f64),
    resized: (f64, f64),
}

impl Sides {
    /// Width and height in pixels, of the image and of what it is scaled to; all above 0.
    pub fn new(original: (f64, f64), resized: (f64, f64)) -> Self {
        Self { original, resized }
    }

    /// Width and height of the image in pixels.
    pub fn original(&self) -> (f64, f64) {
        self.original
    }

    /// Width and height in pixels of what the image is scaled to.
    pub fn resized(&self) -> (f64, f64) {
        self.resized
    }
}

/// A way to measure places in an image, from its upper left corner.
pub trait Space {
    /// Width and height of the whole image in this space.
    fn extent(sides: &Sides) -> (f64, f64);
}

/// Thousandths of the image's sides, 0 to 1000.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thousandths {}

/// Pixels of the scaled image, which is what the model sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resized {}

/// Pixels of the image as it is shown: upright, in its full size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Original {}

/// Pixels of the image as they lie in the file, before EXIF turns it. Equal to [`Original`] where EXIF turns nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {}

/// A [`Space`] that is known only while the program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CoordinateSpace {
    /// The space of the type [`Thousandths`].
    Thousandths,
    /// The space of the type [`Resized`].
    Resized,
    /// The space of the type [`Original`].
    Original,
}

impl CoordinateSpace {
    /// Width and height of the whole image in this space.
    pub fn extent(self, sides: &Sides) -> (f64, f64) {
        match self {
            Self::Thousandths => Thousandths::extent(sides),
            Self::Resized => Resized::extent(sides),
            Self::Original => Original::extent(sides),
        }
    }
}

impl Space for Thousandths {
    fn extent(_sides: &Sides) -> (f64, f64) {
        (1000.0, 1000.0)
    }
}

impl Space for Resized {
    fn extent(sides: &Sides) -> (f64, f64) {
        sides.resized
    }
}

impl Space for Original {
    fn extent(sides: &Sides) -> (f64, f64) {
        sides.original
    }
}

/// An upright rectangle in the space `S`.
pub struct Rect<S> {
    corners: [f64; 4],
    space: PhantomData<S>,
}

impl Rect<Stored> {
    /// The same rectangle on the upright image: it is turned and mirrored together with the pixels.
    pub fn upright(&self, header: &Header) -> Rect<Original> {
        let (width, height) = (f64::from(header.stored.0), f64::from(header.stored.1));
        let [x1, y1, x2, y2] = self.corners;
        Rect::new(match header.orientation {
            Orientation::NoTransforms => [x1, y1, x2, y2],
            Orientation::FlipHorizontal => [width - x2, y1, width - x1, y2],
            Orientation::Rotate180 => [width - x2, height - y2, width - x1, height - y1],
            Orientation::FlipVertical => [x1, height - y2, x2, height - y1],
            Orientation::Rotate90FlipH => [y1, x1, y2, x2],
            Orientation::Rotate90 => [height - y2, x1, height - y1, x2],
            Orientation::Rotate270FlipH => [height - y2, width - x2, height - y1, width - x1],
            Orientation::Rotate270 => [y1, width - x2, y2, width - x1],
        })
    }
}

impl<S> Rect<S> {
    /// From its corners `[x1, y1, x2, y2]`.
    pub fn new(corners: [f64; 4]) -> Self {
        Self { corners, space: PhantomData }
    }

    /// Corners of the box, `[x1, y1, x2, y2]`.
    pub fn corners(&self) -> [f64; 4] {
        self.corners
    }
}

impl<S: Space> Rect<S> {
    /// The same rectangle in another space.
    pub fn to<T: Space>(&self, sides: &Sides) -> Rect<T> {
        let (from, to) = (S::extent(sides), T::extent(sides));
        let [x1, y1, x2, y2] = self.corners;
        let (x, y) = (|x: f64| x / from.0 * to.0, |y: f64| y / from.1 * to.1);
        Rect::new([x(x1), y(y1), x(x2), y(y2)])
    }

    /// The nearest rectangle of whole numbers within the image.
    pub fn rounded(&self, sides: &Sides) -> Self {
        let (width, height) = S::extent(sides);
        let [x1, y1, x2, y2] = self.corners.map(f64::round);
        let (x, y) = (|x: f64| x.clamp(0.0, width), |y: f64| y.clamp(0.0, height));
        Self::new([x(x1), y(y1), x(x2), y(y2)])
    }
}

// By hand: derived, these would ask the same of the space, which has no values.
impl<S> Clone for Rect<S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Rect<S> {}

impl<S> PartialEq for Rect<S> {
    fn eq(&self, other: &Self) -> bool {
        self.corners == other.corners
    }
}

impl<S> fmt::Debug for Rect<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Rect").field(&self.corners).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sides() -> Sides {
        Sides::new((777.0, 333.0), (784.0, 336.0))
    }

    #[test]
    fn the_whole_image_is_the_whole_image_in_every_space() {
        let whole = Rect::<Thousandths>::new([0.0, 0.0, 1000.0, 1000.0]);
        assert_eq!(whole.to::<Original>(&sides()).corners(), [0.0, 0.0, 777.0, 333.0]);
        assert_eq!(whole.to::<Resized>(&sides()).corners(), [0.0, 0.0, 784.0, 336.0]);
    }

    #[test]
    fn there_and_back_is_where_it_was() {
        fn check<S: Space, T: Space>() {
            let start = [12.0, 34.0, 123.0, 321.0];
            let back = Rect::<S>::new(start).to::<T>(&sides()).to::<S>(&sides());
            let error = |(a, b): (f64, f64)| (a - b).abs();
            assert!(back.corners().into_iter().zip(start).map(error).fold(0.0, f64::max) < 1e-9);
        }
        check::<Original, Thousandths>();
        check::<Original, Resized>();
        check::<Resized, Thousandths>();
    }

    /// One bright pixel is a box of its own: where it is after turning says where the box must be.
    #[test]
    fn a_box_turns_with_the_pixels() {
        for exif in 1..=8 {
            let orientation = Orientation::from_exif(exif).unwrap();
            let mut image = image::GrayImage::new(5, 3);
            image.put_pixel(1, 2, image::Luma([255]));
            let mut image = image::DynamicImage::from(image);
            image.apply_orientation(orientation);
            let image = image.into_luma8();
            let (x, y, _) =
                image.enumerate_pixels().find(|(_, _, pixel)| pixel.0[0] == 255).unwrap();
            let header = Header { format: image::ImageFormat::Png, stored: (5, 3), orientation };
            assert_eq!(header.displayed(), image.dimensions());
            let turned = Rect::<Stored>::new([1.0, 2.0, 2.0, 3.0]).upright(&header).corners();
            let (x, y) = (f64::from(x), f64::from(y));
            assert_eq!(turned, [x, y, x + 1.0, y + 1.0], "orientation {exif}");
        }
    }

    #[test]
    fn what_an_annotator_drew_outside_is_moved_to_the_border() {
        let outside = Rect::<Original>::new([-5.0, 10.4, 900.0, 333.4]);
        assert_eq!(outside.rounded(&sides()).corners(), [0.0, 10.0, 777.0, 333.0]);
    }
}
