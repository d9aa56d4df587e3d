//! What the loader takes and gives: credit in, prompts out, and the edges of a camera where it learns from one.

use vrft_messages::{Credit, PromptBatch};
use vrft_node::ports::{HubInput, HubOutput, Input, METRICS, Output, Port, Ports, Role, WATCH};

/// The ports of the loader.
pub(crate) const PORTS: Ports = Ports {
    executable: "vrft-loader",
    about: "Sends questions about images, as many as it is given credit for",
    categories: &["sensor"],
    roles: &[Role {
        inputs: &[
            Port::of::<Credit>("credit", "permission to send so many prompts, from the learner")
                .answered_by("prompts"),
            Port::hub(
                "image",
                "image",
                "frames of a camera, in dora's image convention, if it learns from one",
            )
            .optional()
            .may_drop(),
            Port::hub("clock", "timer", "a timer whose ticks are passed on to the camera")
                .optional()
                .may_drop(),
            Port::hub("boxes2d", "boxes2d", "a detector's boxes, if a detector teaches")
                .optional()
                .may_drop(),
            Port::hub("feedback", "text", "a person's remarks, one JSON object each").optional(),
            WATCH,
        ],
        outputs: &[
            Port::of::<PromptBatch>("prompts", "questions, images and true answers"),
            Port::hub("tick", "tick", "for the camera").optional(),
            Port::of::<PromptBatch>(
                "held_out",
                "questions about frames that were set aside, for the evaluator",
            )
            .optional(),
            METRICS,
        ],
        ..Role::EMPTY
    }],
    ..Ports::EMPTY
};

/// Permission to send prompts.
pub(crate) const CREDIT: Input<Credit> = PORTS.input("credit");

/// Frames of a camera.
pub(crate) const IMAGE: HubInput = PORTS.hub_input("image", "image");

/// Ticks of dora's timer; each is passed on to the camera, so that a camera ends with the run.
pub(crate) const CLOCK: HubInput = PORTS.hub_input("clock", "timer");

/// A detector's boxes.
pub(crate) const BOXES2D: HubInput = PORTS.hub_input("boxes2d", "boxes2d");

/// A person's remarks.
pub(crate) const FEEDBACK: HubInput = PORTS.hub_input("feedback", "text");

/// Questions to learn from.
pub(crate) const PROMPTS: Output<PromptBatch> = PORTS.output("prompts");

/// Asks the camera for a frame.
pub(crate) const TICK: HubOutput = PORTS.hub_output("tick", "tick");

/// Questions to be judged on.
pub(crate) const HELD_OUT: Output<PromptBatch> = PORTS.output("held_out");
