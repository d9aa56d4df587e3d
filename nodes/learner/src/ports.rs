//! What the learner takes and gives: prompts, groups and advantages in; credit, policy versions and checkpoints out.

use vrft_messages::{
    AdvantageBatch, Checkpoint, CompletionBatch, Credit, PolicyAnnouncement, PromptBatch,
};
use vrft_node::ports::{Input, METRICS, Output, Port, Ports, Role};

const PROMPTS_IN: Port = Port::of::<PromptBatch>("prompts", "questions and images");
const CREDIT_OUT: Port =
    Port::of::<Credit>("credit", "permission to send more prompts").needs_listener();
const CHECKPOINT_OUT: Port = Port::of::<Checkpoint>("checkpoint", "policies to evaluate");
const LEARNED_FROM: &[Port] = &[
    PROMPTS_IN,
    Port::of::<CompletionBatch>("groups", "completions"),
    Port::of::<AdvantageBatch>("advantages", "advantages"),
];

/// The ports of the learner.
pub(crate) const PORTS: Ports = Ports {
    executable: "vrft-learner",
    about: "Trains the policy, by reinforcement (GRPO) or supervised",
    categories: &["ml-inference"],
    roles: &[
        Role {
            argument: "sft",
            inputs: &[PROMPTS_IN],
            outputs: &[CREDIT_OUT, CHECKPOINT_OUT, METRICS],
            ..Role::EMPTY
        },
        // Gives no policy versions: nothing could sample from what it learns.
        Role {
            argument: "offline",
            inputs: LEARNED_FROM,
            outputs: &[CREDIT_OUT, CHECKPOINT_OUT, METRICS],
            ..Role::EMPTY
        },
        Role {
            inputs: LEARNED_FROM,
            outputs: &[
                Port::of::<PolicyAnnouncement>("policy", "where the newest policy is"),
                CREDIT_OUT,
                CHECKPOINT_OUT,
                METRICS,
            ],
            ..Role::EMPTY
        },
    ],
    ..Ports::EMPTY
};

/// Prompts, with their pixels.
pub(crate) const PROMPTS: Input<PromptBatch> = PORTS.input("prompts");

/// The completions that answer these prompts.
pub(crate) const GROUPS: Input<CompletionBatch> = PORTS.input("groups");

/// What each answer is worth.
pub(crate) const ADVANTAGES: Input<AdvantageBatch> = PORTS.input("advantages");

/// Policy versions for the rollout.
pub(crate) const POLICY: Output<PolicyAnnouncement> = PORTS.output("policy");

/// Permission to send prompts.
pub(crate) const CREDIT: Output<Credit> = PORTS.output("credit");

/// Policies to evaluate.
pub(crate) const CHECKPOINT: Output<Checkpoint> = PORTS.output("checkpoint");
