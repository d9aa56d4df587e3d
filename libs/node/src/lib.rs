//! A node of the training graph: typed receive and send over dora, with nothing lost unnoticed.
//!
//! This is the only crate that sees dora. What it adds to dora's own node API:
//! - every message carries the version of its schema and a sequence number; a gap stops the run with an
//!   error that names the edge (dora drops messages silently under load);
//! - an edge ends with an in-band end marker, because dora's own closing events overtake data;
//! - a neighbor that fails stops this node at once, with its name in the error;
//! - metrics are collected and sent as one message a step.
//!
//! A node declares its ports once, see [`ports`], and receives and sends by their handles:
//! ```no_run
//! use vrft_messages::{Credit, PromptBatch};
//! use vrft_node::ports::{Input, Output, Port, Ports, Role};
//!
//! const PORTS: Ports = Ports {
//!     roles: &[Role {
//!         inputs: &[Port::of::<Credit>("credit", "leave for so many prompts")],
//!         outputs: &[Port::of::<PromptBatch>("prompts", "questions and images")],
//!         ..Role::EMPTY
//!     }],
//!     ..Ports::EMPTY
//! };
//! const CREDIT: Input<Credit> = PORTS.input("credit");
//! const PROMPTS: Output<PromptBatch> = PORTS.output("prompts");
//!
//! # fn main() -> eyre::Result<()> {
//! let document = vrft_node::load_document()?;
//! let mut node = vrft_node::Node::join(&PORTS, &document)?;
//! while let Some(credit) = node.recv(&CREDIT)? {
//!     node.send(&PROMPTS, &PromptBatch::default())?;
//! }
//! node.finish()
//! # }
//! ```

// The declarations of the nodes name this crate as the nodes do.
extern crate self as vrft_node;

mod dora;
mod edge;
mod graph;
mod link;
mod live;
pub mod manifest;
mod metrics;
mod node;
pub mod nodes;
pub mod ports;
mod receive;
mod send;
mod start;
pub mod table;
pub mod testing;
pub mod wiring;

pub use graph::Member;
pub use live::{Arrival, Live};
pub use metrics::{last_metrics, remove_last_metrics, unix_secs};
pub use node::Node;
pub use nodes::executable;
pub use receive::{NO_END_MARKER, Waited};
pub use start::{
    CONFIG_VARIABLE, RUN_DIR_VARIABLE, exit, file_name, in_words, load_document,
    load_document_if_named,
};
