//! Modes, presets, and messages that say what to write.

use std::path::Path;

use crate::{Config, ConfigError, Metric, Norm};

const TASK: &str = "
[reward.answer]
type = \"boxes\"
[reward.terms.iou]
metric = \"overlap\"
norm = \"max\"
[reward.modes.paper.terms.iou]
norm = \"predicted\"
";

fn with(overrides: &[&str]) -> Result<Config, ConfigError> {
    let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
    Config::resolved(TASK, "test", Path::new(""), &overrides)
}
fn norm(overrides: &[&str]) -> Option<Norm> {
    with(overrides).unwrap().reward.terms["iou"].norm
}
#[track_caller]
fn refused(text: &str, message: &str) {
    let error = Config::parse(text, "test").unwrap_err().to_string();
    assert!(error.contains(message), "{error}");
}

#[test]
fn a_mode_is_a_declared_difference() {
    assert_eq!(norm(&[]), Some(Norm::Max));
    assert_eq!(norm(&["reward.mode=paper"]), Some(Norm::Predicted));
}
#[test]
fn an_override_wins_over_the_mode() {
    assert_eq!(norm(&["reward.mode=paper", "reward.terms.iou.norm=truth"]), Some(Norm::Truth));
}
#[test]
fn a_mode_must_be_declared() {
    let error = with(&["reward.mode=compat"]).unwrap_err().to_string();
    assert!(error.contains("[reward.modes.compat]") && error.contains("paper"), "{error}");
}
#[test]
fn what_is_resolved_reads_back_the_same() {
    let config = with(&["reward.mode=paper"]).unwrap();
    assert_eq!(Config::parse(&config.to_toml(), "printed").unwrap(), config);
}
#[test]
fn a_preset_is_laid_under() {
    let folder = std::env::temp_dir().join(format!("vrft-preset-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("base.toml"), TASK).unwrap();
    let text =
        "[reward]\npreset = \"base.toml\"\n[reward.terms.iou]\nmetric = \"recall\"\nnorm = \"max\"";
    let error = Config::resolved(text, "test", &folder, &[]).unwrap_err().to_string();
    assert!(error.contains("recall knows only"), "{error}");
    let text = "[reward]\npreset = \"base.toml\"\n[reward.terms.iou]\nweight = 2.0\n[reward.terms.n]\nmetric = \"count\"";
    let config = Config::resolved(text, "test", &folder, &[]).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    let metrics: Vec<Metric> = config.reward.terms.values().map(|term| term.metric).collect();
    assert_eq!(metrics, [Metric::Overlap, Metric::Count]);
    assert_eq!(config.reward.terms["iou"].weight, 2.0);
}

#[test]
fn a_missing_key_says_what_to_write() {
    refused(
        "[reward]\nmode = \"fixed\"",
        "reward.answer.type is missing: write the kind of answer, one of boxes",
    );
    refused(
        "[reward.answer]\ntype = \"boxes\"",
        "reward.terms is missing: write at least one table",
    );
    refused(
        "[reward.answer]\ntype = \"label\"\n[reward.terms.a]\nmetric = \"cosine\"\nof = \"b\"",
        "reward.terms.a.of = b: expected the name of another term",
    );
}
#[test]
fn a_contradiction_says_what_to_write() {
    let label = "[reward.answer]\ntype = \"label\"\n[reward.terms.a]\n";
    refused(&format!("{label}metric = \"overlap\""), "expected one of accuracy, format");
    refused(
        &format!("{label}metric = \"accuracy\"\nnorm = \"max\""),
        "accuracy knows only [\"same\"]",
    );
    refused(&format!("{label}metric = \"accuracy\"\nweight = nan"), "reward.terms.a.weight");
    let boxes = "[reward.answer]\ntype = \"boxes\"\n[reward.terms.a]\n";
    refused(&format!("{boxes}metric = \"confidence\""), "reward.answer.keys.confidence");
    refused(&format!("{boxes}metric = \"overlap\"\nshape.ramp = [0.9, 0.5]"), "ramp rising");
    let points = "[reward.answer]\ntype = \"points\"\n[reward.terms.a]\nmetric = \"overlap\"";
    refused(points, "\"l1\" for points");
    let mask = "[reward.answer]\ntype = \"mask\"\nspace = \"pixels\"\n[reward.terms.a]\nmetric = \"overlap\"";
    refused(mask, "thousandths or unit");
}
