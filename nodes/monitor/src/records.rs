//! What the monitor leaves in the run folder, as it comes: `metrics.jsonl`, one number a line; `spans.jsonl`, one stretch
//! of work a line; `nodes.json`, who is who in the graph.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
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
    /// When each node noted the last metric that is written down.
    newest: BTreeMap<String, f64>,
}

/// Times of different messages of a node are further apart than this; JSON may change the last digit of a time.
const CLOCK_TICK: f64 = 1e-6;

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
            newest: newest(&run_dir.join("metrics.jsonl"))?,
        })
    }

    /// What of these metrics is not written down yet. A node notes them in the order of their times.
    pub(crate) fn missing(&self, source: &str, last: MetricBatch) -> MetricBatch {
        let newest = self.newest.get(source).copied().unwrap_or(f64::NEG_INFINITY);
        let mut metrics = last.metrics;
        metrics.retain(|metric| metric.at > newest + CLOCK_TICK);
        MetricBatch { metrics }
    }

    pub(crate) fn append(&mut self, source: &str, batch: &MetricBatch) -> eyre::Result<()> {
        let (mut metrics, mut spans) = (String::new(), String::new());
        for metric in &batch.metrics {
            let value = json!({
                "step": metric.step, "name": metric.name, "value": metric.value, "at": metric.at,
                "node": source,
            });
            metrics.push_str(&format!("{value}\n"));
            let newest = self.newest.entry(source.to_owned()).or_insert(metric.at);
            *newest = newest.max(metric.at);
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

/// When each node noted the last metric of an earlier session; a torn last line counts as not written.
fn newest(path: &Path) -> eyre::Result<BTreeMap<String, f64>> {
    let file = File::open(path).wrap_err_with(|| format!("{path:?}"))?;
    let mut newest = BTreeMap::new();
    for line in BufReader::new(file).lines() {
        let line = line.wrap_err_with(|| format!("{path:?}"))?;
        let Ok(metric) = serde_json::from_str::<Value>(&line) else { continue };
        if let (Some(node), Some(at)) = (metric["node"].as_str(), metric["at"].as_f64()) {
            let of_node = newest.entry(node.to_owned()).or_insert(at);
            *of_node = at.max(*of_node);
        }
    }
    Ok(newest)
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
