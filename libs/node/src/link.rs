//! What a node needs from whatever carries its messages: dora, or a test.

use arrow::array::{ArrayRef, StructArray};
use vrft_messages::hub::Tags;

use crate::edge::Header;
use crate::graph::Member;

/// Something that happened on the link.
pub(crate) enum LinkEvent {
    /// A message arrived on an input.
    Message { input: String, header: Header, data: StructArray },
    /// Something arrived on an input of dora's hub.
    Live { input: String, tags: Tags, data: ArrayRef },
    /// What arrived on an input cannot be a message of ours.
    Malformed { input: String, why: String },
    /// The sender of an input exited; messages of it may still be on their way.
    Closed { input: String },
    /// A neighbor upstream failed.
    Failed { node: String, error: String },
    /// dora starts a node upstream again that had ended.
    Restarted { node: String },
    /// Somebody asked the whole run to stop.
    Stop,
    /// Nothing arrived within the time given.
    Timeout,
    /// Nothing will arrive any more.
    Over,
}

/// Carries messages to and from one node.
pub(crate) trait Link: Send {
    /// Waits a while for the next event.
    fn next(&mut self, patience: std::time::Duration) -> LinkEvent;

    /// Puts a message on an output.
    fn send(&mut self, output: &str, header: &Header, data: StructArray) -> eyre::Result<()>;

    /// Puts data on an output of dora's hub.
    fn send_live(&mut self, output: &str, tags: Tags, data: ArrayRef) -> eyre::Result<()>;

    /// Whether what arrives on an input is in a convention of dora's hub.
    fn is_foreign(&self, input: &str) -> bool;

    /// `node/output` behind an input, for errors.
    fn source(&self, input: &str) -> String;

    /// Whether messages on an input may be missing.
    fn is_live(&self, input: &str) -> bool;

    /// Names of the inputs that the graph gives the node.
    fn inputs(&self) -> Vec<String>;

    /// Whether the graph declares this output.
    fn declares(&self, output: &str) -> bool;

    /// Outputs that need an end marker.
    fn outputs(&self) -> Vec<String>;

    /// All nodes of the graph.
    fn members(&self) -> Vec<Member>;

    /// Messages that the link itself dropped, by input.
    fn drops(&mut self) -> Vec<(String, u64)>;
}
