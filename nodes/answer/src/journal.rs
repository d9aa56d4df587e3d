//! `answers.jsonl` in the run folder: every answer, what it turned out to be worth, what was said of it, every swap. All
//! answering nodes of a graph write into it.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use eyre::WrapErr;
use serde_json::Value;

/// Bytes after which a file is set aside; one earlier file is kept, so that a robot's disk does not fill.
const MAX_BYTES: u64 = 64 << 20;

/// Name within the run folder.
const NAME: &str = "answers.jsonl";

/// Appends one JSON object a line.
pub(crate) struct Journal {
    /// The node that writes.
    node: String,
    path: PathBuf,
    file: File,
    max_bytes: u64,
}

impl Journal {
    pub(crate) fn open(run_dir: &Path, node: &str) -> eyre::Result<Self> {
        let path = run_dir.join(NAME);
        let file = open(&path)?;
        Ok(Self { node: node.to_owned(), path, file, max_bytes: MAX_BYTES })
    }

    /// Writes an event with its time and the node.
    ///
    /// # Errors
    /// A disk that is full or gone.
    pub(crate) fn note(&mut self, mut event: Value) -> eyre::Result<()> {
        event["at"] = vrft_node::unix_secs().into();
        event["node"] = self.node.as_str().into();
        let line = format!("{event}\n");
        let failed = || format!("{:?}", self.path);
        self.file.write_all(line.as_bytes()).wrap_err_with(failed)?;
        let written = self.file.metadata().wrap_err_with(failed)?;
        if written.len() >= self.max_bytes {
            // Unless another node has set it aside meanwhile.
            if std::fs::metadata(&self.path).is_ok_and(|there| there.ino() == written.ino()) {
                let earlier = self.path.with_extension("earlier.jsonl");
                std::fs::rename(&self.path, &earlier).wrap_err_with(|| format!("{earlier:?}"))?;
            }
            self.file = open(&self.path)?;
        }
        Ok(())
    }
}

fn open(path: &Path) -> eyre::Result<File> {
    let options = OpenOptions::new().create(true).append(true).open(path);
    options.wrap_err_with(|| format!("cannot write {path:?}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_journal_that_grows_too_long_keeps_what_is_newest() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(folder.path(), "answer").unwrap();
        journal.max_bytes = 100;
        for n in 0..9 {
            journal.note(json!({"n": n, "text": "0123456789"})).unwrap();
        }
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        let newest = read("answers.jsonl");
        let earlier = read("answers.earlier.jsonl");
        assert!(earlier.len() + newest.len() < 300);
        let lines: Vec<Value> = earlier
            .lines()
            .chain(newest.lines())
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.last().unwrap()["n"], 8);
        assert!(lines[0]["at"].as_f64().unwrap() > 1.7e9);
    }

    #[test]
    fn what_one_node_has_just_set_aside_no_other_writes_over() {
        let folder = tempfile::tempdir().unwrap();
        let mut nodes = ["left", "right"].map(|node| {
            let mut journal = Journal::open(folder.path(), node).unwrap();
            journal.max_bytes = 400;
            journal
        });
        for n in 0..40 {
            nodes[n % 2].note(json!({"n": n})).unwrap();
        }
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        let lines = read("answers.earlier.jsonl") + &read("answers.jsonl");
        let lines: Vec<Value> =
            lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        // The newest are all there, of both.
        let numbers: Vec<u64> = lines.iter().map(|line| line["n"].as_u64().unwrap()).collect();
        assert!(numbers.len() > 5 && numbers.len() < 40, "{numbers:?}");
        let mut sorted = numbers.clone();
        sorted.sort_unstable();
        let first = *sorted.first().unwrap();
        assert_eq!(sorted, (first..40).collect::<Vec<_>>());
        assert_eq!(lines.last().unwrap()["node"], "right");
    }
}
