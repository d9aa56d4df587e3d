//! A box in space, turned about the vertical.

use crate::Flaw;

/// Farthest coordinate that is believed.
const EXTENT: f64 = 1e6;

/// A box: center, size along its own axes, and its turn about the z axis, which is the vertical, in radians.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Solid {
    /// Where its middle is.
    pub center: [f64; 3],
    /// Length along its own x, y and z.
    pub size: [f64; 3],
    /// Turn from x toward y.
    pub yaw: f64,
}

impl Solid {
    /// A box from `[x, y, z, dx, dy, dz]`, with or without a yaw at the end.
    ///
    /// # Errors
    /// Another count of numbers, one that is not finite, or a size that is not above 0.
    pub fn try_new(numbers: &[f64]) -> Result<Self, Flaw> {
        let (&[x, y, z, dx, dy, dz] | &[x, y, z, dx, dy, dz, _]) = numbers else {
            return Err(Flaw::Arity);
        };
        let yaw = numbers.get(6).copied().unwrap_or(0.0);
        believable(numbers)?;
        match [dx, dy, dz].into_iter().find(|size| *size <= 0.0) {
            Some(size) => Err(Flaw::Size(size)),
            None => Ok(Self { center: [x, y, z], size: [dx, dy, dz], yaw }),
        }
    }

    /// Length times width times height.
    pub fn volume(&self) -> f64 {
        self.size.iter().product()
    }

    /// Intersection over union of the volumes.
    pub fn iou(&self, other: &Self) -> f64 {
        let top = |s: &Self| s.center[2] + s.size[2] / 2.0;
        let bottom = |s: &Self| s.center[2] - s.size[2] / 2.0;
        let height = top(self).min(top(other)) - bottom(self).max(bottom(other));
        if height <= 0.0 {
            return 0.0;
        }
        let shared = area(&clip(&self.footprint(), &other.footprint())) * height;
        (shared / (self.volume() + other.volume() - shared)).clamp(0.0, 1.0)
    }

    /// How alike two turns are, from 0 for opposite to 1 for equal.
    pub fn same_yaw(&self, other: &Self) -> f64 {
        (1.0 + (self.yaw - other.yaw).cos()) / 2.0
    }

    /// Mean over length, width and height of |side − true side| / true side; 0 for a box as large as the true one.
    pub fn size_error(&self, truth: &Self) -> f64 {
        let sides = self.size.iter().zip(&truth.size);
        sides.map(|(side, true_side)| (side - true_side).abs() / true_side).sum::<f64>() / 3.0
    }

    /// The corners on the ground, counterclockwise.
    fn footprint(&self) -> Vec<[f64; 2]> {
        let (sin, cos) = self.yaw.sin_cos();
        let (dx, dy) = (self.size[0] / 2.0, self.size[1] / 2.0);
        let corners = [[dx, dy], [-dx, dy], [-dx, -dy], [dx, -dy]];
        let turn = |[x, y]: [f64; 2]| {
            [self.center[0] + x * cos - y * sin, self.center[1] + x * sin + y * cos]
        };
        corners.into_iter().map(turn).collect()
    }
}

/// Refuses coordinates in space that nobody means.
///
/// # Errors
/// A number that is not finite, or farther out than is believed.
pub(crate) fn believable(numbers: &[f64]) -> Result<(), Flaw> {
    match numbers.iter().find(|v| !(-EXTENT..=EXTENT).contains(*v)) {
        Some(&got) => Err(Flaw::Coordinate { got, extent: EXTENT }),
        None => Ok(()),
    }
}

/// The part of a polygon within a convex one, edge by edge (Sutherland and Hodgman); both counterclockwise.
fn clip(polygon: &[[f64; 2]], window: &[[f64; 2]]) -> Vec<[f64; 2]> {
    let mut points = polygon.to_vec();
    for (idx, &a) in window.iter().enumerate() {
        let b = window[(idx + 1) % window.len()];
        let side = |p: [f64; 2]| (b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0]);
        let mut kept = Vec::with_capacity(points.len() + 1);
        for (idx, &p) in points.iter().enumerate() {
            let q = points[(idx + 1) % points.len()];
            let (sp, sq) = (side(p), side(q));
            if sp >= 0.0 {
                kept.push(p);
            }
            if (sp > 0.0 && sq < 0.0) || (sp < 0.0 && sq > 0.0) {
                let t = sp / (sp - sq);
                kept.push([p[0] + t * (q[0] - p[0]), p[1] + t * (q[1] - p[1])]);
            }
        }
        points = kept;
    }
    points
}

fn area(polygon: &[[f64; 2]]) -> f64 {
    let cross = |(idx, p): (usize, &[f64; 2])| {
        let q = polygon[(idx + 1) % polygon.len()];
        p[0] * q[1] - q[0] * p[1]
    };
    polygon.iter().enumerate().map(cross).sum::<f64>().abs() / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(a: &[f64], b: &[f64], expect: f64) {
        let (a, b) = (Solid::try_new(a).unwrap(), Solid::try_new(b).unwrap());
        assert!((a.iou(&b) - expect).abs() < 1e-9, "{}", a.iou(&b));
        assert!((a.iou(&b) - b.iou(&a)).abs() < 1e-9);
    }
    const CUBE: [f64; 6] = [0., 0., 0., 2., 2., 2.];

    #[test]
    fn a_box_with_itself() {
        check(&CUBE, &CUBE, 1.0);
        check(&[0., 0., 0., 2., 1., 1., 0.3], &[0., 0., 0., 2., 1., 1., 0.3], 1.0);
    }
    #[test]
    fn shifted_by_half() {
        check(&CUBE, &[1., 0., 0., 2., 2., 2.], 1.0 / 3.0);
        check(&CUBE, &[0., 0., 1., 2., 2., 2.], 1.0 / 3.0);
    }
    #[test]
    fn above_each_other() {
        check(&CUBE, &[0., 0., 2., 2., 2., 2.], 0.0);
    }
    #[test]
    fn turned_by_an_eighth() {
        // Two unit squares turned by 45 degrees share a regular octagon: 2 (√2 - 1) of area 1.
        let octagon = 2.0 * (2f64.sqrt() - 1.0);
        let turned = [0., 0., 0., 1., 1., 1., std::f64::consts::FRAC_PI_4];
        check(&[0., 0., 0., 1., 1., 1.], &turned, octagon / (2.0 - octagon));
    }
    #[test]
    fn sizes_are_compared_side_by_side() {
        let solid = |size: [f64; 3]| Solid { center: [9.0; 3], size, yaw: 0.0 };
        let truth = solid([2.0, 1.0, 4.0]);
        assert_eq!(truth.size_error(&truth), 0.0);
        // Off by a half, by a whole and by a quarter of its side.
        assert!((solid([1.0, 2.0, 5.0]).size_error(&truth) - 1.75 / 3.0).abs() < 1e-12);
    }
    #[test]
    fn numbers_are_checked() {
        assert_eq!(Solid::try_new(&[0.; 5]), Err(Flaw::Arity));
        assert_eq!(Solid::try_new(&[0.; 6]), Err(Flaw::Size(0.0)));
        assert!(matches!(Solid::try_new(&[f64::NAN; 7]), Err(Flaw::Coordinate { .. })));
    }
}
