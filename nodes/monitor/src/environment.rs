//! `environment.json`: where and with what a run was made, and when it was at work.

use std::path::Path;
use std::process::Command;

use eyre::WrapErr;
use serde_json::{Map, Value, json};

const FILE: &str = "environment.json";

/// Facts about this machine and this build, and the sessions of the run: a resumed run has several.
pub(crate) struct Environment {
    facts: Map<String, Value>,
    /// When each session started and ended, in seconds since 1970; one that broke off has no end.
    sessions: Vec<(f64, Option<f64>)>,
}

impl Environment {
    /// Begins another session of the run in this folder.
    pub(crate) fn gather(run_dir: &Path) -> Self {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let mut facts = Map::new();
        let mut note = |key: &str, value: Value| facts.insert(key.to_owned(), value);
        note("version", json!(env!("CARGO_PKG_VERSION")));
        note("commit", json!(commit()));
        note("cpu", json!(proc_field("/proc/cpuinfo", "model name")));
        note("cores", json!(cores));
        note("memory", json!(proc_field("/proc/meminfo", "MemTotal")));
        note("os", json!(format!("{} {}", std::env::consts::OS, std::env::consts::ARCH)));
        if let Ok(command) = std::env::var("VRFT_COMMAND") {
            note("command", json!(command));
        }
        let mut sessions = earlier_sessions(run_dir);
        sessions.push((vrft_node::unix_secs(), None));
        Self { facts, sessions }
    }

    /// Sessions so far, the present one included.
    pub(crate) fn n_sessions(&self) -> usize {
        self.sessions.len()
    }

    pub(crate) fn end(&mut self) {
        if let Some((_, end)) = self.sessions.last_mut() {
            *end = Some(vrft_node::unix_secs());
        }
    }

    pub(crate) fn write(&self, run_dir: &Path) -> eyre::Result<()> {
        let mut facts = self.facts.clone();
        let session = |(start, end): &(f64, Option<f64>)| json!({"started": start, "ended": end});
        facts.insert("sessions".to_owned(), self.sessions.iter().map(session).collect());
        let text = serde_json::to_string_pretty(&facts)?;
        std::fs::write(run_dir.join(FILE), text).wrap_err(FILE)
    }
}

/// The sessions of a run that is resumed.
fn earlier_sessions(run_dir: &Path) -> Vec<(f64, Option<f64>)> {
    let text = std::fs::read_to_string(run_dir.join(FILE)).unwrap_or_default();
    let before: Value = serde_json::from_str(&text).unwrap_or_default();
    let session = |value: &Value| Some((value["started"].as_f64()?, value["ended"].as_f64()));
    before["sessions"].as_array().into_iter().flatten().filter_map(session).collect()
}

/// The commit of the working tree, marked when it has changes; empty outside a git checkout.
fn commit() -> String {
    let git = Command::new("git").args(["describe", "--always", "--dirty", "--abbrev=12"]).output();
    match git {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        }
        _ => String::new(),
    }
}

/// `key : value` of a file under `/proc`; empty on systems without one.
fn proc_field(path: &str, key: &str) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(key));
    line.and_then(|line| line.split_once(':')).map_or(String::new(), |(_, v)| v.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resumed_run_has_a_session_more() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = Environment::gather(folder.path());
        assert_eq!(first.n_sessions(), 1);
        first.end();
        first.write(folder.path()).unwrap();
        let second = Environment::gather(folder.path());
        assert_eq!(second.n_sessions(), 2);
        assert_eq!(second.sessions[0], first.sessions[0]);
        std::fs::write(folder.path().join(FILE), "torn").unwrap();
        assert_eq!(Environment::gather(folder.path()).n_sessions(), 1);
    }
}
