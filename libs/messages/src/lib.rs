//! What travels between the nodes: one struct per message, converted to an Arrow `StructArray` and back.
//!
//! This is the only crate that names a column. Reading validates: a message in hand is well formed,
//! so the code behind it is free of checks.

mod advantage;
mod build;
mod checkpoint;
mod columns;
mod completion;
mod credit;
mod error;
pub mod file;
pub mod hub;
mod image;
pub mod ipc;
mod metric;
mod policy_announcement;
mod prompt;
mod reply;
mod reward;
mod tool;
mod turn;

pub use advantage::{Advantage, AdvantageBatch};
pub use checkpoint::Checkpoint;
pub use completion::{Completion, CompletionBatch, CompletionRow, FinishReason};
pub use credit::Credit;
pub use error::MessageError;
pub use image::{EncodedImage, ImageSize};
pub use metric::{Metric, MetricBatch};
pub use policy_announcement::PolicyAnnouncement;
pub use prompt::{Prompt, PromptBatch};
pub use reply::Reply;
pub use reward::{RewardBatch, RewardRow, Term};
pub use tool::{ToolCall, ToolCallBatch, ToolResult, ToolResultBatch};
pub use turn::{Part, Role, Turn, chat_messages};

use arrow::array::StructArray;

/// Version of all schemas together; nodes of different versions refuse to talk, and files of another version are
/// refused.
///
/// 2: `policy_version` of a prompt (it was `min_policy_version`, but always meant exactly that one); the sizes of its
/// pictures, original and resized, in `groups`; `policy` without `kind`.
pub const SCHEMA_VERSION: i64 = 2;

/// A message that can be put on an edge.
pub trait Message: Sized {
    /// Name in errors and in the metadata of the edge.
    const NAME: &'static str;

    /// One row per element; a message of one element has one row.
    fn to_arrow(&self) -> StructArray;

    /// Reads and validates.
    ///
    /// # Errors
    /// A missing column, a wrong type, a null, or values that contradict each other.
    fn from_arrow(array: &StructArray) -> Result<Self, MessageError>;
}
