//! Axis-aligned boxes and how alike two of them are.

use super::SPACE;
use crate::Flaw;

/// An axis-aligned box: finite corners within the space, and an area above 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BBox {
    /// x of the left edge.
    pub x1: f64,
    /// y of the top edge.
    pub y1: f64,
    /// x of the right edge.
    pub x2: f64,
    /// y of the bottom edge.
    pub y2: f64,
}

impl BBox {
    /// A box from its corners, in thousandths of the image.
    ///
    /// # Errors
    /// A coordinate that is not a number within 0 to [`SPACE`], or edges in the wrong order.
    pub fn try_new(corners: [f64; 4]) -> Result<Self, Flaw> {
        Self::within(corners, SPACE)
    }

    /// A box in a space whose axes run from 0 to `extent`.
    ///
    /// # Errors
    /// As [`BBox::try_new`].
    pub fn within([x1, y1, x2, y2]: [f64; 4], extent: f64) -> Result<Self, Flaw> {
        if let Some(&got) = [x1, y1, x2, y2].iter().find(|v| !(0.0..=extent).contains(*v)) {
            return Err(Flaw::Coordinate { got, extent });
        }
        if x1 >= x2 {
            return Err(Flaw::Width { x1, x2 });
        }
        if y1 >= y2 {
            return Err(Flaw::Height { y1, y2 });
        }
        Ok(Self { x1, y1, x2, y2 })
    }

    /// Width times height, in squared thousandths.
    pub fn area(&self) -> f64 {
        (self.x2 - self.x1) * (self.y2 - self.y1)
    }

    /// Area that two boxes share; 0 where they only touch.
    pub fn intersection(&self, other: &Self) -> f64 {
        let width = self.x2.min(other.x2) - self.x1.max(other.x1);
        let height = self.y2.min(other.y2) - self.y1.max(other.y1);
        width.max(0.0) * height.max(0.0)
    }

    /// Intersection over union: 0 for boxes apart, 1 for equal boxes.
    pub fn iou(&self, other: &Self) -> f64 {
        let shared = self.intersection(other);
        // Boxes that came around the checks, as the official reader lets them, may have no area at all.
        if shared > 0.0 { shared / (self.area() + other.area() - shared) } else { 0.0 }
    }

    /// Generalized IoU: less the share of the smallest enclosing box that neither fills (arXiv 1902.09630).
    pub fn giou(&self, other: &Self) -> f64 {
        let hull = self.hull(other).area();
        let union = self.area() + other.area() - self.intersection(other);
        if hull > 0.0 { self.iou(other) - (hull - union) / hull } else { self.iou(other) }
    }

    /// Distance IoU: less the squared distance of the centers over the squared diagonal of the enclosing box
    /// (arXiv 1911.08287).
    pub fn diou(&self, other: &Self) -> f64 {
        let hull = self.hull(other);
        let diagonal = (hull.x2 - hull.x1).powi(2) + (hull.y2 - hull.y1).powi(2);
        let dx = self.x1 + self.x2 - other.x1 - other.x2;
        let dy = self.y1 + self.y2 - other.y1 - other.y2;
        self.iou(other) - (dx * dx + dy * dy) / 4.0 / diagonal
    }

    /// Complete IoU: distance IoU less a penalty for another aspect ratio (arXiv 1911.08287).
    pub fn ciou(&self, other: &Self) -> f64 {
        let angle = |b: &Self| ((b.x2 - b.x1) / (b.y2 - b.y1)).atan();
        let v = (2.0 / std::f64::consts::PI * (angle(self) - angle(other))).powi(2);
        let iou = self.iou(other);
        let alpha = if v > 0.0 { v / (1.0 - iou + v) } else { 0.0 };
        self.diou(other) - alpha * v
    }

    /// `[x1, y1, x2, y2]`.
    pub fn corners(&self) -> [f64; 4] {
        [self.x1, self.y1, self.x2, self.y2]
    }

    fn hull(&self, other: &Self) -> Self {
        Self {
            x1: self.x1.min(other.x1),
            y1: self.y1.min(other.y1),
            x2: self.x2.max(other.x2),
            y2: self.y2.max(other.y2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(a: [f64; 4], b: [f64; 4], iou: f64) {
        let (a, b) = (BBox::try_new(a).unwrap(), BBox::try_new(b).unwrap());
        assert!((a.iou(&b) - iou).abs() < 1e-12, "{}", a.iou(&b));
        assert_eq!(a.iou(&b), b.iou(&a));
    }

    #[test]
    fn iou_of_a_box_with_itself_is_one() {
        check([0., 0., 10., 10.], [0., 0., 10., 10.], 1.0);
    }
    #[test]
    fn iou_of_boxes_apart_is_zero() {
        check([0., 0., 10., 10.], [20., 20., 30., 30.], 0.0);
    }
    #[test]
    fn iou_of_boxes_that_touch_is_zero() {
        check([0., 0., 10., 10.], [10., 0., 20., 10.], 0.0);
    }
    #[test]
    fn iou_of_a_half_is_a_half() {
        check([0., 0., 10., 10.], [0., 0., 10., 5.], 0.5);
    }
    #[test]
    fn iou_counts_the_overlap_once() {
        check([0., 0., 20., 10.], [10., 0., 30., 10.], 100. / 300.);
    }

    #[test]
    fn corners_are_checked() {
        assert_eq!(
            BBox::try_new([0., 0., 1001., 10.]),
            Err(Flaw::Coordinate { got: 1001., extent: SPACE })
        );
        assert_eq!(
            BBox::try_new([-1., 0., 10., 10.]),
            Err(Flaw::Coordinate { got: -1., extent: SPACE })
        );
        assert!(matches!(BBox::try_new([0., f64::NAN, 1., 1.]), Err(Flaw::Coordinate { .. })));
        assert_eq!(BBox::try_new([5., 0., 5., 9.]), Err(Flaw::Width { x1: 5., x2: 5. }));
        assert_eq!(BBox::try_new([0., 9., 5., 8.]), Err(Flaw::Height { y1: 9., y2: 8. }));
    }

    proptest::proptest! {
        #[test]
        fn iou_is_symmetric_and_between_zero_and_one(
            corners: [u16; 4], other: [u16; 4],
        ) {
            let bbox = |[x1, y1, x2, y2]: [u16; 4]| {
                let place = |v: u16| f64::from(v % 1000);
                BBox::try_new([place(x1), place(y1), place(x1) + place(x2), place(y1) + place(y2)])
            };
            if let (Ok(a), Ok(b)) = (bbox(corners), bbox(other)) {
                proptest::prop_assert_eq!(a.iou(&b), b.iou(&a));
                proptest::prop_assert!((0.0..=1.0).contains(&a.iou(&b)));
            }
        }
    }
}
