//! Where something is: boxes, points, regions, stretches of time, boxes and points in space, and how alike two of a kind
//! are.

mod bbox;
mod mask;
mod solid;
mod space;
mod span;

pub use bbox::BBox;
pub use mask::Mask;
pub use solid::Solid;
pub(crate) use solid::believable;
pub(crate) use space::PERCENT;
pub use space::{Frame, SPACE, Space};
pub use span::Span;
pub(crate) use vrft_score::runs::MAX_RUN;
pub use vrft_score::runs::{compress, decompress};

use crate::config::{MatchConfig, Measure};

/// The place of one item, in the geometry of its task.
#[derive(Debug, Clone, PartialEq)]
pub enum Place {
    /// Rectangle in the image.
    Box(BBox),
    /// Point in the image.
    Point([f64; 2]),
    /// Any region of the image.
    Region(Mask),
    /// Stretch of time.
    Span(Span),
    /// Box in space.
    Solid(Solid),
    /// Point in space: x, y and z in any unit of length.
    Point3d([f64; 3]),
}

/// The kinds of [`Place`]; the items of a task have all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Geometry {
    /// Rectangles in the image.
    Box,
    /// Points in the image.
    Point,
    /// Regions of the image.
    Region,
    /// Stretches of time.
    Span,
    /// Boxes in space.
    Solid,
    /// Points in space.
    Point3d,
}

impl Geometry {
    /// Whether items of this geometry can be compared by a measure.
    pub(crate) fn has_measure(self, measure: Measure) -> bool {
        match measure {
            Measure::Iou => !matches!(self, Geometry::Point | Geometry::Point3d),
            Measure::L1 => !matches!(self, Geometry::Region | Geometry::Span),
            Measure::Giou | Measure::Diou | Measure::Ciou => self == Geometry::Box,
        }
    }
}

impl Place {
    /// How alike two places are by the measure of a matching; `unit` is the length of the space for [`Measure::L1`].
    ///
    /// Places of different geometries have nothing in common.
    pub(crate) fn likeness(&self, other: &Self, matching: &MatchConfig, unit: f64) -> f64 {
        let scale = matching.scale * unit;
        match (self, other) {
            (Place::Box(a), Place::Box(b)) => match matching.measure {
                Measure::Iou => a.iou(b),
                Measure::Giou => a.giou(b),
                Measure::Diou => a.diou(b),
                Measure::Ciou => a.ciou(b),
                Measure::L1 => nearness(&a.corners(), &b.corners(), scale),
            },
            (Place::Point(a), Place::Point(b)) => nearness(a, b, scale),
            (Place::Region(a), Place::Region(b)) => a.iou(b),
            (Place::Span(a), Place::Span(b)) => a.iou(b),
            (Place::Solid(a), Place::Solid(b)) if matching.measure == Measure::L1 => {
                nearness(&a.center, &b.center, scale)
            }
            (Place::Solid(a), Place::Solid(b)) => a.iou(b),
            (Place::Point3d(a), Place::Point3d(b)) => nearness(a, b, scale),
            _ => 0.0,
        }
    }

    /// The numbers that the place was read from; `None` for a region, of which only a bitmap is kept.
    pub(crate) fn numbers(&self) -> Option<Vec<f64>> {
        match self {
            Place::Box(bbox) => Some(bbox.corners().to_vec()),
            Place::Point(point) => Some(point.to_vec()),
            Place::Span(span) => Some(vec![span.start, span.end]),
            Place::Solid(solid) => {
                Some([&solid.center[..], &solid.size[..], &[solid.yaw]].concat())
            }
            Place::Point3d(point) => Some(point.to_vec()),
            Place::Region(_) => None,
        }
    }

    /// The same place of the same image in another frame of coordinates. Regions are bitmaps over the whole image, and
    /// times, boxes and points in space are no places in it: they stay as they are.
    pub(crate) fn converted(&self, from: Frame, to: Frame) -> Self {
        match self {
            Place::Box(bbox) => Place::Box(bbox.converted(from, to)),
            Place::Point(point) => Place::Point(from.point_to(to, *point)),
            other => other.clone(),
        }
    }
}

/// 1 less the mean distance in units of `scale`, not below 0.
fn nearness(a: &[f64], b: &[f64], scale: f64) -> f64 {
    let distance: f64 = a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum();
    (1.0 - distance / (a.len() as f64 * scale)).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_lose_likeness_with_distance() {
        let near = |x: f64| {
            let matching =
                MatchConfig { measure: Measure::L1, scale: 0.1, ..MatchConfig::default() };
            Place::Point([0.0, 0.0]).likeness(&Place::Point([x, 0.0]), &matching, 1000.0)
        };
        assert_eq!((near(0.0), near(100.0), near(200.0), near(900.0)), (1.0, 0.5, 0.0, 0.0));
    }
}
