//! `learner/policy`: a new policy version and where its weights are. The weights themselves never travel on an edge.

use std::path::Path;

use arrow::array::{Array, StructArray};
use arrow::datatypes::{UInt16Type, UInt64Type};

use crate::build::{numbers, strings, table};
use crate::columns::Columns;
use crate::{Message, MessageError};

/// Says that a policy version is ready to be used: its file, and how to tell that the file is whole.
///
/// The file holds every weight, or the adapter alone where one is trained; its tensors' names tell which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyAnnouncement {
    /// The policy version: the number of optimizer steps behind it; 0 is the policy that the run starts from.
    pub version: u64,
    /// The safetensors file, as the machine that wrote it names it.
    pub location: String,
    /// Size of the file.
    pub bytes: u64,
    /// XXH3 of the file, 32 hexadecimal digits.
    pub checksum: String,
    /// How many completions it is to answer each prompt with; 0 for as many as are configured.
    pub group_size: u16,
}

impl PolicyAnnouncement {
    /// Whether the file can be read from this machine; if not, it is pulled through the network first.
    pub fn is_local(&self) -> bool {
        Path::new(&self.location).is_file()
    }
}

impl Message for PolicyAnnouncement {
    const NAME: &'static str = "policy";

    fn to_arrow(&self) -> StructArray {
        table(vec![
            ("version", numbers::<UInt64Type>([self.version])),
            ("location", strings([self.location.as_str()])),
            ("bytes", numbers::<UInt64Type>([self.bytes])),
            ("checksum", strings([self.checksum.as_str()])),
            ("group_size", numbers::<UInt16Type>([self.group_size])),
        ])
    }

    fn from_arrow(array: &StructArray) -> Result<Self, MessageError> {
        let columns = Columns::new(Self::NAME, array);
        columns.one_row()?;
        Ok(Self {
            version: columns.primitive::<UInt64Type>("version")?.value(0),
            location: columns.strings("location")?.value(0).to_owned(),
            bytes: columns.primitive::<UInt64Type>("bytes")?.value(0),
            checksum: columns.strings("checksum")?.value(0).to_owned(),
            group_size: match columns.optional_nullable::<UInt16Type>("group_size")? {
                Some(sizes) if sizes.is_valid(0) => sizes.value(0),
                _ => 0,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_arrives() {
        let version = PolicyAnnouncement {
            version: 12,
            location: "/dev/shm/vrft/v12.safetensors".into(),
            bytes: 1 << 40,
            checksum: "00ff".into(),
            group_size: 12,
        };
        assert_eq!(PolicyAnnouncement::from_arrow(&version.to_arrow()).unwrap(), version);
        assert!(!version.is_local());
    }
}
