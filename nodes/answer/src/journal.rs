//! `answers.jsonl` in the run folder: every answer, what it turned out to be worth, what was said of it, every swap.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use eyre::WrapErr;
use serde_json::Value;

/// Bytes after which a file is set aside; one earlier file is kept, so that a robot's disk does not fill.
const MAX_BYTES: u64 = 64 << 20;

/// Name within the run folder.
const NAME: &str = "answers.jsonl";

/// Appends one JSON object a line.
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    n_bytes: u64,
    max_bytes: u64,
}

impl Journal {
    pub(crate) fn open(run_dir: &Path) -> eyre::Result<Self> {
        let path = run_dir.join(NAME);
        let (file, n_bytes) = open(&path)?;
        Ok(Self { path, file, n_bytes, max_bytes: MAX_BYTES })
    }

    /// Writes an event with its time.
    ///
    /// # Errors
    /// A disk that is full or gone.
    pub(crate) fn note(&mut self, mut event: Value) -> eyre::Result<()> {
        event["at"] = vrft_node::unix_secs().into();
        let line = format!("{event}\n");
        let failed = || format!("{:?}", self.path);
        self.file.write_all(line.as_bytes()).wrap_err_with(failed)?;
        self.n_bytes += line.len() as u64;
        if self.n_bytes >= self.max_bytes {
            let earlier = self.path.with_extension("earlier.jsonl");
            std::fs::rename(&self.path, &earlier).wrap_err_with(|| format!("{earlier:?}"))?;
            (self.file, self.n_bytes) = open(&self.path)?;
        }
        Ok(())
    }
}

fn open(path: &Path) -> eyre::Result<(File, u64)> {
    let options = OpenOptions::new().create(true).append(true).open(path);
    let file = options.wrap_err_with(|| format!("cannot write {path:?}"))?;
    let n_bytes = file.metadata().wrap_err_with(|| format!("{path:?}"))?.len();
    Ok((file, n_bytes))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_journal_that_grows_too_long_keeps_what_is_newest() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(folder.path()).unwrap();
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
}
