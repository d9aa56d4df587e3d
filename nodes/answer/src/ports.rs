//! What the answering node takes and gives: frames and questions in, texts and boxes out, by the conventions of dora's
//! hub; and where newer versions of its policy are.

use vrft_messages::PolicyAnnouncement;
use vrft_node::ports::{HubInput, HubOutput, Input, METRICS, Others, Port, Ports, Role, Variable};

/// The ports of the answering node.
pub(crate) const PORTS: Ports = Ports {
    executable: "vrft-answer",
    about: "Answers questions about camera frames with a vision-language policy, and swaps in newer versions between two answers",
    categories: &["ml-inference"],
    keywords: &["vision-language", "vlm", "detection", "question-answering"],
    variables: &[
        variable("MODEL_NAME_OR_PATH", "checkpoint folder or model of the Hugging Face hub, in place of policy.path"),
        variable("ADAPTER_PATH", "folder of a peft adapter, which names its base"),
        variable("DEFAULT_QUESTION", "what is asked where nobody asks, in place of answer.question"),
        variable("SYSTEM_PROMPT", "system turn, in place of policy.system"),
        variable("ACTIVATION_WORDS", "words of which a text must have one to be answered; any text if unset"),
        variable("IMAGE_RESIZE_RATIO", "frames are scaled by this, in place of answer.image_resize_ratio"),
        variable("HISTORY", "true keeps earlier questions and answers, up to answer.history"),
    ],
    roles: &[Role {
        inputs: &[
            Port::hub("image", "image", "frames; the newest is answered, none is queued")
                .optional()
                .may_drop(),
            Port::hub("text", "text", "questions, each answered about the newest frame")
                .optional()
                .may_drop(),
            Port::hub("tick", "tick", "asks the default question about the newest frame")
                .optional()
                .may_drop(),
            Port::hub(
                "boxes2d",
                "boxes2d",
                "true boxes by frame_id, from a detector or a person: live answers are measured by them",
            )
            .optional()
            .may_drop(),
            Port::hub("feedback", "text", "remarks on answers, one JSON object each").optional(),
            Port::of::<PolicyAnnouncement>("policy", "where the newest policy is, from the learner")
                .optional()
                .may_drop(),
        ],
        other_inputs: Some(
            Others::hub(
                "image_2",
                "image",
                "frames of further cameras; several inputs of any name with `image` in it",
            )
            .with_word(IMAGE)
            .at_least(1),
        ),
        outputs: &[
            Port::hub("text", "text", "the answer in words, with image_id, frame_id and policy_version")
                .optional(),
            Port::hub("boxes2d", "boxes2d", "boxes of the answer in pixels of the frame").optional(),
            Port::hub("corrections", "text", "remarks on frames for a loader, made of the feedback")
                .optional(),
            METRICS,
        ],
        ..Role::EMPTY
    }],
};

const fn variable(name: &'static str, about: &'static str) -> Variable {
    Variable { name, about, required_unless: None }
}

/// Questions about the newest frame.
pub(crate) const TEXT: HubInput = PORTS.hub_input("text", "text");

/// Asks the default question.
pub(crate) const TICK: HubInput = PORTS.hub_input("tick", "tick");

/// True boxes of frames, to measure answers by.
pub(crate) const TRUTH: HubInput = PORTS.hub_input("boxes2d", "boxes2d");

/// Remarks on answers.
pub(crate) const FEEDBACK: HubInput = PORTS.hub_input("feedback", "text");

/// Versions of the learner.
pub(crate) const POLICY: Input<PolicyAnnouncement> = PORTS.input("policy");

/// Answers in words.
pub(crate) const ANSWER: HubOutput = PORTS.hub_output("text", "text");

/// Boxes of answers.
pub(crate) const BOXES2D: HubOutput = PORTS.hub_output("boxes2d", "boxes2d");

/// Remarks on frames.
pub(crate) const CORRECTIONS: HubOutput = PORTS.hub_output("corrections", "text");

/// What the name of an input has that carries frames.
pub(crate) const IMAGE: &str = "image";
