//! How the next token is drawn.

use crate::RolloutError;

/// Sampling settings; those of a run come from its configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// Softmax temperature; 0 takes the most probable token.
    pub temperature: f64,
    /// Keep the smallest set of tokens whose probability reaches this; 1 keeps all.
    pub top_p: f64,
    /// Number of most probable tokens to sample from; 0 keeps all.
    pub top_k: usize,
    /// A completion is cut here.
    pub max_tokens: usize,
    /// Length before which no token that ends a turn is drawn.
    pub min_tokens: usize,
    /// Texts that end a completion, besides the end of a turn; they stay in it. Special tokens are not part of
    /// the text that is searched.
    pub stop: Vec<String>,
    /// Completions that are decoded at once, as far as whole groups allow.
    pub max_rows: usize,
}

impl From<&vrft_plan::RolloutConfig> for Sampling {
    fn from(config: &vrft_plan::RolloutConfig) -> Self {
        Self {
            temperature: config.temperature,
            top_p: config.top_p,
            top_k: config.top_k,
            max_tokens: config.max_completion_tokens,
            min_tokens: 0,
            stop: config.stop.clone(),
            max_rows: config.max_rows,
        }
    }
}

impl Sampling {
    /// The most probable token at every step.
    pub fn greedy(max_tokens: usize, stop: Vec<String>) -> Self {
        let rows = vrft_plan::RolloutConfig::default().max_rows;
        Self {
            temperature: 0.0,
            top_p: 1.0,
            top_k: 0,
            max_tokens,
            min_tokens: 0,
            stop,
            max_rows: rows,
        }
    }

    pub(crate) fn check(&self) -> Result<(), RolloutError> {
        let refuse = |name, expected, got: &dyn ToString| {
            Err(RolloutError::Setting { name, expected, got: got.to_string() })
        };
        if !(self.temperature.is_finite() && self.temperature >= 0.0) {
            return refuse("temperature", "0 or more", &self.temperature);
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return refuse("top_p", "above 0 and at most 1", &self.top_p);
        }
        if self.max_tokens == 0 {
            return refuse("max_tokens", "at least 1", &self.max_tokens);
        }
        if self.stop.iter().any(String::is_empty) {
            return refuse("stop", "texts with at least one character", &"an empty one");
        }
        Ok(())
    }

    /// The divisor of the logits in the reported logprobs.
    pub(crate) fn logprob_temperature(&self) -> f64 {
        if self.temperature > 0.0 { self.temperature } else { 1.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_refused(change: impl Fn(&mut Sampling), expected: &str) {
        let mut sampling = Sampling::from(&vrft_plan::RolloutConfig::default());
        sampling.check().expect("the defaults are valid");
        change(&mut sampling);
        assert_eq!(sampling.check().expect_err("refused").to_string(), expected);
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        check_refused(|s| s.temperature = -1.0, "temperature should be 0 or more, got -1");
        check_refused(|s| s.temperature = f64::NAN, "temperature should be 0 or more, got NaN");
        check_refused(|s| s.top_p = 0.0, "top_p should be above 0 and at most 1, got 0");
        check_refused(|s| s.max_tokens = 0, "max_tokens should be at least 1, got 0");
        let expected = "stop should be texts with at least one character, got an empty one";
        check_refused(|s| s.stop = vec![String::new()], expected);
    }
}
