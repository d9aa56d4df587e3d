//! From the coordinates that a data set has to those that its task is answered in, for one image.

use crate::geometry::{BBox, Frame, Place, Space};
use crate::text::json;
use crate::text::value::Value;
use crate::{Answer, Item, Items, RewardError};

/// Pixels that a place may lie outside of its image: what rounding and careful drawing explain.
const MAX_OUTSIDE: f64 = 2.0;

/// Decimals that converted outlines are written with.
const OUTLINE_DECIMALS: f64 = 1e3;

/// How a stored image has to be turned to stand upright: its axes are exchanged first, then reversed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Turning {
    /// What was to the right is below.
    pub swaps_axes: bool,
    /// Right and left are exchanged.
    pub flips_x: bool,
    /// Above and below are exchanged.
    pub flips_y: bool,
}

/// The coordinates of a data set and those of a task, for one image.
///
/// ```
/// use vrft_reward::{Conversion, Frame, Turning};
/// // Pixels of a photo that is stored as 640 × 480 and has to be turned by a quarter to the right.
/// let turning = Turning { swaps_axes: true, flips_x: true, flips_y: false };
/// let upright = Conversion { data: Frame::pixels(640, 480), turning, answers: Frame::pixels(480, 640) };
/// assert_eq!(upright.point([0.0, 480.0]), [0.0, 0.0]);
/// assert_eq!(upright.point([640.0, 480.0]), [0.0, 640.0]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conversion {
    /// What the solution counts in, on the image as it is before it is turned.
    pub data: Frame,
    /// How the image is turned to be shown.
    pub turning: Turning,
    /// What answers count in, on the image as it is shown.
    pub answers: Frame,
}

impl Conversion {
    /// Between frames of an image that nothing turns.
    pub fn of(data: Frame, answers: Frame) -> Self {
        Self { data, turning: Turning::default(), answers }
    }

    /// Whether every place keeps its numbers.
    pub fn is_identity(&self) -> bool {
        self.data == self.answers && self.turning == Turning::default()
    }

    /// A point of the data as a point of answers.
    pub fn point(&self, point: [f64; 2]) -> [f64; 2] {
        if self.turning == Turning::default() {
            return self.data.point_to(self.answers, point);
        }
        let [width, height] = self.data.extent();
        let (u, v) = (point[0] / width, point[1] / height);
        let Turning { swaps_axes, flips_x, flips_y } = self.turning;
        let (u, v) = if swaps_axes { (v, u) } else { (u, v) };
        let (u, v) = (if flips_x { 1.0 - u } else { u }, if flips_y { 1.0 - v } else { v });
        let [width, height] = self.answers.extent();
        [u * width, v * height]
    }

    /// An answer of the data as one of the task.
    ///
    /// # Errors
    /// A place outside of the image.
    pub(crate) fn answer(&self, answer: &Answer) -> Result<Answer, RewardError> {
        let Answer::Items(items) = answer else { return Ok(answer.clone()) };
        let convert = |item: &Item| Ok(Item { place: self.place(&item.place)?, ..item.clone() });
        let valid = items.valid.iter().map(convert).collect::<Result<_, RewardError>>()?;
        Ok(Answer::Items(Items { valid, ..items.clone() }))
    }

    fn place(&self, place: &Place) -> Result<Place, RewardError> {
        Ok(match place {
            Place::Box(bbox) => {
                let a = self.point(self.inside([bbox.x1, bbox.y1])?);
                let b = self.point(self.inside([bbox.x2, bbox.y2])?);
                Place::Box(BBox {
                    x1: a[0].min(b[0]),
                    y1: a[1].min(b[1]),
                    x2: a[0].max(b[0]),
                    y2: a[1].max(b[1]),
                })
            }
            Place::Point(point) => Place::Point(self.point(self.inside(*point)?)),
            // Times, boxes and points in space are no places in an image; regions were converted before they became bitmaps.
            other => other.clone(),
        })
    }

    /// A point within the image, from at most two pixels outside.
    fn inside(&self, [x, y]: [f64; 2]) -> Result<[f64; 2], RewardError> {
        let [width, height] = self.data.extent();
        let outside = [-x, -y, x - width, y - height].into_iter().fold(0.0, f64::max);
        if self.data.space() == Space::Pixels && outside > MAX_OUTSIDE {
            return Err(RewardError::Outside { point: [x, y], size: [width, height] });
        }
        Ok([x.clamp(0.0, width), y.clamp(0.0, height)])
    }

    /// The text of outlines with the numbers converted that stand under `key`, or bare where there is none. Run lengths
    /// are counts of pixels, not places, and stay.
    ///
    /// # Errors
    /// Text that is not JSON; an outline outside of the image; run lengths of an image that is turned.
    pub(crate) fn outlines(&self, text: &str, key: Option<&str>) -> Result<String, RewardError> {
        let quoted = || json::read(&text.replace('\'', "\"")).filter(|_| !text.contains('"'));
        let value = json::read(text).or_else(quoted).ok_or_else(|| RewardError::Unreadable {
            expected: "outlines as JSON, which is converted between coordinates".to_owned(),
            got: crate::reading::quote(text),
        })?;
        Ok(self.outline(&value, key)?.to_string())
    }

    fn outline(&self, value: &Value, key: Option<&str>) -> Result<Value, RewardError> {
        let is_turned = self.turning != Turning::default();
        match value {
            Value::Object(_) if value.get("counts").is_some() && is_turned => {
                Err(RewardError::TurnedRuns)
            }
            Value::Object(_) if value.get("counts").is_some() => Ok(value.clone()),
            Value::Object(fields) => {
                let converted = fields.iter().map(|(name, inner)| {
                    let is_place = key.is_none_or(|key| key.eq_ignore_ascii_case(name.trim()));
                    let holds_objects = inner.numbers().is_none();
                    let convert = is_place || holds_objects;
                    let inner = if convert { self.outline(inner, key)? } else { inner.clone() };
                    Ok((name.clone(), inner))
                });
                Ok(Value::Object(converted.collect::<Result<_, _>>()?))
            }
            Value::List(items) if items.iter().all(|item| matches!(item, Value::Number(_))) => {
                let numbers: Vec<f64> = items.iter().filter_map(Value::number).collect();
                let mut converted = Vec::with_capacity(numbers.len());
                for pair in numbers.chunks(2) {
                    let &[x, y] = pair else { return Ok(value.clone()) };
                    converted.extend(self.point(self.inside([x, y])?));
                }
                let tidy = |n: f64| (n * OUTLINE_DECIMALS).round() / OUTLINE_DECIMALS;
                Ok(Value::List(converted.into_iter().map(tidy).map(Value::Number).collect()))
            }
            Value::List(items) => {
                let items = items.iter().map(|item| self.outline(item, key));
                Ok(Value::List(items.collect::<Result<_, _>>()?))
            }
            other => Ok(other.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RIGHT: Turning = Turning { swaps_axes: true, flips_x: true, flips_y: false };

    #[test]
    fn a_box_turns_with_its_image() {
        let turned =
            Conversion { data: Frame::Thousandths, turning: RIGHT, answers: Frame::Thousandths };
        assert!(!turned.is_identity());
        let bbox = BBox::try_new([100.0, 200.0, 300.0, 500.0]).unwrap();
        let place = turned.place(&Place::Box(bbox)).unwrap();
        let Place::Box(bbox) = place else { panic!("no box") };
        assert_eq!(bbox.corners(), [500.0, 100.0, 800.0, 300.0]);
    }
    #[test]
    fn two_pixels_outside_are_moved_to_the_edge_and_more_is_refused() {
        let pixels = Conversion::of(Frame::pixels(40, 30), Frame::Thousandths);
        assert_eq!(pixels.inside([41.5, 30.0]).unwrap(), [40.0, 30.0]);
        let error = pixels.inside([43.0, 30.0]).unwrap_err().to_string();
        assert!(error.contains("(43, 30)") && error.contains("40 × 30"), "{error}");
    }
    #[test]
    fn outlines_are_converted_where_they_are_written() {
        let half = Conversion::of(Frame::pixels(200, 100), Frame::Thousandths);
        let check = |text: &str, key, expected: &str| {
            assert_eq!(half.outlines(text, key).unwrap(), expected)
        };
        check("[[20, 10], [40, 10], [40, 20]]", None, "[[100, 100], [200, 100], [200, 200]]");
        check("[[20, 10, 40, 10, 40, 20]]", None, "[[100, 100, 200, 100, 200, 200]]");
        check(
            "{'mask': [20, 10, 40, 10, 40, 20], 'id': [3, 4]}",
            Some("mask"),
            "{\"mask\": [100, 100, 200, 100, 200, 200], \"id\": [3, 4]}",
        );
        let runs = "{\"size\": [2, 2], \"counts\": [1, 3]}";
        check(runs, None, runs);
        let turned = Conversion { turning: RIGHT, ..half };
        assert_eq!(turned.outlines(runs, None), Err(RewardError::TurnedRuns));
    }
}
