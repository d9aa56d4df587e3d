//! `learner/policy`: where the weights of a policy version are. The weights themselves never travel on an edge.

use arrow::array::StructArray;
use arrow::datatypes::UInt64Type;

use crate::build::{numbers, strings, table};
use crate::columns::Columns;
use crate::{Message, MessageError};

/// A policy version that is ready to be used.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyVersion {
    /// Optimizer steps behind it; 0 is the policy the run starts from.
    pub version: u64,
    /// What the file holds.
    pub kind: PolicyKind,
    /// The file.
    pub location: String,
    /// Its size.
    pub bytes: u64,
    /// Its checksum, hexadecimal.
    pub checksum: String,
}

/// What a weights file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyKind {
    /// Every weight.
    Full,
    /// A low-rank adapter.
    Lora,
}

impl PolicyKind {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Lora => "lora",
        }
    }
}

impl Message for PolicyVersion {
    const NAME: &'static str = "policy";

    fn to_arrow(&self) -> StructArray {
        table(vec![
            ("version", numbers::<UInt64Type>([self.version])),
            ("kind", strings([self.kind.as_str()])),
            ("location", strings([self.location.as_str()])),
            ("bytes", numbers::<UInt64Type>([self.bytes])),
            ("checksum", strings([self.checksum.as_str()])),
        ])
    }

    fn from_arrow(array: &StructArray) -> Result<Self, MessageError> {
        let columns = Columns::new(Self::NAME, array);
        columns.one_row()?;
        let kind = match columns.strings("kind")?.value(0) {
            "full" => PolicyKind::Full,
            "lora" => PolicyKind::Lora,
            other => {
                return Err(
                    columns.row_error(0, format!("kind should be full or lora, got {other:?}"))
                );
            }
        };
        Ok(Self {
            version: columns.primitive::<UInt64Type>("version")?.value(0),
            kind,
            location: columns.strings("location")?.value(0).to_owned(),
            bytes: columns.primitive::<UInt64Type>("bytes")?.value(0),
            checksum: columns.strings("checksum")?.value(0).to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_arrives() {
        let version = PolicyVersion {
            version: 12,
            kind: PolicyKind::Full,
            location: "/dev/shm/vrft/v12.safetensors".into(),
            bytes: 1 << 40,
            checksum: "00ff".into(),
        };
        assert_eq!(PolicyVersion::from_arrow(&version.to_arrow()).unwrap(), version);
    }
}
