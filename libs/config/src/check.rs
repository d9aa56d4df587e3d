//! The values that a run cannot work with, each with its reason.

use std::path::Path;

use crate::{AnswerConfig, AnswerType, Config, ConfigError, Flip, OptimizerConfig, Space};

impl Config {
    /// Checks every value that a type cannot rule out.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let rollout = &self.rollout;
        require(
            rollout.group_size >= 2,
            "rollout.group_size",
            rollout.group_size,
            "at least 2, since a completion is judged against its siblings",
        )?;
        require(
            rollout.temperature > 0.0 && rollout.temperature.is_finite(),
            "rollout.temperature",
            rollout.temperature,
            "above 0, since equal completions carry no signal",
        )?;
        require(
            rollout.top_p > 0.0 && rollout.top_p <= 1.0,
            "rollout.top_p",
            rollout.top_p,
            "in (0, 1]",
        )?;
        require(
            rollout.max_completion_tokens > 0,
            "rollout.max_completion_tokens",
            0,
            "at least 1",
        )?;
        require(
            !self.weights.always_pull || !self.weights.endpoint.is_empty(),
            "weights.always_pull",
            true,
            "false without a weights.endpoint to pull from",
        )?;
        let patience = self.pool.patience_secs;
        require(
            patience >= 0.0 && patience.is_finite(),
            "pool.patience_secs",
            patience,
            "0 (wait forever) or above",
        )?;
        self.validate_policy()?;
        self.reward.validate()?;
        self.validate_data()?;
        self.validate_learner()?;
        self.validate_objective()?;
        self.data.validate_sources()?;
        self.validate_stream()?;
        self.validate_semantic()?;
        validate_optimizer(&self.optimizer, "optimizer.learning_rate")?;
        validate_optimizer(&self.sft.optimizer, "sft.optimizer.learning_rate")
    }

    fn validate_policy(&self) -> Result<(), ConfigError> {
        let policy = &self.policy;
        require(
            policy.max_pixels == 0 || policy.min_pixels <= policy.max_pixels,
            "policy.min_pixels",
            policy.min_pixels,
            "at most policy.max_pixels",
        )?;
        let lora = &policy.lora;
        require(
            lora.alpha > 0.0 && lora.alpha.is_finite(),
            "policy.lora.alpha",
            lora.alpha,
            "above 0",
        )?;
        require(
            (0.0..1.0).contains(&lora.dropout),
            "policy.lora.dropout",
            lora.dropout,
            "in [0, 1)",
        )
    }

    fn validate_data(&self) -> Result<(), ConfigError> {
        let mirrored = self.rewards().all(|reward| is_mirrored(&reward.answer));
        require(
            self.data.flip == Flip::None || mirrored,
            "data.flip",
            format!("{:?}", self.data.flip).to_lowercase(),
            "none: only boxes in thousandths under the key 'Position' are mirrored with their image",
        )?;
        require(
            (0.0..=1.0).contains(&self.data.max_bad_fraction),
            "data.max_bad_fraction",
            self.data.max_bad_fraction,
            "a share in [0, 1]",
        )?;
        require(self.evaluation.batch_size > 0, "evaluation.batch_size", 0, "at least 1")
    }

    fn validate_learner(&self) -> Result<(), ConfigError> {
        let learner = &self.learner;
        require(learner.steps > 0, "learner.steps", 0, "at least 1")?;
        require(learner.prompts_per_step > 0, "learner.prompts_per_step", 0, "at least 1")?;
        require(
            (1..=8).contains(&learner.window),
            "learner.window",
            learner.window,
            "1 (on-policy) to 8 batches in flight",
        )?;
        require(learner.keep_checkpoints > 0, "learner.keep_checkpoints", 0, "at least 1")?;
        let loss = &self.loss;
        require(
            loss.kl_coef >= 0.0 && loss.kl_coef.is_finite(),
            "loss.kl_coef",
            loss.kl_coef,
            "0 or above",
        )?;
        require(
            loss.clip_epsilon > 0.0 && loss.clip_epsilon < 1.0,
            "loss.clip_epsilon",
            loss.clip_epsilon,
            "in (0, 1)",
        )
    }

    /// Checks that the files which the configuration names exist.
    pub fn check_files(&self) -> Result<(), ConfigError> {
        let mut files = vec![("policy.path", &self.policy.path)];
        if self.data.stream.is_none() {
            files.push(("evaluation.test", &self.evaluation.test));
            if self.data.sources.is_empty() {
                files.push(("data.train", &self.data.train));
            }
        }
        for source in &self.data.sources {
            files.push(("data.sources.train", &source.train));
            files.extend(source.test.iter().map(|path| ("data.sources.test", path)));
        }
        files.extend(self.semantic.iter().map(|semantic| ("semantic.model", &semantic.model)));
        files.into_iter().try_for_each(|(key, path)| exists(key, path))
    }
}

/// Whether an answer stays true when its image is mirrored, since it is mirrored too or names no place.
fn is_mirrored(answer: &AnswerConfig) -> bool {
    let boxes = answer.keys.place.eq_ignore_ascii_case("position")
        && answer.space == Space::Thousandths
        && matches!(answer.kind, AnswerType::Boxes | AnswerType::Box);
    boxes || !answer.kind.has_items()
}

fn exists(key: &'static str, path: &Path) -> Result<(), ConfigError> {
    match path.exists() {
        true => Ok(()),
        false => Err(ConfigError::Missing { key, path: path.to_owned() }),
    }
}

fn validate_optimizer(optimizer: &OptimizerConfig, key: &'static str) -> Result<(), ConfigError> {
    let rate = optimizer.learning_rate;
    require(rate > 0.0 && rate < 1.0, key, rate, "in (0, 1)")?;
    for (key, beta) in [("optimizer.beta1", optimizer.beta1), ("optimizer.beta2", optimizer.beta2)]
    {
        require((0.0..1.0).contains(&beta), key, beta, "in [0, 1)")?;
    }
    require(
        optimizer.max_grad_norm >= 0.0,
        "optimizer.max_grad_norm",
        optimizer.max_grad_norm,
        "0 (off) or above",
    )
}

pub(crate) fn require(
    holds: bool,
    key: &'static str,
    got: impl ToString,
    expected: &'static str,
) -> Result<(), ConfigError> {
    match holds {
        true => Ok(()),
        false => Err(ConfigError::Value { key, got: got.to_string(), expected }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(text: &str, key: &str) {
        let error = Config::parse(text, "test").unwrap_err().to_string();
        assert!(error.starts_with(key), "{error}");
    }

    #[test]
    fn the_defaults_are_valid() {
        Config::default().validate().unwrap();
    }

    #[test]
    fn impossible_values_are_refused_by_key() {
        refused("[rollout]\ngroup_size = 1", "rollout.group_size");
        refused("[rollout]\ntemperature = 0.0", "rollout.temperature");
        refused("[rollout]\ntop_p = 1.5", "rollout.top_p");
        refused("[learner]\nwindow = 0", "learner.window");
        refused("[optimizer]\nlearning_rate = 0.0", "optimizer.learning_rate");
        refused("[pool]\npatience_secs = -1.0", "pool.patience_secs");
        refused("[loss]\nkl_coef = -0.1", "loss.kl_coef");
        let points = "type = \"points\"\n[reward.match]\nmeasure = \"l1\"\n[reward.terms.a]\nmetric = \"overlap\"";
        refused(&format!("[data]\nflip = \"both\"\n[reward.answer]\n{points}"), "data.flip");
    }

    #[test]
    fn a_missing_file_is_named_with_its_key() {
        let mut config = Config::default();
        config.policy.path = "nowhere/at/all".into();
        let error = config.check_files().unwrap_err().to_string();
        assert!(error.contains("policy.path") && error.contains("nowhere/at/all"), "{error}");
    }
}
