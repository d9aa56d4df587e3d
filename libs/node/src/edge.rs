//! The header of a message, and the sequence check of an edge.

use dora_node_api::{MetadataParameters, Parameter, get_integer_param, get_string_param};
use eyre::{bail, ensure, eyre};
use vrft_messages::SCHEMA_VERSION;

const SCHEMA: &str = "vrft_schema";
const SCHEMA_VERSION_KEY: &str = "vrft_schema_version";
const SEQUENCE: &str = "vrft_seq";
const KIND: &str = "vrft_kind";

/// Travels with every message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    /// Name of the message type; empty where there is no message.
    pub(crate) schema: String,
    /// Version of the schemas.
    pub(crate) schema_version: i64,
    /// Position on its output, from 0.
    pub(crate) sequence: i64,
    pub(crate) kind: Kind,
}

/// What a header announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A message with data.
    Message,
    /// Nothing, but the sender is idle and this would be the number of its next message: if the receiver has not
    /// seen all before it, they are lost. Without it the loss of the only message under way would go unnoticed,
    /// since nothing would ever follow.
    Pulse,
    /// The end of an edge: no message follows.
    End,
}

impl Kind {
    const ALL: [Kind; 3] = [Self::Message, Self::Pulse, Self::End];

    fn as_str(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Pulse => "pulse",
            Self::End => "end",
        }
    }
}

impl Header {
    pub(crate) fn new(schema: &str, sequence: i64, kind: Kind) -> Self {
        Self { schema: schema.to_owned(), schema_version: SCHEMA_VERSION, sequence, kind }
    }

    pub(crate) fn to_parameters(&self) -> MetadataParameters {
        MetadataParameters::from([
            (SCHEMA.to_owned(), Parameter::String(self.schema.clone())),
            (SCHEMA_VERSION_KEY.to_owned(), Parameter::Integer(self.schema_version)),
            (SEQUENCE.to_owned(), Parameter::Integer(self.sequence)),
            (KIND.to_owned(), Parameter::String(self.kind.as_str().to_owned())),
        ])
    }

    /// `None` when the message was not sent by a node of this project.
    pub(crate) fn from_parameters(parameters: &MetadataParameters) -> Option<Self> {
        let kind = get_string_param(parameters, KIND)?;
        Some(Self {
            schema: get_string_param(parameters, SCHEMA)?.to_owned(),
            schema_version: get_integer_param(parameters, SCHEMA_VERSION_KEY)?,
            sequence: get_integer_param(parameters, SEQUENCE)?,
            kind: Kind::ALL.into_iter().find(|known| known.as_str() == kind)?,
        })
    }

    /// The message must be of the type that the receiver reads.
    pub(crate) fn check_schema(&self, expected: &str) -> eyre::Result<()> {
        ensure!(
            self.schema_version == SCHEMA_VERSION,
            "schema version {} arrived, this node speaks {SCHEMA_VERSION}: build all nodes from one version",
            self.schema_version
        );
        ensure!(
            self.schema == expected,
            "expected {expected:?} messages, got {:?}: check the source of this input in the graph",
            self.schema
        );
        Ok(())
    }
}

/// The receiving end of one edge.
#[derive(Debug)]
pub(crate) struct Inbox<M> {
    pub(crate) waiting: std::collections::VecDeque<(Header, M)>,
    next_sequence: i64,
    pub(crate) ended: bool,
    pub(crate) closed: bool,
    /// The sending node is gone, and what still arrives from it is discarded.
    pub(crate) lost: bool,
    /// The end of this input was reported to the node's code.
    pub(crate) told: bool,
    /// The sender was started again: it may begin with its first message once more.
    begins_again: bool,
    /// Messages may be missing; they are never repeated.
    live: bool,
}

impl<M> Inbox<M> {
    pub(crate) fn new(live: bool) -> Self {
        Self {
            waiting: Default::default(),
            next_sequence: 0,
            ended: false,
            closed: false,
            lost: false,
            told: false,
            begins_again: false,
            live,
        }
    }

    /// Takes in a message in its turn.
    ///
    /// # Errors
    /// A gap (messages were lost), a repetition, or a message behind the end marker.
    pub(crate) fn accept(&mut self, header: Header, message: M) -> eyre::Result<()> {
        if self.lost {
            return Ok(());
        }
        if self.begins_again && header.sequence == 0 {
            (self.begins_again, self.next_sequence) = (false, 0);
        }
        let (expected, got) = (self.next_sequence, header.sequence);
        if self.ended {
            bail!("message {got} came after the end marker");
        }
        if got > expected && self.live {
            self.next_sequence = got;
        } else if got != expected {
            return Err(match got - expected {
                missing @ 1.. => eyre!(
                    "expected message {expected}, got {got}: {missing} lost; give the edge \
                     `queue_policy: backpressure` and a larger `queue_size`"
                ),
                _ => eyre!("expected message {expected}, got {got} again"),
            });
        }
        match header.kind {
            Kind::Pulse => return Ok(()),
            Kind::End => self.ended = true,
            Kind::Message => self.waiting.push_back((header, message)),
        }
        self.next_sequence += 1;
        Ok(())
    }

    /// The sender is started again: what it had sent before may still come, and then it begins anew.
    pub(crate) fn may_begin_again(&mut self) {
        self.begins_again = true;
        self.closed = false;
    }

    /// Whether messages may be missing, the end marker among them.
    pub(crate) fn may_miss(&self) -> bool {
        self.live
    }

    /// Whether it has ended, asked for the first time.
    pub(crate) fn ends_untold(&mut self) -> bool {
        self.ended && !std::mem::replace(&mut self.told, self.ended)
    }

    pub(crate) fn n_received(&self) -> i64 {
        self.next_sequence
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sequences: &[i64], expected: Result<usize, &str>) {
        let mut inbox = Inbox::new(false);
        let accepted: eyre::Result<()> = sequences
            .iter()
            .try_for_each(|n| inbox.accept(Header::new("credit", *n, Kind::Message), ()));
        match (accepted, expected) {
            (Ok(()), Ok(n)) => assert_eq!(inbox.waiting.len(), n),
            (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{error}"),
            (got, expected) => panic!("expected {expected:?}, got {got:?}"),
        }
    }

    #[test]
    fn messages_in_order_are_kept() {
        check(&[0, 1, 2], Ok(3));
    }

    #[test]
    fn a_gap_is_an_error() {
        check(&[0, 3], Err("expected message 1, got 3: 2 lost"));
    }

    #[test]
    fn a_lost_first_message_is_noticed() {
        check(&[1], Err("expected message 0, got 1: 1 lost"));
    }

    #[test]
    fn a_repetition_is_an_error() {
        check(&[0, 0], Err("got 0 again"));
    }

    #[test]
    fn a_pulse_reveals_that_the_newest_message_was_lost() {
        let mut inbox = Inbox::new(false);
        inbox.accept(Header::new("credit", 0, Kind::Message), ()).unwrap();
        inbox.accept(Header::new("", 1, Kind::Pulse), ()).unwrap();
        let error = inbox.accept(Header::new("", 2, Kind::Pulse), ()).unwrap_err().to_string();
        assert!(error.contains("expected message 1, got 2: 1 lost"), "{error}");
    }

    #[test]
    fn a_live_edge_may_miss_messages() {
        let mut inbox = Inbox::new(true);
        for sequence in [4, 5, 9] {
            inbox.accept(Header::new("metrics", sequence, Kind::Message), ()).unwrap();
        }
        assert_eq!(inbox.waiting.len(), 3);
        assert!(inbox.accept(Header::new("metrics", 9, Kind::Message), ()).is_err());
    }

    #[test]
    fn a_sender_that_was_started_again_begins_anew_once() {
        let mut inbox = Inbox::new(false);
        let mut accept =
            |n| inbox.accept(Header::new("metrics", n, Kind::Message), ()).map_err(drop);
        assert_eq!([0, 1].map(&mut accept), [Ok(()), Ok(())]);
        inbox.may_begin_again();
        let mut accept =
            |n| inbox.accept(Header::new("metrics", n, Kind::Message), ()).map_err(drop);
        // The last message before the end may come after the news of it.
        assert_eq!([2, 0, 1].map(&mut accept), [Ok(()), Ok(()), Ok(())]);
        assert_eq!(accept(0), Err(()));
    }

    #[test]
    fn nothing_comes_after_the_end() {
        let mut inbox = Inbox::new(false);
        inbox.accept(Header::new("", 0, Kind::End), ()).unwrap();
        assert!(inbox.accept(Header::new("credit", 1, Kind::Message), ()).is_err());
    }

    #[test]
    fn a_header_survives_the_wire() {
        let header = Header::new("groups", 41, Kind::Message);
        assert_eq!(Header::from_parameters(&header.to_parameters()), Some(header));
        assert_eq!(Header::from_parameters(&MetadataParameters::new()), None);
    }

    #[test]
    fn another_schema_version_is_refused() {
        let header = Header { schema_version: 99, ..Header::new("groups", 0, Kind::Message) };
        let error = header.check_schema("groups").unwrap_err().to_string();
        assert!(error.contains("99"), "{error}");
    }
}
