//! Stands in for a detector, or with `--person` for a person who corrects it, in the graph of a camera.
//!
//! The detector finds a box in every frame. The person gives each frame with an even number a box of another size, and
//! rejects one frame of four.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, StringArray};
use dora_node_api::{DoraArray, DoraNode, Event, MetadataParameters, Parameter, get_string_param};
use eyre::eyre;

fn main() -> eyre::Result<()> {
    let is_person = std::env::args().any(|argument| argument == "--person");
    let (mut node, mut events) = DoraNode::init_from_env().map_err(|error| eyre!("{error}"))?;
    while let Some(event) = events.recv() {
        let Event::Input { metadata, .. } = event else { continue };
        let frame = get_string_param(&metadata.parameters, "frame_id").unwrap_or_default();
        let (output, data, about): (&str, ArrayRef, MetadataParameters) = if is_person {
            let Some(remark) = remark(frame.parse().unwrap_or(0)) else { continue };
            let text = format!("{{\"frame_id\": \"{frame}\", \"remark\": {remark}}}");
            ("feedback", Arc::new(StringArray::from(vec![text])), MetadataParameters::new())
        } else {
            let about = [("format", "xyxy"), ("frame_id", frame)];
            let about = about.map(|(key, value)| (key.to_owned(), Parameter::String(value.into())));
            ("boxes2d", Arc::new(Float32Array::from(vec![8.0, 8.0, 24.0, 24.0])), about.into())
        };
        node.send_output(output.to_owned().into(), about, DoraArray::from_array(data))?;
    }
    Ok(())
}

fn remark(frame: u64) -> Option<&'static str> {
    match frame % 4 {
        0 | 2 => Some("{\"edit\": [[1, 2, 30, 40]]}"),
        1 => Some("\"reject\""),
        _ => None,
    }
}
