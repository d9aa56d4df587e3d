//! The values that learning from a stream cannot work with.

use crate::check::require;
use crate::{AnswerType, Config, ConfigError, PuzzleKind, StreamConfig, Truth};

impl Config {
    pub(crate) fn validate_stream(&self) -> Result<(), ConfigError> {
        let Some(stream) = &self.data.stream else { return Ok(()) };
        frames(stream)?;
        questions(stream)?;
        answers(stream, self.reward.answer.kind)
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

/// The reward must be able to read what the puzzles ask for.
fn answers(stream: &StreamConfig, kind: AnswerType) -> Result<(), ConfigError> {
    use AnswerType::{Box, Boxes, Label, Number, Permutation, Text};
    let fits = |puzzle: &PuzzleKind| match puzzle {
        PuzzleKind::Rotation => matches!(kind, Label | Number | Text),
        PuzzleKind::PatchFit => matches!(kind, Label | Text),
        PuzzleKind::Jigsaw => matches!(kind, Permutation | Text),
        PuzzleKind::Spot => matches!(kind, Boxes | Box),
    };
    let misfit = stream.puzzles.iter().find(|puzzle| !fits(puzzle));
    let misfit = misfit.filter(|_| stream.truth == Truth::Puzzles);
    require(
        misfit.is_none(),
        "data.stream.puzzles",
        misfit.map_or("", |puzzle| puzzle.name()),
        "puzzles whose answers the declared reward reads: rewards/puzzles/ has a preset for each of rotation, patchfit \
         and jigsaw, and mixed.toml for them together; spot has boxes",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reward that reads the answers to all puzzles but spot.
    const MIXED: &str =
        "[reward.answer]\ntype = \"text\"\n[reward.terms.tiles]\nmetric = \"tiles\"";

    #[track_caller]
    fn refused(line: &str, key: &str) {
        let text = format!("[data.stream]\n{line}\n{MIXED}");
        let error = Config::parse(&text, "test").unwrap_err();
        assert!(error.to_string().starts_with(&format!("data.stream.{key}")), "{error}");
    }

    #[test]
    fn a_stream_is_off_until_its_section_is_there() {
        assert_eq!(Config::parse("", "test").unwrap().data.stream, None);
        let on = Config::parse(&format!("[data.stream]\n{MIXED}"), "test").unwrap();
        assert_eq!(on.data.stream, Some(StreamConfig::default()));
        assert_eq!(Config::parse(&on.to_toml(), "printed").unwrap(), on);
    }

    #[test]
    fn puzzles_that_the_reward_cannot_read_are_refused() {
        refused("puzzles = [\"rotation\", \"spot\"]", "puzzles = spot: puzzles whose answers");
        let boxes = Config::parse("[data.stream]\npuzzles = [\"spot\"]", "test");
        assert!(boxes.is_ok());
        let teacher = Config::parse("[data.stream]\ntruth = \"teacher\"", "test");
        assert!(teacher.is_ok());
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
        refused("fresh = 1.5", "fresh");
        refused("held_out_every = 1", "held_out_every");
        refused("held_out_questions = 0", "held_out_questions");
    }
}
