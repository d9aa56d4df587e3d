//! Texts made at random of the pieces that answers are made of: no reader panics, and no reward leaves its range.
//!
//! `VRFT_FUZZ_SECS=600 cargo test --release -p vrft-reward --test fuzz` tries for ten minutes, as `.ci/long fuzz` does.

use std::time::{Duration, Instant};

use vrft_reward::Reward;
use vrft_reward::answers::AnswerKind;
use vrft_reward::config::{AnswerConfig, Reader, RewardConfig};

/// Seconds for each claim, unless `VRFT_FUZZ_SECS` asks for more.
const SECONDS: u64 = 3;

fn time() -> Duration {
    let asked = std::env::var("VRFT_FUZZ_SECS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(asked.unwrap_or(SECONDS))
}

/// Declarations of the kinds of answers that have names of parts, with all of them named.
const WITH_KEYS: [&str; 11] = [
    "type = 'boxes'\nkeys = { place = 'box', confidence = 'sure', label = 'name' }",
    "type = 'box'\nspace = 'pixels'\nkeys = { place = 'box', label = 'name' }",
    "type = 'points'\nkeys = { place = 'box', confidence = 'sure', label = 'name' }",
    "type = 'polygon'\nkeys = { place = 'box', confidence = 'sure', label = 'name' }",
    "type = 'mask'\nkeys = { place = 'box', label = 'name' }",
    "type = 'interval'\nkeys = { start = 'from', end = 'to', label = 'name' }",
    "type = 'track'\nkeys = { place = 'box', frame = 'frame', id = 'id' }",
    "type = 'box3d'\nkeys = { place = 'box', confidence = 'sure', label = 'name' }",
    "type = 'points3d'\nkeys = { place = 'box', confidence = 'sure', label = 'name' }",
    "type = 'json'\nkeys = { place = 'box', label = 'name', objects = 'objects', target = 'target' }",
    "type = 'label'\nlabels = ['dog', 'hot dog', 'Caf\u{e9}']",
];

/// What texts are made of.
const PIECES: [&str; 40] = [
    "<think>",
    "</think>",
    "<answer>",
    "</answer>",
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    "},",
    "(",
    ")",
    "'",
    "\"",
    ",",
    ":",
    " ",
    "\n",
    "1",
    "0.5",
    "-7",
    "1e400",
    "NaN",
    "Infinity",
    "null",
    "'Position': [1, 2, 300, 400]",
    "'Confidence': 0.5",
    "Position",
    "No Objects",
    "```json",
    "é",
    "１",
    "［",
    "“",
    "answer",
    "=",
    "#1: count=2\n",
    "\u{0}",
    "{\"size\": [2, 2], \"counts\": [1, 3]}",
];

/// An endless supply of texts, the same every time.
struct Texts(u64);

impl Texts {
    fn below(&mut self, n: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }

    fn text(&mut self) -> String {
        (0..self.below(40)).map(|_| PIECES[self.below(PIECES.len())]).collect()
    }
}

#[test]
fn any_text_gets_a_score_within_the_range() {
    let readers = [Reader::Tolerant, Reader::Strict, Reader::Official].map(|reader| {
        let mut config = RewardConfig::default();
        config.answer.reader = reader;
        Reward::new(&config)
    });
    let truth = readers[0].parse_answer("[{'Position': [1, 2, 300, 400]}]").unwrap();
    let mut texts = Texts(1);
    let start = Instant::now();
    while start.elapsed() < time() {
        let text = texts.text();
        for reward in &readers {
            let score = reward.score(&text, &truth);
            assert!(
                score.total.is_none_or(|total| (0.0..=3.0).contains(&total)),
                "{text:?}: {score:?}"
            );
            assert!(
                score.total.is_some() || reward.config().answer.reader == Reader::Official,
                "{text:?}"
            );
        }
    }
}

#[test]
fn what_is_read_strictly_is_read_tolerantly() {
    let short = AnswerKind::each().into_iter().map(AnswerConfig::of);
    let with_keys = WITH_KEYS.iter().map(|text| toml::from_str(text).unwrap());
    let answers: Vec<AnswerConfig> = short
        .chain(with_keys)
        .map(|answer| AnswerConfig { nothing: "No Objects".to_owned(), ..answer })
        .collect();
    let mut texts = Texts(2);
    let start = Instant::now();
    let mut n_strict = 0;
    while start.elapsed() < time() {
        let text = texts.text();
        for answer in &answers {
            if let Some(strict) = vrft_reward::read_strictly(&text, answer) {
                assert_eq!(vrft_reward::read_answer(text.trim(), answer), Some(strict), "{text:?}");
                n_strict += 1;
            }
            drop(vrft_reward::read_truth(&text, answer));
        }
    }
    assert!(n_strict > 100, "{n_strict}");
}
