//! Modes, presets, and messages that say what to write.

use vrft_config::Printed;

use super::*;
use crate::terms::Norm;

const TASK: &str = "
[reward.answer]
type = \"boxes\"
[reward.terms.iou]
metric = \"overlap\"
norm = \"max\"
[reward.modes.paper.terms.iou]
norm = \"predicted\"
";

fn read(text: &str) -> Result<RewardConfig, ConfigError> {
    Document::parse(text, "test")?.section()
}
fn with(overrides: &[&str]) -> Result<RewardConfig, ConfigError> {
    let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
    Document::parse_with(TASK, "test", &overrides)?.section()
}
fn norm(overrides: &[&str]) -> Norm {
    match &with(overrides).unwrap().terms["iou"].metric {
        Metric::Overlap(overlap) => overlap.norm,
        other => panic!("{other:?}"),
    }
}
#[track_caller]
fn refused(text: &str, message: &str) {
    let error = read(text).unwrap_err().to_string();
    assert!(error.contains(message), "{error}");
}

#[test]
fn a_mode_is_a_declared_difference() {
    assert_eq!(norm(&[]), Norm::Max);
    assert_eq!(norm(&["reward.mode=paper"]), Norm::Predicted);
}
#[test]
fn an_override_wins_over_the_mode() {
    assert_eq!(norm(&["reward.mode=paper", "reward.terms.iou.norm=truth"]), Norm::Truth);
}
#[test]
fn a_mode_must_be_declared() {
    let error = with(&["reward.mode=compat"]).unwrap_err().to_string();
    assert!(error.contains("[reward.modes.compat]") && error.contains("paper"), "{error}");
}
#[test]
fn what_is_resolved_reads_back_the_same() {
    let config = with(&["reward.mode=paper"]).unwrap();
    let mut printed = Printed::default();
    printed.add(&config);
    assert_eq!(read(&printed.finish()).unwrap(), config);
}
#[test]
fn a_preset_is_laid_under() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("base.toml"), TASK).unwrap();
    let file = folder.path().join("own.toml");
    let read = |text: &str| {
        std::fs::write(&file, format!("[reward]\npreset = \"base.toml\"\n{text}")).unwrap();
        Document::load(&file, &[])?.section::<RewardConfig>()
    };
    let error = read("[reward.terms.iou]\nmetric = \"recall\"\nnorm = \"max\"").unwrap_err();
    let message = "reward.terms.iou.norm: the metric recall has no such key; it has threshold, label, refined, weight";
    assert!(error.to_string().contains(message), "{error}");
    let more = "[reward.terms.iou]\nweight = 2.0\n[reward.terms.n]\nmetric = \"count\"";
    let config = read(more).unwrap();
    let metrics: Vec<&str> = config.terms.values().map(|term| term.metric.name()).collect();
    assert_eq!(metrics, ["overlap", "count"]);
    assert_eq!(config.terms["iou"].weight, 2.0);
    refused("[reward]\npreset = \"base\"", "a file that ends in .toml");
}

#[test]
fn an_empty_gate_takes_one_away() {
    let gated = format!("{TASK}gate = \"\"\n[reward.terms.n]\nmetric = \"count\"\ngate = \"iou\"");
    let gate = |mode: &str| {
        let text = format!("{gated}\n[reward.modes.compat.terms.n]\ngate = \"\"");
        let document =
            Document::parse_with(&text, "test", &[format!("reward.mode={mode}")]).unwrap();
        document.section::<RewardConfig>().unwrap().terms["n"].gate.clone()
    };
    assert_eq!((gate("fixed"), gate("compat")), (Some("iou".to_owned()), None));
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
    let label = "[reward.answer]\ntype = \"label\"\n[reward.terms.a]\n";
    refused(label, "reward.terms.a.metric is missing: write what is measured, one of accuracy");
    refused(
        &format!("{label}metric = \"cosine\"\nof = \"b\""),
        "reward.terms.a.tokens is missing: write the length, in tokens",
    );
    let number = "[reward.answer]\ntype = \"number\"\n[reward.terms.a]\nmetric = \"closeness\"";
    refused(number, "reward.terms.a.scale is missing: write the error");
    let track = "[reward.answer]\ntype = \"track\"\n[reward.terms.a]\nmetric = \"overlap\"";
    refused(track, "reward.answer.keys.place is missing: write the key of the coordinates");
}
#[test]
fn a_contradiction_says_what_to_write() {
    let label = "[reward.answer]\ntype = \"label\"\n[reward.terms.a]\n";
    refused(&format!("{label}metric = \"overlap\""), "expected one of accuracy, format");
    refused(&format!("{label}metric = \"acuracy\""), "expected one of accuracy, format");
    refused(
        &format!("{label}metric = \"cosine\"\ntokens = 9\nof = \"b\""),
        "reward.terms.a.of = b: expected the name of another term",
    );
    refused(
        &format!("{label}metric = \"accuracy\"\nnorm = \"max\""),
        "reward.terms.a.norm: the metric accuracy has no such key; it has same, weight, gate, shortcut",
    );
    refused(&format!("{label}metric = \"accuracy\"\nweight = nan"), "reward.terms.a.weight");
    let boxes = "[reward.answer]\ntype = \"boxes\"\n[reward.terms.a]\n";
    refused(&format!("{boxes}metric = \"confidence\""), "reward.answer.keys.confidence");
    refused(&format!("{boxes}metric = \"overlap\"\nshape.ramp = [0.9, 0.5]"), "ramp rising");
    let points = "[reward.answer]\ntype = \"points\"\n[reward.terms.a]\nmetric = \"overlap\"";
    refused(points, "\"l1\" for points");
    let mask = "[reward.answer]\ntype = \"mask\"\nspace = \"pixels\"\n[reward.terms.a]\nmetric = \"overlap\"";
    refused(mask, "thousandths or unit");
    let other = boxes.replace("\"boxes\"", "\"boxs\"");
    refused(&other, "reward.answer.type = \"boxs\": expected one of boxes, box, points");
    let keys = boxes.replace("\"boxes\"", "\"box\"\nkeys = { confidence = \"c\" }");
    refused(
        &format!("{keys}metric = \"overlap\""),
        "unknown field `confidence`, expected `place` or `label`",
    );
    let length = boxes.replace("\"boxes\"", "\"boxes\"\nlength = 3");
    refused(
        &format!("{length}metric = \"overlap\""),
        "reward.answer.length: an answer of type boxes has no such key; it has space, order, keys, labels, nothing",
    );
}
#[test]
fn a_wrong_key_is_shown_with_its_line() {
    let text = "[reward.answer]\ntype = \"label\"\n[reward.terms.a]\nmetric = \"accuracy\"\nnorm = \"max\"";
    refused(text, "TOML parse error at line 3");
}

/// Earlier versions wrote all keys of all kinds into the configuration of a run folder.
#[test]
fn keys_of_other_kinds_may_stand_there_with_the_value_for_nothing() {
    let keys = ["place", "confidence", "label", "start", "end", "frame", "id", "objects", "target"];
    let keys = keys.map(|key| format!("{key} = ''")).join(", ");
    let rest = format!("space = 'thousandths'\nlabels = []\nlength = 0\nkeys = {{ {keys} }}");
    for name in AnswerKind::NAMES {
        let short: AnswerConfig = toml::from_str(&format!("type = {name:?}")).unwrap();
        let long: AnswerConfig = toml::from_str(&format!("type = {name:?}\n{rest}")).unwrap();
        assert_eq!(short, long);
    }
    let wrong = "type = 'label'\nkeys = { place = 'box' }";
    let error = toml::from_str::<AnswerConfig>(wrong).unwrap_err().to_string();
    assert!(
        error.contains("reward.answer.keys: an answer of type label has no such key"),
        "{error}"
    );
}
