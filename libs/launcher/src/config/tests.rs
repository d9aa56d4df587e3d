//! Sections that do not go together, files that are not there, and the configurations that are shipped.

use std::path::PathBuf;

use super::*;

/// A reward that reads the answers to all puzzles but spot.
const MIXED: &str = "[reward.answer]\ntype = \"text\"\n[reward.terms.tiles]\nmetric = \"tiles\"";

fn read(text: &str) -> Result<Config, ConfigError> {
    Config::read(&Document::parse(text, "test")?)
}

#[track_caller]
fn refused(text: &str, key: &str, words: &str) {
    let error = read(text).unwrap_err().to_string();
    assert!(error.starts_with(key) && error.contains(words), "{error}");
}

#[test]
fn the_defaults_go_together() {
    assert_eq!(read("").unwrap(), Config::default());
}

#[test]
fn an_unknown_section_is_named_with_its_line() {
    let error = read("\n[leaner]\nsteps = 1").unwrap_err().to_string();
    for word in ["in test", "line 2", "`leaner`", "learner"] {
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn what_is_printed_reads_back_the_same() {
    let own = "[[data.sources]]\ntask = \"names\"\ntrain = \"b.jsonl\"\n[data.sources.reward.answer]\n\
               type = \"label\"\n[data.sources.reward.terms.right]\nmetric = \"accuracy\"";
    for text in [
        "",
        "[run]\nname = \"x\"\n[optimizer]\nschedule = \"cosine\"",
        &format!(
            "[reward]\nmode = \"paper\"\n{MIXED}\n[reward.modes.paper.terms.tiles]\nweight = 2.0"
        ),
        &format!("[data.stream]\npuzzles = [\"jigsaw\"]\n{MIXED}"),
        &format!("[semantic]\nmodel = \"m\"\n{MIXED}"),
        own,
    ] {
        let config = read(text).unwrap();
        assert_eq!(read(&config.to_toml()).unwrap(), config);
    }
}

/// The default configuration as commit 42cab72 wrote it into a run folder: with all keys of all kinds of answers.
#[test]
fn what_an_earlier_version_wrote_out_reads_as_it_was_meant() {
    let earlier = read(include_str!("tests/earlier.toml")).unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/digits.toml");
    assert_eq!(earlier, Config::load(&file, &[]).unwrap());
}

#[test]
fn the_guide_explains_every_key() {
    let guide = include_str!("../../../../docs/src/configuration.md");
    let all: Table = toml::from_str(&Config::default().to_toml()).unwrap();
    // Rewards have a page of their own.
    let elsewhere = ["reward"];
    let mut n_keys = 0;
    for (section, keys) in all.iter().filter(|(name, _)| !elsewhere.contains(&name.as_str())) {
        for key in keys.as_table().unwrap().keys() {
            n_keys += 1;
            let names = [format!("`{key}`"), format!("`[{section}.{key}]`")];
            let is_there = names.iter().any(|name| guide.contains(name));
            assert!(is_there, "the guide does not explain {section}.{key}");
        }
    }
    assert!(n_keys > 50, "{n_keys}");
}

#[test]
fn sections_that_contradict_each_other_are_refused() {
    refused(
        "[advantage.overlong]\ncushion = 9999",
        "advantage.overlong.cushion",
        "rollout.max_completion_tokens (test, line 2)",
    );
    refused("[loss]\nkl_in = \"reward\"", "loss.kl_in", "advantage.scale = \"none\"");
    let mask = "type = \"mask\"\n[reward.terms.a]\nmetric = \"overlap\"";
    refused(&format!("[data]\nflip = \"both\"\n[reward.answer]\n{mask}"), "data.flip", "none");
    refused("[semantic]\nmodel = \"m\"", "semantic.model", "answers have words");
}

#[test]
fn puzzles_that_the_reward_cannot_read_are_refused() {
    let both = format!("[data.stream]\npuzzles = [\"rotation\", \"spot\"]\n{MIXED}");
    refused(&both, "data.stream.puzzles = spot", "puzzles whose answers");
    read("[data.stream]\npuzzles = [\"spot\"]").unwrap();
    read("[data.stream]\ntruth = \"teacher\"").unwrap();
}

#[test]
fn a_missing_file_is_named_with_its_key() {
    #[track_caller]
    fn missing(config: &Config, key: &str, file: &str) {
        let error = config.check_files(true).unwrap_err().to_string();
        assert!(error.contains(key) && error.contains(file), "{error}");
    }
    let mut config = Config::default();
    config.policy.path = "nowhere/at/all".into();
    missing(&config, "policy.path", "nowhere/at/all");
    config.policy.path = ".".into();
    missing(&config, "evaluation.test", "data/test.parquet");
    config.check_files(false).expect("a graph without loader and evaluator needs no data");
    config.evaluation.test = ".".into();
    config.data.train = ".".into();
    config.semantic = read(&format!("[semantic]\nmodel = \"no/model\"\n{MIXED}")).unwrap().semantic;
    missing(&config, "semantic.model", "no/model");
    config.data = read("[[data.sources]]\ntask = \"a\"\ntrain = \"a.jsonl\"").unwrap().data;
    missing(&config, "data.sources.train", "a.jsonl");
}

#[test]
fn a_model_in_the_working_folder_alone_is_told_by_its_whole_path() {
    let (graph, here) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::create_dir(here.path().join("mine")).unwrap();
    let config = read(&format!("[policy]\npath = \"mine\"\n{MIXED}")).unwrap();
    let error = config.check_starts_at(graph.path(), here.path()).unwrap_err().to_string();
    let named = format!("policy.path={}", here.path().join("mine").display());
    assert!(error.contains(&named) && error.contains("the folder of the graph"), "{error}");
    // What is nowhere may be of the hub, and what is there is meant.
    config.check_starts_at(graph.path(), graph.path()).unwrap();
    std::fs::create_dir(graph.path().join("mine")).unwrap();
    config.check_starts_at(graph.path(), here.path()).unwrap();
}

#[test]
fn every_configuration_that_is_shipped_is_valid() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
    let files = files_under(&folder);
    assert!(files.len() > 40, "{files:?}");
    for file in files {
        Config::load(&file, &[]).unwrap_or_else(|error| panic!("{file:?}: {error}"));
    }
}

fn files_under(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_under(&path));
        } else if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    files
}
