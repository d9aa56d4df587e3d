//! `environment.json`: where and with what a run was made.

use std::path::Path;
use std::process::Command;

use eyre::WrapErr;
use serde_json::{Map, Value, json};

/// Facts about this machine and this build.
pub(crate) struct Environment(Map<String, Value>);

impl Environment {
    pub(crate) fn gather() -> Self {
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
        note("started", json!(vrft_node::unix_secs()));
        Self(facts)
    }

    pub(crate) fn end(&mut self) {
        self.0.insert("ended".to_owned(), json!(vrft_node::unix_secs()));
    }

    pub(crate) fn write(&self, run_dir: &Path) -> eyre::Result<()> {
        let text = serde_json::to_string_pretty(&self.0)?;
        std::fs::write(run_dir.join("environment.json"), text).wrap_err("environment.json")
    }
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
