//! What an answer says, once its text is read; the truth is one too.

use crate::config::MatchConfig;
use crate::geometry::Frame;
use crate::{BBox, Flaw, Place, same_label};

/// An answer, predicted or true.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// The answer says that there is nothing.
    Nothing,
    /// Places, one by one.
    Items(Items),
    /// A name or any other text.
    Words(String),
    /// A number.
    Number(f64),
    /// The numbers 1 to n in some order.
    Order(Vec<usize>),
}

/// The items of an answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Items {
    /// Those that are valid, in the order of the answer.
    pub valid: Vec<Item>,
    /// What is wrong with each of the others. They count as predictions and earn nothing.
    pub flaws: Vec<Flaw>,
    /// Which of the valid ones is meant.
    pub target: Option<usize>,
}

/// A predicted or true item.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// The place of the item.
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

/// A predicted box with its confidence, as average precision and reports want it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detection {
    /// The box around the object.
    pub bbox: BBox,
    /// How sure, from 0 to 1; 1 where the task asks for no confidence.
    pub confidence: f64,
}

impl Answer {
    /// The items; none for an answer of another kind, or for "nothing".
    pub fn items(&self) -> &[Item] {
        match self {
            Answer::Items(items) => &items.valid,
            _ => &[],
        }
    }

    /// Number of items, the invalid ones included.
    pub fn n_items(&self) -> usize {
        match self {
            Answer::Items(items) => items.len(),
            _ => 0,
        }
    }

    /// What is said in words: a name or a text, or the labels of the items one after the other; `None` without any.
    pub fn words(&self) -> Option<String> {
        let words = match self {
            Answer::Words(words) => words.clone(),
            Answer::Items(items) => {
                let labels = items.valid.iter().filter_map(|item| item.label.as_deref());
                labels.collect::<Vec<_>>().join(", ")
            }
            _ => String::new(),
        };
        (!words.trim().is_empty()).then_some(words)
    }

    /// The boxes of an answer.
    pub fn detections(&self) -> Vec<Detection> {
        let each = self.items().iter().filter_map(|item| match item.place {
            Place::Box(bbox) => {
                Some(Detection { bbox, confidence: item.confidence.unwrap_or(1.0) })
            }
            _ => None,
        });
        each.collect()
    }

    /// The same answer about the same image in another frame of coordinates.
    pub fn converted(&self, from: Frame, to: Frame) -> Self {
        match self {
            Answer::Items(items) => {
                let converted =
                    |item: &Item| Item { place: item.place.converted(from, to), ..item.clone() };
                let valid = items.valid.iter().map(converted).collect();
                Answer::Items(Items { valid, ..items.clone() })
            }
            other => other.clone(),
        }
    }
}

impl Items {
    /// Number of items, valid or not.
    pub fn len(&self) -> usize {
        self.valid.len() + self.flaws.len()
    }

    /// Whether there is no item at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Item {
    /// An item that is nothing but a place.
    pub fn at(place: Place) -> Self {
        Self { place, label: None, confidence: None, frame: None, id: None }
    }

    /// How alike two items are by the measure of a matching; `unit` is the length of the space. 0 for items of
    /// different frames.
    pub(crate) fn likeness(&self, other: &Self, matching: &MatchConfig, unit: f64) -> f64 {
        if self.frame == other.frame {
            self.place.likeness(&other.place, matching, unit)
        } else {
            0.0
        }
    }

    /// Whether both items have labels and these are the same.
    pub(crate) fn has_label_of(&self, other: &Self) -> bool {
        self.label.as_ref().zip(other.label.as_ref()).is_some_and(|(a, b)| same_label(a, b))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Measure;

    #[test]
    fn items_of_different_frames_have_nothing_in_common() {
        let item = Item { frame: Some(1), ..Item::at(Place::Point([1.0, 2.0])) };
        let later = Item { frame: Some(2), ..item.clone() };
        let matching = MatchConfig { measure: Measure::L1, ..MatchConfig::default() };
        assert_eq!(item.likeness(&item, &matching, 1000.0), 1.0);
        assert_eq!(item.likeness(&later, &matching, 1000.0), 0.0);
    }
    #[test]
    fn an_answer_is_converted_item_by_item() {
        let item = Item {
            label: Some("cat".into()),
            ..Item::at(Place::Box(BBox::try_new([100., 200., 300., 400.]).unwrap()))
        };
        let answer = Answer::Items(Items { valid: vec![item], ..Items::default() });
        let seen = answer.converted(Frame::Thousandths, Frame::pixels(500, 200));
        let Place::Box(bbox) = seen.items()[0].place else { panic!("no box") };
        assert_eq!(bbox.corners(), [50., 40., 150., 80.]);
        assert_eq!(seen.items()[0].label.as_deref(), Some("cat"));
        assert_eq!(seen.converted(Frame::pixels(500, 200), Frame::Thousandths), answer);
    }
}
