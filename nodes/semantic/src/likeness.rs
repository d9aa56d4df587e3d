//! From completions to their likeness in meaning with the truth.

use std::collections::BTreeMap;

use eyre::WrapErr;
use vrft_embedding::{Embedding, Encoder, SemanticConfig};
use vrft_messages::{CompletionBatch, CompletionRow, RewardBatch, RewardRow, Term};
use vrft_reward::config::RewardsConfig;
use vrft_reward::{Answer, Rewards};

use crate::TERM;

/// Reads answers as their tasks declare, and compares their words.
pub(crate) struct Likeness {
    encoder: Encoder,
    config: SemanticConfig,
    rewards: Rewards,
}

/// What is known of a completion before any sentence is embedded.
enum Case {
    /// The task has no words: nothing to say about it.
    Wordless,
    /// Decided without comparing anything.
    Settled(f64),
    /// What was said and what is true.
    Words(String, String),
}

impl Likeness {
    pub(crate) fn new(encoder: Encoder, semantic: SemanticConfig, rewards: &RewardsConfig) -> Self {
        Self { encoder, config: semantic, rewards: Rewards::new(rewards) }
    }

    /// One term for each completion; none where its task has no words.
    ///
    /// # Errors
    /// A true answer that cannot be read, a sentence model that fails.
    pub(crate) fn score(&self, batch: &CompletionBatch) -> eyre::Result<RewardBatch> {
        let cases: Vec<Case> = batch
            .completions
            .iter()
            .map(|row| {
                self.case(row).wrap_err_with(|| format!("ground truth of prompt {}", row.prompt_id))
            })
            .collect::<eyre::Result<_>>()?;
        let embeddings = self.embed(&cases)?;
        let value = |case: &Case| match case {
            Case::Wordless => None,
            Case::Settled(value) => Some(*value),
            Case::Words(said, truth) => {
                Some(self.worth(embeddings[said.as_str()].cosine(&embeddings[truth.as_str()])))
            }
        };
        let rows = batch.completions.iter().zip(&cases);
        Ok(RewardBatch { rewards: rows.map(|(row, case)| self.row(row, value(case))).collect() })
    }

    fn case(&self, row: &CompletionRow) -> Result<Case, vrft_reward::RewardError> {
        let reward = self.rewards.of(&row.task);
        if !reward.config().answer.has_words() {
            return Ok(Case::Wordless);
        }
        let truth = reward.parse_answer(&row.answer)?.answer;
        let said = reward.read(&row.completion.text);
        let right = said.as_ref() == Some(&Answer::Nothing) && truth == Answer::Nothing;
        Ok(match (said.and_then(|said| said.words()), truth.words()) {
            (Some(said), Some(truth)) => Case::Words(said, truth),
            _ => Case::Settled(f64::from(u8::from(right))),
        })
    }

    /// Each sentence once: the completions of a group share the truth, and often their words.
    fn embed<'a>(&self, cases: &'a [Case]) -> eyre::Result<BTreeMap<&'a str, Embedding>> {
        let words = cases.iter().filter_map(|case| match case {
            Case::Words(said, truth) => Some([said.as_str(), truth.as_str()]),
            _ => None,
        });
        let mut sentences: Vec<&str> = words.flatten().collect();
        sentences.sort_unstable();
        sentences.dedup();
        let embeddings = self.encoder.encode(&sentences)?;
        Ok(sentences.into_iter().zip(embeddings).collect())
    }

    /// The part of the cosine that is above the floor, from 0 to 1.
    fn worth(&self, cosine: f32) -> f64 {
        let floor = self.config.floor;
        ((f64::from(cosine) - floor) / (1.0 - floor)).clamp(0.0, 1.0)
    }

    fn row(&self, completion: &CompletionRow, value: Option<f64>) -> RewardRow {
        let weight = self.config.weight;
        let term =
            |value: f64| Term { name: TERM.to_owned(), value: value as f32, weight: weight as f32 };
        RewardRow {
            prompt_id: completion.prompt_id,
            completion_idx: completion.completion_idx,
            reward: Some((weight * value.unwrap_or(0.0)) as f32),
            first_turn: None,
            terms: value.map(term).into_iter().collect(),
        }
    }
}
