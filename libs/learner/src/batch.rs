//! What a step trains on: completions with their advantages, or demonstrations.

use vrft_objective::config::LossConfig;
use vrft_processor::{EncodedPrompt, Insertion};

use crate::LearnerError;

/// The completions of one prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainGroup {
    /// Number of the prompt in the run; only for messages.
    pub prompt_id: u64,
    /// The question that was answered.
    pub prompt: EncodedPrompt,
    /// The same question with the true answer in it, for a teacher; where `[loss.self_distillation]` is given and only there.
    pub hinted: Option<EncodedPrompt>,
    /// The answers to it.
    pub completions: Vec<TrainCompletion>,
}

/// Where a completion of a group comes from, and so what is learned from it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Origin {
    /// The policy sampled it.
    #[default]
    Sampled,
    /// It is the true answer, compared with those that were sampled by the same objective (ViSurf): its importance ratio
    /// is to the policy before the step's first update.
    Truth,
    /// It is the true answer, imitated beside the objective (`[loss.chord]`).
    Demonstration,
}

/// One completion: a rollout sampled it, or it is the true answer.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainCompletion {
    /// Its tokens, at least one.
    pub token_ids: Vec<u32>,
    /// Logprob of each token under the policy that sampled it; empty for what no policy sampled.
    pub old_logprobs: Vec<f32>,
    /// How much better than its siblings it was.
    pub advantage: f32,
    /// Whether it was cut at the longest length allowed.
    pub truncated: bool,
    /// Whether it has a reward at all.
    pub is_scored: bool,
    /// Where it comes from.
    pub origin: Origin,
    /// What others say within it: the policy reads it, and nothing is learned from its tokens.
    pub inserted: Vec<Insertion>,
    /// The advantage of its first turn, where that is not the one of the whole completion.
    pub first_turn: Option<FirstTurn>,
}

/// The credit of the first of two turns, such as an answer before its correction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FirstTurn {
    /// Number of own tokens of the turn.
    pub n_tokens: usize,
    /// How much better it was than the same turn of its siblings.
    pub advantage: f32,
}

/// A prompt and the answer that should have been given.
#[derive(Debug, Clone, PartialEq)]
pub struct Demonstration {
    /// The question that was answered.
    pub prompt: EncodedPrompt,
    /// The answer's tokens, its end token included, at least one.
    pub token_ids: Vec<u32>,
}

impl TrainGroup {
    /// Equal rewards leave nothing to learn from.
    pub fn has_no_advantage(&self) -> bool {
        self.completions.iter().all(TrainCompletion::has_no_advantage)
    }

    fn check(&self) -> Result<(), LearnerError> {
        let id = self.prompt_id;
        if self.completions.is_empty() {
            return Err(LearnerError::input(
                format!("group of prompt {id}"),
                "not empty",
                "no completion",
            ));
        }
        for (idx, completion) in self.completions.iter().enumerate() {
            completion.check(|| format!("completion {idx} of prompt {id}"))?;
        }
        Ok(())
    }
}

impl TrainCompletion {
    fn check(&self, name: impl Fn() -> String) -> Result<(), LearnerError> {
        let (n_tokens, n_logprobs) = (self.token_ids.len(), self.old_logprobs.len());
        if n_tokens == 0 {
            return Err(LearnerError::input(name(), "at least 1 token", 0));
        }
        if self.origin != Origin::Sampled && n_logprobs > 0 {
            let what = format!("number of old_logprobs in {}", name());
            return Err(LearnerError::input(what, "0, as no policy sampled it", n_logprobs));
        }
        if self.origin == Origin::Sampled && n_logprobs != n_tokens {
            let what = format!("number of old_logprobs in {}", name());
            return Err(LearnerError::input(what, format!("{n_tokens}, as tokens"), n_logprobs));
        }
        if let Some(bad) = self.old_logprobs.iter().find(|logprob| !logprob.is_finite()) {
            return Err(LearnerError::input(format!("old_logprobs of {}", name()), "finite", bad));
        }
        let of_first = self.first_turn.map(|first| first.advantage);
        let mut advantages = [self.advantage].into_iter().chain(of_first);
        if let Some(bad) = advantages.find(|advantage| !advantage.is_finite()) {
            return Err(LearnerError::input(format!("advantage of {}", name()), "finite", bad));
        }
        match self.first_turn.filter(|first| first.n_tokens >= n_tokens) {
            Some(first) => {
                let what = format!("tokens of the first turn of {}", name());
                let expected = format!("below its {n_tokens} tokens");
                Err(LearnerError::input(what, expected, first.n_tokens))
            }
            None => Ok(()),
        }
    }

    /// Whether no token of it has an advantage.
    pub(crate) fn has_no_advantage(&self) -> bool {
        self.advantage == 0.0 && self.first_turn.is_none_or(|first| first.advantage == 0.0)
    }
}

impl TrainGroup {
    /// The completions that the policy sampled itself.
    pub(crate) fn sampled(&self) -> impl Iterator<Item = &TrainCompletion> {
        self.completions.iter().filter(|completion| completion.origin == Origin::Sampled)
    }
}

/// A batch that a step can be made of, with demonstrations and hints where the loss makes use of them and only there.
pub(crate) fn check_groups(groups: &[TrainGroup], loss: &LossConfig) -> Result<(), LearnerError> {
    if groups.is_empty() {
        return Err(LearnerError::input("batch", "at least 1 group", 0));
    }
    groups.iter().try_for_each(TrainGroup::check)?;
    let is_demonstration = |c: &&TrainCompletion| c.origin == Origin::Demonstration;
    let n = groups.iter().flat_map(|group| &group.completions).filter(is_demonstration).count();
    check_hints(groups, loss)?;
    match (loss.chord.is_some(), n) {
        (true, 0) => Err(LearnerError::input(
            "number of demonstrations in the batch",
            "1 or more, as there is a [loss.chord]",
            0,
        )),
        (false, 1..) => Err(LearnerError::input(
            "number of demonstrations in the batch",
            "0, as there is no [loss.chord]",
            n,
        )),
        _ => Ok(()),
    }
}

fn check_hints(groups: &[TrainGroup], loss: &LossConfig) -> Result<(), LearnerError> {
    let n = groups.iter().filter(|group| group.hinted.is_some()).count();
    let expected = if loss.self_distillation.is_some() { groups.len() } else { 0 };
    if n == expected {
        return Ok(());
    }
    let why = "all with [loss.self_distillation] and none without";
    Err(LearnerError::input("number of prompts with a hint", format!("{expected}: {why}"), n))
}

/// Demonstrations that a step can be made of.
pub(crate) fn check_demonstrations(demonstrations: &[Demonstration]) -> Result<(), LearnerError> {
    if demonstrations.is_empty() {
        return Err(LearnerError::input("batch", "at least 1 demonstration", 0));
    }
    match demonstrations.iter().position(|demonstration| demonstration.token_ids.is_empty()) {
        Some(idx) => {
            Err(LearnerError::input(format!("demonstration {idx}"), "at least 1 token", 0))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(token_ids: &[u32], old_logprobs: &[f32], advantage: f32, expect: &str) {
        let prompt = EncodedPrompt { token_ids: vec![1], positions: vec![[0; 3]], images: vec![] };
        let completion = TrainCompletion {
            token_ids: token_ids.to_vec(),
            old_logprobs: old_logprobs.to_vec(),
            advantage,
            truncated: false,
            is_scored: true,
            origin: Origin::Sampled,
            inserted: vec![],
            first_turn: None,
        };
        let group =
            TrainGroup { prompt_id: 7, prompt, hinted: None, completions: vec![completion] };
        assert_eq!(check_groups(&[group], &LossConfig::default()).unwrap_err().to_string(), expect);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        refused(&[], &[], 1., "completion 0 of prompt 7 should be at least 1 token, got 0");
        refused(
            &[1, 2],
            &[-1.],
            1.,
            "number of old_logprobs in completion 0 of prompt 7 should be 2, as tokens, got 1",
        );
        refused(
            &[1],
            &[f32::NEG_INFINITY],
            1.,
            "old_logprobs of completion 0 of prompt 7 should be finite, got -inf",
        );
        refused(
            &[1],
            &[-1.],
            f32::NAN,
            "advantage of completion 0 of prompt 7 should be finite, got NaN",
        );
    }

    #[test]
    fn an_empty_batch_is_refused() {
        assert!(check_groups(&[], &LossConfig::default()).is_err());
        assert!(check_demonstrations(&[]).is_err());
    }
}
