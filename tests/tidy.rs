//! The rules of the house that a machine can check.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use vrft_tests::{files_under, root, sources};

/// Greatest number of lines of a file.
const MAX_LINES: usize = 500;

#[test]
fn every_source_file_says_what_it_is() {
    for (path, text) in sources() {
        assert!(text.starts_with("//!"), "{path:?} does not open with what it is");
    }
}

#[test]
fn no_source_file_is_too_long() {
    for (path, text) in sources() {
        let n = text.lines().count();
        assert!(n <= MAX_LINES, "{path:?} has {n} lines: split it by noun");
    }
}

#[test]
fn nothing_unfinished_is_left_behind() {
    // Written in halves, so that this file does not find itself.
    let words = ["FIX\u{4d}E", "XX\u{58}", "todo\u{21}(", "unimplemented\u{21}(", "#[ignor\u{65}"];
    for (path, text) in sources() {
        for word in words {
            assert!(!text.contains(word), "{path:?} contains {word}");
        }
    }
}

/// Unit tests are at the end of their file, or in `tests.rs` of the folder of that name.
#[test]
fn tests_are_where_the_convention_puts_them() {
    for (path, text) in sources() {
        let name = path.file_name().unwrap().display().to_string();
        assert!(!name.ends_with("_tests.rs"), "{path:?}: name it tests.rs, in the module's folder");
        let elsewhere = text.contains("#[cfg(test)]\n#[path");
        assert!(!elsewhere, "{path:?} has its tests in a file of another name than tests.rs");
    }
}

/// Vector instructions reach as far as inlining: a closure that the compiler leaves out of line runs on the oldest.
#[test]
fn what_is_to_be_vectorized_is_always_inlined() {
    let callers = [
        "vectorized(",
        "for_rows(",
        "for_rows_summing(",
        "for_row_pairs(",
        "make_rows(",
        "make_rows_summing(",
        "make_row_pairs(",
        "make_chunks(",
    ];
    let mut n_calls = 0;
    for (path, text) in sources() {
        let lines: Vec<&str> = text.lines().collect();
        for (i, line) in lines.iter().enumerate() {
            let is_call = callers.iter().any(|caller| line.trim_end().ends_with(caller));
            let names = callers.iter().any(|caller| line.contains(caller));
            if !names || line.contains("fn ") || line.contains("\"") {
                continue;
            }
            n_calls += 1;
            let closure = lines[i..].iter().take(5).any(|line| line.trim() == "#[inline(always)]");
            assert!(
                is_call && closure,
                "{path:?}:{} passes a closure that may stay out of line",
                i + 1
            );
        }
    }
    assert!(n_calls > 20, "the calls were not found");
}

#[test]
fn the_mathematics_does_no_input_or_output() {
    for name in ["reward", "objective", "vision"] {
        for forbidden in ["arrow", "dora-node-api", "tokio", "zenoh", "vrft-node", "vrft-messages"]
        {
            assert!(!dependencies("libs", name).contains(forbidden), "{name} -> {forbidden}");
        }
    }
    assert!(!dependencies("libs", "reward").contains("candle-core"), "rewards are plain numbers");
    for (path, text) in sources() {
        let is_pure = ["reward", "objective", "vision"]
            .iter()
            .any(|name| path.starts_with(root().join("libs").join(name).join("src")));
        let is_test = path.file_name().is_some_and(|name| name == "tests.rs");
        if is_pure && !is_test {
            assert!(!text.contains("std::fs"), "{path:?} reads or writes files");
        }
    }
}

#[test]
fn the_learner_knows_nothing_of_rewards_and_the_reward_nothing_of_models() {
    assert!(!linked("libs/learner").contains("vrft-reward"));
    assert!(!dependencies("nodes", "learner").contains("vrft-reward"));
    for name in ["camera", "loader", "pool", "journal", "reward", "advantage", "monitor"] {
        let found = linked(&format!("nodes/{name}"));
        for forbidden in [
            "vrft-model",
            "vrft-kernels",
            "vrft-rollout",
            "vrft-learner",
            "vrft-evaluate",
            "vrft-answer",
            "vrft-embedding",
            "candle-nn",
            "candle-transformers",
        ] {
            assert!(!found.contains(forbidden), "nodes/{name} runs no model and links {forbidden}");
        }
        // The advantage node computes with plain numbers; candle comes with the losses of its library.
        let tensors = found.contains("candle-core") && name != "advantage";
        assert!(!tensors, "nodes/{name} needs no tensors and links candle-core");
        let own = dependencies("nodes", name);
        assert!(!own.contains("candle-core"), "nodes/{name} uses candle-core itself");
    }
}

#[test]
fn sections_belong_to_the_crates_that_work_by_them() {
    let ours = |folder: &str| {
        let found = read_dependencies(&root().join(folder)).into_iter();
        found.filter(|name| name.starts_with("vrft-")).collect::<BTreeSet<String>>()
    };
    assert_eq!(ours("libs/config"), BTreeSet::new(), "what loads the sections knows none of them");
    let owners = [
        "vrft-answer",
        "vrft-checkpoint",
        "vrft-dataset",
        "vrft-embedding",
        "vrft-learner",
        "vrft-objective",
        "vrft-plan",
        "vrft-reward",
        "vrft-segment",
        "vrft-stream",
        "vrft-weights",
    ];
    for (folder, found) in manifests() {
        let knows = owners.iter().filter(|owner| found.contains(**owner)).count();
        let all = knows == owners.len();
        assert_eq!(all, folder == "libs/launcher", "{folder} knows {knows} sections' owners");
    }
    for owner in owners {
        let folder = owner.replace("vrft-", "libs/");
        let sections = sources().into_iter().filter(|(path, text)| {
            path.starts_with(root().join(&folder)) && text.contains("impl Section for")
        });
        assert!(sections.count() > 0, "{owner} owns no section");
    }
}

/// Whatever is special to a model family is in its folders, `families/<name>/` of the processor and of the model.
#[test]
fn no_code_outside_of_families_names_one() {
    let is_elsewhere = |path: &Path| {
        let path = path.strip_prefix(root()).unwrap().display().to_string();
        let of_tests = path.starts_with("tests/") || path.contains("/tests/");
        let aside = ["/families/", "/benches/"].iter().any(|part| path.contains(part));
        !(of_tests || aside || path.ends_with("tests.rs"))
    };
    let mut n_files = 0;
    for (path, text) in sources().into_iter().filter(|(path, _)| is_elsewhere(path)) {
        n_files += 1;
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_lowercase();
        for family in ["qwen", "smolvlm", "idefics"] {
            let line = code.lines().position(|line| line.contains(family)).map(|line| line + 1);
            assert_eq!(line, None, "{path:?} names {family} outside of families/");
        }
    }
    assert!(n_files > 200, "the sources were not found");
}

#[test]
fn settings_and_prompts_need_no_tensor_library() {
    let encoders =
        ["libs/vision", "libs/checkpoint", "libs/processor", "libs/prompts", "libs/dataset"];
    for folder in encoders.into_iter().chain(["nodes/loader"]) {
        for forbidden in ["candle-core", "candle-nn", "vrft-kernels", "vrft-model"] {
            assert!(!linked(folder).contains(forbidden), "{folder} links {forbidden}");
        }
    }
    assert!(linked("libs/learner").contains("candle-core"), "what a crate links was not found");
}

#[test]
fn each_outside_system_is_known_to_one_crate() {
    let allowed = [
        ("zenoh", vec!["libs/weights"]),
        ("dora-node-api", vec!["libs/node", "tests"]),
        ("dora-daemon", vec!["libs/launcher"]),
        ("parquet", vec!["libs/dataset"]),
        ("tokenizers", vec!["libs/processor", "libs/embedding"]),
        ("minijinja", vec!["libs/processor"]),
        ("hf-hub", vec!["libs/checkpoint"]),
        // Messages, files of users, and the transport, which names no column; nodes that the tests themselves are.
        ("arrow", vec!["libs/messages", "libs/dataset", "libs/node", "tests"]),
        ("candle-transformers", vec!["libs/embedding", "libs/segment"]),
    ];
    for (dependency, allowed) in allowed {
        for (folder, found) in manifests() {
            let fine = allowed.contains(&folder.as_str()) || !found.contains(dependency);
            assert!(fine, "{folder} uses {dependency}; only {allowed:?} should");
        }
    }
}

#[test]
fn every_graph_names_a_configuration_that_is_there() {
    for graph in graphs() {
        let text = fs::read_to_string(&graph).unwrap();
        let yaml: yaml_serde::Value = yaml_serde::from_str(&text).unwrap();
        let named = yaml["env"]["VRFT_CONFIG"].as_str().unwrap_or_else(|| panic!("{graph:?}"));
        let folder = graph.parent().unwrap();
        vrft_config::Document::load(&folder.join(named), &[]).unwrap();
    }
}

#[test]
fn only_messages_names_a_column_of_a_message() {
    // Files of users have columns too, and tests make such files.
    let others = ["libs/messages", "libs/dataset", "tests"].map(|folder| root().join(folder));
    let mut n_files = 0;
    for (path, text) in sources() {
        if others.iter().any(|folder| path.starts_with(folder)) {
            continue;
        }
        n_files += 1;
        for names_a_column in ["column_by_name(", ".column(", "Field::new("] {
            assert!(!text.contains(names_a_column), "{path:?} contains {names_a_column}");
        }
    }
    assert!(n_files > 200, "the sources were not found");
}

#[test]
fn every_node_of_a_graph_is_one_of_ours() {
    let ours: BTreeSet<String> = fs::read_dir(root().join("nodes"))
        .unwrap()
        .map(|entry| format!("vrft-{}", entry.unwrap().file_name().display()))
        .collect();
    for graph in graphs() {
        let yaml: yaml_serde::Value =
            yaml_serde::from_str(&fs::read_to_string(&graph).unwrap()).unwrap();
        for node in yaml["nodes"].as_sequence().unwrap() {
            let path = node["path"].as_str().unwrap();
            if path == "dynamic" {
                continue;
            }
            if path.ends_with(".py") {
                let script = graph.parent().unwrap().join(path);
                assert!(script.exists(), "{graph:?}: there is no {path}");
                continue;
            }
            let name = Path::new(path).file_name().unwrap().display().to_string();
            assert!(ours.contains(&name), "{graph:?}: {path} is not built from nodes/");
        }
    }
}

#[test]
fn a_graph_that_builds_builds_every_node_of_ours_that_it_runs() {
    for graph in graphs() {
        let text = fs::read_to_string(&graph).unwrap();
        let Some(line) = text.lines().find_map(|line| line.trim().strip_prefix("build: ")) else {
            continue;
        };
        for executable in text.lines().filter_map(|line| line.split_once("target/release/")) {
            let name = executable.1.split_whitespace().next().unwrap();
            let built = line.split(' ').any(|word| word == format!("{name}-node"));
            assert!(built, "{graph:?} runs {name}, which its build line leaves out");
        }
    }
}

#[test]
fn the_top_level_holds_what_it_should() {
    let allowed = [
        "ARCHITECTURE.md",
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "README.md",
        "configs",
        "data",
        "dataflow.yml",
        "docs",
        "libs",
        "nodes",
        "out",
        "target",
        "tests",
    ];
    for entry in fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().display().to_string();
        assert!(
            name.starts_with('.') || allowed.contains(&name.as_str()),
            "{name} at the top level"
        );
    }
}

fn graphs() -> Vec<PathBuf> {
    let mut graphs = vec![root().join("dataflow.yml")];
    let is_graph = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "yml");
    graphs.extend(files_under(&root().join("configs")).into_iter().filter(is_graph));
    graphs
}

/// Each crate's folder and what it depends on, tests apart.
fn manifests() -> Vec<(String, BTreeSet<String>)> {
    let mut manifests = vec![("tests".to_owned(), read_dependencies(&root().join("tests")))];
    for parent in ["libs", "nodes"] {
        for entry in fs::read_dir(root().join(parent)).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("{parent}/{}", path.file_name().unwrap().display());
            manifests.push((name, read_dependencies(&path)));
        }
    }
    manifests
}

/// What a crate of ours depends on, itself or by another crate of ours.
fn linked(folder: &str) -> BTreeSet<String> {
    let folders = package_folders();
    let mut found = BTreeSet::new();
    let mut waiting = vec![root().join(folder)];
    while let Some(folder) = waiting.pop() {
        for name in read_dependencies(&folder) {
            let ours = folders.get(&name);
            if found.insert(name) {
                waiting.extend(ours.cloned());
            }
        }
    }
    found
}

/// The folder of each package of ours.
fn package_folders() -> BTreeMap<String, PathBuf> {
    let folders = ["libs", "nodes"].into_iter().flat_map(|parent| {
        fs::read_dir(root().join(parent)).unwrap().map(|entry| entry.unwrap().path())
    });
    folders
        .map(|folder| {
            let text = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
            let manifest: toml::Table = toml::from_str(&text).unwrap();
            (manifest["package"]["name"].as_str().unwrap().to_owned(), folder)
        })
        .collect()
}

fn dependencies(parent: &str, name: &str) -> BTreeSet<String> {
    read_dependencies(&root().join(parent).join(name))
}

fn read_dependencies(folder: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    let manifest: toml::Table = toml::from_str(&text).unwrap();
    let table = manifest.get("dependencies").and_then(|table| table.as_table());
    table.into_iter().flatten().map(|(name, _)| name.clone()).collect()
}
