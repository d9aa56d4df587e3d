//! Puts together what advantages depend on: rewards, and of the completions their length, answer and task.

use eyre::ensure;
use vrft_dataset::DataConfig;
use vrft_messages::{CompletionBatch, RewardBatch, RewardRow};
use vrft_objective::{Scored, ScoredGroup, ScoredTerm};
use vrft_reward::Rewards;

/// What the rewards do not say; empty where the completions are not there.
#[derive(Default)]
pub(crate) struct Details {
    /// Tokens of each completion.
    lengths: Vec<usize>,
    /// Answer of each completion, as far as two of them are to be told apart.
    answers: Vec<String>,
    /// Whether each is the true answer, which no policy sampled.
    shown: Vec<bool>,
    /// Task of each group.
    pub(crate) tasks: Vec<String>,
}

impl Details {
    /// # Errors
    /// Completions that are not those that were scored.
    pub(crate) fn join(
        rewards: &RewardBatch,
        completions: Option<&CompletionBatch>,
    ) -> eyre::Result<Details> {
        let Some(completions) = completions else { return Ok(Details::default()) };
        let (n, m) = (rewards.rewards.len(), completions.completions.len());
        ensure!(n == m, "{n} rewards but {m} completions in one step");
        for (reward, completion) in rewards.rewards.iter().zip(&completions.completions) {
            let expected = (completion.prompt_id, completion.completion_idx);
            let got = (reward.prompt_id, reward.completion_idx);
            ensure!(
                expected == got,
                "expected the reward of (prompt, completion) {expected:?}, got {got:?}"
            );
        }
        let rows = &completions.completions;
        Ok(Details {
            lengths: rows.iter().map(|row| row.completion.token_ids.len()).collect(),
            answers: rows.iter().map(|row| answer(&row.completion.text)).collect(),
            shown: rows.iter().map(|row| row.completion.is_shown()).collect(),
            tasks: completions.groups().map(|group| group[0].task.clone()).collect(),
        })
    }
}

impl Details {
    /// Whether a completion, by its place in the batch, is the true answer.
    pub(crate) fn is_shown(&self, idx: usize) -> bool {
        self.shown.get(idx).copied().unwrap_or(false)
    }

    /// The batch as far as the policy said it.
    pub(crate) fn sampled(&self, batch: &RewardBatch) -> RewardBatch {
        let rows = batch.rewards.iter().enumerate().filter(|(idx, _)| !self.is_shown(*idx));
        RewardBatch { rewards: rows.map(|(_, row)| row.clone()).collect() }
    }

    /// Refuses groups without the true answer where it is to be compared with, and with it where it is not.
    pub(crate) fn check_truth(&self, batch: &RewardBatch, is_wanted: bool) -> eyre::Result<()> {
        let mut idx = 0;
        for group in batch.groups() {
            let shown = (idx..idx + group.len()).filter(|idx| self.is_shown(*idx)).count();
            idx += group.len();
            ensure!(
                shown == usize::from(is_wanted),
                "[advantage.truth] is {}, so the group of prompt {} should have {} true answer, got {shown}: the rollout \
                 and the advantage must read the same configuration, and replayed groups be of a run with this section",
                if is_wanted { "written" } else { "not written" },
                group[0].prompt_id,
                if is_wanted { "one" } else { "no" },
            );
        }
        Ok(())
    }
}

/// The groups of a step, each with the weight of its task.
pub(crate) fn scored_groups<'a>(
    batch: &'a RewardBatch,
    details: &'a Details,
    data: &DataConfig,
    rewards: &Rewards,
) -> Vec<ScoredGroup<'a>> {
    let mut idx = 0;
    let mut groups = Vec::new();
    for (group_idx, rows) in batch.groups().enumerate() {
        // Without the completions there is one task, and that of the run's own reward.
        let task = details.tasks.get(group_idx).map_or("", String::as_str);
        let reward = rewards.of(task);
        let scored = |row: &'a RewardRow| {
            let terms = row.terms.iter().map(|term| ScoredTerm {
                name: &term.name,
                value: term.value,
                weight: term.weight,
                is_accuracy: reward.is_accuracy(&term.name),
                is_form: reward.is_form(&term.name),
            });
            let n_tokens = details.lengths.get(idx).copied().unwrap_or(0);
            let answer = details.answers.get(idx).map_or("", String::as_str);
            let is_truth = details.is_shown(idx);
            idx += 1;
            Scored { reward: row.reward, terms: terms.collect(), n_tokens, answer, is_truth }
        };
        groups.push(ScoredGroup {
            completions: rows.iter().map(scored).collect(),
            weight: data.weight_of(task) as f32,
        });
    }
    groups
}

/// The answer of a completion as the reward takes it from the text, without spaces and in lower case. Completions
/// without an answer have the same, an empty one.
fn answer(text: &str) -> String {
    let inner = vrft_reward::answer_text(text).unwrap_or_default();
    inner.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart_by_what_they_say() {
        assert_eq!(answer("<think>A or B</think> <answer> B </answer>"), "b");
        assert_eq!(answer("Just B"), "justb");
        assert_eq!(answer("<answer>cut of"), "cutof");
    }

    /// What the reward pays nothing for is no answer here either.
    #[test]
    fn two_blocks_and_a_block_in_the_thinking_are_no_answer() {
        assert_eq!(answer("<answer>A</answer><answer>1, 2</answer> so"), "");
        assert_eq!(answer("<think>A"), "");
        assert_eq!(answer("<think><answer>A</answer></think><answer>B</answer>"), "b");
    }
}
