//! What the semantic reward takes and gives: completions in, one more term of their scores out.

use vrft_messages::{CompletionBatch, RewardBatch};
use vrft_node::ports::{Input, METRICS, Output, Port, Ports, Role};

/// The ports of the semantic reward.
pub(crate) const PORTS: Ports = Ports {
    executable: "vrft-semantic",
    about: "Scores answers by their meaning: the cosine of sentence embeddings",
    categories: &["transform"],
    roles: &[Role {
        inputs: &[Port::of::<CompletionBatch>("groups", "completions")],
        outputs: &[Port::of::<RewardBatch>("rewards", "one term for each completion"), METRICS],
        ..Role::EMPTY
    }],
    ..Ports::EMPTY
};

/// Completions to score.
pub(crate) const GROUPS: Input<CompletionBatch> = PORTS.input("groups");

/// The scores of the completions.
pub(crate) const REWARDS: Output<RewardBatch> = PORTS.output("rewards");
