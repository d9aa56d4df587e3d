//! What the monitor leaves in the run folder, as it comes: `metrics.jsonl`, one number a line; `spans.jsonl`, one stretch
//! of work a line; `nodes.json`, who is who in the graph.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use eyre::WrapErr;
use serde_json::{Value, json};
use vrft_messages::MetricBatch;
use vrft_node::Member;

/// The monitor's files.
pub(crate) struct Records {
    metrics: File,
    spans: File,
    session: usize,
    start: f64,
}

impl Records {
    /// Continues the files of a resumed run. Spans are seconds from the start of their session, counted from 1: the
    /// clock of a session says nothing of that before it.
    pub(crate) fn open(run_dir: &Path, session: usize) -> eyre::Result<Self> {
        let append = |name: &str| {
            let path = run_dir.join(name);
            OpenOptions::new()
                .create(true)
                .append(true)
                .open(&path)
                .wrap_err_with(|| format!("{path:?}"))
        };
        Ok(Self {
            metrics: append("metrics.jsonl")?,
            spans: append("spans.jsonl")?,
            session,
            start: vrft_node::unix_secs(),
        })
    }

    pub(crate) fn append(&mut self, source: &str, batch: &MetricBatch) -> eyre::Result<()> {
        let (mut metrics, mut spans) = (String::new(), String::new());
        for metric in &batch.metrics {
            let value = json!({
                "step": metric.step, "name": metric.name, "value": metric.value, "at": metric.at,
                "node": source,
            });
            metrics.push_str(&format!("{value}\n"));
            // A metric of seconds was noted when its work ended.
            let work =
                metric.name.strip_prefix("time/").and_then(|name| name.strip_suffix("_secs"));
            if let Some(name) = work.filter(|name| !name.contains('/')) {
                let end = metric.at - self.start;
                let value = json!({
                    "node": source, "name": name, "step": metric.step, "session": self.session,
                    "start": end - metric.value, "end": end,
                });
                spans.push_str(&format!("{value}\n"));
            }
        }
        self.metrics.write_all(metrics.as_bytes()).wrap_err("metrics.jsonl")?;
        self.spans.write_all(spans.as_bytes()).wrap_err("spans.jsonl")
    }
}

/// Writes who is who in the graph, so that a report knows which nodes worked for which learner.
pub(crate) fn write_members(run_dir: &Path, members: &[Member]) -> eyre::Result<()> {
    let member = |member: &Member| {
        json!({
            "id": member.id, "executable": member.executable, "role": member.role,
            "is_learner": member.is_learner, "learners": member.learners,
        })
    };
    let members: Value = members.iter().map(member).collect();
    let text = serde_json::to_string_pretty(&members)?;
    std::fs::write(run_dir.join("nodes.json"), text).wrap_err("nodes.json")
}
