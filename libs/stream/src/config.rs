//! The section `[data.stream]`, learning from a camera: which of its frames are kept, and what is asked about them.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use vrft_config::{ConfigError, Section, require};

use crate::Sizes;

/// A live stream of frames in place of a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StreamConfig {
    /// Where ground truth comes from.
    pub truth: Truth,
    /// Puzzles to make, in equal parts; a label-free task each.
    pub puzzles: Vec<PuzzleKind>,
    /// Rows and columns of the tiles of a jigsaw, at random where there are several: 2 to 9 tiles.
    pub jigsaws: Vec<[u32; 2]>,
    /// Wrong pieces beside the right one of a PatchFit, at random where there are several: 1 to 7, if the frame has as many
    /// that can be told apart.
    pub decoys: Vec<usize>,
    /// Frames per second that are examined; further ones are not even decoded. 0 for no limit.
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
    /// Number of hashes remembered: a scene that returns after more than these is new again.
    pub novelty_ring: usize,
    /// Frames kept, drawn evenly from the whole session.
    pub reservoir: usize,
    /// Frames that must have been kept before the first question is asked.
    pub min_frames: usize,
    /// Share of the prompts that is about frames that were never asked about, as long as there are any.
    pub fresh: f64,
    /// Frames set aside to be judged on, and whatever looks like them with them; 0 for no evaluation.
    pub held_out: usize,
    /// Every how many frames that would be kept one is set aside, until there are enough.
    pub held_out_every: usize,
    /// Questions asked about each frame that was set aside.
    pub held_out_questions: usize,
    /// The folder of a run, a cold start for example, whose held-out questions are asked again instead: what it has not
    /// learned from is not learned from here either. Empty to set aside other frames.
    pub held_out_from: PathBuf,
    /// Seconds within which there must be enough frames to begin with, else the run gives up; 0 waits for ever.
    pub patience_secs: f64,
    /// Teacher: the category of its boxes, as the question names it.
    pub category: String,
    /// Teacher: boxes of a lower confidence are ignored.
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
    /// From people alone: the right answers to what a policy was asked, of any kind, on the input `feedback`.
    Person,
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
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Rotation, Self::PatchFit, Self::Jigsaw, Self::Spot];

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
            jigsaws: vec![[2, 2]],
            decoys: vec![3],
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

impl Section for StreamConfig {
    const NAME: &'static str = "data.stream";

    fn check(&self) -> Result<(), ConfigError> {
        frames(self)?;
        questions(self)
    }
}

fn frames(stream: &StreamConfig) -> Result<(), ConfigError> {
    for (key, value) in [
        ("data.stream.max_fps", stream.max_fps),
        ("data.stream.min_sharpness", stream.min_sharpness),
        ("data.stream.patience_secs", stream.patience_secs),
    ] {
        require(value >= 0.0 && value.is_finite(), key, value, "0 (off) or above")?;
    }
    let (dark, bright) = (stream.min_brightness, stream.max_brightness);
    require(
        (0.0..1.0).contains(&dark) && dark < bright && bright <= 1.0,
        "data.stream.min_brightness",
        dark,
        "a share of white below data.stream.max_brightness, which is 1 at most",
    )?;
    require(
        (16..=4096).contains(&stream.max_side),
        "data.stream.max_side",
        stream.max_side,
        "16 to 4096 pixels",
    )?;
    require(
        stream.novelty_bits < 64,
        "data.stream.novelty_bits",
        stream.novelty_bits,
        "below 64, the length of a hash",
    )?;
    require(
        (1..=100_000).contains(&stream.reservoir),
        "data.stream.reservoir",
        stream.reservoir,
        "1 to 100000 frames, all of which are held in memory",
    )?;
    require(
        (2..=stream.reservoir.max(2)).contains(&stream.min_frames),
        "data.stream.min_frames",
        stream.min_frames,
        "2 frames, since a puzzle may need another one, up to data.stream.reservoir",
    )
}

fn questions(stream: &StreamConfig) -> Result<(), ConfigError> {
    require(
        !stream.puzzles.is_empty(),
        "data.stream.puzzles",
        "[]",
        "one or more of rotation, patchfit, jigsaw, spot",
    )?;
    let misfit = stream.jigsaws.iter().find(|size| !Sizes::is_jigsaw(**size));
    require(
        misfit.is_none() && !stream.jigsaws.is_empty(),
        "data.stream.jigsaws",
        misfit.map_or("[]".to_owned(), |size| format!("{size:?}")),
        "one or more pairs of rows and columns with 2 to 9 tiles, as in [[2, 2], [3, 3]]",
    )?;
    let misfit = stream.decoys.iter().find(|n| !Sizes::are_decoys(**n));
    require(
        misfit.is_none() && !stream.decoys.is_empty(),
        "data.stream.decoys",
        misfit.map_or("[]".to_owned(), ToString::to_string),
        "one or more numbers from 1 to 7, as in [3, 5, 7]",
    )?;
    for (key, share) in
        [("data.stream.fresh", stream.fresh), ("data.stream.min_confidence", stream.min_confidence)]
    {
        require((0.0..=1.0).contains(&share), key, share, "a share in [0, 1]")?;
    }
    require(
        stream.held_out_every >= 2,
        "data.stream.held_out_every",
        stream.held_out_every,
        "2 or more: what is left is learned from",
    )?;
    require(
        stream.held_out_questions > 0,
        "data.stream.held_out_questions",
        0,
        "at least 1; data.stream.held_out = 0 turns evaluation off",
    )
}

#[cfg(test)]
mod tests {
    use vrft_config::{Document, Printed};

    use super::*;

    #[track_caller]
    fn refused(line: &str, key: &str) {
        let document = Document::parse(&format!("[data.stream]\n{line}"), "test").unwrap();
        let error = document.optional::<StreamConfig>().unwrap_err().to_string();
        assert!(error.starts_with(&format!("data.stream.{key}")), "{error}");
    }

    #[test]
    fn a_stream_is_off_until_its_section_is_there() {
        let read = |text: &str| Document::parse(text, "test").unwrap().optional().unwrap();
        assert_eq!(read("[data]"), None::<StreamConfig>);
        let on: StreamConfig = read("[data.stream]").unwrap();
        assert_eq!(on, StreamConfig::default());
        let mut printed = Printed::default();
        printed.add(&on);
        assert_eq!(read(&printed.finish()), Some(on));
    }

    #[test]
    fn impossible_values_are_refused_by_key() {
        refused("max_fps = -1.0", "max_fps");
        refused("min_brightness = 0.9\nmax_brightness = 0.1", "min_brightness");
        refused("max_side = 1", "max_side");
        refused("novelty_bits = 64", "novelty_bits");
        refused("reservoir = 0", "reservoir");
        refused("min_frames = 1", "min_frames");
        refused("min_frames = 100\nreservoir = 50", "min_frames");
        refused("puzzles = []", "puzzles");
        refused("jigsaws = []", "jigsaws");
        refused("jigsaws = [[1, 1]]", "jigsaws");
        refused("jigsaws = [[2, 5]]", "jigsaws");
        refused("decoys = [8]", "decoys");
        refused("decoys = []", "decoys");
        refused("fresh = 1.5", "fresh");
        refused("held_out_every = 1", "held_out_every");
        refused("held_out_questions = 0", "held_out_questions");
    }
}
