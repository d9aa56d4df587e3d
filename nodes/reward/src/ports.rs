//! What the reward takes and gives: completions in, scores out.

use vrft_messages::{CompletionBatch, RewardBatch};
use vrft_node::ports::{Input, METRICS, Output, Port, Ports, Role};

/// The ports of the reward.
pub(crate) const PORTS: Ports = Ports {
    executable: "vrft-reward",
    about: "Scores answers against the ground truth: overlap, accuracy, format",
    categories: &["transform"],
    roles: &[Role {
        inputs: &[Port::of::<CompletionBatch>("groups", "completions")],
        outputs: &[
            Port::of::<RewardBatch>("rewards", "score and terms of each completion"),
            METRICS,
        ],
        ..Role::EMPTY
    }],
    ..Ports::EMPTY
};

/// Completions to score.
pub(crate) const GROUPS: Input<CompletionBatch> = PORTS.input("groups");

/// The scores of the completions.
pub(crate) const REWARDS: Output<RewardBatch> = PORTS.output("rewards");
