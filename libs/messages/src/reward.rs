//! `reward/rewards`: the score of each completion and the terms it is made of.

use arrow::array::{Array, StructArray};
use arrow::datatypes::{Float32Type, UInt16Type, UInt64Type};

use crate::build::{nullable, numbers, strings, struct_lists, table};
use crate::columns::Columns;
use crate::{Message, MessageError};

/// The score of one completion.
#[derive(Debug, Clone, PartialEq)]
pub struct RewardRow {
    /// The prompt it answers.
    pub prompt_id: u64,
    /// Place within its group.
    pub completion_idx: u16,
    /// Weighted sum of the terms; `None` when the completion could not be scored.
    pub reward: Option<f32>,
    /// What the first of two turns earned, where each is credited apart; `reward` is then that of the second.
    pub first_turn: Option<f32>,
    /// The terms that the reward is the sum of.
    pub terms: Vec<Term>,
}

/// A named part of a reward.
#[derive(Debug, Clone, PartialEq)]
pub struct Term {
    /// Name of the term, such as `iou` or `format`.
    pub name: String,
    /// Value of the term before it is weighted.
    pub value: f32,
    /// Weight in the sum.
    pub weight: f32,
}

/// The scores of one learner step, in the order of its completions.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RewardBatch {
    /// One row per completion.
    pub rewards: Vec<RewardRow>,
}

impl RewardBatch {
    /// The rewards of each prompt's group.
    pub fn groups(&self) -> impl Iterator<Item = &[RewardRow]> {
        self.rewards.chunk_by(|a, b| a.prompt_id == b.prompt_id)
    }

    /// Adds what another node found about the same completions: terms side by side, rewards summed. What one of
    /// them could not score has no reward.
    ///
    /// # Errors
    /// Rows about other completions.
    pub fn merge(&mut self, other: Self) -> Result<(), MessageError> {
        let row_error = |row, why| MessageError::Row { message: Self::NAME, row, why };
        let (n, m) = (self.rewards.len(), other.rewards.len());
        if n != m {
            return Err(row_error(n.min(m), format!("{n} rows by one node, {m} by another")));
        }
        for (row, (mine, theirs)) in self.rewards.iter_mut().zip(other.rewards).enumerate() {
            let expected = (mine.prompt_id, mine.completion_idx);
            let got = (theirs.prompt_id, theirs.completion_idx);
            if expected != got {
                let why = format!(
                    "one node speaks of (prompt, completion) {expected:?}, another of {got:?}"
                );
                return Err(row_error(row, why));
            }
            mine.reward = mine.reward.zip(theirs.reward).map(|(mine, theirs)| mine + theirs);
            // What another node judges is the last answer alone.
            mine.first_turn = mine.first_turn.or(theirs.first_turn);
            mine.terms.extend(theirs.terms);
        }
        Ok(())
    }
}

impl Message for RewardBatch {
    const NAME: &'static str = "rewards";

    fn to_arrow(&self) -> StructArray {
        let rows = &self.rewards;
        let terms: Vec<&Term> = rows.iter().flat_map(|row| &row.terms).collect();
        let terms = table(vec![
            ("name", strings(terms.iter().map(|term| term.name.as_str()))),
            ("value", numbers::<Float32Type>(terms.iter().map(|term| term.value))),
            ("weight", numbers::<Float32Type>(terms.iter().map(|term| term.weight))),
        ]);
        table(vec![
            ("prompt_id", numbers::<UInt64Type>(rows.iter().map(|row| row.prompt_id))),
            ("completion_idx", numbers::<UInt16Type>(rows.iter().map(|row| row.completion_idx))),
            ("reward", nullable::<Float32Type>(rows.iter().map(|row| row.reward))),
            ("first_turn", nullable::<Float32Type>(rows.iter().map(|row| row.first_turn))),
            ("terms", struct_lists(rows.iter().map(|row| row.terms.len()), terms)),
        ])
    }

    fn from_arrow(array: &StructArray) -> Result<Self, MessageError> {
        let columns = Columns::new(Self::NAME, array);
        let prompt_ids = columns.primitive::<UInt64Type>("prompt_id")?;
        let idxs = columns.primitive::<UInt16Type>("completion_idx")?;
        let rewards = columns.nullable::<Float32Type>("reward")?;
        let first_turns = columns.optional_nullable::<Float32Type>("first_turn")?;
        let terms = columns.struct_lists("terms")?;
        let mut rows = Vec::with_capacity(columns.n_rows());
        for (row, terms) in terms.iter().enumerate() {
            let reward = rewards.is_valid(row).then(|| rewards.value(row));
            let first_turn = first_turns.as_ref().filter(|all| all.is_valid(row));
            let first_turn = first_turn.map(|all| all.value(row));
            let mut both = reward.into_iter().chain(first_turn);
            if let Some(value) = both.find(|value| !value.is_finite()) {
                let why = format!("reward {value} is not a number; send null for unscorable");
                return Err(columns.row_error(row, why));
            }
            rows.push(RewardRow {
                prompt_id: prompt_ids.value(row),
                completion_idx: idxs.value(row),
                reward,
                first_turn,
                terms: read_terms(terms)?,
            });
        }
        Ok(Self { rewards: rows })
    }
}

fn read_terms(array: &StructArray) -> Result<Vec<Term>, MessageError> {
    if array.is_empty() {
        return Ok(Vec::new());
    }
    let columns = Columns::new("terms of rewards", array);
    let names = columns.strings("name")?;
    let values = columns.primitive::<Float32Type>("value")?;
    let weights = columns.primitive::<Float32Type>("weight")?;
    Ok((0..columns.n_rows())
        .map(|row| Term {
            name: names.value(row).to_owned(),
            value: values.value(row),
            weight: weights.value(row),
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_sent_arrives(rows in prop::collection::vec(
            (any::<u64>(), any::<u16>(), prop::option::of(-9f32..9.0),
             prop::collection::vec(("[a-z]+", -1f32..1.0, 0f32..2.0), 0..4)), 0..6)) {
            let rewards = rows.into_iter().map(|(prompt_id, completion_idx, reward, terms)| RewardRow {
                prompt_id, completion_idx, reward, first_turn: reward.map(|reward| reward / 2.0),
                terms: terms.into_iter().map(|(name, value, weight)| Term { name, value, weight }).collect(),
            }).collect();
            let batch = RewardBatch { rewards };
            prop_assert_eq!(RewardBatch::from_arrow(&batch.to_arrow()).unwrap(), batch);
        }
    }

    fn row(completion_idx: u16, reward: Option<f32>, term: &str) -> RewardRow {
        let term = Term { name: term.to_owned(), value: 0.5, weight: 1.0 };
        RewardRow { prompt_id: 3, completion_idx, reward, first_turn: None, terms: vec![term] }
    }

    #[test]
    fn rewards_of_two_nodes_add_up() {
        let mut batch =
            RewardBatch { rewards: vec![row(0, Some(1.0), "iou"), row(1, Some(0.5), "iou")] };
        let other =
            RewardBatch { rewards: vec![row(0, Some(0.25), "format"), row(1, None, "format")] };
        batch.merge(other).unwrap();
        let totals: Vec<_> = batch.rewards.iter().map(|row| row.reward).collect();
        assert_eq!(totals, [Some(1.25), None]);
        assert_eq!(batch.rewards[0].terms.len(), 2);
    }

    #[test]
    fn rewards_of_other_completions_do_not_add_up() {
        let mut batch = RewardBatch { rewards: vec![row(0, Some(1.0), "iou")] };
        let error = batch.merge(RewardBatch { rewards: vec![row(1, None, "iou")] }).unwrap_err();
        assert!(error.to_string().contains("(3, 0), another of (3, 1)"), "{error}");
    }

    #[test]
    fn a_nan_reward_is_refused() {
        let row = RewardRow {
            prompt_id: 0,
            completion_idx: 0,
            reward: Some(f32::NAN),
            first_turn: None,
            terms: vec![],
        };
        let batch = RewardBatch { rewards: vec![row] };
        let error = RewardBatch::from_arrow(&batch.to_arrow()).unwrap_err().to_string();
        assert!(error.contains("send null"), "{error}");
    }
}
