//! Boxes through the frames of a video.

use serde::{Deserialize, Serialize};

use super::boxes::{corners_of, example_of_box, in_words, order_in_words};
use super::draft::NAMES;
use super::items::coordinates::read_box;
use super::items::keys::named;
use super::items::{Area, Keys, bare_numbers, drawn_sketch};
use super::{AnswerKind, Draft, Examples, ItemKind, Sketch};
use crate::config::{ConfigError, absent};
use crate::geometry::{Geometry, Space};
use crate::rng::Rng;
use crate::terms::{Hota, Metric, Overlap};
use crate::text::value::Value;
use crate::{Flaw, Item, Place};

/// Frames of a track that is drawn.
const DRAWN_FRAMES: u64 = 6;

/// Boxes with a frame each, and an id where there are several objects.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrackAnswer {
    /// What coordinates count.
    pub space: Space,
    /// Names of the parts of a box.
    pub keys: TrackKeys,
}

/// Names of the parts of a box of a track.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrackKeys {
    /// Key of the coordinates.
    pub place: String,
    /// Number of the frame.
    pub frame: String,
    /// Which of several objects it is; empty where there is one.
    pub id: String,
}

impl ItemKind for TrackAnswer {
    fn geometry(&self) -> Geometry {
        Geometry::Box
    }

    fn space(&self) -> Space {
        self.space
    }

    fn set_space(&mut self, space: Space) {
        self.space = space;
    }

    fn keys(&self) -> Keys<'_> {
        let TrackKeys { place, frame, id } = &self.keys;
        Keys { place: named(place), frame: named(frame), id: named(id), ..Keys::default() }
    }

    fn labels(&self) -> &[String] {
        &[]
    }

    fn check(&self) -> Result<(), ConfigError> {
        absent(&self.keys.place, "reward.answer.keys.place", "write the key of the coordinates")?;
        absent(&self.keys.frame, "reward.answer.keys.frame", "write the key of the frame's number")
    }

    fn instruction(&self) -> String {
        format!("Give a box {}{} for every frame.", in_words(self.space), order_in_words(self))
    }

    fn coordinates_example(&self) -> &'static str {
        example_of_box(self)
    }

    fn place(&self, value: &Value) -> Result<Place, Flaw> {
        read_box(value, self.space)
    }

    fn bare(&self, text: &str) -> Vec<Result<Item, Flaw>> {
        bare_numbers(self, text, 4)
    }

    fn usual_metric(&self) -> Metric {
        match self.keys().id {
            Some(_) => Metric::Hota(Hota {}),
            None => Metric::Overlap(Overlap::default()),
        }
    }

    fn numbers_of(&self, area: Area, _rng: &mut Rng) -> Vec<f64> {
        corners_of(area)
    }

    fn numbers_of_all(&self) -> Option<Vec<f64>> {
        Some(vec![0.0, 0.0, self.span(), self.span()])
    }

    /// Two objects that move through six frames; one where items have no id.
    fn draw(&self, rng: &mut Rng) -> Draft {
        let n_objects = if self.keys().id.is_some() { 2 } else { 1 };
        let mut items = Vec::new();
        for id in 0..n_objects {
            let start = drawn_sketch(self, &NAMES, rng);
            let dx = rng.between(-0.01, 0.01) * self.span();
            let dy = rng.between(-0.01, 0.01) * self.span();
            for frame in 0..DRAWN_FRAMES {
                let shift = [dx, dy, dx, dy].map(|d| d * frame as f64);
                let moved = start.numbers.iter().zip(shift).map(|(n, d)| n + d);
                let numbers = moved.map(|n| self.tidy(n.clamp(0.0, self.span()))).collect();
                items.push(Sketch { numbers, frame, id: id.to_string(), ..start.clone() });
            }
        }
        Draft::Items { items, target: 0 }
    }

    fn is_sequence(&self) -> bool {
        true
    }
}

/// Objects with the number of a frame.
pub(super) fn recognize(examples: &Examples) -> Option<(AnswerKind, String)> {
    let frame = examples.key_of("frame")?;
    let (keys, n) = examples.item_keys()?;
    let mut reason =
        format!("objects with {n} numbers under {:?} and a frame: a track", keys.place);
    reason += &examples.further();
    let keys = TrackKeys { place: keys.place, frame, ..TrackKeys::default() };
    Some((AnswerKind::Track(TrackAnswer { space: examples.space(), keys }), reason))
}
