//! Any text gets a finite score within the range, or none, whoever's rules apply.
#![no_main]

use vrft_reward::Reward;
use vrft_reward::config::{Reader, RewardConfig};

libfuzzer_sys::fuzz_target!(|text: &str| {
    for reader in [Reader::Tolerant, Reader::Strict, Reader::Official] {
        let mut config = RewardConfig::default();
        config.answer.reader = reader;
        let reward = Reward::new(&config);
        let truth = reward.parse_answer("[{'Position': [1, 2, 300, 400]}]").expect("a box");
        if let Some(total) = reward.score(text, &truth).total {
            let (low, high) = reward.range();
            assert!((low..=high).contains(&total), "{total}");
        }
    }
});
