//! What the user sees while a graph runs: a bar with the time left, one line per step, warnings.

use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

use dora_message::common::{LogLevel, LogLevelOrStdout, LogMessage};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;

use crate::print::say;

/// Log lines kept for the explanation of a failure.
const KEPT_LINES: usize = 200;

/// The node whose plain output is meant for the user.
const NARRATOR: &str = "monitor";

/// How lines begin that say which rows are used.
const DATA: &str = "Data: ";

/// How dora's daemon signs what it says about a node, and what it says of one that it starts again.
const DAEMON: &str = "daemon";
const RESTARTED: &str = "node will be restarted";

/// Follows a running graph.
pub(crate) struct Progress {
    sender: flume::Sender<LogMessage>,
    reader: JoinHandle<Log>,
    deaths: watch::Receiver<Option<String>>,
}

/// The node that has failed and is not started again, while a graph runs.
struct Deaths {
    told: watch::Sender<Option<String>>,
    /// Nodes that the graph can do without.
    expendable: BTreeSet<String>,
}

impl Deaths {
    /// Looks at what is said about a node, whether it is the daemon that says it.
    fn look(&self, node: &str, text: &str, level: &LogLevelOrStdout, is_daemon: bool) {
        let is_error = *level == LogLevelOrStdout::LogLevel(LogLevel::Error);
        if !is_daemon || self.expendable.contains(node) {
            return;
        }
        let before = self.told.borrow().clone();
        if is_error && is_end(text) && before.is_none() {
            self.told.send_replace(Some(node.to_owned()));
        } else if text.starts_with(RESTARTED) && before.as_deref() == Some(node) {
            self.told.send_replace(None);
        }
    }
}

/// Whether the daemon says with this that a node has ended. Of a node from elsewhere, which it has not started, it says
/// other things.
fn is_end(text: &str) -> bool {
    ["exited", "node was killed", "failed to spawn"].iter().any(|start| text.starts_with(start))
}

/// What was said during a run.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// The newest lines of all nodes.
    pub(crate) lines: Vec<LogLine>,
    /// dora's id of the dataflow.
    dataflow: Option<String>,
}

impl Log {
    /// Removes the folder `out/ID` that dora's daemon makes where the nodes run: `run.log` holds the same lines.
    pub(crate) fn remove_logs_of_dora(&self, folder: &Path) {
        let Some(id) = &self.dataflow else { return };
        let out = folder.join("out");
        // What cannot be removed is no harm to the run; an `out` that holds other things stays.
        let _removed = std::fs::remove_dir_all(out.join(id)).is_ok();
        let _removed = std::fs::remove_dir(out).is_ok();
    }
}

/// A line that a node wrote.
#[derive(Debug, Clone)]
pub(crate) struct LogLine {
    pub(crate) node: String,
    pub(crate) text: String,
}

impl Progress {
    /// Starts to show progress; nodes log to [`Progress::log_sender`].
    pub(crate) fn start(
        n_steps: u64,
        run_dir: &Path,
        verbose: bool,
        expendable: BTreeSet<String>,
    ) -> Self {
        let (sender, receiver) = flume::unbounded::<LogMessage>();
        let (told, deaths) = watch::channel(None);
        let dead = Deaths { told, expendable };
        let bar = ProgressBar::new(n_steps);
        let style = ProgressStyle::with_template(
            "{elapsed_precise} {bar:40} step {pos}/{len}, {eta} left  {msg}",
        );
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_message("starting");
        bar.enable_steady_tick(Duration::from_millis(250));
        let log = run_dir.join("run.log");
        let reader = std::thread::spawn(move || follow(&receiver, &bar, verbose, &log, &dead));
        Self { sender, reader, deaths }
    }

    /// The node that has failed and is not started again, as soon as there is one.
    pub(crate) fn deaths(&self) -> watch::Receiver<Option<String>> {
        self.deaths.clone()
    }

    pub(crate) fn log_sender(&self) -> flume::Sender<LogMessage> {
        self.sender.clone()
    }

    /// Waits for the last line; gives what was said.
    pub(crate) fn finish(self) -> Log {
        drop(self.sender);
        self.reader.join().unwrap_or_default()
    }
}

fn follow(
    receiver: &flume::Receiver<LogMessage>,
    bar: &ProgressBar,
    verbose: bool,
    log: &Path,
    dead: &Deaths,
) -> Log {
    use std::io::Write;
    let mut dataflow = None;
    let mut file = std::fs::File::create(log).ok();
    let mut kept = VecDeque::new();
    // Closed when daemon and nodes are gone.
    for message in receiver {
        dataflow = message.dataflow_id.or(dataflow);
        let node = message.node_id.map_or("dora".to_owned(), |id| id.to_string());
        let text = message.message.trim_end().to_owned();
        if let Some(file) = &mut file {
            // The log is a convenience: a full disk must not end the run.
            let _written = writeln!(file, "{node}: {text}").is_ok();
        }
        let is_output = message.level == LogLevelOrStdout::Stdout;
        let is_daemon = message.target.as_deref() == Some(DAEMON);
        dead.look(&node, &text, &message.level, is_daemon);
        show(bar, &node, &text, is_output, verbose);
        // What dora says about a node is in the result of the run as well.
        if is_output {
            kept.push_back(LogLine { node, text });
        }
        if kept.len() > KEPT_LINES {
            kept.pop_front();
        }
    }
    bar.finish_and_clear();
    Log { lines: kept.into(), dataflow: dataflow.map(|id| id.to_string()) }
}

fn show(bar: &ProgressBar, node: &str, text: &str, is_output: bool, verbose: bool) {
    let (level, rest) = text.trim_start().split_once(' ').unwrap_or(("", text));
    match level {
        "WARN" => bar.suspend(|| say!("{level} {node}: {}", rest.trim_start())),
        // Why a node failed is said once, at the end.
        "ERROR" if verbose => bar.suspend(|| say!("{level} {node}: {}", rest.trim_start())),
        "ERROR" => {}
        "INFO" | "DEBUG" | "TRACE" if verbose => bar.suspend(|| say!("{node}: {rest}")),
        "INFO" if rest.contains(DATA) => {
            let line = rest.find(DATA).map_or(rest, |start| &rest[start..]);
            bar.suspend(|| say!("{node}: {line}"));
        }
        "INFO" if rest.contains("Evaluated.") => {
            bar.set_message(rest.trim_start().trim_start_matches("Evaluated. ").to_owned());
        }
        "INFO" | "DEBUG" | "TRACE" => {}
        _ if node == NARRATOR && is_output => {
            if let Some(step) = step_of(text) {
                bar.set_position(step);
            }
            bar.suspend(|| say!("{text}"));
        }
        _ if verbose => bar.suspend(|| say!("{node}: {text}")),
        _ => {}
    }
}

/// The step of a line `step 12/100 …`.
fn step_of(line: &str) -> Option<u64> {
    let (step, _) = line.strip_prefix("step")?.split_once('/')?;
    step.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_failed_is_known_at_once_unless_it_is_started_again_or_expendable() {
        let (told, now) = watch::channel(None);
        let dead = Deaths { told, expendable: BTreeSet::from(["rollout-2".to_owned()]) };
        let error = LogLevelOrStdout::LogLevel(LogLevel::Error);
        let info = LogLevelOrStdout::LogLevel(LogLevel::Info);
        let told = |node: &str, text: &str, level: &LogLevelOrStdout, is_daemon| {
            dead.look(node, text, level, is_daemon);
            now.borrow().clone()
        };
        assert_eq!(told("answer", "exited with code 1", &error, false), None);
        assert_eq!(told("rollout-2", "exited because of signal SIGKILL", &error, true), None);
        assert_eq!(told("camera", "camera finished successfully", &info, true), None);
        assert_eq!(told("monitor", "cannot be reached", &error, true), None);
        assert_eq!(told("camera", "exited with code 1", &error, true), Some("camera".into()));
        assert_eq!(told("camera", "node will be restarted (attempt 1)", &info, true), None);
        let answer = Some("answer".to_owned());
        assert_eq!(told("answer", "exited because of signal SIGKILL", &error, true), answer);
        assert_eq!(told("camera", "exited with code 1", &error, true), answer);
    }

    #[test]
    fn the_bar_follows_the_lines_of_the_monitor() {
        assert_eq!(step_of("step  12/100  reward 1.2"), Some(12));
        assert_eq!(step_of("Report: out/a/report.html"), None);
    }
}
