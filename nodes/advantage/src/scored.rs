//! Puts together what advantages depend on: rewards, and of the completions their length, answer and task.

use eyre::ensure;
use vrft_dataset::DataConfig;
use vrft_messages::{CompletionBatch, RewardBatch, RewardRow};
use vrft_objective::{Scored, ScoredGroup};

/// What the rewards do not say; empty where the completions are not there.
#[derive(Default)]
pub(crate) struct Details {
    /// Tokens of each completion.
    lengths: Vec<usize>,
    /// Answer of each completion, as far as two of them are to be told apart.
    answers: Vec<String>,
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
            lengths: rows.iter().map(|row| row.token_ids.len()).collect(),
            answers: rows.iter().map(|row| answer(&row.text)).collect(),
            tasks: completions.groups().map(|group| group[0].task.clone()).collect(),
        })
    }
}

/// The groups of a step, each with the weight of its task.
pub(crate) fn scored_groups<'a>(
    batch: &'a RewardBatch,
    details: &'a Details,
    data: &DataConfig,
) -> Vec<ScoredGroup<'a>> {
    let mut idx = 0;
    let mut scored = |row: &'a RewardRow| {
        let n_tokens = details.lengths.get(idx).copied().unwrap_or(0);
        let answer = details.answers.get(idx).map_or("", String::as_str);
        idx += 1;
        let terms = row.terms.iter().map(|term| (term.name.as_str(), term.value, term.weight));
        Scored { reward: row.reward, terms: terms.collect(), n_tokens, answer }
    };
    let group = |(group_idx, rows): (usize, &'a [RewardRow])| ScoredGroup {
        completions: rows.iter().map(&mut scored).collect(),
        weight: details.tasks.get(group_idx).map_or(1.0, |task| data.weight_of(task)) as f32,
    };
    batch.groups().enumerate().map(group).collect()
}

/// What stands in the last `<answer>`, or the whole text, without spaces and in lower case.
fn answer(text: &str) -> String {
    let inner = text.rsplit_once("<answer>").map_or(text, |(_, rest)| rest);
    let inner = inner.split_once("</answer>").map_or(inner, |(inner, _)| inner);
    inner.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart_by_what_they_say() {
        assert_eq!(answer("<think>A or B</think> <answer> B </answer>"), "b");
        assert_eq!(answer("<answer>A</answer><answer>1, 2</answer> so"), "1,2");
        assert_eq!(answer("Just B"), "justb");
        assert_eq!(answer("<answer>cut of"), "cutof");
    }
}
