//! Questions that a picture itself answers: verifiable rewards without a label.
//!
//! The puzzles of [Puzzle Curriculum GRPO](https://arxiv.org/abs/2512.14944) (rotation, PatchFit, jigsaw), and one of
//! ours with a box as its answer. A frame that would make a puzzle ambiguous, a plain wall for example, makes none.

mod jigsaw;
mod patch_fit;
mod picture;
mod rotation;
mod spot;

use crate::PuzzleKind;
use image::RgbImage;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A question with its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Puzzle {
    /// The kind of the puzzle.
    pub kind: PuzzleKind,
    /// How large it is, where its kind has several sizes: rows × columns of a jigsaw as in `2x3`, the number of pieces to
    /// choose from of a PatchFit; else empty.
    pub size: String,
    /// Shown before the question.
    pub images: Vec<RgbImage>,
    /// The question, as the user's turn.
    pub question: String,
    /// Ground truth, as the `solution` column of a data set has it.
    pub answer: String,
}

/// How an answer is to be given; the same words as in Visual-RFT's questions.
const FORMAT: &str =
    "Output the thinking process in <think> </think> and final answer in <answer> </answer> tags.";

/// Answers that a puzzle to choose from has, all equally likely: one that is always given scores a quarter. A PatchFit may
/// have another number of pieces.
pub const N_CHOICES: usize = 4;

/// How large puzzles are: several of each where it differs from question to question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sizes {
    /// Rows and columns of a jigsaw.
    pub jigsaws: Vec<[u32; 2]>,
    /// Wrong pieces beside the right one.
    pub decoys: Vec<usize>,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { jigsaws: vec![[2, 2]], decoys: vec![N_CHOICES - 1] }
    }
}

impl Sizes {
    /// Whether a picture is cut into so many rows and columns: 2 to 9 tiles.
    pub fn is_jigsaw([rows, columns]: [u32; 2]) -> bool {
        (1..=9).contains(&rows) && (1..=9).contains(&columns) && (2..=9).contains(&(rows * columns))
    }

    /// Whether so many wrong pieces may stand beside the right one: 1 to 7.
    pub fn are_decoys(n: usize) -> bool {
        (1..=7).contains(&n)
    }
}

/// One of several; nothing is drawn where there is no choice.
fn one_of<T: Copy>(all: &[T], rng: &mut impl Rng) -> Option<T> {
    match all {
        [only] => Some(*only),
        all => (!all.is_empty()).then(|| all[rng.random_range(0..all.len())]),
    }
}

/// Makes a puzzle of a frame; `other`, another frame, lends its pieces.
///
/// `choice`, below [`N_CHOICES`], is which of its answers is to be the right one, where there are so many to choose from
/// (rotation, PatchFit with that many pieces); whoever asks many questions sees to it that each is as often right. `None` if the frame does not lend itself to this kind: the question would have several right answers.
pub fn make(
    kind: PuzzleKind,
    frame: &RgbImage,
    other: &RgbImage,
    choice: usize,
    sizes: &Sizes,
    rng: &mut impl Rng,
) -> Option<Puzzle> {
    let mut size = String::new();
    let (images, question, answer) = match kind {
        PuzzleKind::Rotation => rotation::make(frame, choice, rng),
        PuzzleKind::PatchFit => {
            let n_decoys = one_of(&sizes.decoys, rng)?;
            size = (n_decoys + 1).to_string();
            let right =
                if n_decoys + 1 == N_CHOICES { choice } else { rng.random_range(0..=n_decoys) };
            patch_fit::make(frame, other, n_decoys, right, rng)
        }
        PuzzleKind::Jigsaw => {
            let [rows, columns] = one_of(&sizes.jigsaws, rng)?;
            size = format!("{rows}x{columns}");
            jigsaw::make(frame, [rows, columns], rng)
        }
        PuzzleKind::Spot => spot::make(frame, other, rng),
    }?;
    Some(Puzzle { kind, size, images, question, answer: format!("<answer>{answer}</answer>") })
}

/// The puzzle that a seed makes, the `number`-th of it: [`make`] with randomness that depends on these two alone.
pub fn make_by_seed(
    kind: PuzzleKind,
    frame: &RgbImage,
    other: &RgbImage,
    choice: usize,
    sizes: &Sizes,
    [seed, number]: [u64; 2],
) -> Option<Puzzle> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(number);
    make(kind, frame, other, choice, sizes, &mut rng)
}

/// The pictures, question and answer of a puzzle.
type Parts = (Vec<RgbImage>, String, String);

#[cfg(test)]
mod tests;
