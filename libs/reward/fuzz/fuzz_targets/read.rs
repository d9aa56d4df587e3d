//! No text of any declared kind makes a reader panic, and what the strict one reads, the tolerant one reads too.
#![no_main]

use vrft_reward::answers::AnswerKind;
use vrft_reward::config::AnswerConfig;

/// Keys for the kinds of answers that have any; the rest is declared as shortly as it can be.
const KEYED: [&str; 10] = [
    "type = 'boxes'\nkeys = { place = 'box', confidence = 'sure', label = 'name' }",
    "type = 'box'\nspace = 'pixels'\nkeys = { place = 'box', label = 'name' }",
    "type = 'points'\nkeys = { place = 'box', confidence = 'sure', label = 'name' }",
    "type = 'polygon'\nkeys = { place = 'box', confidence = 'sure', label = 'name' }",
    "type = 'mask'\nkeys = { place = 'box', label = 'name' }",
    "type = 'interval'\nkeys = { start = 'from', end = 'to', label = 'name' }",
    "type = 'track'\nkeys = { place = 'box', frame = 'frame', id = 'id' }",
    "type = 'box3d'\nkeys = { place = 'box', confidence = 'sure', label = 'name' }",
    "type = 'json'\nkeys = { place = 'box', label = 'name', objects = 'objects', target = 'target' }",
    "type = 'label'\nlabels = ['dog', 'hot dog', 'Caf\u{e9}']",
];

libfuzzer_sys::fuzz_target!(|input: (u8, &str)| {
    let short = AnswerKind::each().into_iter().map(AnswerConfig::of);
    let keyed = KEYED.iter().map(|text| toml::from_str(text).expect("a declaration"));
    let answers: Vec<AnswerConfig> = short.chain(keyed).collect();
    let answer = &answers[usize::from(input.0) % answers.len()];
    let answer = AnswerConfig { nothing: "None".into(), ..answer.clone() };
    if let Some(strict) = vrft_reward::read_strictly(input.1, &answer) {
        assert_eq!(vrft_reward::read_answer(input.1.trim(), &answer), Some(strict));
    }
    drop(vrft_reward::read_truth(input.1, &answer));
});
