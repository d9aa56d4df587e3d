//! What the evaluator takes and gives: checkpoints in, numbers out.

use vrft_messages::{Checkpoint, CompletionBatch, Credit, PromptBatch, RewardBatch};
use vrft_node::ports::{Input, METRICS, OtherInputs, Others, Output, Port, Ports, Role};

/// The ports of the evaluator.
pub(crate) const PORTS: Ports = Ports {
    executable: "vrft-evaluator",
    about: "Evaluates policies on held-out images",
    categories: &["ml-inference"],
    roles: &[
        Role {
            argument: "--estimate",
            inputs: &[
                Port::of::<PromptBatch>("prompts", "questions and images, with --estimate"),
                Port::of::<CompletionBatch>("groups", "recorded answers, with --estimate"),
                Port::of::<RewardBatch>("rewards", "what each of them earned, with --estimate"),
            ],
            outputs: &[
                Port::of::<Credit>("credit", "permission to send more prompts").needs_listener(),
                METRICS,
            ],
            ..Role::EMPTY
        },
        Role {
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
        },
    ],
    ..Ports::EMPTY
};

/// Questions of a stream to judge by.
pub(crate) const HELD_OUT: Input<PromptBatch> = PORTS.input("held_out");

/// Policies to judge; the name of an input is the label of its policy.
pub(crate) const CHECKPOINTS: OtherInputs<Checkpoint> = PORTS.other_inputs();

/// Questions whose recorded answers are weighed.
pub(crate) const PROMPTS: Input<PromptBatch> = PORTS.input("prompts");

/// Recorded answers, with their logprobs.
pub(crate) const GROUPS: Input<CompletionBatch> = PORTS.input("groups");

/// What each recorded answer earned.
pub(crate) const REWARDS: Input<RewardBatch> = PORTS.input("rewards");

/// Permission to send prompts.
pub(crate) const CREDIT: Output<Credit> = PORTS.output("credit");
