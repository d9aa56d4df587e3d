//! Joins prompts (pixels), completions (tokens) and advantages of one step by `prompt_id`, and adds true answers that are
//! to be imitated.

use eyre::{WrapErr, bail, ensure};
use vrft_learner::{FirstTurn, Origin, SftConfig, TrainCompletion, TrainGroup};
use vrft_messages::{
    Advantage, AdvantageBatch, CompletionBatch, CompletionRow, FinishReason, Part, Prompt,
    PromptBatch, Role,
};
use vrft_objective::config::DistillationConfig;
use vrft_processor::{EncodedPrompt, Processor};

/// What a step trains on.
pub(crate) struct TrainBatch {
    pub(crate) groups: Vec<TrainGroup>,
    /// The oldest policy that sampled any of it.
    pub(crate) oldest_version: u64,
}

/// In which ways a step makes use of the true answers.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Shown<'a> {
    /// The true answer of each prompt is one more completion of its group, written by these settings, so that it shares
    /// the pass over the picture.
    pub(crate) imitated: Option<&'a SftConfig>,
    /// A teacher is told the true answer beside the question, in these words.
    pub(crate) hint: Option<&'a DistillationConfig>,
}

/// Puts the three streams together, and adds the true answers that are shown.
///
/// # Errors
/// A prompt or completion that is unknown, repeated or missing in one of them, by its id.
pub(crate) fn train_groups(
    processor: &Processor,
    shown: Shown<'_>,
    (prompts, completions, advantages): (PromptBatch, CompletionBatch, AdvantageBatch),
) -> eyre::Result<TrainBatch> {
    let rows = match_rows(&completions, &advantages)?;
    let (n_groups, n_prompts) = (completions.groups().count(), prompts.prompts.len());
    ensure!(n_groups == n_prompts, "{n_prompts} prompts but {n_groups} groups in one step");
    let mut advantages = rows.into_iter();
    let mut groups = Vec::with_capacity(n_prompts);
    for (prompt, group) in prompts.prompts.iter().zip(completions.groups()) {
        let (asked, answered) = (prompt.prompt_id, group[0].prompt_id);
        ensure!(
            asked == answered,
            "prompt {asked} has no group; the next group is of prompt {answered}"
        );
        let mut completions: Vec<TrainCompletion> = group
            .iter()
            .zip(advantages.by_ref())
            .map(|(row, advantage)| train_completion(processor, row, advantage))
            .collect::<eyre::Result<_>>()?;
        if let Some(sft) = shown.imitated {
            completions.push(demonstration(processor, &sft.demonstration(&prompt.answer))?);
        }
        groups.push(TrainGroup {
            prompt_id: asked,
            prompt: vrft_rollout::encode(processor, prompt)?,
            hinted: shown.hint.map(|config| hinted(processor, prompt, config)).transpose()?,
            completions,
        });
    }
    let versions = completions.completions.iter().map(|row| row.policy_version);
    Ok(TrainBatch { groups, oldest_version: versions.min().unwrap_or(0) })
}

/// The question with the true answer in its last turn.
fn hinted(
    processor: &Processor,
    prompt: &Prompt,
    config: &DistillationConfig,
) -> eyre::Result<EncodedPrompt> {
    let mut told = prompt.clone();
    let last = told.turns.last_mut().filter(|turn| turn.role == Role::User);
    let Some(last) = last else {
        bail!("prompt {} does not end with a question", prompt.prompt_id)
    };
    last.parts.push(Part::Text(config.hint_of(&prompt.answer)));
    Ok(vrft_rollout::encode(processor, &told)?)
}

/// The advantages, each checked to belong to the completion at its place.
fn match_rows<'a>(
    completions: &CompletionBatch,
    advantages: &'a AdvantageBatch,
) -> eyre::Result<Vec<&'a Advantage>> {
    let (n, m) = (completions.completions.len(), advantages.advantages.len());
    ensure!(n == m, "{n} completions but {m} advantages in one step");
    for (row, advantage) in completions.completions.iter().zip(&advantages.advantages) {
        let expected = (row.prompt_id, row.completion_idx);
        let got = (advantage.prompt_id, advantage.completion_idx);
        ensure!(
            expected == got,
            "expected the advantage of (prompt, completion) {expected:?}, got {got:?}"
        );
    }
    Ok(advantages.advantages.iter().collect())
}

fn train_completion(
    processor: &Processor,
    row: &CompletionRow,
    advantage: &Advantage,
) -> eyre::Result<TrainCompletion> {
    let completion = &row.completion;
    let inserted = vrft_rollout::insertions(processor, completion).wrap_err_with(|| {
        format!("a reply within completion {} of prompt {}", row.completion_idx, row.prompt_id)
    })?;
    // The credit of an answer before its correction. Without a second turn, the first is all there is.
    let correction = completion.replies.iter().find(|reply| reply.tool.is_none());
    let whole = match (correction, advantage.first_turn) {
        (None, Some(first_turn)) => first_turn,
        _ => advantage.advantage,
    };
    let first_turn = correction
        .zip(advantage.first_turn)
        .map(|(reply, advantage)| FirstTurn { n_tokens: reply.after as usize, advantage });
    Ok(TrainCompletion {
        token_ids: completion.token_ids.clone(),
        old_logprobs: completion.logprobs.clone(),
        advantage: whole,
        truncated: completion.finish_reason == FinishReason::Length,
        is_scored: advantage.reward.is_some(),
        origin: if completion.is_shown() { Origin::Truth } else { Origin::Sampled },
        inserted,
        first_turn,
    })
}

fn demonstration(processor: &Processor, text: &str) -> eyre::Result<TrainCompletion> {
    Ok(TrainCompletion {
        token_ids: vrft_rollout::shown(processor, text)?.token_ids,
        old_logprobs: Vec::new(),
        advantage: 0.0,
        truncated: false,
        is_scored: false,
        origin: Origin::Demonstration,
        inserted: Vec::new(),
        first_turn: None,
    })
}
