//! A monitor that was built without recordings says so.

use vrft_config::Document;
use vrft_messages::MetricBatch;
use vrft_node::Node;

use crate::ports::{GROUPS, PROMPTS, REWARDS};

/// A recording, which a monitor that is built without it never has.
pub(crate) enum Recording {}

impl Recording {
    pub(crate) fn open(node: &Node, _: &Document) -> eyre::Result<Self> {
        eyre::bail!(
            "node {:?}: its inputs {}, {} and {} are for a recording: build with `--features vrft-monitor-node/rerun`",
            node.id(),
            PROMPTS.name(),
            GROUPS.name(),
            REWARDS.name()
        )
    }

    pub(crate) fn append(&self, _: &str, _: &MetricBatch) -> eyre::Result<()> {
        match *self {}
    }

    pub(crate) fn take_step(&self, _: &mut Node) -> eyre::Result<()> {
        match *self {}
    }
}
