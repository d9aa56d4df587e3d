//! Every shipped preset passes its self-test; the official program's rules fail it, visibly.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::path::{Path, PathBuf};

use vrft_config::Document;
use vrft_reward::config::RewardConfig;
use vrft_reward::{Report, self_test};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/rewards")
}
fn presets(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(presets(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}
fn report(path: &Path, mode: &str) -> Report {
    let document = Document::load(path, &[format!("reward.mode={mode}")]).unwrap();
    let config: RewardConfig = document.section().unwrap();
    self_test(&config, &[]).unwrap()
}
/// The checks that do not hold, without "trick: ".
fn failures(preset: &str, mode: &str) -> Vec<String> {
    let report = report(&folder().join(preset), mode);
    report.failures().iter().map(|name| name.trim_start_matches("trick: ").to_owned()).collect()
}

#[test]
fn every_preset_passes() {
    let presets = presets(&folder());
    assert!(presets.len() >= 25);
    let failed: Vec<String> = presets
        .iter()
        .map(|path| (path, report(path, "fixed")))
        .filter(|(_, report)| !report.passed())
        .map(|(path, report)| format!("{}\n{report}", path.display()))
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// What a policy gets away with, beyond what `fixed` allows.
const HOLES: [(&str, &str, &[&str]); 10] = [
    (
        "visual-rft/detection.toml",
        "compat",
        &[
            "the right answer earns the most", // not where that is "No Objects"
            "gold ×5",
            "wrong boxes with confidence 0",
            "first coordinate only",
            "two answer blocks",
            "gold only in the thinking",
        ],
    ),
    (
        "visual-rft/classification.toml",
        "compat",
        &[
            "an empty text earns nothing",
            "the form alone earns the format only",
            "all labels listed",
            "empty answer",
            "two answer blocks",
            "gold only in the thinking",
        ],
    ),
    (
        "visual-rft/grounding.toml",
        "compat",
        &[
            "fuzz: texts that earn less or more than the range", // corners out of order pay without end
            "full-image box",
            "gold ×5",
            "two answer blocks",
            "gold only in the thinking",
        ],
    ),
    (
        "visual-rft/detection.toml",
        "paper",
        &[
            "the right answer earns the most",
            "wrong boxes with confidence 0",
            "first coordinate only", // its boxes have confidence 0 as well
            "two answer blocks",
            "gold only in the thinking",
        ],
    ),
    (
        "visual-rft/classification.toml",
        "paper",
        &["two answer blocks", "gold only in the thinking"],
    ),
    ("visual-rft/grounding.toml", "paper", &["two answer blocks", "gold only in the thinking"]),
    ("vision-r1/detection.toml", "paper", &["gold ×5", "gold among invented labels"]),
    // Inventing labels is free in its average precision, but the factor against dumping boxes counts them.
    ("vlm-r1/detection.toml", "compat", &[]),
    ("vlm-r1/detection-ap50.toml", "compat", &["gold ×5", "gold among invented labels"]),
    // Every answer counts as right for its length, the empty one too.
    (
        "vlm-r1/ocr.toml",
        "compat",
        &["an empty text earns nothing", "the form alone earns the format only"],
    ),
];

#[test]
fn the_official_programs_and_the_papers_do_not() {
    for (preset, mode, expect) in HOLES {
        assert_eq!(failures(preset, mode), expect, "{preset} in mode {mode}");
    }
}
