//! The last metrics of a run that is stopped.
//!
//! dora delivers nothing that is sent after a stop, but a learner ends the step that it is in and saves it: without what
//! is read here, a checkpoint would be of a step that no line is about. What is in time is recorded at once; a node
//! that takes longer, such as a learner that writes a large checkpoint, is recorded when the run is resumed.

use std::time::{Duration, Instant};

use tracing::warn;
use vrft_messages::MetricBatch;
use vrft_node::Node;
use vrft_node::ports::Input;

use crate::Desk;

/// How long nodes may take to end after a stop. dora ends a process by force after ten seconds, and the report has to be
/// written before.
const PATIENCE: Duration = Duration::from_secs(7);

/// Pause between two looks into the run folder.
const PAUSE: Duration = Duration::from_millis(20);

/// Records what nodes left that ended later than the monitor of the session before.
pub(crate) fn of_earlier_session(
    node: &Node,
    inputs: &[Input<MetricBatch>],
    desk: &mut Desk,
) -> eyre::Result<()> {
    for input in inputs {
        take_left(node, input, desk)?;
    }
    vrft_node::remove_last_metrics(node.run_dir())
}

/// Records what came before the stop, if the run was stopped, and then what nodes left when they ended.
pub(crate) fn after_stop(
    node: &mut Node,
    inputs: &[Input<MetricBatch>],
    desk: &mut Desk,
) -> eyre::Result<()> {
    if !node.stop_requested()? {
        return vrft_node::remove_last_metrics(node.run_dir());
    }
    for (source, batch) in node.rest(inputs)? {
        desk.take(&source, &batch)?;
    }
    let mut open: Vec<&Input<MetricBatch>> =
        inputs.iter().filter(|input| !node.has_ended(*input)).collect();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut waiting = Vec::new();
        for input in open {
            if !take_left(node, input, desk)? {
                waiting.push(input);
            }
        }
        open = waiting;
        let is_awaited = |input: &&Input<MetricBatch>| leaves_its_metrics_here(node, input);
        if !open.iter().any(is_awaited) {
            return vrft_node::remove_last_metrics(node.run_dir());
        }
        if Instant::now() >= deadline {
            let late: Vec<&str> = open.iter().map(|input| input.name()).collect();
            warn!(
                ?late,
                "Nodes have not ended yet; their last metrics are recorded when the run is resumed."
            );
            return Ok(());
        }
        std::thread::sleep(PAUSE);
    }
}

/// Records what a node left, if it has ended; says whether it has.
fn take_left(node: &Node, input: &Input<MetricBatch>, desk: &mut Desk) -> eyre::Result<bool> {
    let source = node.sender(input);
    let Some(left) = vrft_node::last_metrics(node.run_dir(), &source)? else { return Ok(false) };
    let missing = desk.records.missing(input.name(), left);
    if !missing.metrics.is_empty() {
        desk.take(input.name(), &missing)?;
    }
    Ok(true)
}

/// Whether a node is of this project and writes to the run folder of this machine.
fn leaves_its_metrics_here(node: &Node, input: &Input<MetricBatch>) -> bool {
    let members = node.members();
    let find = |id: &str| members.iter().find(|member| member.id == id);
    let Some(sender) = find(&node.sender(input)) else { return false };
    let here = find(node.id()).map_or("", |monitor| monitor.machine.as_str());
    !sender.executable.is_empty() && sender.machine == here
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use vrft_config::Document;
    use vrft_messages::Metric;
    use vrft_node::Member;
    use vrft_node::testing::Script;

    use super::*;
    use crate::ports::PORTS;

    fn loss(step: u64) -> Metric {
        Metric { step, name: "policy/loss".into(), value: 0.5, at: 100.0 + step as f64 }
    }

    fn batch(steps: &[u64]) -> MetricBatch {
        MetricBatch { metrics: steps.iter().map(|step| loss(*step)).collect() }
    }

    /// A learner leaves its last metrics, as it does when it ends.
    fn leave(run_dir: &Path, node: &str, steps: &[u64]) {
        let folder = run_dir.join("last-metrics");
        std::fs::create_dir_all(&folder).unwrap();
        vrft_messages::file::write(&batch(steps), &folder.join(format!("{node}.arrow"))).unwrap();
    }

    fn script(run_dir: &Path) -> Script {
        let member = Member {
            id: "script".into(),
            executable: "vrft-learner".into(),
            role: String::new(),
            is_learner: true,
            machine: String::new(),
            learners: vec!["script".into()],
        };
        Script::new(&PORTS).run_dir(run_dir).members(&[member])
    }

    fn recorded(run_dir: &Path) -> Vec<u64> {
        let text = std::fs::read_to_string(run_dir.join("metrics.jsonl")).unwrap();
        let step = |line: &str| {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            value["step"].as_u64().unwrap()
        };
        text.lines().map(step).collect()
    }

    #[test]
    fn a_step_that_ends_after_a_stop_is_recorded_once() {
        let folder = tempfile::tempdir().unwrap();
        leave(folder.path(), "script", &[1, 2, 3]);
        let (node, _) = script(folder.path())
            .message("learner", &batch(&[1]))
            .stop()
            .message("learner", &batch(&[2]))
            .node();
        // What lies there when a monitor starts is of an earlier session; this is left while it runs.
        std::fs::rename(folder.path().join("last-metrics"), folder.path().join("later")).unwrap();
        let run_dir = folder.path().to_owned();
        let learner = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(600));
            std::fs::rename(run_dir.join("later"), run_dir.join("last-metrics")).unwrap();
        });
        crate::run(node, &Document::empty()).unwrap();
        learner.join().unwrap();
        assert_eq!(recorded(folder.path()), [1, 2, 3]);
        assert!(!folder.path().join("last-metrics/script.arrow").exists());
    }

    #[test]
    fn the_metrics_of_a_node_that_is_started_again_begin_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (node, _) = script(folder.path())
            .message("learner", &batch(&[1]))
            .message("learner", &batch(&[2]))
            .restart("script")
            .message("learner", &batch(&[3]))
            .end("learner")
            .node();
        crate::run(node, &Document::empty()).unwrap();
        assert_eq!(recorded(folder.path()), [1, 2, 3]);
    }

    #[test]
    fn what_was_left_too_late_is_recorded_when_the_run_is_resumed() {
        let folder = tempfile::tempdir().unwrap();
        let (node, _) =
            script(folder.path()).message("learner", &batch(&[1])).end("learner").node();
        crate::run(node, &Document::empty()).unwrap();
        leave(folder.path(), "script", &[1, 2]);
        let (node, _) =
            script(folder.path()).message("learner", &batch(&[3])).end("learner").node();
        crate::run(node, &Document::empty()).unwrap();
        assert_eq!(recorded(folder.path()), [1, 2, 3]);
    }
}
