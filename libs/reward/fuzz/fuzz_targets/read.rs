//! No text of any declared kind makes a reader panic, and what the strict one reads, the tolerant one reads too.
#![no_main]

use vrft_reward::config::{AnswerConfig, AnswerType, Keys};

libfuzzer_sys::fuzz_target!(|input: (u8, &str)| {
    use AnswerType::*;
    let kinds = [Boxes, Box, Points, Polygon, Mask, Label, Number, Interval, Permutation, Text, Track, Box3d, Json];
    let kind = kinds[usize::from(input.0) % kinds.len()];
    let keys = match input.0 & 0x80 {
        0 => Keys::default(),
        _ => keys(kind),
    };
    let answer = AnswerConfig { kind, keys, nothing: "None".into(), ..AnswerConfig::default() };
    if let Some(strict) = vrft_reward::read_strictly(input.1, &answer) {
        assert_eq!(vrft_reward::read_answer(input.1.trim(), &answer), Some(strict));
    }
    drop(vrft_reward::read_truth(input.1, &answer));
});

/// All the keys that answers of a kind may have.
fn keys(kind: AnswerType) -> Keys {
    let named = |name: &str, kinds: &[AnswerType]| if kinds.contains(&kind) { name.to_owned() } else { String::new() };
    use AnswerType::*;
    Keys {
        place: named("box", &[Boxes, Box, Points, Polygon, Mask, Track, Box3d, Json]),
        confidence: named("sure", &[Boxes, Points, Polygon, Box3d]),
        label: named("name", &[Boxes, Box, Points, Polygon, Mask, Interval, Box3d, Json]),
        start: named("from", &[Interval]),
        end: named("to", &[Interval]),
        frame: named("frame", &[Track]),
        id: named("id", &[Track]),
        objects: named("objects", &[Json]),
        target: named("target", &[Json]),
    }
}
