//! `learner/checkpoint`: a policy that was saved as a Hugging Face directory.

use arrow::array::{AsArray, StructArray};
use arrow::datatypes::UInt64Type;
use std::sync::Arc;

use crate::build::{numbers, strings, table};
use crate::columns::Columns;
use crate::{Message, MessageError};

/// A checkpoint that may be loaded, evaluated, shipped.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// Optimizer steps behind it.
    pub version: u64,
    /// The directory of the checkpoint.
    pub location: String,
    /// No further one follows.
    pub last: bool,
}

impl Message for Checkpoint {
    const NAME: &'static str = "checkpoint";

    fn to_arrow(&self) -> StructArray {
        table(vec![
            ("version", numbers::<UInt64Type>([self.version])),
            ("location", strings([self.location.as_str()])),
            ("last", Arc::new(arrow::array::BooleanArray::from(vec![self.last]))),
        ])
    }

    fn from_arrow(array: &StructArray) -> Result<Self, MessageError> {
        let columns = Columns::new(Self::NAME, array);
        columns.one_row()?;
        let last = array
            .column_by_name("last")
            .and_then(|column| column.as_boolean_opt())
            .ok_or_else(|| columns.row_error(0, "column \"last\" should be a boolean".into()))?;
        Ok(Self {
            version: columns.primitive::<UInt64Type>("version")?.value(0),
            location: columns.strings("location")?.value(0).to_owned(),
            last: last.value(0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_arrives() {
        let checkpoint = Checkpoint { version: 3, location: "out/x/step-3".into(), last: true };
        assert_eq!(Checkpoint::from_arrow(&checkpoint.to_arrow()).unwrap(), checkpoint);
    }
}
