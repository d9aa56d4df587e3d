//! What an answer looks like, and what must stand around it.

use serde::{Deserialize, Serialize};

/// The declared shape of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AnswerConfig {
    /// Kind of answer.
    #[serde(rename = "type")]
    pub kind: AnswerType,
    /// What coordinates count.
    pub space: Space,
    /// What is said where there is nothing to be found; empty if there always is something.
    pub nothing: String,
    /// Whether saying so, rightly, earns the terms.
    pub nothing_pays: bool,
    /// Names of the parts of an item; an item has the parts that are named.
    pub keys: Keys,
    /// The names to choose from, for labels; empty for any.
    pub labels: Vec<String>,
    /// Items of a permutation; 0 for as many as the true one has.
    pub length: usize,
    /// Which part of a completion is the answer.
    pub from: From,
    /// How the text of an answer is read.
    pub reader: Reader,
}

/// Kind of answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AnswerType {
    /// Any number of boxes `[x1, y1, x2, y2]`.
    Boxes,
    /// One box.
    Box,
    /// Any number of points `[x, y]`.
    Points,
    /// Any number of outlines `[x1, y1, x2, y2, …]`.
    Polygon,
    /// One region: outlines, or run lengths `{"size": [h, w], "counts": […]}` as in COCO.
    Mask,
    /// One name.
    Label,
    /// One number.
    Number,
    /// One stretch of time.
    Interval,
    /// The numbers 1 to n in some order.
    Permutation,
    /// Any text.
    Text,
    /// Boxes with a frame each, and an id where there are several objects.
    Track,
    /// Any number of boxes in space: center, size and, if wanted, the turn about the vertical.
    Box3d,
    /// Labelled boxes and the number of the one that is meant.
    Json,
}

/// What coordinates count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Space {
    /// 0 to 1000 on both axes, whatever the size of the image (Qwen2-VL, Visual-RFT).
    Thousandths,
    /// 0 to 1.
    Unit,
    /// Pixels of the image as the model sees it (Qwen2.5-VL), or any other unit without an upper end.
    Pixels,
}

/// Names of the parts of an item.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Keys {
    /// Coordinates; empty if items are bare lists of numbers.
    pub place: String,
    /// How sure, from 0 to 1.
    pub confidence: String,
    /// Name of what is there.
    pub label: String,
    /// First moment of an interval.
    pub start: String,
    /// Last moment of an interval.
    pub end: String,
    /// Frame of a track.
    pub frame: String,
    /// Object of a track.
    pub id: String,
    /// List of the items within the answer.
    pub objects: String,
    /// Index of the item that is meant, from 0.
    pub target: String,
}

/// Which part of a completion is the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum From {
    /// The one answer block after the thinking. Two of them are no answer.
    AfterThink,
    /// The first answer block anywhere, else the whole text.
    Anywhere,
}

/// How the text of an answer is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reader {
    /// Overlooks what carries no meaning: quotes, commas, fences, prose around a list.
    Tolerant,
    /// JSON to the letter, and nothing around it.
    Strict,
    /// As Visual-RFT's program reads it.
    Official,
}

/// What must stand around the answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FormatConfig {
    /// `<think>…</think>` comes first.
    pub think: bool,
    /// The answer stands in `<answer>…</answer>`.
    pub tags: bool,
    /// Each tag occurs once: with several answers, a completion could hedge.
    pub once: bool,
    /// What must stand between the tags.
    pub content: Content,
    /// Put what the answer should look like at the end of every question; off where the data says it already.
    pub instruct: bool,
}

/// What must stand between the answer tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    /// Anything.
    Any,
    /// An answer that the strict reader accepts.
    Valid,
}

impl AnswerType {
    /// All kinds, as they are written.
    pub const NAMES: &str = "boxes, box, points, polygon, mask, label, number, interval, permutation, text, track, box3d or json";

    /// Whether an answer is a list of places that are paired with the true ones.
    pub fn has_items(self) -> bool {
        use AnswerType::*;
        !matches!(self, Label | Number | Permutation | Text)
    }
}

impl AnswerConfig {
    /// Whether an answer says something in words that mean something.
    pub fn has_words(&self) -> bool {
        matches!(self.kind, AnswerType::Label | AnswerType::Text) || !self.keys.label.is_empty()
    }

    /// Whether an answer stays true when its image is mirrored, since it is mirrored too or names no place.
    pub fn may_be_mirrored(&self) -> bool {
        let boxes = self.keys.place.eq_ignore_ascii_case("position")
            && self.space == Space::Thousandths
            && matches!(self.kind, AnswerType::Boxes | AnswerType::Box);
        boxes || !self.kind.has_items()
    }

    /// Boxes as the data sets of Visual-RFT have them.
    pub fn visual_rft() -> Self {
        let keys =
            Keys { place: "Position".into(), confidence: "Confidence".into(), ..Keys::default() };
        Self { nothing: "No Objects".into(), keys, ..Self::default() }
    }
}

impl Default for AnswerConfig {
    fn default() -> Self {
        Self {
            kind: AnswerType::Boxes,
            space: Space::Thousandths,
            nothing: String::new(),
            nothing_pays: true,
            keys: Keys::default(),
            labels: Vec::new(),
            length: 0,
            from: From::AfterThink,
            reader: Reader::Tolerant,
        }
    }
}

impl Default for FormatConfig {
    fn default() -> Self {
        Self { think: true, tags: true, once: true, content: Content::Any, instruct: false }
    }
}
