//! What the segmenting node takes and gives: frames and boxes in, masks out, by the conventions of dora's hub.

use vrft_node::ports::{HubInput, HubOutput, METRICS, Others, Port, Ports, Role, Variable};

/// The ports of the segmenting node.
pub(crate) const PORTS: Ports = Ports {
    executable: "vrft-segment",
    about: "Makes masks of boxes on frames, by the Segment Anything Model (SAM)",
    categories: &["ml-inference"],
    keywords: &["sam", "segmentation", "masks", "boxes"],
    variables: &[Variable {
        name: "SAM_MODEL_ID",
        about: "folder or model of the Hugging Face hub, in place of segment.model",
        required_unless: None,
    }],
    roles: &[Role {
        inputs: &[
            Port::hub(
                "image",
                "image",
                "frames that boxes may come for; they are kept for a while",
            )
            .optional()
            .may_drop(),
            Port::hub(
                "boxes2d",
                "boxes2d",
                "boxes in pixels of the frame of the same frame_id, else of the newest frame",
            )
            .may_drop(),
        ],
        other_inputs: Some(
            Others::hub(
                "image_2",
                "image",
                "frames of further cameras, told apart by image_id; inputs of any name with `image` in it",
            )
            .with_word(IMAGE)
            .at_least(1),
        ),
        outputs: &[
            Port::hub(
                "masks",
                "masks",
                "a mask of the frame's size for each box: booleans, one mask after the other",
            )
            .optional(),
            METRICS,
        ],
        ..Role::EMPTY
    }],
};

/// Boxes to make masks of.
pub(crate) const BOXES2D: HubInput = PORTS.hub_input("boxes2d", "boxes2d");

/// The masks of the boxes.
pub(crate) const MASKS: HubOutput = PORTS.hub_output("masks", "masks");

/// What the name of an input has that carries frames.
pub(crate) const IMAGE: &str = "image";
