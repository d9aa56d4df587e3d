//! What the evaluator takes and gives: checkpoints in, numbers out.

use vrft_messages::{Checkpoint, PromptBatch};
use vrft_node::ports::{Input, METRICS, OtherInputs, Others, Port, Ports, Role};

/// The ports of the evaluator.
pub(crate) const PORTS: Ports = Ports {
    executable: "vrft-evaluator",
    about: "Evaluates policies on held-out images",
    categories: &["ml-inference"],
    roles: &[Role {
        inputs: &[Port::of::<PromptBatch>(
            "held_out",
            "questions about frames of a stream that were set aside, from the loader",
        )
        .optional()],
        other_inputs: Some(Others::of::<Checkpoint>(
            "checkpoint",
            "policies to evaluate; the name of an input is the label of its policy",
        )),
        outputs: &[METRICS],
        ..Role::EMPTY
    }],
    ..Ports::EMPTY
};

/// Questions of a stream to judge by.
pub(crate) const HELD_OUT: Input<PromptBatch> = PORTS.input("held_out");

/// Policies to judge; the name of an input is the label of its policy.
pub(crate) const CHECKPOINTS: OtherInputs<Checkpoint> = PORTS.other_inputs();
