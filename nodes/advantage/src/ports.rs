//! What the advantage takes and gives: rewards of one node or several in, advantages out.

use vrft_messages::{AdvantageBatch, CompletionBatch, RewardBatch};
use vrft_node::ports::{Input, METRICS, OtherInputs, Others, Output, Port, Ports, Role};

/// The ports of the advantage.
pub(crate) const PORTS: Ports = Ports {
    executable: "vrft-advantage",
    about: "Compares each score with the others of its group",
    categories: &["transform"],
    roles: &[Role {
        inputs: &[Port::of::<CompletionBatch>("groups", "completions, for their length and task")
            .optional()],
        other_inputs: Some(
            Others::of::<RewardBatch>(
                "rewards",
                "scores; those of several inputs, of any name, are added",
            )
            .at_least(1),
        ),
        outputs: &[
            Port::of::<AdvantageBatch>("advantages", "advantage of each completion"),
            METRICS,
        ],
        ..Role::EMPTY
    }],
    ..Ports::EMPTY
};

/// The completions that the rewards are about.
pub(crate) const GROUPS: Input<CompletionBatch> = PORTS.input("groups");

/// Rewards of each node that judges.
pub(crate) const REWARDS: OtherInputs<RewardBatch> = PORTS.other_inputs();

/// The advantage of each completion.
pub(crate) const ADVANTAGES: Output<AdvantageBatch> = PORTS.output("advantages");
