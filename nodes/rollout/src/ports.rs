//! What the rollout takes and gives: prompts and policy versions in, groups of completions out, and for each tool an output
//! and an input of its name.

use vrft_messages::{
    CompletionBatch, PolicyAnnouncement, PromptBatch, ToolCallBatch, ToolResultBatch,
};
use vrft_node::ports::{
    Input, METRICS, OtherInputs, OtherOutputs, Others, Output, Port, Ports, Role,
};

/// The ports of the rollout.
pub(crate) const PORTS: Ports = Ports {
    executable: "vrft-rollout",
    about: "Samples several answers to each prompt from a vision-language policy",
    categories: &["ml-inference"],
    roles: &[Role {
        inputs: &[
            Port::of::<PromptBatch>("prompts", "questions and images"),
            Port::of::<PolicyAnnouncement>(
                "policy",
                "where the newest policy is, from the learner",
            ),
        ],
        other_inputs: Some(Others::of::<ToolResultBatch>(
            "TOOL",
            "what a tool gives back; one input for each, by its name",
        )),
        outputs: &[
            Port::of::<CompletionBatch>("groups", "completions with their logprobs"),
            METRICS,
        ],
        other_outputs: Some(Others::of::<ToolCallBatch>(
            "TOOL",
            "calls of the tool whose results come by the input of the same name",
        )),
        ..Role::EMPTY
    }],
    ..Ports::EMPTY
};

/// Questions to be answered.
pub(crate) const PROMPTS: Input<PromptBatch> = PORTS.input("prompts");

/// Policy versions as they become ready.
pub(crate) const POLICY: Input<PolicyAnnouncement> = PORTS.input("policy");

/// Sampled answers.
pub(crate) const GROUPS: Output<CompletionBatch> = PORTS.output("groups");

/// What tools give back.
pub(crate) const RESULTS: OtherInputs<ToolResultBatch> = PORTS.other_inputs();

/// Calls of tools.
pub(crate) const CALLS: OtherOutputs<ToolCallBatch> = PORTS.other_outputs();
