//! What the pool takes and gives: prompts in, groups out, and for each rollout an output and an input of one name.

use vrft_messages::{CompletionBatch, PromptBatch};
use vrft_node::ports::{
    Input, METRICS, OtherInputs, OtherOutputs, Others, Output, Port, Ports, Role,
};

/// The ports of the pool.
pub(crate) const PORTS: Ports = Ports {
    executable: "vrft-pool",
    about: "Distributes prompts among several rollouts and puts their groups together again",
    categories: &["communication"],
    roles: &[Role {
        inputs: &[Port::of::<PromptBatch>("prompts", "questions and images")],
        other_inputs: Some(
            Others::of::<CompletionBatch>(
                "NAME",
                "groups of one rollout; one input for each, by any name",
            )
            .at_least(1),
        ),
        outputs: &[
            Port::of::<CompletionBatch>(
                "groups",
                "completions of all rollouts, in the order of the prompts",
            ),
            METRICS,
        ],
        other_outputs: Some(Others::of::<PromptBatch>(
            "NAME",
            "prompts for the rollout whose groups come by the input of the same name",
        )),
        ..Role::EMPTY
    }],
    ..Ports::EMPTY
};

/// Prompts of the loader.
pub(crate) const PROMPTS: Input<PromptBatch> = PORTS.input("prompts");

/// Groups of each rollout.
pub(crate) const ROLLOUTS: OtherInputs<CompletionBatch> = PORTS.other_inputs();

/// Groups of all rollouts.
pub(crate) const GROUPS: Output<CompletionBatch> = PORTS.output("groups");

/// Prompts for each rollout.
pub(crate) const SHARES: OtherOutputs<PromptBatch> = PORTS.other_outputs();
