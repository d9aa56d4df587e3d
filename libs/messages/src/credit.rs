//! `learner/credit`: leave to send prompts, the only throttle of the graph.

use arrow::array::StructArray;
use arrow::datatypes::{UInt32Type, UInt64Type};

use crate::build::{numbers, table};
use crate::columns::Columns;
use crate::{Message, MessageError};

/// Leave to send one batch of prompts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credit {
    /// Size of the batch.
    pub prompts: u32,
    /// The policy version that must answer them.
    pub policy_version: u64,
    /// Number of the first prompt: the loader needs no memory of its own, so a resumed run continues where it stopped.
    pub first_prompt_id: u64,
}

impl Message for Credit {
    const NAME: &'static str = "credit";

    fn to_arrow(&self) -> StructArray {
        table(vec![
            ("prompts", numbers::<UInt32Type>([self.prompts])),
            ("policy_version", numbers::<UInt64Type>([self.policy_version])),
            ("first_prompt_id", numbers::<UInt64Type>([self.first_prompt_id])),
        ])
    }

    fn from_arrow(array: &StructArray) -> Result<Self, MessageError> {
        let columns = Columns::new(Self::NAME, array);
        columns.one_row()?;
        Ok(Self {
            prompts: columns.primitive::<UInt32Type>("prompts")?.value(0),
            policy_version: columns.primitive::<UInt64Type>("policy_version")?.value(0),
            first_prompt_id: columns.primitive::<UInt64Type>("first_prompt_id")?.value(0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_arrives() {
        let credit = Credit { prompts: 8, policy_version: 41, first_prompt_id: 328 };
        assert_eq!(Credit::from_arrow(&credit.to_arrow()).unwrap(), credit);
    }

    #[test]
    fn a_batch_of_credits_is_refused() {
        let two = table(vec![("prompts", numbers::<UInt32Type>([1, 2]))]);
        let error = Credit::from_arrow(&two).unwrap_err().to_string();
        assert_eq!(error, "credit should have one row, got 2");
    }
}
