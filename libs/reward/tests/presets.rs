//! Every shipped preset passes its self-test; the official program's rules fail it, visibly.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::path::{Path, PathBuf};

use config::Config;
use reward::{Report, self_test};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/rewards")
}
fn presets(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(presets(&path)),
            false => found.push(path),
        }
    }
    found.sort();
    found
}
fn report(path: &Path, mode: &str) -> Report {
    let config = Config::load(path, &[format!("reward.mode={mode}")]).unwrap();
    self_test(&config.reward, &[]).unwrap()
}
#[track_caller]
fn fails(preset: &str, mode: &str, tricks: &[&str]) {
    let report = report(&folder().join(preset), mode);
    assert_eq!(report.failures(), tricks, "{report}");
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

#[test]
fn the_official_programs_do_not() {
    fails("visual-rft/detection.toml", "compat", &[]);
    fails("visual-rft/classification.toml", "compat", &[]);
    fails("visual-rft/grounding.toml", "compat", &[]);
    fails("vlm-r1/detection.toml", "compat", &[]);
}

#[test]
fn the_papers_equations_have_holes_too() {
    fails("visual-rft/detection.toml", "paper", &[]);
    fails("visual-rft/classification.toml", "paper", &[]);
    fails("visual-rft/grounding.toml", "paper", &[]);
}
