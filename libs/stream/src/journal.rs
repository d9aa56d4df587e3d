//! Remarks, written down before they are used: a person does not say it twice.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use crate::{Feedback, StreamError};

/// An append-only file with one remark a line.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    /// Opens or begins it, and reads what it holds. A last line that was cut by a crash is left out.
    ///
    /// # Errors
    /// A file that cannot be opened.
    pub fn open(path: &Path) -> Result<(Self, Vec<Feedback>), StreamError> {
        let failed = |source| StreamError::Journal { path: path.to_owned(), source };
        let options = OpenOptions::new().create(true).append(true).read(true).open(path);
        let mut file = options.map_err(failed)?;
        let lines: Vec<String> = BufReader::new(&file).lines().map_while(Result::ok).collect();
        let known = lines.iter().filter_map(|line| Feedback::parse(line).ok()).collect();
        if lines.last().is_some_and(|line| Feedback::parse(line).is_err()) {
            file.write_all(b"\n").map_err(failed)?;
        }
        Ok((Self { path: path.to_owned(), file }, known))
    }

    /// Writes a remark to the disk; when this returns, it is durable.
    ///
    /// # Errors
    /// A disk that is full or gone.
    pub fn append(&mut self, feedback: &Feedback) -> Result<(), StreamError> {
        let failed = |source| StreamError::Journal { path: self.path.clone(), source };
        let mut line = serde_json::to_string(feedback).map_err(|error| failed(error.into()))?;
        line.push('\n');
        self.file.write_all(line.as_bytes()).map_err(failed)?;
        self.file.sync_data().map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Remark;

    #[test]
    fn remarks_outlive_a_crash_in_the_middle_of_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("feedback.jsonl");
        let said = |id: &str| Feedback {
            frame_id: id.into(),
            remark: Remark::Edit(vec![[0.0, 0.0, 10.0, 20.0]]),
            user: "ada".into(),
            right: None,
            answer: None,
        };
        let (mut journal, known) = Journal::open(&path).unwrap();
        assert_eq!(known, []);
        journal.append(&said("1")).unwrap();
        std::fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .unwrap()
            .write_all(b"{\"frame_id\": \"2\", \"rem")
            .unwrap();
        let (mut journal, known) = Journal::open(&path).unwrap();
        assert_eq!(known, [said("1")]);
        journal.append(&said("3")).unwrap();
        assert_eq!(Journal::open(&path).unwrap().1, [said("1"), said("3")]);
    }
}
