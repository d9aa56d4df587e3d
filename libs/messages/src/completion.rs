//! `rollout/groups`: what the policy answered, G completions for each prompt.

use arrow::array::StructArray;
use arrow::datatypes::{Float32Type, UInt16Type, UInt32Type, UInt64Type};

use crate::build::{lists, numbers, strings, table};
use crate::columns::Columns;
use crate::{Message, MessageError};

/// One sampled answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// The prompt it answers.
    pub prompt_id: u64,
    /// Place within its group, from 0.
    pub completion_idx: u16,
    /// The policy that sampled it.
    pub policy_version: u64,
    /// Sampled tokens, up to and including the one that ended it.
    pub token_ids: Vec<u32>,
    /// Logprob of each token under the distribution it was drawn from.
    pub logprobs: Vec<f32>,
    /// The tokens as text.
    pub text: String,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Seed of its sampler: with the policy version, enough to replay it.
    pub seed: u64,
    /// Passed through from the prompt, so that the reward keeps no state.
    pub task: String,
    /// Ground truth, passed through likewise.
    pub answer: String,
}

/// Why a completion ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReason {
    /// A stop text was completed.
    Stop,
    /// The policy ended its turn.
    EndOfTurn,
    /// Cut at the longest length allowed.
    Length,
}

impl FinishReason {
    const ALL: [FinishReason; 3] = [Self::Stop, Self::EndOfTurn, Self::Length];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::EndOfTurn => "end_of_turn",
            Self::Length => "length",
        }
    }
}

/// The groups of one learner step: completions of a prompt stand together, numbered from 0.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CompletionBatch {
    /// All completions, group after group.
    pub completions: Vec<Completion>,
}

impl CompletionBatch {
    /// The groups, each the completions of one prompt.
    pub fn groups(&self) -> impl Iterator<Item = &[Completion]> {
        self.completions.chunk_by(|a, b| a.prompt_id == b.prompt_id)
    }
}

impl Message for CompletionBatch {
    const NAME: &'static str = "groups";

    fn to_arrow(&self) -> StructArray {
        let rows = &self.completions;
        table(vec![
            ("prompt_id", numbers::<UInt64Type>(rows.iter().map(|row| row.prompt_id))),
            ("completion_idx", numbers::<UInt16Type>(rows.iter().map(|row| row.completion_idx))),
            ("policy_version", numbers::<UInt64Type>(rows.iter().map(|row| row.policy_version))),
            ("token_ids", lists::<UInt32Type>(rows.iter().map(|row| row.token_ids.as_slice()))),
            ("logprobs", lists::<Float32Type>(rows.iter().map(|row| row.logprobs.as_slice()))),
            ("text", strings(rows.iter().map(|row| row.text.as_str()))),
            ("finish_reason", strings(rows.iter().map(|row| row.finish_reason.as_str()))),
            ("seed", numbers::<UInt64Type>(rows.iter().map(|row| row.seed))),
            ("task", strings(rows.iter().map(|row| row.task.as_str()))),
            ("answer", strings(rows.iter().map(|row| row.answer.as_str()))),
        ])
    }

    fn from_arrow(array: &StructArray) -> Result<Self, MessageError> {
        let columns = Columns::new(Self::NAME, array);
        let prompt_ids = columns.primitive::<UInt64Type>("prompt_id")?;
        let idxs = columns.primitive::<UInt16Type>("completion_idx")?;
        let versions = columns.primitive::<UInt64Type>("policy_version")?;
        let token_ids = columns.lists::<UInt32Type>("token_ids")?;
        let logprobs = columns.lists::<Float32Type>("logprobs")?;
        let texts = columns.strings("text")?;
        let reasons = columns.strings("finish_reason")?;
        let seeds = columns.primitive::<UInt64Type>("seed")?;
        let tasks = columns.strings("task")?;
        let answers = columns.strings("answer")?;
        let mut completions: Vec<Completion> = Vec::with_capacity(columns.n_rows());
        for (row, (token_ids, logprobs)) in token_ids.into_iter().zip(logprobs).enumerate() {
            let word = reasons.value(row);
            let finish_reason = FinishReason::ALL
                .into_iter()
                .find(|reason| reason.as_str() == word)
                .ok_or_else(|| columns.row_error(row, format!("unknown finish_reason {word:?}")))?;
            completions.push(Completion {
                prompt_id: prompt_ids.value(row),
                completion_idx: idxs.value(row),
                policy_version: versions.value(row),
                token_ids,
                logprobs,
                text: texts.value(row).to_owned(),
                finish_reason,
                seed: seeds.value(row),
                task: tasks.value(row).to_owned(),
                answer: answers.value(row).to_owned(),
            });
            check_row(&completions).map_err(|why| columns.row_error(row, why))?;
        }
        Ok(Self { completions })
    }
}

/// Checks the newest row, alone and against the row before it.
fn check_row(completions: &[Completion]) -> Result<(), String> {
    let Some((newest, before)) = completions.split_last() else { return Ok(()) };
    let (n_tokens, n_logprobs) = (newest.token_ids.len(), newest.logprobs.len());
    if n_tokens != n_logprobs {
        return Err(format!("{n_tokens} token_ids but {n_logprobs} logprobs"));
    }
    if n_tokens == 0 {
        return Err("a completion without tokens".to_owned());
    }
    if let Some(bad) = newest.logprobs.iter().find(|value| !value.is_finite()) {
        return Err(format!("logprob {bad} is not a number"));
    }
    let expected = match before.last() {
        Some(last) if last.prompt_id == newest.prompt_id => last.completion_idx + 1,
        _ => 0,
    };
    match newest.completion_idx {
        got if got == expected => Ok(()),
        got => Err(format!(
            "completion_idx of prompt {} should be {expected}, got {got}",
            newest.prompt_id
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn completion(prompt_id: u64, completion_idx: u16) -> Completion {
        Completion {
            prompt_id,
            completion_idx,
            policy_version: 7,
            token_ids: vec![1, 2],
            logprobs: vec![-0.5, -0.25],
            text: "<answer>".into(),
            finish_reason: FinishReason::Stop,
            seed: 9,
            task: "detection".into(),
            answer: "[]".into(),
        }
    }

    #[track_caller]
    fn refused(completions: Vec<Completion>, why: &str) {
        let batch = CompletionBatch { completions };
        let error = CompletionBatch::from_arrow(&batch.to_arrow()).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }

    proptest! {
        #[test]
        fn what_is_sent_arrives(
            tokens in prop::collection::vec((any::<u32>(), -50f32..0.0), 1..9),
            text in ".*", seed: u64, reason in 0usize..3, groups in 0u64..4,
        ) {
            let (token_ids, logprobs): (Vec<_>, Vec<_>) = tokens.into_iter().unzip();
            let finish_reason = FinishReason::ALL[reason];
            let completions = (0..groups)
                .flat_map(|id| (0..3).map(move |idx| completion(id, idx)))
                .map(|row| Completion {
                    token_ids: token_ids.clone(), logprobs: logprobs.clone(), text: text.clone(),
                    finish_reason, seed, ..row
                })
                .collect();
            let batch = CompletionBatch { completions };
            let arrived = CompletionBatch::from_arrow(&batch.to_arrow()).unwrap();
            prop_assert_eq!(arrived.groups().count() as u64, groups);
            prop_assert_eq!(arrived, batch);
        }
    }

    #[test]
    fn every_token_has_its_logprob() {
        refused(vec![Completion { logprobs: vec![-1.0], ..completion(0, 0) }], "2 token_ids but 1");
    }

    #[test]
    fn a_nan_logprob_is_refused() {
        refused(
            vec![Completion { logprobs: vec![-1.0, f32::NAN], ..completion(0, 0) }],
            "is not a number",
        );
    }

    #[test]
    fn a_missing_completion_is_noticed() {
        refused(vec![completion(4, 0), completion(4, 2)], "completion_idx of prompt 4 should be 1");
    }
}
