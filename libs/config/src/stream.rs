//! Learning from a camera: which of its frames are kept, and what is asked about them.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A live stream of frames in place of a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StreamConfig {
    /// Where ground truth comes from.
    pub truth: Truth,
    /// Puzzles to make, in equal parts; a label-free task each.
    pub puzzles: Vec<PuzzleKind>,
    /// Frames looked at per second; what comes faster is not even decoded. 0 for no limit.
    pub max_fps: f64,
    /// Frames are scaled down to this longest side before they are kept.
    pub max_side: u32,
    /// Variance of the Laplacian (gray levels squared, at 256 pixels) below which a frame is blurred.
    pub min_sharpness: f64,
    /// Mean gray, as a share of white, below which a frame is too dark.
    pub min_brightness: f64,
    /// Mean gray, as a share of white, above which a frame is too bright.
    pub max_brightness: f64,
    /// Bits of 64 in which a frame's perceptual hash must differ from the recent ones to be new.
    pub novelty_bits: u32,
    /// Hashes remembered: a scene that returns after so many others is new again.
    pub novelty_ring: usize,
    /// Frames kept, drawn evenly from the whole session.
    pub reservoir: usize,
    /// Frames that must have been kept before the first question is asked.
    pub min_frames: usize,
    /// Share of the prompts that is about frames that were never asked about, as long as there are any.
    pub fresh: f64,
    /// Frames set aside to be judged on, and whatever looks like them with them; 0 for no evaluation.
    pub held_out: usize,
    /// One of so many frames that would be kept is set aside, until there are enough.
    pub held_out_every: usize,
    /// Questions asked about each frame that was set aside.
    pub held_out_questions: usize,
    /// The folder of a run, a cold start for example, whose held-out questions are asked again instead: what it has not
    /// learned from is not learned from here either. Empty to set frames aside anew.
    pub held_out_from: PathBuf,
    /// Seconds within which there must be enough frames to begin with, else the run gives up; 0 waits for ever.
    pub patience_secs: f64,
    /// Teacher: what its boxes are boxes of, as the question names it.
    pub category: String,
    /// Teacher: boxes it is less sure of are left out.
    pub min_confidence: f64,
}

/// Where the ground truth of a frame comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Truth {
    /// From the frame itself: it is taken apart, and the policy finds out how.
    Puzzles,
    /// From a detector's boxes on the input `boxes2d`, and a person's remarks on the input `feedback`.
    Teacher,
}

/// A question that a frame itself answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PuzzleKind {
    /// By how many degrees was it turned? One of 0, 90, 180, 270.
    Rotation,
    /// Which of four pieces fits the hole? A letter.
    #[serde(rename = "patchfit")]
    PatchFit,
    /// In which order do the shuffled tiles belong? A permutation.
    Jigsaw,
    /// Where does a piece of another frame lie over it? A box.
    Spot,
}

impl PuzzleKind {
    /// The task's name, which travels with every prompt.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rotation => "rotation",
            Self::PatchFit => "patchfit",
            Self::Jigsaw => "jigsaw",
            Self::Spot => "spot",
        }
    }
}

impl Default for StreamConfig {
    fn default() -> Self {
        Self {
            truth: Truth::Puzzles,
            puzzles: vec![PuzzleKind::Rotation, PuzzleKind::PatchFit, PuzzleKind::Jigsaw],
            max_fps: 5.0,
            max_side: 448,
            min_sharpness: 20.0,
            min_brightness: 0.05,
            max_brightness: 0.95,
            novelty_bits: 6,
            novelty_ring: 512,
            reservoir: 256,
            min_frames: 16,
            fresh: 0.5,
            held_out: 16,
            held_out_every: 4,
            held_out_questions: 4,
            held_out_from: PathBuf::new(),
            patience_secs: 300.0,
            category: "object".into(),
            min_confidence: 0.5,
        }
    }
}
