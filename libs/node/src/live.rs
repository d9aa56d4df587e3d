//! Live inputs: data in the conventions of dora's hub, from nodes that may be somebody else's and may fail.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use arrow::array::ArrayRef;
use dora_node_api::{MetadataParameters, Parameter};
use vrft_messages::Message;
use vrft_messages::hub::{Tag, Tags};

use crate::Node;
use crate::ports::{HubInput, HubOutput, Input};
use crate::receive::{Polled, Waited};

/// Something that arrived on a live input.
#[derive(Debug, Clone)]
pub struct Live {
    /// Name of the input.
    pub input: String,
    /// The metadata that came with the message.
    pub tags: Tags,
    /// Data, of any type.
    pub data: ArrayRef,
}

impl Live {
    /// Whether it came by this input.
    pub fn is_of(&self, input: &HubInput) -> bool {
        self.input == input.name()
    }
}

/// What a node with live inputs waited for.
#[derive(Debug)]
pub enum Arrival<M> {
    /// A message of the training graph.
    Message(M),
    /// A message of a live input, such as a frame.
    Live(Live),
    /// The source of a live input is gone; another may follow if the graph restarts it.
    Gone(String),
    /// Nothing came in time.
    Nothing,
    /// The training input ended, or the run was asked to stop.
    End,
}

impl Node {
    /// Waits a while for the next message of an input, or for anything live.
    ///
    /// # Errors
    /// As [`Node::recv`] of the input; nothing that is live makes an error.
    pub fn recv_live<M: Message>(
        &mut self,
        input: &Input<M>,
        patience: Duration,
    ) -> eyre::Result<Arrival<M>> {
        let until = Instant::now() + patience;
        loop {
            match self.wait_for(&[input.name()], Some(until))? {
                Waited::Message(input) => {
                    if let Some((_, message)) = self.take(&input)? {
                        return Ok(Arrival::Message(message));
                    }
                }
                Waited::Over => return Ok(Arrival::End),
                Waited::Ended(_) | Waited::Lost(_) | Waited::Nothing => {}
            }
            if let Some(arrival) = self.next_live(until) {
                return Ok(arrival);
            }
        }
    }

    /// Waits a while for anything live, in a node without messages of this project; only the end of the dataflow
    /// ends it.
    ///
    /// # Errors
    /// A failed neighbor.
    pub fn recv_only_live(&mut self, patience: Duration) -> eyre::Result<Arrival<Infallible>> {
        let until = Instant::now() + patience;
        loop {
            if self.stopped {
                return Ok(Arrival::End);
            }
            if self.live.is_empty() && self.gone.is_empty() {
                match self.poll(until.min(self.pulse.0))? {
                    Polled::Over => return Ok(Arrival::End),
                    Polled::TimedOut if self.pulse.0 <= Instant::now() => self.send_pulses()?,
                    Polled::TimedOut | Polled::Event => {}
                }
            }
            if let Some(arrival) = self.next_live(until) {
                return Ok(arrival);
            }
        }
    }

    /// What is there, or that the time is up.
    fn next_live<M>(&mut self, until: Instant) -> Option<Arrival<M>> {
        let live = self.live.pop_front().map(Arrival::Live);
        let live = live.or_else(|| self.gone.pop_front().map(Arrival::Gone));
        live.or_else(|| (until <= Instant::now()).then_some(Arrival::Nothing))
    }

    /// Whether the graph declares this output; a test has every output.
    pub fn has_live_output(&self, output: &HubOutput) -> bool {
        self.link.declares(output.name())
    }

    /// Sends data in a convention of dora's hub: no sequence number, no end marker.
    ///
    /// # Errors
    /// An output that the graph does not declare, a lost connection.
    pub fn send_live(
        &mut self,
        output: &HubOutput,
        (tags, data): (Tags, ArrayRef),
    ) -> eyre::Result<()> {
        self.live_outputs.insert(output.name().to_owned());
        self.link.send_live(output.name(), tags, data)
    }
}

/// The metadata that has a type of its own here; lists have not. Names of frames are texts, also where a camera numbers them.
pub(crate) fn tags(parameters: &MetadataParameters) -> Tags {
    let tag = |name: &str, parameter: &Parameter| match parameter {
        Parameter::Integer(number) if name == "frame_id" => Some(Tag::Text(number.to_string())),
        Parameter::Integer(value) => Some(Tag::Integer(*value)),
        Parameter::Float(value) => Some(Tag::Float(*value)),
        Parameter::String(value) => Some(Tag::Text(value.clone())),
        Parameter::Bool(value) => Some(Tag::Bool(*value)),
        _ => None,
    };
    parameters.iter().filter_map(|(name, value)| Some((name.clone(), tag(name, value)?))).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_that_has_a_number_for_a_name_is_known_by_it() {
        let parameters = MetadataParameters::from([
            ("frame_id".to_owned(), Parameter::Integer(7)),
            ("width".to_owned(), Parameter::Integer(64)),
        ]);
        let tags = tags(&parameters);
        assert_eq!(vrft_messages::hub::frame_id(&tags), Some("7"));
        assert_eq!(tags["width"], Tag::Integer(64));
    }
}
