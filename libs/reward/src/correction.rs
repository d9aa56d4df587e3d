//! A second try: an answer and its correction are scored together, and each earns its own reward.
//!
//! A correction that only repeats what was right should not earn more than being right at once, and giving a wrong
//! answer first, to mend it then, should not pay: the turns have rewards of their own for that, to be compared with
//! the same turn of other completions.

use crate::config::{CorrectionConfig, FirstAnswer};
use crate::{Attempt, Reward, Score, Term, Truth};

/// Name of the term of a correction's reward that is about the difference to the first answer.
pub const GAIN: &str = "gain";

/// An answer, its correction, and what they earn.
#[derive(Debug, Clone, PartialEq)]
pub struct Turns {
    /// The scores of the two answers, each as if it were the only one.
    pub scores: [Score; 2],
    /// What each turn earns; `None` where one of them could not be scored.
    pub rewards: Option<[f64; 2]>,
}

impl CorrectionConfig {
    /// Whether both answers are the policy's, in two turns of one completion.
    pub fn is_of_policy(&self) -> bool {
        self.first == FirstAnswer::Policy
    }
}

impl Reward {
    /// Scores an answer and its correction, by `reward.correction` or its defaults:
    ///
    /// - the first earns r1 + γ r2, since it is what the correction starts from;
    /// - the second earns r2 + α (r2 - r1), a bonus for mending and a penalty for spoiling, from -m to 2 m where m is
    ///   the most that one answer can earn.
    ///
    /// ```
    /// # let reward = vrft_reward::Reward::new(&vrft_reward::config::RewardConfig::default());
    /// let truth = reward.parse_answer("[{'Position': [100, 100, 300, 300]}]")?;
    /// let right = "<think></think><answer>[{'Position': [100, 100, 300, 300], 'Confidence': 1}]</answer>";
    /// let wrong = "<think></think><answer>No Objects</answer>";
    /// let turns = reward.score_turns([wrong, right].map(vrft_reward::Attempt::new), &truth);
    /// assert_eq!(turns.rewards, Some([1.0 + 0.5 * 3.0, 3.0 + (3.0 - 1.0)]));
    /// # Ok::<(), vrft_reward::RewardError>(())
    /// ```
    pub fn score_turns(&self, turns: [Attempt; 2], truth: &Truth) -> Turns {
        let scores = turns.map(|attempt| self.score_attempt(&attempt, truth));
        let config = self.config().correction.clone().unwrap_or_default();
        let (_, most) = self.range();
        let rewards = scores[0].total.zip(scores[1].total);
        Turns { rewards: rewards.map(|(r1, r2)| combine(r1, r2, &config, most)), scores }
    }

    /// What the first of two answers earns that are both the policy's: the first of the rewards of
    /// [`Reward::score_turns`]; `None` where one of them could not be scored.
    pub fn of_first(&self, first: &Score, second: &Score) -> Option<f64> {
        let config = self.config().correction.clone().unwrap_or_default();
        let (_, most) = self.range();
        let (r1, r2) = first.total.zip(second.total)?;
        Some(combine(r1, r2, &config, most)[0])
    }

    /// What a correction earns whose first answer was not asked of the policy: the second of the rewards of
    /// [`Reward::score_turns`], as the terms of the answer alone and one of what was gained. `first` is the score of the
    /// first answer. The value of [`GAIN`] times its weight α is what the bonus or penalty comes to, so the terms still
    /// sum to the reward; between the bounds of the reward the value is r2 - r1.
    pub fn of_correction(&self, first: &Score, second: Score) -> Score {
        let config = self.config().correction.clone().unwrap_or_default();
        let (_, most) = self.range();
        let Some((r1, r2)) = first.total.zip(second.total) else {
            return Score { total: None, terms: with_gain(second.terms, 0.0, config.alpha) };
        };
        let [_, total] = combine(r1, r2, &config, most);
        let gain = if config.alpha > 0.0 { (total - r2) / config.alpha } else { r2 - r1 };
        Score { total: Some(total), terms: with_gain(second.terms, gain, config.alpha) }
    }
}

/// The terms and that of the gain, ordered by name.
fn with_gain(mut terms: Vec<Term>, value: f64, weight: f64) -> Vec<Term> {
    terms.push(Term { name: GAIN.to_owned(), value, weight });
    terms.sort_by(|a, b| a.name.cmp(&b.name));
    terms
}

/// The rewards of two turns whose answers alone earn r1 and r2, at most `most`.
pub(crate) fn combine(r1: f64, r2: f64, config: &CorrectionConfig, most: f64) -> [f64; 2] {
    let second = r2 + config.alpha * (r2 - r1);
    [r1 + config.gamma * r2, second.clamp(-most, 2.0 * most)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(r1: f64, r2: f64, expect: [f64; 2]) {
        assert_eq!(combine(r1, r2, &CorrectionConfig::default(), 2.0), expect);
    }

    #[test]
    fn getting_better_pays_and_getting_worse_costs() {
        check(0.0, 2.0, [1.0, 4.0]);
        check(2.0, 2.0, [3.0, 2.0]);
        check(0.0, 0.0, [0.0, 0.0]);
        check(2.0, 0.0, [2.0, -2.0]);
    }
    #[test]
    fn a_bonus_has_an_end() {
        let config = CorrectionConfig { alpha: 5.0, ..CorrectionConfig::default() };
        assert_eq!(combine(0.0, 1.0, &config, 1.0)[1], 2.0);
        assert_eq!(combine(1.0, 0.0, &config, 1.0)[1], -1.0);
    }
}
