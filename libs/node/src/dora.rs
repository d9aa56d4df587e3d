//! The link over dora: events in, outputs out, edges checked before the first message.

use std::collections::BTreeSet;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, StructArray};
use dora_message::id::DataId;
use dora_node_api::{DoraArray, DoraNode, Event, EventStream, StopCause};
use eyre::{WrapErr, ensure, eyre};
use vrft_messages::hub::Tags;

use crate::edge::Header;
use crate::graph::{self, Member};
use crate::link::{Link, LinkEvent};
use crate::ports::Ports;
use crate::{live, wiring};

/// dora refuses messages of 64 MiB; Arrow IPC adds its framing on top of the data.
const MAX_MESSAGE_BYTES: usize = 56 << 20;

/// A node as dora sees it.
pub(crate) struct DoraLink {
    node: DoraNode,
    events: EventStream,
    ports: &'static Ports,
    /// Joined a dataflow that was running already: the first messages are missing.
    is_late: bool,
}

impl DoraLink {
    /// Joins the dataflow; returns when every node of it is ready.
    pub(crate) fn join(ports: &'static Ports) -> eyre::Result<Self> {
        let joined = DoraNode::init_from_env().map_err(|error| {
            eyre!(
                "cannot join the dataflow ({error}): another node failed first, or this one was not started by \
                 dora; use `vrft run` or `dora run dataflow.yml`"
            )
        });
        Self::checked(joined?, ports, false)
    }

    /// Joins a running dataflow as the dynamic node of this name.
    pub(crate) fn join_late(ports: &'static Ports, id: &str) -> eyre::Result<Self> {
        let joined = DoraNode::init_from_node_id(id.to_owned().into()).map_err(|error| {
            eyre!(
                "cannot join as {id:?} ({error}): no dataflow that runs on this machine has a node {id:?} with \
                 `path: dynamic`"
            )
        });
        Self::checked(joined?, ports, true)
    }

    /// The whole graph is checked by every node: the stock dora CLI knows nothing of training.
    fn checked(
        (node, events): (DoraNode, EventStream),
        ports: &'static Ports,
        is_late: bool,
    ) -> eyre::Result<Self> {
        let graph = node.dataflow_descriptor().map_err(|error| eyre!("{error}"))?;
        wiring::check(graph).wrap_err("this graph cannot be run")?;
        Ok(Self { node, events, ports, is_late })
    }

    /// Whether a failure touches nothing but inputs that the node can do without: those of dora's hub, and those of
    /// which only the newest message is of use.
    fn are_all_dispensable(&self, inputs: &[DataId]) -> bool {
        let may_drop = |id: &str| self.ports.find_input(id).is_some_and(|port| port.may_drop);
        let is_dispensable = |id: &DataId| self.is_foreign(id.as_ref()) || may_drop(id.as_ref());
        !inputs.is_empty() && inputs.iter().all(is_dispensable)
    }

    /// Rollouts that share their prompts.
    pub(crate) fn replicas(&self) -> eyre::Result<BTreeSet<String>> {
        let graph = self.node.dataflow_descriptor().map_err(|error| eyre!("{error}"))?;
        Ok(wiring::replicas(graph))
    }

    pub(crate) fn dataflow_id(&self) -> String {
        self.node.dataflow_id().to_string()
    }

    pub(crate) fn node_id(&self) -> String {
        self.node.id().to_string()
    }
}

impl Link for DoraLink {
    fn next(&mut self, patience: Duration) -> LinkEvent {
        loop {
            let Some(event) = self.events.recv_timeout(patience) else { return LinkEvent::Over };
            return match event {
                Event::Input { id, metadata, data } => {
                    let input = id.to_string();
                    if self.is_foreign(&input) {
                        let tags = live::tags(&metadata.parameters);
                        return LinkEvent::Live { input, tags, data: data.as_array().clone() };
                    }
                    let Some(header) = Header::from_parameters(&metadata.parameters) else {
                        let why =
                            "a message without a header: is the source a node of this project?";
                        return LinkEvent::Malformed { input, why: why.to_owned() };
                    };
                    match data.as_array().as_struct_opt() {
                        Some(data) => LinkEvent::Message { input, header, data: data.clone() },
                        None => {
                            let why = format!("expected a struct array, got {}", data.type_name());
                            LinkEvent::Malformed { input, why }
                        }
                    }
                }
                Event::InputClosed { id } => LinkEvent::Closed { input: id.to_string() },
                Event::NodeFailed { source_node_id, error, affected_input_ids }
                    if self.are_all_dispensable(&affected_input_ids) =>
                {
                    // Whether the run goes on is up to others: to the monitor, if it has metrics of that node.
                    tracing::warn!(node = %source_node_id, error, "A node failed; this one goes on without what it sent.");
                    continue;
                }
                Event::NodeFailed { source_node_id, error, .. } => {
                    LinkEvent::Failed { node: source_node_id.to_string(), error }
                }
                Event::NodeRestarted { id } => LinkEvent::Restarted { node: id.to_string() },
                Event::Stop(StopCause::Manual) => LinkEvent::Stop,
                // dora reports a timeout as an error event.
                Event::Error(error) => {
                    tracing::debug!(error, "Nothing arrived in time, or dora reports an error.");
                    LinkEvent::Timeout
                }
                // Stop(AllInputsClosed): buffered inputs still follow, then the stream ends by itself.
                _ => continue,
            };
        }
    }

    fn send(&mut self, output: &str, header: &Header, data: StructArray) -> eyre::Result<()> {
        use arrow::array::Array;
        let bytes = data.get_array_memory_size();
        ensure!(
            bytes <= MAX_MESSAGE_BYTES,
            "a message of {} MiB on {output:?} is over dora's limit of 64 MiB: use smaller images or fewer \
             prompts a step",
            bytes >> 20
        );
        let id = output.to_owned().into();
        ensure!(self.node.validate_output(&id), "output {output:?} is not declared in the graph");
        self.node.send_output(id, header.to_parameters(), DoraArray::from_array(data))?;
        Ok(())
    }

    fn send_live(&mut self, output: &str, tags: Tags, data: ArrayRef) -> eyre::Result<()> {
        let id = output.to_owned().into();
        ensure!(self.node.validate_output(&id), "output {output:?} is not declared in the graph");
        self.node.send_output(id, live::parameters(tags), DoraArray::from_array(data))?;
        Ok(())
    }

    fn is_foreign(&self, input: &str) -> bool {
        self.ports.is_of_hub(input)
    }

    fn source(&self, input: &str) -> String {
        let inputs = &self.node.node_config().inputs;
        let input = inputs.iter().find(|(id, _)| AsRef::<str>::as_ref(*id) == input);
        input.map_or_else(|| "nowhere".to_owned(), |(_, input)| input.mapping.to_string())
    }

    fn is_live(&self, input: &str) -> bool {
        self.is_late || self.ports.find_input(input).is_some_and(|port| port.may_drop)
    }

    fn inputs(&self) -> Vec<String> {
        self.node.node_config().inputs.keys().map(ToString::to_string).collect()
    }

    fn declares(&self, output: &str) -> bool {
        self.outputs().iter().any(|declared| declared == output)
    }

    fn outputs(&self) -> Vec<String> {
        self.node.node_config().outputs.iter().map(ToString::to_string).collect()
    }

    fn members(&self) -> Vec<Member> {
        self.node.dataflow_descriptor().map(graph::members).unwrap_or_default()
    }

    fn drops(&mut self) -> Vec<(String, u64)> {
        let mut drops: Vec<_> = self
            .events
            .drain_drop_counts()
            .into_iter()
            .map(|(id, n)| (id.to_string(), n))
            .collect();
        drops.sort();
        drops
    }
}
