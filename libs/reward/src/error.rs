//! What can be wrong with a box, a prediction, or the ground truth of a sample.

use crate::SPACE;

/// Ground truth that cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RewardError {
    /// Neither a list of boxes nor "No Objects".
    #[error(
        "expected a list of {{'Position': [x1, y1, x2, y2]}} or \"No Objects\" as the true answer, got {got:?}"
    )]
    Unreadable {
        /// The start of the text.
        got: String,
    },
    /// One of the boxes.
    #[error("box {index} of the true answer: {flaw}")]
    Box {
        /// Its place in the list, from 0.
        index: usize,
        /// What is wrong with it.
        flaw: Flaw,
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
    /// A class name without a letter or digit.
    #[error("expected a name as the true answer, got {got:?}")]
    EmptyLabel {
        /// The start of the text.
        got: String,
    },
}

/// Why one object is not a prediction.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum Flaw {
    /// No key `Position`.
    #[error("expected a key 'Position', found none")]
    NoPosition,
    /// `Position` is not a list of four numbers.
    #[error("expected 'Position' to be four numbers [x1, y1, x2, y2]")]
    Arity,
    /// A coordinate outside the space, infinite, or not a number.
    #[error("expected coordinates between 0 and {SPACE}, got {0}")]
    Coordinate(f64),
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
    /// No key `Confidence`.
    #[error("expected a key 'Confidence' with a number, found none")]
    NoConfidence,
    /// A confidence outside 0 to 1, infinite, or not a number.
    #[error("expected a confidence between 0 and 1, got {0}")]
    Confidence(f64),
}
