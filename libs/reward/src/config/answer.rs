//! What an answer looks like, and what must stand around it.

use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::parts;
use crate::answers::{AnswerKind, AxisOrder, BoxesAnswer, Form, ItemKeys};
use crate::geometry::{Geometry, Space};

/// The declared shape of an answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AnswerConfig {
    /// Kind of answer, with the keys that only it knows.
    #[serde(flatten)]
    pub kind: AnswerKind,
    /// What is said where there is nothing to be found; empty if there always is something.
    pub nothing: String,
    /// Whether saying so, rightly, earns the terms.
    pub nothing_pays: bool,
    /// Which part of a completion is the answer.
    pub from: From,
    /// How the text of an answer is read.
    pub reader: Reader,
}

/// The keys that all kinds of answers have, with their defaults.
#[derive(Deserialize)]
#[serde(default)]
struct Common {
    nothing: String,
    nothing_pays: bool,
    from: From,
    reader: Reader,
}

/// Names of the keys of [`Common`].
const COMMON: [&str; 4] = ["nothing", "nothing_pays", "from", "reader"];

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
    /// Anything may stand between the tags.
    Any,
    /// An answer that the strict reader accepts.
    Valid,
}

impl AnswerConfig {
    /// An answer of this kind, with the defaults of what all kinds have in common.
    pub fn of(kind: AnswerKind) -> Self {
        let Common { nothing, nothing_pays, from, reader } = Common::default();
        Self { kind, nothing, nothing_pays, from, reader }
    }

    /// Boxes as the data sets of Visual-RFT have them.
    pub fn visual_rft() -> Self {
        let keys = ItemKeys {
            place: "Position".into(),
            confidence: "Confidence".into(),
            ..ItemKeys::default()
        };
        let kind = AnswerKind::Boxes(BoxesAnswer { keys, ..BoxesAnswer::default() });
        Self { nothing: "No Objects".into(), ..Self::of(kind) }
    }

    /// Whether an answer is a list of places that are paired with the true ones.
    pub fn has_items(&self) -> bool {
        self.kind.geometry().is_some()
    }

    /// What coordinates count; `None` for answers without any.
    pub fn space(&self) -> Option<Space> {
        self.kind.kind().as_items().map(|items| items.space())
    }

    /// The same answer with coordinates that count something else.
    pub fn in_space(&self, space: Space) -> Self {
        Self { kind: self.kind.in_space(space), ..self.clone() }
    }

    /// The key of the coordinates of an item; `None` for items without keys and for answers without items.
    pub fn place_key(&self) -> Option<&str> {
        self.kind.kind().as_items()?.keys().place
    }

    /// Whether items have a label.
    pub(crate) fn has_item_labels(&self) -> bool {
        self.kind.kind().as_items().is_some_and(|items| items.keys().label.is_some())
    }

    /// Whether items have a confidence.
    pub(crate) fn has_confidence(&self) -> bool {
        self.kind.kind().as_items().is_some_and(|items| items.keys().confidence.is_some())
    }

    /// Whether an answer says something in words that mean something.
    pub fn has_words(&self) -> bool {
        matches!(self.kind.form(), Form::Name | Form::Text) || self.has_item_labels()
    }

    /// Whether an answer stays true when its image is mirrored, since its places can be mirrored too or it names none.
    pub fn may_be_mirrored(&self) -> bool {
        let is_in_space = matches!(self.kind.geometry(), Some(Geometry::Solid | Geometry::Point3d));
        !is_in_space && self.kind.geometry() != Some(Geometry::Region)
    }

    /// Whether an answer has boxes in thousandths under `Position`, as in the data sets of Visual-RFT.
    pub fn has_positions(&self) -> bool {
        let is_position = self.place_key().is_some_and(|key| key.eq_ignore_ascii_case("position"));
        let boxes = matches!(self.kind, AnswerKind::Boxes(_) | AnswerKind::Box(_));
        boxes && is_position && !self.is_y_first() && self.space() == Some(Space::Thousandths)
    }

    /// Whether places are asked for with y before x, as declared or as their key has it.
    pub fn is_y_first(&self) -> bool {
        let items = self.kind.kind().as_items();
        items.is_some_and(|items| items.asked_order() == AxisOrder::Yx)
    }

    /// Whether places are read with y before x where they stand under this key.
    pub fn is_y_first_under(&self, key: &str) -> bool {
        let items = self.kind.kind().as_items();
        items.is_some_and(|items| AxisOrder::of(items.order(), Some(key)) == AxisOrder::Yx)
    }

    /// The answer that a table declares; `at` is its path.
    fn from_table(mut table: Table, at: &str) -> Result<Self, String> {
        let missing = || {
            let names = AnswerKind::NAMES.join(", ");
            format!("{at}.type is missing: write the kind of answer, one of {names}")
        };
        let name = table.remove("type").ok_or_else(missing)?;
        if let Some(Value::Table(keys)) = table.get_mut("keys") {
            // An empty key stands for no such part, so it may also be written for a kind that does not know the part.
            keys.retain(|part, name| name.as_str() != Some("") || !AnswerKind::is_part(part));
        }
        let common = COMMON.iter().filter_map(|key| Some(((*key).to_owned(), table.remove(*key)?)));
        let common: Common = parts::read(Value::Table(common.collect()), at)?;
        let unknown = || {
            let names = AnswerKind::NAMES.join(", ");
            format!("{at}.type = {name}: expected one of {names}")
        };
        let kind = AnswerKind::from_table(name.as_str().unwrap_or_default(), table, at, &COMMON)
            .ok_or_else(unknown)??;
        let Common { nothing, nothing_pays, from, reader } = common;
        Ok(Self { kind, nothing, nothing_pays, from, reader })
    }
}

impl<'de> Deserialize<'de> for AnswerConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table = Table::deserialize(deserializer)?;
        Self::from_table(table, "reward.answer").map_err(D::Error::custom)
    }
}

impl Default for Common {
    fn default() -> Self {
        Self {
            nothing: String::new(),
            nothing_pays: true,
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
