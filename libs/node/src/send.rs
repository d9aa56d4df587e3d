//! Sending: messages with a number each, pulses while there is nothing to send, and an end marker.

use std::time::Instant;

use arrow::array::StructArray;
use eyre::WrapErr;
use vrft_messages::Message;

use crate::Node;
use crate::edge::{Header, Kind};
use crate::node::FIRST_PULSE;
use crate::ports::Output;

impl Node {
    /// Sends a message.
    ///
    /// # Errors
    /// An output that the graph does not declare, a message over dora's limit, a lost connection.
    pub fn send<M: Message>(&mut self, output: &Output<M>, message: &M) -> eyre::Result<()> {
        self.put(output.name(), M::NAME, message.to_arrow(), Kind::Message)
    }

    pub(crate) fn put(
        &mut self,
        output: &str,
        schema: &str,
        data: StructArray,
        kind: Kind,
    ) -> eyre::Result<()> {
        let sequence = self.sent.entry(output.to_owned()).or_insert(0);
        let header = Header::new(schema, *sequence, kind);
        *sequence += 1;
        self.pulse = (Instant::now() + FIRST_PULSE, FIRST_PULSE);
        self.link
            .send(output, &header, data)
            .wrap_err_with(|| format!("{}/{output} cannot send", self.id))
    }

    /// Tells the receivers of all outputs which message they should have got last.
    ///
    /// The pauses double, so that pulses never fill the queue of a receiver that is busy for hours.
    pub(crate) fn send_pulses(&mut self) -> eyre::Result<()> {
        for (output, sequence) in self.sent.clone() {
            let header = Header::new("", sequence, Kind::Pulse);
            self.link.send(&output, &header, nothing())?;
        }
        let pause = self.pulse.1 * 2;
        self.pulse = (Instant::now() + pause, pause);
        Ok(())
    }

    pub(crate) fn send_ends(&mut self) -> eyre::Result<()> {
        let mut outputs = self.link.outputs();
        outputs.retain(|output| !self.live_outputs.contains(output));
        outputs.iter().try_for_each(|output| self.put(output, "", nothing(), Kind::End))
    }
}

/// The data of a header without a message: dora carries no empty struct, hence one null.
fn nothing() -> StructArray {
    StructArray::new_null(Default::default(), 1)
}
