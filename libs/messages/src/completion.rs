//! `rollout/groups`: what the policy answered, G completions for each prompt.

use arrow::array::{Array, StructArray};
use arrow::datatypes::{Float32Type, UInt16Type, UInt32Type, UInt64Type};

use crate::build::{lists, nullable_strings, numbers, strings, struct_lists, table};
use crate::columns::Columns;
use crate::image::{read_sizes, sizes_to_arrow};
use crate::reply::{read_replies, replies_to_arrow};
use crate::{ImageSize, Message, MessageError, Reply};

/// One answer: its tokens, and how sure the policy was of every one.
///
/// It was sampled, or it is the true answer itself, which stands last in its group where `[advantage.truth]` asks for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// Token ids that are the policy's own, up to and including the one that ended it. Those of `replies` are not among
    /// them.
    pub token_ids: Vec<u32>,
    /// Logprob of each of these tokens under softmax(logits / temperature), before top-k and top-p cut that
    /// distribution, as in TRL; at temperature 0, under softmax(logits). Empty for an answer that was shown: no
    /// policy sampled it.
    pub logprobs: Vec<f32>,
    /// The policy's last turn as text, special tokens and calls of tools left out: all tokens where there are no replies,
    /// else those after the last of them.
    pub text: String,
    /// Why the completion ended.
    pub finish_reason: FinishReason,
    /// Seed of its random stream: with the policy version, enough to sample it again. 0 for an answer that was shown.
    pub seed: u64,
    /// What others said within the completion, in order; empty where the policy speaks in one turn.
    pub replies: Vec<Reply>,
}

impl Completion {
    /// Whether it is the true answer, which no policy sampled.
    pub fn is_shown(&self) -> bool {
        self.finish_reason == FinishReason::Shown
    }

    /// Number of tools that the policy called.
    pub fn n_calls(&self) -> usize {
        self.replies.iter().filter(|reply| reply.tool.is_some()).count()
    }
}

/// One completion as it travels, with the prompt that it answers.
#[derive(Debug, Clone, PartialEq)]
pub struct CompletionRow {
    /// The prompt it answers.
    pub prompt_id: u64,
    /// Place within its group, from 0.
    pub completion_idx: u16,
    /// The policy that sampled it.
    pub policy_version: u64,
    /// The completion that was sampled.
    pub completion: Completion,
    /// Kind of task, passed through from the prompt, so that the reward keeps no state.
    pub task: String,
    /// Ground truth, passed through likewise.
    pub answer: String,
    /// The answer before this one in the conversation, if there was one, passed through likewise: what is corrected.
    pub first: Option<String>,
    /// Sizes of the prompt's pictures, passed through likewise: coordinates are measured in them.
    pub images: Vec<ImageSize>,
}

/// Why a completion ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FinishReason {
    /// The last token completed a stop text.
    Stop,
    /// The last token ends a turn.
    EndOfTurn,
    /// The completion was cut at the greatest number of tokens allowed.
    Length,
    /// The last turn is a call of a tool, of which there were enough.
    Call,
    /// The completion was not sampled: it is the true answer, shown to the policy beside its own.
    Shown,
}

impl FinishReason {
    const ALL: [FinishReason; 5] =
        [Self::Stop, Self::EndOfTurn, Self::Length, Self::Call, Self::Shown];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::EndOfTurn => "end_of_turn",
            Self::Length => "length",
            Self::Call => "call",
            Self::Shown => "shown",
        }
    }
}

/// The groups of one learner step: completions of a prompt stand together, numbered from 0.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CompletionBatch {
    /// All completions, group after group.
    pub completions: Vec<CompletionRow>,
}

impl CompletionBatch {
    /// The groups, each the completions of one prompt.
    pub fn groups(&self) -> impl Iterator<Item = &[CompletionRow]> {
        self.completions.chunk_by(|a, b| a.prompt_id == b.prompt_id)
    }
}

impl Message for CompletionBatch {
    const NAME: &'static str = "groups";

    fn to_arrow(&self) -> StructArray {
        let rows = &self.completions;
        let sampled = || rows.iter().map(|row| &row.completion);
        let sizes: Vec<ImageSize> = rows.iter().flat_map(|row| &row.images).copied().collect();
        let sizes = sizes_to_arrow(&sizes);
        let replies: Vec<&Reply> = sampled().flat_map(|c| &c.replies).collect();
        let replies = replies_to_arrow(&replies);
        table(vec![
            ("prompt_id", numbers::<UInt64Type>(rows.iter().map(|row| row.prompt_id))),
            ("completion_idx", numbers::<UInt16Type>(rows.iter().map(|row| row.completion_idx))),
            ("policy_version", numbers::<UInt64Type>(rows.iter().map(|row| row.policy_version))),
            ("token_ids", lists::<UInt32Type>(sampled().map(|c| c.token_ids.as_slice()))),
            ("logprobs", lists::<Float32Type>(sampled().map(|c| c.logprobs.as_slice()))),
            ("text", strings(sampled().map(|c| c.text.as_str()))),
            ("finish_reason", strings(sampled().map(|c| c.finish_reason.as_str()))),
            ("seed", numbers::<UInt64Type>(sampled().map(|c| c.seed))),
            ("task", strings(rows.iter().map(|row| row.task.as_str()))),
            ("answer", strings(rows.iter().map(|row| row.answer.as_str()))),
            ("first", nullable_strings(rows.iter().map(|row| row.first.as_deref()))),
            ("images", struct_lists(rows.iter().map(|row| row.images.len()), sizes)),
            ("replies", struct_lists(sampled().map(|c| c.replies.len()), replies)),
        ])
    }

    fn from_arrow(array: &StructArray) -> Result<Self, MessageError> {
        let columns = Columns::new(Self::NAME, array);
        let prompt_ids = columns.primitive::<UInt64Type>("prompt_id")?;
        let idxs = columns.primitive::<UInt16Type>("completion_idx")?;
        let versions = columns.primitive::<UInt64Type>("policy_version")?;
        let tasks = columns.strings("task")?;
        let answers = columns.strings("answer")?;
        let firsts = columns.optional_strings("first")?;
        let images = columns.struct_lists("images")?;
        let mut completions: Vec<CompletionRow> = Vec::with_capacity(columns.n_rows());
        for (row, completion) in read_completions(&columns)?.into_iter().enumerate() {
            completions.push(CompletionRow {
                prompt_id: prompt_ids.value(row),
                completion_idx: idxs.value(row),
                policy_version: versions.value(row),
                completion,
                task: tasks.value(row).to_owned(),
                answer: answers.value(row).to_owned(),
                first: firsts.filter(|all| all.is_valid(row)).map(|all| all.value(row).to_owned()),
                images: read_sizes("images of groups", &images[row])?,
            });
            check_row(&completions).map_err(|why| columns.row_error(row, why))?;
        }
        Ok(Self { completions })
    }
}

/// What was sampled in each row.
fn read_completions(columns: &Columns<'_>) -> Result<Vec<Completion>, MessageError> {
    let token_ids = columns.lists::<UInt32Type>("token_ids")?;
    let logprobs = columns.lists::<Float32Type>("logprobs")?;
    let texts = columns.strings("text")?;
    let reasons = columns.strings("finish_reason")?;
    let seeds = columns.primitive::<UInt64Type>("seed")?;
    // Absent in what was written before there were turns, and where another program makes no use of them.
    let replies = columns.optional_struct_lists("replies")?;
    let rows = token_ids.into_iter().zip(logprobs).enumerate();
    rows.map(|(row, (token_ids, logprobs))| {
        let word = reasons.value(row);
        let finish_reason = FinishReason::ALL
            .into_iter()
            .find(|reason| reason.as_str() == word)
            .ok_or_else(|| columns.row_error(row, format!("unknown finish_reason {word:?}")))?;
        let text = texts.value(row).to_owned();
        let replies = match &replies {
            Some(replies) => read_replies(&replies[row], token_ids.len())?,
            None => Vec::new(),
        };
        let seed = seeds.value(row);
        Ok(Completion { token_ids, logprobs, text, finish_reason, seed, replies })
    })
    .collect()
}

/// Checks the newest row, alone and against the row before it.
fn check_row(completions: &[CompletionRow]) -> Result<(), String> {
    let Some((newest, before)) = completions.split_last() else { return Ok(()) };
    let Completion { token_ids, logprobs, .. } = &newest.completion;
    let (n_tokens, n_logprobs) = (token_ids.len(), logprobs.len());
    if newest.completion.is_shown() && n_logprobs > 0 {
        return Err(format!("{n_logprobs} logprobs of an answer that was shown, which has none"));
    }
    if !newest.completion.is_shown() && n_tokens != n_logprobs {
        return Err(format!("{n_tokens} token_ids but {n_logprobs} logprobs"));
    }
    if n_tokens == 0 {
        return Err("a completion without tokens".to_owned());
    }
    if let Some(bad) = logprobs.iter().find(|value| !value.is_finite()) {
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
    use crate::EncodedImage;
    use proptest::prelude::*;

    fn row(prompt_id: u64, completion_idx: u16) -> CompletionRow {
        let completion = Completion {
            token_ids: vec![1, 2],
            logprobs: vec![-0.5, -0.25],
            text: "<answer>".into(),
            finish_reason: FinishReason::Stop,
            seed: 9,
            replies: vec![],
        };
        let size = ImageSize { width: 640, height: 480, resized_width: 644, resized_height: 476 };
        CompletionRow {
            prompt_id,
            completion_idx,
            policy_version: 7,
            completion,
            task: "detection".into(),
            answer: "[]".into(),
            first: prompt_id.is_multiple_of(2).then(|| "before".into()),
            images: vec![size; prompt_id as usize % 3],
        }
    }

    #[track_caller]
    fn refused(completions: Vec<CompletionRow>, why: &str) {
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
            let completion =
                Completion { token_ids, logprobs, text, finish_reason, seed, replies: vec![] };
            let completions = (0..groups)
                .flat_map(|id| (0..3).map(move |idx| row(id, idx)))
                .map(|row| CompletionRow { completion: completion.clone(), ..row })
                .collect();
            let batch = CompletionBatch { completions };
            let arrived = CompletionBatch::from_arrow(&batch.to_arrow()).unwrap();
            prop_assert_eq!(arrived.groups().count() as u64, groups);
            prop_assert_eq!(arrived, batch);
        }
    }

    #[test]
    fn every_token_has_its_logprob() {
        let mut short = row(0, 0);
        short.completion.logprobs = vec![-1.0];
        refused(vec![short], "2 token_ids but 1");
    }

    #[test]
    fn an_answer_that_was_shown_has_no_logprobs() {
        let mut shown = row(0, 0);
        shown.completion.finish_reason = FinishReason::Shown;
        refused(vec![shown.clone()], "2 logprobs of an answer that was shown");
        shown.completion.logprobs.clear();
        let batch = CompletionBatch { completions: vec![shown] };
        assert_eq!(CompletionBatch::from_arrow(&batch.to_arrow()).unwrap(), batch);
    }

    #[test]
    fn replies_arrive_in_their_places() {
        let image = EncodedImage { bytes: vec![7], encoding: "png".into(), width: 2, height: 3 };
        let reply = |after, tool: Option<&str>, images| Reply {
            after,
            said: "<zoom>[1, 2, 3, 4]</zoom>".into(),
            tool: tool.map(Into::into),
            text: "Closer.".into(),
            images,
        };
        let mut called = row(0, 0);
        called.completion.token_ids = vec![1, 2, 3];
        called.completion.logprobs = vec![-1.0; 3];
        called.completion.replies =
            vec![reply(1, Some("zoom"), vec![image.clone()]), reply(2, None, vec![])];
        let batch = CompletionBatch { completions: vec![called.clone(), row(0, 1)] };
        assert_eq!(CompletionBatch::from_arrow(&batch.to_arrow()).unwrap(), batch);
        assert_eq!(called.completion.n_calls(), 1);
        called.completion.replies[1].after = 3;
        refused(vec![called], "a reply after 3 tokens should come after more than 1 and before");
    }

    #[test]
    fn a_nan_logprob_is_refused() {
        let mut nan = row(0, 0);
        nan.completion.logprobs = vec![-1.0, f32::NAN];
        refused(vec![nan], "is not a number");
    }

    #[test]
    fn a_missing_completion_is_noticed() {
        refused(vec![row(4, 0), row(4, 2)], "completion_idx of prompt 4 should be 1");
    }
}
