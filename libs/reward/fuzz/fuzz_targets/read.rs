//! No text of any declared kind makes a reader panic, and what the strict one reads, the tolerant one reads too.
#![no_main]

use config::{AnswerConfig, AnswerType};

libfuzzer_sys::fuzz_target!(|input: (u8, &str)| {
    use AnswerType::*;
    let kinds = [Boxes, Box, Points, Polygon, Mask, Label, Number, Interval, Permutation, Text, Track, Box3d, Json];
    let kind = kinds[usize::from(input.0) % kinds.len()];
    let answer = AnswerConfig { kind, ..AnswerConfig::default() };
    if let Some(strict) = reward::read_strictly(input.1, &answer) {
        assert_eq!(reward::read_answer(input.1.trim(), &answer), Some(strict));
    }
    drop(reward::read_truth(input.1, &answer));
});
