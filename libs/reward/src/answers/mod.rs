//! The kinds of answers. Everything that is different between them is in one module each, behind the trait [`Kind`]:
//! what can be declared, what is asked for, how it is read and written, how it is recognized in data, and how the
//! self-test attacks it.

mod box3d;
mod boxes;
mod draft;
mod examples;
mod interval;
pub(crate) mod items;
mod json;
mod label;
mod mask;
mod number;
mod one_box;
mod permutation;
mod points;
mod points3d;
mod polygon;
mod text;
mod track;

pub use box3d::Box3dAnswer;
pub use boxes::BoxesAnswer;
pub(crate) use draft::{Draft, Sketch, names};
pub use examples::Example;
pub(crate) use examples::Examples;
pub use interval::{IntervalAnswer, IntervalKeys};
pub use items::AxisOrder;
pub use items::keys::{ItemKeys, OneItemKeys};
pub(crate) use items::{ItemKind, drawn_sketch, elsewhere, quoted};
pub use json::{JsonAnswer, JsonKeys};
pub use label::LabelAnswer;
pub use mask::MaskAnswer;
pub use number::NumberAnswer;
pub(crate) use number::{are_codes, is_digits, only_number, sets_off_thousands};
pub use number::{is_measure, is_percent, unit};
pub use one_box::BoxAnswer;
pub use permutation::PermutationAnswer;
pub(crate) use permutation::{is_permutation, order};
pub use points::PointsAnswer;
pub use points3d::Points3dAnswer;
pub use polygon::PolygonAnswer;
pub use text::TextAnswer;
pub use track::{TrackAnswer, TrackKeys};

use serde::Serialize;
use toml::Table;

use crate::config::{ConfigError, Reader, parts};
use crate::geometry::{Geometry, Space};
use crate::rng::Rng;
use crate::terms::Metric;
use crate::{Answer, RewardError, official};

/// What the answers of a kind are made of. Metrics and matchings say by it what they apply to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Places, one by one, that are paired with the true ones.
    Items(Geometry),
    /// A name of few, or of a kind that has names.
    Name,
    /// Any text.
    Text,
    /// One number.
    Number,
    /// The numbers 1 to n in some order.
    Order,
}

/// Who wrote the text of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Author {
    /// A policy: what it leaves out is missing.
    Policy,
    /// A data set: the truth may come without a confidence, but not with one that no policy should learn to say.
    Data,
}

/// One kind of answer.
pub(crate) trait Kind {
    /// What its answers are made of.
    fn form(&self) -> Form;

    /// The parts that keys of the table `keys` can name.
    fn parts() -> &'static [&'static str]
    where
        Self: Sized,
    {
        &[]
    }

    /// Whether a key has the value that stands for nothing. Earlier versions wrote the keys of all kinds into the
    /// configuration of a run folder, those of other kinds with these values.
    fn is_nothing(_key: &str, _value: &toml::Value) -> bool
    where
        Self: Sized,
    {
        false
    }

    /// What only answers made of items have.
    fn as_items(&self) -> Option<&dyn ItemKind> {
        None
    }

    /// Says what coordinates count, where there are any.
    fn set_space(&mut self, _space: Space) {}

    /// Checks what the types of the keys cannot rule out.
    fn check(&self) -> Result<(), ConfigError> {
        Ok(())
    }

    /// What to give, as one sentence.
    fn instruction(&self) -> String;

    /// What an answer looks like, with placeholders.
    fn example(&self) -> String;

    /// Reads an answer with forgiveness; `None` if the text says nothing of this kind. The text is in plain characters,
    /// and does not say "nothing".
    fn read(&self, text: &str, author: Author) -> Option<Answer>;

    /// Whether a text that was read is an answer to the letter, with nothing around it.
    fn is_exact(&self, text: &str, reading: &Answer) -> bool;

    /// Reads a whole completion as Visual-RFT's program does; `None` where that ends in an exception.
    fn read_official(&self, completion: &str) -> Option<Answer> {
        Some(Answer::Words(official::text(completion).trim().to_owned()))
    }

    /// Refuses a text that must not be taken for the truth.
    fn check_truth(&self, _text: &str, _truth: Option<&Answer>) -> Result<(), RewardError> {
        Ok(())
    }

    /// The text of an answer that is not "nothing".
    fn write(&self, draft: &Draft, _reader: Reader) -> String {
        draft.to_string()
    }

    /// The metric of a proposed reward.
    fn usual_metric(&self) -> Metric;

    /// A true answer, drawn by chance.
    fn draw(&self, rng: &mut Rng) -> Draft;

    /// An answer that is off by `sigma`: 0 leaves it right, at 0.4 little is left of it.
    ///
    /// Coordinates move by as large a part of the item's size, numbers by as large a part of their own; letters, places
    /// of a permutation and names are exchanged with as large a probability.
    fn corrupt(&self, draft: &Draft, sigma: f64, rng: &mut Rng) -> Draft;

    /// The right answer many times over, where that is another answer.
    fn repeated(&self, _gold: &Draft) -> Option<Draft> {
        None
    }

    /// The right answer among all other ones that are likely.
    fn hedged(&self, _gold: &Draft, _rng: &mut Rng) -> Option<Draft> {
        None
    }

    /// The same answer whatever the question; `None` where that is to say "nothing".
    fn constant(&self, gold: &Draft) -> Option<Draft>;
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident($answer:ty) = $name:literal),* $(,)?) => {
        /// Kind of answer, with the keys that it knows.
        #[derive(Debug, Clone, PartialEq, Serialize)]
        #[serde(tag = "type")]
        pub enum AnswerKind {
            $($(#[$doc])* #[serde(rename = $name)] $kind($answer)),*
        }

        impl AnswerKind {
            /// All kinds, as they are written.
            pub const NAMES: &[&str] = &[$($name),*];

            /// As it is written.
            pub fn name(&self) -> &'static str {
                match self {
                    $(AnswerKind::$kind(_) => $name),*
                }
            }

            /// The kind that its keys declare; `None` if there is no kind of this name.
            ///
            /// # Errors
            /// A key that the kind does not know, lacks, or that has another value than it takes.
            pub(crate) fn from_table(name: &str, keys: Table, at: &str, common: &[&str]) -> Option<Result<Self, String>> {
                match name {
                    $($name => {
                        let owner = concat!("an answer of type ", $name);
                        Some(parts::part::<$answer>(keys, at, owner, common, &[], AnswerKind::is_nothing).map(AnswerKind::$kind))
                    })*
                    _ => None,
                }
            }

            /// Whether any kind has a part that a key of this name stands for.
            pub(crate) fn is_part(name: &str) -> bool {
                [$(<$answer as Kind>::parts()),*].iter().any(|parts| parts.contains(&name))
            }

            /// Whether a key of any kind has the value that stands for nothing.
            fn is_nothing(key: &str, value: &toml::Value) -> bool {
                [$(<$answer as Kind>::is_nothing(key, value)),*].contains(&true)
            }

            pub(crate) fn kind(&self) -> &dyn Kind {
                match self {
                    $(AnswerKind::$kind(answer) => answer),*
                }
            }

            /// The same kind with coordinates in another space.
            pub(crate) fn in_space(&self, space: Space) -> Self {
                let mut kind = self.clone();
                match &mut kind {
                    $(AnswerKind::$kind(answer) => Kind::set_space(answer, space)),*
                }
                kind
            }
        }
    };
}

kinds! {
    /// Any number of boxes `[x1, y1, x2, y2]`.
    Boxes(BoxesAnswer) = "boxes",
    /// One box.
    Box(BoxAnswer) = "box",
    /// Any number of points `[x, y]`.
    Points(PointsAnswer) = "points",
    /// Any number of outlines `[x1, y1, x2, y2, …]`.
    Polygon(PolygonAnswer) = "polygon",
    /// One region: outlines, or run lengths `{"size": [h, w], "counts": […]}` as in COCO.
    Mask(MaskAnswer) = "mask",
    /// One name.
    Label(LabelAnswer) = "label",
    /// One number.
    Number(NumberAnswer) = "number",
    /// One stretch of time.
    Interval(IntervalAnswer) = "interval",
    /// The numbers 1 to n in some order.
    Permutation(PermutationAnswer) = "permutation",
    /// Any text.
    Text(TextAnswer) = "text",
    /// Boxes with a frame each, and an id where there are several objects.
    Track(TrackAnswer) = "track",
    /// Any number of boxes in space: center, size and, if wanted, the turn about the vertical.
    Box3d(Box3dAnswer) = "box3d",
    /// Any number of points in space, `[x, y, z]`.
    Points3d(Points3dAnswer) = "points3d",
    /// Labeled boxes and the number of the one that is meant.
    Json(JsonAnswer) = "json",
}

impl AnswerKind {
    /// One of each kind, declared as shortly as it can be.
    pub fn each() -> Vec<Self> {
        vec![
            AnswerKind::Boxes(BoxesAnswer::default()),
            AnswerKind::Box(BoxAnswer::default()),
            AnswerKind::Points(PointsAnswer::default()),
            AnswerKind::Polygon(PolygonAnswer::default()),
            AnswerKind::Mask(MaskAnswer::default()),
            AnswerKind::Label(LabelAnswer::default()),
            AnswerKind::Number(NumberAnswer::default()),
            AnswerKind::Interval(IntervalAnswer::default()),
            AnswerKind::Permutation(PermutationAnswer::default()),
            AnswerKind::Text(TextAnswer::default()),
            AnswerKind::Track(TrackAnswer::default()),
            AnswerKind::Box3d(Box3dAnswer::default()),
            AnswerKind::Points3d(Points3dAnswer::default()),
            AnswerKind::Json(JsonAnswer::default()),
        ]
    }

    /// What its answers are made of.
    pub fn form(&self) -> Form {
        self.kind().form()
    }

    /// The geometry of its items; `None` for answers that are one value.
    pub fn geometry(&self) -> Option<Geometry> {
        match self.form() {
            Form::Items(geometry) => Some(geometry),
            _ => None,
        }
    }
}

/// The kind of answer that fits all examples best, and why.
pub(crate) fn recognize(examples: &Examples) -> (AnswerKind, String) {
    type Recognize = fn(&Examples) -> Option<(AnswerKind, String)>;
    // What is particular comes before what is general: the last two take any text.
    const IN_THIS_ORDER: [Recognize; 11] = [
        interval::recognize,
        track::recognize,
        points::recognize,
        points3d::recognize,
        box3d::recognize,
        boxes::recognize,
        one_box::recognize,
        permutation::recognize,
        number::recognize,
        label::recognize,
        text::recognize,
    ];
    let found = IN_THIS_ORDER.iter().find_map(|recognize| recognize(examples));
    found.unwrap_or_else(|| (AnswerKind::Text(TextAnswer::default()), "free text".to_owned()))
}
