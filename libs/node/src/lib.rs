//! A node of the training graph: typed receive and send over dora, with nothing lost unnoticed.
//!
//! This is the only crate that sees dora. What it adds to dora's own node API:
//! - every message carries the version of its schema and a sequence number; a gap stops the run with an
//!   error that names the edge (dora drops messages silently under load);
//! - an edge ends with an in-band end marker, because dora's own closing events overtake data;
//! - a neighbor that fails stops this node at once, with its name in the error;
//! - metrics are collected and sent as one message a step.
//!
//! ```no_run
//! # fn main() -> eyre::Result<()> {
//! let document = vrft_node::load_document()?;
//! let mut node = vrft_node::Node::join(&document)?;
//! while let Some(credit) = node.recv::<vrft_messages::Credit>("credit")? {
//!     node.send("prompts", &vrft_messages::PromptBatch::default())?;
//! }
//! node.finish()
//! # }
//! ```

mod dora;
mod edge;
mod link;
mod live;
mod metrics;
mod node;
mod stages;
mod start;
pub mod testing;
pub mod wiring;

pub use live::{Arrival, Live};
pub use metrics::unix_secs;
pub use node::{Node, Waited};
pub use start::{CONFIG_VARIABLE, RUN_DIR_VARIABLE, exit, load_document};
