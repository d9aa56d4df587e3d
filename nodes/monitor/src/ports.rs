//! What the monitor takes and gives: metrics of all nodes in; its only output carries no messages and tells of failures.

use vrft_messages::{CompletionBatch, MetricBatch, PromptBatch, RewardBatch};
use vrft_node::ports::{Input, OtherInputs, Others, Port, Ports, Role, WATCH};

/// The ports of the monitor.
pub(crate) const PORTS: Ports = Ports {
    executable: "vrft-monitor",
    about: "Writes metrics, TensorBoard files and a report, live",
    categories: &["visualization"],
    roles: &[Role {
        inputs: &[
            Port::of::<PromptBatch>("prompts", "for a Rerun recording, with groups and rewards")
                .optional(),
            Port::of::<CompletionBatch>("groups", "for a Rerun recording").optional(),
            Port::of::<RewardBatch>("rewards", "for a Rerun recording").optional(),
        ],
        other_inputs: Some(Others::of::<MetricBatch>(
            "metrics",
            "metrics of a node; one input for each node, named after it",
        )),
        outputs: &[WATCH],
        ..Role::EMPTY
    }],
    ..Ports::EMPTY
};

/// Questions, for a recording.
pub(crate) const PROMPTS: Input<PromptBatch> = PORTS.input("prompts");

/// Answers, for a recording.
pub(crate) const GROUPS: Input<CompletionBatch> = PORTS.input("groups");

/// What they earned, for a recording.
pub(crate) const REWARDS: Input<RewardBatch> = PORTS.input("rewards");

/// Numbers of each node; the name of an input is the name of its node.
pub(crate) const METRICS: OtherInputs<MetricBatch> = PORTS.other_inputs();
