//! The tool `zoom`: the policy names a box, and sees what is in it as its next turn.
//!
//! Any node that answers calls so can be a tool; `python/zoom.py` is the same in some twenty lines.

mod ports;
#[cfg(test)]
mod tests;

use vrft_messages::{EncodedImage, ToolCall, ToolResult, ToolResultBatch};
use vrft_node::Node;
use vrft_vision::Zoomable;

use crate::ports::{CALLS, PORTS, RESULTS};

fn main() -> std::process::ExitCode {
    vrft_node::exit(start())
}

fn start() -> eyre::Result<()> {
    let document = vrft_node::load_document()?;
    run(Node::join(&PORTS, &document)?)
}

/// Answers calls until they end.
fn run(mut node: Node) -> eyre::Result<()> {
    while let Some(batch) = node.recv(&CALLS)? {
        let results = batch.calls.iter().map(look).collect();
        node.send(&RESULTS, &ToolResultBatch { results })?;
    }
    node.finish()
}

/// The part of the picture that a call asks for, or what is wrong with the call.
fn look(call: &ToolCall) -> ToolResult {
    let pictures = call.images.iter().zip(&call.extents);
    let pictures: Vec<Zoomable> =
        pictures.map(|(image, extent)| Zoomable { bytes: &image.bytes, extent: *extent }).collect();
    let (text, images) = match vrft_vision::zoom(&call.arguments, &pictures) {
        Ok(zoomed) => {
            let (width, height) = (zoomed.width, zoomed.height);
            let image =
                EncodedImage { bytes: zoomed.png, encoding: "png".to_owned(), width, height };
            (vrft_vision::ZOOMED.to_owned(), vec![image])
        }
        Err(why) => (format!("Error: {why}."), Vec::new()),
    };
    let (prompt_id, completion_idx) = (call.prompt_id, call.completion_idx);
    ToolResult { prompt_id, completion_idx, text, images }
}
