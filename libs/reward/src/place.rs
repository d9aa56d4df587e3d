//! Where something is: the geometry of one predicted or true item.

use crate::config::{MatchConfig, Measure};

use crate::{BBox, Mask, Solid, Span};

/// A predicted or true item.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Where it is.
    pub place: Place,
    /// What it is, if items have names.
    pub label: Option<String>,
    /// How sure the prediction is, from 0 to 1.
    pub confidence: Option<f64>,
    /// In which frame of a video, if it is part of a track.
    pub frame: Option<u64>,
    /// Which of several tracked objects it is.
    pub id: Option<String>,
}

/// One geometry of several kinds; a task has one kind.
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
}

impl Item {
    /// An item that is nothing but a place.
    pub fn at(place: Place) -> Self {
        Self { place, label: None, confidence: None, frame: None, id: None }
    }

    /// How alike two items are by a measure; `unit` is the length of the space for [`Measure::L1`].
    ///
    /// 0 for items of different frames.
    pub(crate) fn likeness(&self, other: &Self, matching: &MatchConfig, unit: f64) -> f64 {
        if self.frame != other.frame {
            return 0.0;
        }
        let scale = matching.scale * unit;
        match (&self.place, &other.place) {
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
            (Place::Solid(a), Place::Solid(b)) => a.iou(b),
            _ => 0.0,
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
    fn items_of_different_frames_have_nothing_in_common() {
        let item = Item { frame: Some(1), ..Item::at(Place::Point([1.0, 2.0])) };
        let later = Item { frame: Some(2), ..item.clone() };
        let matching = MatchConfig { measure: Measure::L1, ..MatchConfig::default() };
        assert_eq!(item.likeness(&item, &matching, 1000.0), 1.0);
        assert_eq!(item.likeness(&later, &matching, 1000.0), 0.0);
    }
    #[test]
    fn points_lose_likeness_with_distance() {
        let near = |x: f64| {
            let at = |x| Item::at(Place::Point([x, 0.0]));
            let matching =
                MatchConfig { measure: Measure::L1, scale: 0.1, ..MatchConfig::default() };
            at(0.0).likeness(&at(x), &matching, 1000.0)
        };
        assert_eq!((near(0.0), near(100.0), near(200.0), near(900.0)), (1.0, 0.5, 0.0, 0.0));
    }
}
