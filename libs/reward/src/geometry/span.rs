//! A stretch of time.

use crate::Flaw;

/// From `start` to `end`, in seconds, frames or shares of a video.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span {
    /// First moment of the stretch.
    pub start: f64,
    /// Last moment, after the first.
    pub end: f64,
}

impl Span {
    /// A span of finite, rising ends from 0 on.
    ///
    /// # Errors
    /// An end that is not a number within 0 to `extent`, or ends in the wrong order.
    pub fn try_new([start, end]: [f64; 2], extent: f64) -> Result<Self, Flaw> {
        if let Some(&got) = [start, end].iter().find(|v| !(0.0..=extent).contains(*v)) {
            return Err(Flaw::Coordinate { got, extent });
        }
        if start < end { Ok(Self { start, end }) } else { Err(Flaw::Order { start, end }) }
    }

    /// Temporal IoU: what both share over what both cover, gaps included.
    ///
    /// For spans that overlap this is intersection over union, for others 0. Temporal-RLT (arXiv 2506.01908).
    pub fn iou(&self, other: &Self) -> f64 {
        let shared = self.end.min(other.end) - self.start.max(other.start);
        shared.max(0.0) / (self.end.max(other.end) - self.start.min(other.start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(a: [f64; 2], b: [f64; 2], expect: f64) {
        let span = |ends| Span::try_new(ends, 100.0).unwrap();
        assert!((span(a).iou(&span(b)) - expect).abs() < 1e-12);
        assert!((span(b).iou(&span(a)) - expect).abs() < 1e-12);
    }

    #[test]
    fn a_span_with_itself() {
        check([1.0, 3.5], [1.0, 3.5], 1.0);
    }
    #[test]
    fn half_shared() {
        check([0.0, 10.0], [5.0, 10.0], 0.5);
    }
    #[test]
    fn apart() {
        check([0.0, 1.0], [1.0, 2.0], 0.0);
        check([0.0, 1.0], [8.0, 9.0], 0.0);
    }
    #[test]
    fn ends_are_checked() {
        assert!(matches!(Span::try_new([0.0, f64::NAN], 1.0), Err(Flaw::Coordinate { .. })));
        assert_eq!(Span::try_new([2.0, 2.0], 9.0), Err(Flaw::Order { start: 2.0, end: 2.0 }));
    }
}
