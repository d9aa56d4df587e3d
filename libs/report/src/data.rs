//! What a run said about its data: which rows it used, which it left out and why.

use std::path::Path;

use crate::ReportError;
use crate::html::{escape, section};
use crate::load::text;

/// The log of all nodes in a run folder.
pub(crate) const LOG: &str = "run.log";

/// How such a line begins, behind the node and the level.
const DATA: &str = "Data: ";

/// Lines about the data, each once: several nodes may open the same file.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Said {
    /// Files, counts, what was left out.
    pub(crate) lines: Vec<String>,
    /// What makes the numbers of the run doubtful.
    pub(crate) warnings: Vec<String>,
}

impl Said {
    /// Out of `run.log`, whose lines are a node, a colon, a level and a text.
    pub(crate) fn of(log: &str) -> Self {
        let mut said = Self::default();
        for line in log.lines() {
            let Some((_, text)) = line.split_once(": ") else { continue };
            let Some((level, text)) = text.trim_start().split_once(' ') else { continue };
            let Some(text) = text.trim_start().strip_prefix(DATA) else { continue };
            let list = match level {
                "INFO" => &mut said.lines,
                "WARN" => &mut said.warnings,
                _ => continue,
            };
            if !list.iter().any(|known| known == text) {
                list.push(text.to_owned());
            }
        }
        said
    }
}

/// What makes the numbers of a run doubtful, by what its nodes said about the data: rows that are both learned from and
/// judged on, pictures that turned out to be damaged.
///
/// # Errors
/// A log that the system refuses to read.
pub fn data_warnings(run_dir: &Path) -> Result<Vec<String>, ReportError> {
    Ok(Said::of(&text(&run_dir.join(LOG))?.unwrap_or_default()).warnings)
}

/// The lines as a section of the page.
pub(crate) fn html(lines: &[String]) -> String {
    let items: String = lines.iter().map(|line| format!("<li>{}</li>\n", escape(line))).collect();
    let list = if items.is_empty() { items } else { format!("<ul class=data>\n{items}</ul>") };
    section("data", "Data", "Files that were read, and rows that could not be used.", &list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_is_said_once_and_warnings_are_apart() {
        let log = "loader:  INFO Data: a.jsonl: 60 rows, 57 usable, 3 skipped, 57 used\n\
                   loader:  INFO Data: skipped row 11: cannot read \"gone.png\"\n\
                   sft_loader:  INFO Data: skipped row 11: cannot read \"gone.png\"\n\
                   loader:  WARN Data: 2 of 9 test rows are also learned from\n\
                   loader:  INFO Joined.\n\
                   torn";
        let said = Said::of(log);
        assert_eq!(
            said.lines,
            [
                "a.jsonl: 60 rows, 57 usable, 3 skipped, 57 used",
                "skipped row 11: cannot read \"gone.png\""
            ]
        );
        assert_eq!(said.warnings, ["2 of 9 test rows are also learned from"]);
        assert!(html(&said.lines).contains("cannot read &quot;gone.png&quot;"));
        assert_eq!((Said::of(""), html(&[])), (Said::default(), String::new()));
    }
}
