//! Sections that only these tests know.

use serde::{Deserialize, Serialize};

use super::*;
use crate::{Printed, require};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Oven {
    minutes: u32,
    name: String,
    parts: Vec<String>,
}

impl Default for Oven {
    fn default() -> Self {
        Self { minutes: 20, name: "bread".into(), parts: Vec::new() }
    }
}

impl Section for Oven {
    const NAME: &'static str = "oven";
    const OF_OTHERS: &'static [&'static str] = &["light"];

    fn prepare(mut table: Table, document: &Document) -> Result<Table, ConfigError> {
        if let Some(Value::Table(hot)) = table.remove("hot") {
            crate::overlay(&mut table, hot);
        }
        document.override_again(Self::NAME, table)
    }

    fn check(&self) -> Result<(), ConfigError> {
        require(self.minutes > 0, "oven.minutes", self.minutes, "at least 1")
    }
}

/// A section within another, one of whose keys has no default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Light {
    watts: u32,
}

impl Section for Light {
    const NAME: &'static str = "oven.light";
}

fn document(text: &str, overrides: &[&str]) -> Document {
    let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
    Document::parse_with(text, "a.toml", &overrides).unwrap()
}

#[track_caller]
fn refused(text: &str, overrides: &[&str], words: &[&str]) {
    let error = document(text, overrides).section::<Oven>().unwrap_err().to_string();
    for word in words {
        assert!(error.contains(word), "{word:?} is not in {error}");
    }
}

#[test]
fn what_is_left_out_takes_its_default() {
    assert_eq!(document("", &[]).section::<Oven>().unwrap(), Oven::default());
    assert_eq!(document("[oven]\nminutes = 7", &[]).section::<Oven>().unwrap().name, "bread");
    assert_eq!(document("", &[]).optional::<Light>().unwrap(), None);
}

#[test]
fn an_override_replaces_the_value_in_the_file() {
    let oven = |overrides: &[&str]| document("[oven]\nminutes = 7", overrides).section::<Oven>();
    assert_eq!(oven(&["oven.minutes=9"]).unwrap().minutes, 9);
    assert_eq!(oven(&["oven.name=pies/apple"]).unwrap().name, "pies/apple");
    assert_eq!(document("", &["oven.minutes=9"]).section::<Oven>().unwrap().minutes, 9);
}

#[test]
fn an_unknown_key_is_shown_in_its_line() {
    refused("\n[oven]\nminuts = 9", &[], &["in a.toml", "line 3", "`minuts`", "`minutes`"]);
    refused("[oven]\n", &["oven.minuts=9"], &["--set oven.minuts=9", "`minuts`", "`minutes`"]);
}

#[test]
fn every_unknown_key_of_a_section_is_named() {
    let text = "[oven]\nminuts = 9\nnane = \"pie\"\nnames = 1";
    refused(text, &[], &["`minuts`", "also unknown: `names`, `nane`"]);
}

#[test]
fn a_value_of_the_wrong_type_is_shown_in_its_line() {
    refused("[oven]\nminutes = \"x\"", &[], &["line 2", "expected u32"]);
    refused("[oven]\nminutes = 1", &["oven.minutes=x"], &["--set oven.minutes=x", "oven.minutes"]);
    refused("oven = 3", &[], &["oven = 3: expected a table, as in [oven] (a.toml, line 1)"]);
}

#[test]
fn a_refused_value_is_found_where_it_was_written() {
    refused(
        "[oven]\nminutes = 0",
        &[],
        &["oven.minutes = 0: expected at least 1 (a.toml, line 2)"],
    );
    refused("[oven]\nminutes = 1", &["oven.minutes=0"], &["(--set oven.minutes=0)"]);
}

#[test]
fn an_override_of_a_table_is_blamed_for_what_is_in_it() {
    let whole = "oven={minutes=0, name=\"pie\"}";
    let error = Override::parse(whole).map(drop).unwrap_err().to_string();
    assert!(error.contains("section.key=value"), "{error}");
    let inner =
        Document::parse_with("[a.oven]\nminutes = 5", "a.toml", &["a.oven={minutes=0}".into()]);
    let place = |key: &str| inner.as_ref().unwrap().place_of(key);
    assert_eq!(place("a.oven.minutes"), Place(Some("--set a.oven={minutes=0}".to_owned())));
    assert_eq!(place("a.pan"), Place(Some("a.toml, line 1".to_owned())));
    // Two errors of one kind: that of the file is replaced.
    refused(
        "[oven]\nminutes = \"x\"",
        &["oven.minutes=[1]"],
        &["--set oven.minutes=[1]", "sequence"],
    );
    refused("[oven]\nminutes = \"x\"", &["oven.name=pie"], &["line 2", "expected u32"]);
}

#[test]
fn a_section_within_another_is_read_apart() {
    let text = "[oven]\nminutes = 3\n[oven.light]\nwatts = 40";
    let document = document(text, &[]);
    assert_eq!(document.section::<Oven>().unwrap().minutes, 3);
    assert_eq!(document.optional::<Light>().unwrap(), Some(Light { watts: 40 }));
    let error = Document::parse("[oven.light]\nwats = 1", "a.toml").unwrap();
    let error = error.optional::<Light>().unwrap_err().to_string();
    assert!(error.contains("line 2") && error.contains("`wats`"), "{error}");
}

#[test]
fn an_override_wins_over_what_a_section_lays_over_itself() {
    let text = "[oven]\nminutes = 1\n[oven.hot]\nminutes = 5\nname = \"pie\"";
    let oven = document(text, &["oven.minutes=9"]).section::<Oven>().unwrap();
    assert_eq!((oven.minutes, oven.name.as_str()), (9, "pie"));
}

#[test]
fn a_section_that_nobody_owns_is_refused_with_its_line() {
    let names = ["oven", "oven.light"];
    let error = document("[oven]\n[ofen]\n", &[]).refuse_unknown(&names).unwrap_err().to_string();
    assert!(error.contains("line 2") && error.contains("`ofen`"), "{error}");
    let error = document("", &["ofen.x=1"]).refuse_unknown(&names).unwrap_err().to_string();
    assert!(error.contains("--set ofen") && error.contains("oven"), "{error}");
    document("[oven.light]\nwatts = 1", &[]).refuse_unknown(&names).unwrap();
}

#[test]
fn what_is_printed_reads_back_the_same() {
    let oven = Oven { minutes: 3, name: "x".into(), parts: vec!["a".into(), "b".into()] };
    let light = Light { watts: 7 };
    let mut printed = Printed::default();
    printed.add(&oven);
    printed.add(&light);
    let document = Document::parse(&printed.finish(), "printed").unwrap();
    assert_eq!(document.section::<Oven>().unwrap(), oven);
    assert_eq!(document.optional::<Light>().unwrap(), Some(light));
}

#[test]
fn a_preset_on_the_command_line_replaces_what_the_file_declares() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("base.toml"), "[oven]\nname = \"cake\"").unwrap();
    let file = folder.path().join("own.toml");
    std::fs::write(&file, "[oven]\nminutes = 7").unwrap();
    let overrides = ["oven.preset=base.toml".to_owned(), "oven.parts=[\"a\"]".to_owned()];
    let oven = Document::load(&file, &overrides).unwrap().section::<Oven>().unwrap();
    assert_eq!(oven, Oven { name: "cake".into(), parts: vec!["a".into()], ..Oven::default() });
}

#[test]
fn a_missing_file_is_named() {
    let error = Document::load(Path::new("nowhere.toml"), &[]).unwrap_err().to_string();
    assert!(error.contains("nowhere.toml"), "{error}");
}
