//! What the rollout takes and gives: prompts and policy versions in, groups of completions out.

use vrft_messages::{CompletionBatch, PolicyAnnouncement, PromptBatch};
use vrft_node::ports::{Input, METRICS, Output, Port, Ports, Role};

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
        outputs: &[
            Port::of::<CompletionBatch>("groups", "completions with their logprobs"),
            METRICS,
        ],
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
