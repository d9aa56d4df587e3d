//! The documents for people: what they name is there, and what they say is tested is tested.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use vrft_tests::{files_under, root};

/// Every invariant of ARCHITECTURE.md stands beside the test that fails if it is broken, and the file of that test.
#[test]
fn what_the_architecture_calls_tested_is_tested() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let section = text.split("\n## Invariants\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let invariants: Vec<&str> = section.split("\n- ").skip(1).collect();
    assert!(invariants.len() > 15, "the invariants were not found");
    invariants.iter().for_each(|invariant| check_tests("ARCHITECTURE.md", invariant));
}

/// Every method of the page of methods stands beside a test that runs it.
#[test]
fn what_the_page_of_methods_calls_tested_is_tested() {
    let text = fs::read_to_string(root().join("docs/src/methods.md")).unwrap();
    let section = text.split("\n## All of them\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let rows: Vec<&str> = section.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(rows.len() > 15, "the methods were not found");
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 7, "docs/src/methods.md: expected five columns: {row}");
        check_tests("docs/src/methods.md", cells[4]);
    }
}

/// Checks that a text names a test, and for each test that it names a file that has it.
fn check_tests(document: &str, text: &str) {
    let quoted = || text.split('`').skip(1).step_by(2);
    let files = quoted().filter(|word| word.ends_with(".rs"));
    let texts: Vec<String> =
        files.map(|file| fs::read_to_string(root().join(file)).unwrap()).collect();
    let is_name = |word: &&str| {
        word.contains('_') && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let mut n_tests = 0;
    for name in quoted().filter(is_name) {
        n_tests += 1;
        let is_there = texts.iter().any(|text| has_test(text, name));
        assert!(is_there, "{document}: no test {name} in the files named beside it: {text}");
    }
    assert!(n_tests > 0, "{document} names no test for: {text}");
}

/// Whether a source file has a test of this name, or examples that must not compile if the name is `compile_fail`.
fn has_test(text: &str, name: &str) -> bool {
    if name == "compile_fail" {
        return text.contains("```compile_fail");
    }
    let Some((before, _)) = text.split_once(&format!("fn {name}(")) else { return false };
    let is_listed =
        text.split_once("tests_that_need_tools!").is_some_and(|(_, list)| list.contains(name));
    is_listed || before.lines().rev().take(4).any(|line| line.trim() == "#[test]")
}

#[test]
fn documents_name_files_that_exist() {
    let folders = [".ci/", ".cargo/", "configs/", "data/", "docs/", "libs/", "nodes/", "tests/"];
    for (document, text) in documents() {
        for word in text.split(['`', '(', ')', '#', ' ', '|', '\n']) {
            let is_path = folders.iter().any(|folder| word.starts_with(folder));
            let is_example = word.contains(['*', '<', 'N']) || word.contains("mine");
            if is_path && !is_example {
                let path = word.trim_end_matches(['.', ',', ':', ';', '/']);
                assert!(
                    root().join(path).exists(),
                    "{document:?} names {path}, which is not there"
                );
            }
        }
    }
}

#[test]
fn links_of_documents_lead_to_files_and_headings_that_exist() {
    let headings = |text: &str| -> BTreeSet<String> {
        let titles = text.lines().filter(|line| line.starts_with('#'));
        titles.map(|line| anchor(line.trim_start_matches('#').trim())).collect()
    };
    let mut n_links = 0;
    for (document, text) in documents() {
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.contains("://")) {
            n_links += 1;
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let path = match file {
                "" => document.clone(),
                _ => document.parent().unwrap().join(file),
            };
            assert!(path.exists(), "{document:?} links to {target}, which is not there");
            let is_picture = path.extension().is_some_and(|extension| extension == "png");
            let is_in_book = path.starts_with(root().join("docs/src")) && !target.contains("..");
            assert!(
                !is_picture || !document.starts_with(root().join("docs")) || is_in_book,
                "{document:?} shows {target}, which is not among the book's files"
            );
            let known = heading.is_empty()
                || headings(&fs::read_to_string(&path).unwrap()).contains(heading);
            assert!(known, "{document:?} links to {target}, which is no heading of that file");
        }
    }
    assert!(n_links > 20, "the links were not found");
}

/// A newcomer reads the README in one go: what is longer belongs into the book.
#[test]
fn the_readme_has_at_most_1200_words() {
    let text = fs::read_to_string(root().join("README.md")).unwrap();
    let n_words = text.split_whitespace().count();
    assert!(n_words <= 1200, "README.md has {n_words} words");
}

#[test]
fn the_book_lists_every_page() {
    let pages = root().join("docs/src");
    let summary = fs::read_to_string(pages.join("SUMMARY.md")).unwrap();
    for page in files_under(&pages).into_iter().filter(|path| is_page(path)) {
        let name = page.strip_prefix(&pages).unwrap().display().to_string();
        let listed = name == "SUMMARY.md" || summary.contains(&format!("({name})"));
        assert!(listed, "docs/src/SUMMARY.md does not list {name}");
    }
}

/// The anchor that Markdown renderers give a heading.
fn anchor(title: &str) -> String {
    let kept = title.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// Whether a file of the book is text, and not a picture.
fn is_page(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "md")
}

/// The documents for people: those at the top level and the pages of the book.
fn documents() -> Vec<(PathBuf, String)> {
    let mut files = vec![root().join("README.md"), root().join("ARCHITECTURE.md")];
    files.extend(files_under(&root().join("docs/src")).into_iter().filter(|path| is_page(path)));
    files.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}
