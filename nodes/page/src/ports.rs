//! What the page takes and gives: the frames and answers of a robot in, what people say of them out.

use vrft_node::ports::{HubInput, HubOutput, Port, Ports, Role, Variable};

/// The ports of the page.
pub(crate) const PORTS: Ports = Ports {
    executable: "vrft-page",
    about: "Shows in a browser what a vision-language node answers, and sends what people say of it into the graph",
    categories: &["visualization"],
    keywords: &["feedback", "annotation", "vlm", "browser"],
    variables: &[
        variable(
            "PAGE_ADDRESS",
            "where the page is, 127.0.0.1:8001 if unset; another free port if that one is taken",
        ),
        variable(
            "PAGE_TOKEN",
            "what a browser must know; needed where other machines can reach the page",
        ),
    ],
    roles: &[Role {
        inputs: &[
            Port::hub("image", "image", "frames, by frame_id").may_drop(),
            Port::hub("text", "text", "answers, with answer_id and frame_id").may_drop(),
            Port::hub("boxes2d", "boxes2d", "boxes of the answers, with answer_id").may_drop(),
        ],
        outputs: &[Port::hub("feedback", "text", "remarks on answers, one JSON object each")],
        ..Role::EMPTY
    }],
};

const fn variable(name: &'static str, about: &'static str) -> Variable {
    Variable { name, about, required_unless: None }
}

/// Frames of the camera.
pub(crate) const IMAGE: HubInput = PORTS.hub_input("image", "image");

/// Answers in words.
pub(crate) const TEXT: HubInput = PORTS.hub_input("text", "text");

/// Boxes of the answers.
pub(crate) const BOXES2D: HubInput = PORTS.hub_input("boxes2d", "boxes2d");

/// Remarks on answers.
pub(crate) const FEEDBACK: HubOutput = PORTS.hub_output("feedback", "text");
