//! What the tool `zoom` takes and gives: calls in, parts of pictures out.

use vrft_messages::{ToolCallBatch, ToolResultBatch};
use vrft_node::ports::{Input, METRICS, Output, Port, Ports, Role};

/// The ports of the tool.
pub(crate) const PORTS: Ports = Ports {
    executable: "vrft-zoom",
    about: "A tool of the policy: shows a part of a picture at all its pixels",
    categories: &["transform"],
    roles: &[Role {
        inputs: &[Port::of::<ToolCallBatch>("calls", "boxes to look at, from a rollout")],
        outputs: &[
            Port::of::<ToolResultBatch>(
                "results",
                "what is there, for the rollout's input of the tool's name",
            ),
            METRICS,
        ],
        ..Role::EMPTY
    }],
    ..Ports::EMPTY
};

/// Boxes to look at.
pub(crate) const CALLS: Input<ToolCallBatch> = PORTS.input("calls");

/// What is there.
pub(crate) const RESULTS: Output<ToolResultBatch> = PORTS.output("results");
