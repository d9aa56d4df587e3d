//! `advantage/advantages`: how much better each completion did than its siblings.

use arrow::array::{Array, StructArray};
use arrow::datatypes::{Float32Type, UInt16Type, UInt64Type};

use crate::build::{nullable, numbers, table};
use crate::columns::Columns;
use crate::{Message, MessageError};

/// The advantage of one completion.
#[derive(Debug, Clone, PartialEq)]
pub struct Advantage {
    /// The prompt it answers.
    pub prompt_id: u64,
    /// Place within its group.
    pub completion_idx: u16,
    /// Weight of its tokens in the policy gradient; 0 when it could not be scored.
    pub advantage: f32,
    /// Weight of the tokens of its first turn, where that is credited apart: an answer before the question that asks to
    /// correct it. `advantage` is then that of the tokens behind the question.
    pub first_turn: Option<f32>,
    /// The reward it comes from, for the records.
    pub reward: Option<f32>,
}

/// The advantages of one learner step, in the order of its completions.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AdvantageBatch {
    /// One row per completion.
    pub advantages: Vec<Advantage>,
}

impl Message for AdvantageBatch {
    const NAME: &'static str = "advantages";

    fn to_arrow(&self) -> StructArray {
        let rows = &self.advantages;
        table(vec![
            ("prompt_id", numbers::<UInt64Type>(rows.iter().map(|row| row.prompt_id))),
            ("completion_idx", numbers::<UInt16Type>(rows.iter().map(|row| row.completion_idx))),
            ("advantage", numbers::<Float32Type>(rows.iter().map(|row| row.advantage))),
            ("first_turn", nullable::<Float32Type>(rows.iter().map(|row| row.first_turn))),
            ("reward", nullable::<Float32Type>(rows.iter().map(|row| row.reward))),
        ])
    }

    fn from_arrow(array: &StructArray) -> Result<Self, MessageError> {
        let columns = Columns::new(Self::NAME, array);
        let prompt_ids = columns.primitive::<UInt64Type>("prompt_id")?;
        let idxs = columns.primitive::<UInt16Type>("completion_idx")?;
        let values = columns.primitive::<Float32Type>("advantage")?;
        let first_turns = columns.optional_nullable::<Float32Type>("first_turn")?;
        let rewards = columns.nullable::<Float32Type>("reward")?;
        let mut advantages = Vec::with_capacity(columns.n_rows());
        for row in 0..columns.n_rows() {
            let advantage = values.value(row);
            let first_turn = first_turns.as_ref().filter(|all| all.is_valid(row));
            let first_turn = first_turn.map(|all| all.value(row));
            let mut both = [advantage].into_iter().chain(first_turn);
            if let Some(advantage) = both.find(|advantage| !advantage.is_finite()) {
                return Err(
                    columns.row_error(row, format!("advantage {advantage} is not a number"))
                );
            }
            advantages.push(Advantage {
                prompt_id: prompt_ids.value(row),
                completion_idx: idxs.value(row),
                advantage,
                first_turn,
                reward: rewards.is_valid(row).then(|| rewards.value(row)),
            });
        }
        Ok(Self { advantages })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_sent_arrives(rows in prop::collection::vec(
            (any::<u64>(), any::<u16>(), -3f32..3.0, prop::option::of(-3f32..3.0), prop::option::of(0f32..3.0)),
            0..9)) {
            let advantages = rows.into_iter().map(|(prompt_id, completion_idx, advantage, first_turn, reward)|
                Advantage { prompt_id, completion_idx, advantage, first_turn, reward }).collect();
            let batch = AdvantageBatch { advantages };
            prop_assert_eq!(AdvantageBatch::from_arrow(&batch.to_arrow()).unwrap(), batch);
        }
    }

    #[test]
    fn another_message_is_refused_by_its_missing_column() {
        let credit = crate::Credit { prompts: 1, policy_version: 0, first_prompt_id: 0 };
        let error = AdvantageBatch::from_arrow(&credit.to_arrow()).unwrap_err().to_string();
        assert!(error.starts_with("advantages has no column \"prompt_id\""), "{error}");
    }

    #[test]
    fn a_wrong_type_is_named() {
        let array = table(vec![("prompt_id", numbers::<Float32Type>([1.0]))]);
        let error = AdvantageBatch::from_arrow(&array).unwrap_err().to_string();
        assert_eq!(error, "column \"prompt_id\" of advantages should be u64, got Float32");
    }
}
