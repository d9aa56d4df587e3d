//! Held-out answers about pictures that were attacked.

use vrft_config::{ConfigError, require};
use vrft_model::Policy;
use vrft_plan::AttackConfig;
use vrft_processor::EncodedPrompt;

use super::{Judge, JudgeConfig, JudgeError, Judgment, Said};

/// What the answer stands in.
const ANSWER: &str = "<answer>";

/// Before the name of each measure of answers about attacked pictures.
const ATTACKED: &str = "attacked/";

/// Answers about attacked pictures, and how likely the true ones were.
pub(super) struct Attacked {
    said: Vec<Said>,
    /// For each question that was asked, the mean negative logprob of the true answer's tokens about the picture itself and
    /// about the attacked one, in nats.
    losses: Vec<[f64; 2]>,
}

impl JudgeConfig {
    /// Whether what may be attacked is all that the policy sees.
    ///
    /// # Errors
    /// `evaluation.attack` beside tools that held-out questions are answered with.
    pub fn check_attack(&self) -> Result<(), ConfigError> {
        let tools = self.rollout.tools.as_ref().map_or(&[][..], |tools| &tools.held_out);
        require(
            self.evaluation.attack.is_none() || tools.is_empty(),
            "evaluation.attack",
            "given",
            "left out with rollout.tools.held_out: a tool shows the picture's file, which was not attacked",
        )
    }
}

impl Judge {
    /// Attacks each question's pictures and lets the policy answer again. The attack makes the true answer least likely,
    /// behind what the policy itself says before its answer about the picture as it is (`clean`).
    pub(super) fn attacked(
        &self,
        policy: &Policy,
        attack: &AttackConfig,
        clean: &[Said],
    ) -> Result<Attacked, JudgeError> {
        let losses = std::cell::RefCell::new(Vec::new());
        let encode = |idx: usize| -> Result<EncodedPrompt, JudgeError> {
            let prompt = self.encode(self.test.get(idx))?;
            let answer =
                self.processor.encode_completion(&self.target(idx, &clean[idx].completion))?;
            let range = self.processor.preprocessor().pixel_range();
            // The same start whatever policy is attacked.
            let attacked = policy.attack(&prompt, &answer, attack, range, idx as u64)?;
            losses.borrow_mut().push([attacked.before, attacked.after]);
            Ok(attacked.prompt)
        };
        let said = self.complete(policy, &encode)?;
        Ok(Attacked { said, losses: losses.into_inner() })
    }

    /// The true answer as the policy would say it.
    fn target(&self, idx: usize, clean: &str) -> String {
        let shown = self.prompter.demonstration(&self.answers[idx].solution, "");
        let lead = clean.rsplit_once(ANSWER).map_or("", |(lead, _)| lead);
        if shown.starts_with(ANSWER) { format!("{lead}{shown}") } else { shown }
    }
}

impl Attacked {
    /// Adds what these answers are worth to the measures of those about the pictures as they are.
    pub(super) fn add_to(self, judge: &Judge, judgment: &mut Judgment) {
        let n = self.losses.len() as f64;
        let mean = |which: usize| self.losses.iter().map(|loss| loss[which]).sum::<f64>() / n;
        let losses = [("attack/nll_before", mean(0)), ("attack/nll", mean(1))];
        let of_attacked = judge.judge(self.said, std::time::Instant::now()).evaluation.metrics;
        let metrics = &mut judgment.evaluation.metrics;
        metrics.extend(
            of_attacked.into_iter().map(|(name, value)| (format!("{ATTACKED}{name}"), value)),
        );
        let losses = losses.into_iter().filter(|(_, value)| value.is_finite());
        metrics.extend(losses.map(|(name, value)| (name.to_owned(), value)));
    }
}

#[cfg(test)]
mod tests {
    use vrft_plan::ToolsConfig;

    use super::*;

    #[test]
    fn an_attack_beside_a_tool_that_shows_the_file_is_refused() {
        let mut config = JudgeConfig::default();
        config.evaluation.attack = Some(AttackConfig::default());
        config.check_attack().unwrap();
        let held_out = vec!["zoom".to_owned()];
        config.rollout.tools = Some(ToolsConfig { held_out, ..ToolsConfig::default() });
        let message = config.check_attack().unwrap_err().to_string();
        assert!(message.contains("evaluation.attack"), "{message}");
        assert!(message.contains("rollout.tools.held_out"), "{message}");
    }
}
