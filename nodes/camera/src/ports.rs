//! What the camera takes and gives: a frame for every tick, in dora's image convention.

use vrft_node::ports::{HubInput, HubOutput, Port, Ports, Role, Variable};

/// The ports of the camera.
pub(crate) const PORTS: Ports = Ports {
    executable: "vrft-camera",
    about: "Sends a frame for every tick, from a folder of pictures, a video file or a device",
    categories: &["sensor"],
    keywords: &["camera", "video", "image"],
    variables: &[
        Variable {
            name: "CAPTURE_PATH",
            about: "a folder, a video file (read by ffmpeg), or a device such as /dev/video0",
            required_unless: Some("--path"),
        },
        Variable { name: "ENCODING", about: "keep, rgb8, bgr8 or jpeg", required_unless: None },
    ],
    roles: &[Role {
        inputs: &[Port::hub(
            "tick",
            "tick",
            "asks for a frame; its frame_id, if any, names the frame",
        )
        .may_drop()],
        outputs: &[Port::hub(
            "image",
            "image",
            "pixels or an image file (UInt8) with encoding, width and height",
        )],
        ..Role::EMPTY
    }],
};

/// Asks for a frame.
pub(crate) const TICK: HubInput = PORTS.hub_input("tick", "tick");

/// The frames of the camera.
pub(crate) const IMAGE: HubOutput = PORTS.hub_output("image", "image");
