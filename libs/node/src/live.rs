//! Live inputs: messages of nodes that are not ours, from sources that may fail.

use std::time::{Duration, Instant};

use arrow::array::ArrayRef;
use dora_node_api::{MetadataParameters, Parameter};
use vrft_messages::Message;
use vrft_messages::hub::{Tag, Tags};

use crate::Node;
use crate::node::{Pumped, Waited};

/// Something that arrived on a live input.
#[derive(Debug, Clone)]
pub struct Live {
    /// Name of the input.
    pub input: String,
    /// Metadata.
    pub tags: Tags,
    /// Data, of any type.
    pub data: ArrayRef,
}

/// What a node with live inputs waited for.
#[derive(Debug)]
pub enum Arrival<M> {
    /// A message of the training graph.
    Message(M),
    /// Something live.
    Live(Live),
    /// The source of a live input is gone; another may follow if the graph restarts it.
    Gone(String),
    /// Nothing came in time.
    Nothing,
    /// The training input ended, or the run was asked to stop.
    End,
}

impl Node {
    /// Waits a while for the next message of an input, or for anything live. Without an input, only the end of
    /// the dataflow ends it.
    ///
    /// # Errors
    /// As [`Node::recv`] of the input; nothing that is live makes an error.
    pub fn recv_live<M: Message>(
        &mut self,
        input: Option<&str>,
        patience: Duration,
    ) -> eyre::Result<Arrival<M>> {
        let until = Instant::now() + patience;
        loop {
            let waited = match input {
                Some(input) => self.wait(&[input], Some(until))?,
                None => self.wait_for_live(until)?,
            };
            match waited {
                Waited::Message(input) => {
                    if let Some((_, message)) = self.take(&input)? {
                        return Ok(Arrival::Message(message));
                    }
                }
                Waited::Over => return Ok(Arrival::End),
                Waited::Ended(_) | Waited::Lost(_) | Waited::Nothing => {}
            }
            if let Some(live) = self.live.pop_front() {
                return Ok(Arrival::Live(live));
            }
            if let Some(gone) = self.gone.pop_front() {
                return Ok(Arrival::Gone(gone));
            }
            if until <= Instant::now() {
                return Ok(Arrival::Nothing);
            }
        }
    }

    /// One event, for a node without inputs of ours.
    fn wait_for_live(&mut self, until: Instant) -> eyre::Result<Waited> {
        if self.stopped {
            return Ok(Waited::Over);
        }
        if !self.live.is_empty() || !self.gone.is_empty() {
            return Ok(Waited::Nothing);
        }
        match self.pump(until.min(self.pulse.0))? {
            Pumped::Over => return Ok(Waited::Over),
            Pumped::Nothing if self.pulse.0 <= Instant::now() => self.send_pulses()?,
            Pumped::Nothing | Pumped::Event => {}
        }
        Ok(Waited::Nothing)
    }

    /// Sends something for nodes that are not ours: no sequence number, no end marker.
    ///
    /// # Errors
    /// An output that the graph does not declare, a lost connection.
    pub fn send_live(&mut self, output: &str, (tags, data): (Tags, ArrayRef)) -> eyre::Result<()> {
        self.live_outputs.insert(output.to_owned());
        self.link.send_live(output, tags, data)
    }
}

/// The metadata that has a type of its own here; lists have not.
pub(crate) fn tags(parameters: &MetadataParameters) -> Tags {
    let tag = |parameter: &Parameter| match parameter {
        Parameter::Integer(value) => Some(Tag::Integer(*value)),
        Parameter::Float(value) => Some(Tag::Float(*value)),
        Parameter::String(value) => Some(Tag::Text(value.clone())),
        Parameter::Bool(value) => Some(Tag::Bool(*value)),
        _ => None,
    };
    parameters.iter().filter_map(|(name, value)| Some((name.clone(), tag(value)?))).collect()
}

pub(crate) fn parameters(tags: Tags) -> MetadataParameters {
    let parameter = |tag: Tag| match tag {
        Tag::Integer(value) => Parameter::Integer(value),
        Tag::Float(value) => Parameter::Float(value),
        Tag::Text(value) => Parameter::String(value),
        Tag::Bool(value) => Parameter::Bool(value),
    };
    tags.into_iter().map(|(name, tag)| (name, parameter(tag))).collect()
}
