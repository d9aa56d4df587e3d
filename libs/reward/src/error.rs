//! What can be wrong with an item or with the ground truth of a sample.

/// Ground truth that cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RewardError {
    /// Text that is no answer of the declared kind.
    #[error("expected {expected} as the true answer, got {got:?}")]
    Unreadable {
        /// What the answer should look like.
        expected: String,
        /// The start of the text.
        got: String,
    },
    /// One of the items.
    #[error("item {index} of the true answer: {flaw}")]
    Item {
        /// Index of the item in the answer, from 0.
        index: usize,
        /// What is wrong with it.
        flaw: Flaw,
    },
    /// An item whose object lacks a declared key.
    #[error("item {index} of the true answer: expected {expected}, got an object with {found}")]
    Key {
        /// Index of the item in the answer, from 0.
        index: usize,
        /// What should be under which key.
        expected: String,
        /// The keys that it has, in quotes.
        found: String,
    },
    /// A list that stops in the middle of an object, or has text that is no object.
    #[error("the true answer opens {opened} objects but only {read} can be read: {got:?}")]
    Partial {
        /// Objects that begin in the text.
        opened: usize,
        /// Objects that could be read.
        read: usize,
        /// The start of the text.
        got: String,
    },
    /// Places of two kinds in tags, of which a kind of answer has one.
    #[error(
        "the true answer has a box and points in tags, {got:?}, and one kind of places is answered with: keep the one that is to be \
         learned"
    )]
    TwoKinds {
        /// The start of the text.
        got: String,
    },
    /// An answer in a box that is not read.
    #[error("expected {expected} as the true answer, got {got:?}: {why}")]
    Boxed {
        /// What the answer should look like.
        expected: String,
        /// The start of the text.
        got: String,
        /// Why it is not read, and what to do.
        why: &'static str,
    },
    /// Several answer blocks, so that it is open which of them is true.
    #[error("expected one <answer> block in the true answer, got {0}")]
    SeveralAnswers(usize),
    /// A tag within the answer, which no completion could say.
    #[error(
        "the true answer has {tag:?} in it, which no answer can say, since it marks where thinking or answer begins or \
         ends: take it out; got {got:?}"
    )]
    Tag {
        /// The tag.
        tag: &'static str,
        /// The start of the text.
        got: String,
    },
    /// A number of items that the kind of answer does not allow.
    #[error("expected one item in the true answer, got {0}")]
    NotOne(usize),
    /// Coordinates of another space than the one that is declared.
    #[error("expected coordinates in {expected}, got {got}")]
    Frame {
        /// The declared space.
        expected: &'static str,
        /// The space of the coordinates.
        got: &'static str,
    },
    /// A place outside of the image, by more than rounding explains.
    #[error(
        "the true answer has a place at ({}, {}), outside of the image of {} × {} pixels",
        point[0], point[1], size[0], size[1]
    )]
    Outside {
        /// The place.
        point: [f64; 2],
        /// Width and height of the image.
        size: [f64; 2],
    },
    /// Run lengths of a stored image that is turned before it is shown.
    #[error(
        "the true answer has run lengths, and EXIF turns the image: save the image upright, or give outlines"
    )]
    TurnedRuns,
    /// A label that the task does not declare, which no answer can say rightly.
    #[error(
        "item {index} of the true answer has the label {got:?}, which is none of reward.answer.labels"
    )]
    UnknownLabel {
        /// Index of the item in the answer, from 0.
        index: usize,
        /// The label.
        got: String,
    },
    /// A class name without a letter or digit.
    #[error("expected a name as the true answer, got {got:?}")]
    EmptyLabel {
        /// The start of the text.
        got: String,
    },
}

/// Why one object is not an item.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum Flaw {
    /// No coordinates under their key.
    #[error("expected coordinates under their key, found none")]
    NoPlace,
    /// Not as many numbers as the kind of item has.
    #[error("expected as many numbers as the kind of item has, as in [x1, y1, x2, y2]")]
    Arity,
    /// Coordinates as text.
    #[error("expected coordinates as numbers, got them in quotes")]
    QuotedNumbers,
    /// A coordinate outside the space, infinite, or not a number.
    #[error("expected coordinates between 0 and {extent}, got {got}")]
    Coordinate {
        /// The number found.
        got: f64,
        /// Where the space ends.
        extent: f64,
    },
    /// The right edge is not right of the left one.
    #[error("expected x1 < x2, got x1 = {x1}, x2 = {x2}")]
    Width {
        /// Left edge.
        x1: f64,
        /// Right edge.
        x2: f64,
    },
    /// The bottom edge is not below the top one.
    #[error("expected y1 < y2, got y1 = {y1}, y2 = {y2}")]
    Height {
        /// Top edge.
        y1: f64,
        /// Bottom edge.
        y2: f64,
    },
    /// An interval that does not end after its start.
    #[error("expected start < end, got start = {start}, end = {end}")]
    Order {
        /// First moment.
        start: f64,
        /// Last moment.
        end: f64,
    },
    /// An edge of a box in space that is not above 0.
    #[error("expected a size above 0, got {0}")]
    Size(f64),
    /// Run lengths that do not add up to the size of the image.
    #[error("expected run lengths that add up to height times width")]
    Runs,
    /// An outline around nothing.
    #[error("expected an outline with an area")]
    Empty,
    /// No confidence under its key.
    #[error("expected a confidence under its key, found none")]
    NoConfidence,
    /// A confidence outside 0 to 1, infinite, or not a number.
    #[error("expected a confidence between 0 and 1, got {0}")]
    Confidence(f64),
    /// No label under its key.
    #[error("expected a label under its key, found none")]
    NoLabel,
    /// No whole frame number under its key.
    #[error("expected a frame number under its key, found none")]
    NoFrame,
    /// No id under its key.
    #[error("expected an id under its key, found none")]
    NoId,
    /// One item more than is looked at.
    #[error("expected fewer items")]
    TooMany,
}
