//! `metrics.jsonl` and `spans.jsonl`: one number, one stretch of work a line, written as they come.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use eyre::WrapErr;
use serde_json::json;
use vrft_messages::MetricBatch;

/// The monitor's files.
pub(crate) struct Records {
    metrics: File,
    spans: File,
    start: f64,
}

impl Records {
    /// Continues the files of a resumed run.
    pub(crate) fn open(run_dir: &Path) -> eyre::Result<Self> {
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
                    "node": source, "name": name, "step": metric.step,
                    "start": end - metric.value, "end": end,
                });
                spans.push_str(&format!("{value}\n"));
            }
        }
        self.metrics.write_all(metrics.as_bytes()).wrap_err("metrics.jsonl")?;
        self.spans.write_all(spans.as_bytes()).wrap_err("spans.jsonl")
    }
}
