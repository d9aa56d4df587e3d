//! What the journal takes and gives: groups in to be written down, or prompts in and logged groups out.

use vrft_messages::{CompletionBatch, PromptBatch};
use vrft_node::ports::{Input, METRICS, Output, Port, Ports, Role, Variable};

/// The ports of the journal.
pub(crate) const PORTS: Ports = Ports {
    executable: "vrft-journal",
    about: "Records sampled groups, or replays those of an earlier run",
    categories: &["recorder"],
    variables: &[Variable {
        name: "VRFT_REPLAY",
        about: "the run folder to replay, instead of the one that `--replay` names",
        required_unless: None,
    }],
    roles: &[
        Role {
            argument: "--replay",
            inputs: &[Port::of::<PromptBatch>("prompts", "questions, with --replay")],
            outputs: &[
                Port::of::<CompletionBatch>(
                    "groups",
                    "the recorded completions of these questions, with --replay",
                ),
                METRICS,
            ],
            ..Role::EMPTY
        },
        Role {
            inputs: &[Port::of::<CompletionBatch>("groups", "completions with their logprobs")],
            outputs: &[METRICS],
            ..Role::EMPTY
        },
    ],
    ..Ports::EMPTY
};

/// Groups to be written down.
pub(crate) const GROUPS: Input<CompletionBatch> = PORTS.input("groups");

/// Prompts to be answered from an earlier run.
pub(crate) const PROMPTS: Input<PromptBatch> = PORTS.input("prompts");

/// The recorded answers, in place of sampled ones.
pub(crate) const REPLAYED: Output<CompletionBatch> = PORTS.output("groups");
