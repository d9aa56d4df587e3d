//! Boxes of annotations, checked against the pictures that they are about.

use serde::{Deserialize, Serialize};
use vrft_vision::{Header, Orientation, Original, Rect, Stored};

/// Pixels that a box may reach over the edge of its picture: what rounding and careful drawing explain.
const MAX_OUTSIDE: f64 = 2.0;

/// In which pixels the boxes of a picture are that EXIF turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BoxesAre {
    /// Pixels of the picture as it lies in the file, before EXIF turns it.
    Stored,
    /// Pixels of the picture as it is shown.
    Displayed,
}

/// What the sizes in the annotations say about a turned picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Frame {
    /// EXIF does not turn the picture.
    Upright,
    /// The annotated size is that of one of both, and not that of the other.
    Known(BoxesAre),
    /// Both have the same size, or the annotations do not say one.
    Unknown,
}

/// Which frame the annotated size is of.
///
/// # Errors
/// A size that is not the picture's, which makes the boxes those of another picture.
pub(crate) fn frame(header: &Header, size: Option<(f64, f64)>) -> Result<Frame, String> {
    let as_numbers = |(width, height): (u32, u32)| (f64::from(width), f64::from(height));
    let (stored, displayed) = (as_numbers(header.stored), as_numbers(header.displayed()));
    let fits = |other: (f64, f64)| size.is_none_or(|size| size == other);
    match (fits(stored), fits(displayed)) {
        (false, false) => {
            let (width, height) = size.unwrap_or_default();
            Err(format!(
                "it is annotated as {width} x {height} pixels and has {} x {}: its boxes are not those of this picture",
                displayed.0, displayed.1
            ))
        }
        _ if header.orientation == Orientation::NoTransforms => Ok(Frame::Upright),
        (true, true) => Ok(Frame::Unknown),
        (true, false) => Ok(Frame::Known(BoxesAre::Stored)),
        (false, true) => Ok(Frame::Known(BoxesAre::Displayed)),
    }
}

/// Whether boxes `[x1, y1, x2, y2]` lie within the picture, as far as [`upright`] asks for.
pub(crate) fn fit<'a>(
    corners: impl Iterator<Item = &'a [f64; 4]>,
    header: &Header,
    boxes_are: BoxesAre,
) -> bool {
    let (width, height) = sides(header, boxes_are);
    corners.into_iter().all(|corners| outside(corners, width, height) <= MAX_OUTSIDE)
}

/// Width and height of the picture that boxes are on.
fn sides(header: &Header, boxes_are: BoxesAre) -> (f64, f64) {
    let (width, height) = match boxes_are {
        BoxesAre::Stored => header.stored,
        BoxesAre::Displayed => header.displayed(),
    };
    (f64::from(width), f64::from(height))
}

/// Pixels that a box reaches over the edge by.
fn outside(&[x1, y1, x2, y2]: &[f64; 4], width: f64, height: f64) -> f64 {
    [-x1, -y1, x2 - width, y2 - height].into_iter().fold(0.0, f64::max)
}

/// The boxes `[x1, y1, x2, y2]` on the upright picture.
///
/// # Errors
/// A box that reaches over the edge by more than two pixels.
pub(crate) fn upright(
    corners: &[[f64; 4]],
    header: &Header,
    boxes_are: BoxesAre,
) -> Result<Box<[Rect<Original>]>, String> {
    let (width, height) = sides(header, boxes_are);
    let place = |&[x1, y1, x2, y2]: &[f64; 4]| {
        let outside = outside(&[x1, y1, x2, y2], width, height);
        if outside > MAX_OUTSIDE || [x1, y1, x2, y2].iter().any(|side| !side.is_finite()) {
            return Err(format!(
                "the box from ({x1}, {y1}) to ({x2}, {y2}) leaves the picture of {width} x {height} pixels by {outside}"
            ));
        }
        let inside = [x1.max(0.0), y1.max(0.0), x2.min(width), y2.min(height)];
        Ok(match boxes_are {
            BoxesAre::Stored => Rect::<Stored>::new(inside).upright(header),
            BoxesAre::Displayed => Rect::new(inside),
        })
    };
    corners.iter().map(place).collect()
}

/// What explains boxes that leave their picture where corners were written for the sides that COCO has: as corners, all of
/// them would be boxes within it.
pub(crate) fn corners_for_sides(
    corners: &[[f64; 4]],
    header: &Header,
    boxes_are: BoxesAre,
) -> Option<&'static str> {
    let (width, height) = sides(header, boxes_are);
    let fits = |&[x1, y1, x2, y2]: &[f64; 4]| {
        let (third, fourth) = (x2 - x1, y2 - y1);
        x1 < third && y1 < fourth && outside(&[x1, y1, third, fourth], width, height) <= MAX_OUTSIDE
    };
    corners.iter().all(fits).then_some(
        "; its bbox would fit as corners [x1, y1, x2, y2], COCO has [x, y, width, height]: data.bbox = \"corners\" \
         takes it for corners",
    )
}

#[cfg(test)]
mod tests {
    use image::ImageFormat;

    use super::*;

    /// A picture of 40 × 30 pixels in its file.
    fn header(exif: u8) -> Header {
        let orientation = Orientation::from_exif(exif).unwrap();
        Header { format: ImageFormat::Jpeg, stored: (40, 30), orientation }
    }

    #[test]
    fn the_annotated_size_says_which_pixels_are_meant() {
        let check = |exif, size, expected| assert_eq!(frame(&header(exif), size), Ok(expected));
        check(1, Some((40.0, 30.0)), Frame::Upright);
        check(1, None, Frame::Upright);
        check(6, Some((40.0, 30.0)), Frame::Known(BoxesAre::Stored));
        check(6, Some((30.0, 40.0)), Frame::Known(BoxesAre::Displayed));
        check(6, None, Frame::Unknown);
        check(3, Some((40.0, 30.0)), Frame::Unknown);
    }

    #[test]
    fn the_size_of_another_picture_is_refused() {
        for (exif, size) in [(1, (80.0, 60.0)), (1, (30.0, 40.0)), (6, (41.0, 30.0))] {
            let why = frame(&header(exif), Some(size)).unwrap_err();
            assert!(why.contains(&format!("annotated as {} x {}", size.0, size.1)), "{why}");
        }
    }

    #[test]
    fn stored_boxes_turn_with_the_picture() {
        let turned = upright(&[[1.0, 2.0, 11.0, 22.0]], &header(6), BoxesAre::Stored).unwrap();
        assert_eq!(turned[0].corners(), [8.0, 1.0, 28.0, 11.0]);
        let shown = upright(&[[8.0, 1.0, 28.0, 11.0]], &header(6), BoxesAre::Displayed).unwrap();
        assert_eq!(shown, turned);
    }

    #[test]
    fn corners_that_were_written_for_sides_are_told_from_boxes_that_are_wrong() {
        // [30, 10, 38, 25] as x, y, width and height.
        let told = |corners, exif, boxes_are| {
            corners_for_sides(&[corners], &header(exif), boxes_are).is_some()
        };
        assert!(told([30.0, 10.0, 68.0, 35.0], 1, BoxesAre::Displayed));
        assert!(!told([30.0, 10.0, 50.0, 35.0], 1, BoxesAre::Displayed));
        // [-3.5, -2, 38, 28] leaves the picture as corners, too.
        assert!(!told([-3.5, -2.0, 34.5, 26.0], 1, BoxesAre::Displayed));
        // [-1, 10, 41, 25] leaves it by what is let pass.
        assert!(told([-1.0, 10.0, 40.0, 35.0], 1, BoxesAre::Displayed));
        // Stored, the picture is 40 × 30, and shown 30 × 40.
        assert!(told([30.0, 10.0, 68.0, 35.0], 6, BoxesAre::Stored));
        assert!(!told([30.0, 10.0, 68.0, 35.0], 6, BoxesAre::Displayed));
    }

    #[test]
    fn two_pixels_outside_are_moved_to_the_edge_and_more_is_refused() {
        let place = |corners| upright(&[corners], &header(1), BoxesAre::Stored);
        let at_edge = place([-2.0, 0.0, 42.0, 31.0]).unwrap();
        assert_eq!(at_edge[0].corners(), [0.0, 0.0, 40.0, 30.0]);
        let why = place([30.0, 10.0, 43.0, 20.0]).unwrap_err();
        assert!(why.ends_with("leaves the picture of 40 x 30 pixels by 3"), "{why}");
        assert!(place([f64::NAN, 0.0, 1.0, 1.0]).is_err());
    }
}
