//! The environment variables by which nodes of dora's hub are set up; each comes before the key of the configuration.

use std::path::PathBuf;

use eyre::{WrapErr, bail};
use vrft_answer::Settings;

/// Earlier exchanges that are kept where only `HISTORY` says that any should be.
const HISTORY: usize = 8;

/// What the environment says that the configuration has no key for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Environment {
    /// Words of which a text must have one to be answered, in lower case; none if any text is answered.
    pub(crate) activation_words: Vec<String>,
    /// Whether the checkpoint is named, so that no promoted policy is looked for at the start.
    pub(crate) names_checkpoint: bool,
}

impl Environment {
    /// Applies the variables to the settings.
    ///
    /// # Errors
    /// A value that cannot be read, with the name of its variable.
    pub(crate) fn apply(
        settings: &mut Settings,
        variable: impl Fn(&str) -> Option<String>,
    ) -> eyre::Result<Self> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let mut environment = Self::default();
        // An adapter names its base, so that it stands for both.
        for name in ["MODEL_NAME_OR_PATH", "ADAPTER_PATH"] {
            if let Some(path) = variable(name) {
                settings.policy.path = PathBuf::from(path);
                environment.names_checkpoint = true;
            }
        }
        if let Some(question) = variable("DEFAULT_QUESTION") {
            settings.answer.question = question;
            settings.answer.category.clear();
        }
        if let Some(system) = variable("SYSTEM_PROMPT") {
            settings.policy.system = system;
        }
        if let Some(ratio) = variable("IMAGE_RESIZE_RATIO") {
            let parsed = ratio.parse().ok().filter(|ratio: &f64| (0.01..=8.0).contains(ratio));
            settings.answer.image_resize_ratio = parsed.ok_or(()).or_else(|()| {
                bail!("IMAGE_RESIZE_RATIO = {ratio:?}: expected a number from 0.01 to 8")
            })?;
        }
        if let Some(history) = variable("HISTORY") {
            let keeps = is_true(&history).wrap_err("HISTORY")?;
            let kept = &mut settings.answer.history;
            *kept = match (keeps, *kept) {
                (false, _) => 0,
                (true, 0) => HISTORY,
                (true, n) => n,
            };
        }
        let words = variable("ACTIVATION_WORDS").unwrap_or_default();
        environment.activation_words = words.split_whitespace().map(str::to_lowercase).collect();
        Ok(environment)
    }

    /// Whether a text is to be answered.
    pub(crate) fn activates(&self, text: &str) -> bool {
        let is_activating = |word: &str| {
            let word = word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
            self.activation_words.contains(&word)
        };
        self.activation_words.is_empty() || text.split_whitespace().any(is_activating)
    }
}

fn is_true(value: &str) -> eyre::Result<bool> {
    match value.to_lowercase().as_str() {
        "true" | "1" | "yes" => Ok(true),
        "false" | "0" | "no" => Ok(false),
        other => bail!("{other:?}: expected true or false"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(pairs: &[(&str, &str)]) -> eyre::Result<(Settings, Environment)> {
        let mut settings = Settings::default();
        settings.answer.category = "cup".into();
        let of = |name: &str| {
            let found = pairs.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let environment = Environment::apply(&mut settings, of)?;
        Ok((settings, environment))
    }

    #[test]
    fn variables_of_the_hub_come_before_the_configuration() {
        let (settings, environment) = apply(&[
            ("MODEL_NAME_OR_PATH", "owner/model"),
            ("DEFAULT_QUESTION", "What is this?"),
            ("SYSTEM_PROMPT", "Be brief."),
            ("IMAGE_RESIZE_RATIO", "0.5"),
            ("HISTORY", "True"),
        ])
        .unwrap();
        assert_eq!(settings.policy.path, PathBuf::from("owner/model"));
        assert_eq!(
            (settings.answer.question.as_str(), settings.answer.category.as_str()),
            ("What is this?", "")
        );
        assert_eq!(settings.policy.system, "Be brief.");
        assert_eq!((settings.answer.image_resize_ratio, settings.answer.history), (0.5, HISTORY));
        assert!(environment.names_checkpoint);
    }

    #[test]
    fn an_adapter_comes_before_the_model_and_nothing_set_changes_nothing() {
        let both = [("ADAPTER_PATH", "my/adapter"), ("MODEL_NAME_OR_PATH", "owner/model")];
        assert_eq!(apply(&both).unwrap().0.policy.path, PathBuf::from("my/adapter"));
        let (settings, environment) = apply(&[("ADAPTER_PATH", "")]).unwrap();
        assert_eq!(settings.policy, Settings::default().policy);
        assert_eq!(
            (settings.answer.category.as_str(), environment),
            ("cup", Environment::default())
        );
    }

    #[test]
    fn a_value_that_cannot_be_read_is_named() {
        let error = |pair| format!("{:#}", apply(&[pair]).unwrap_err());
        assert!(error(("IMAGE_RESIZE_RATIO", "half")).contains("IMAGE_RESIZE_RATIO"));
        assert!(error(("IMAGE_RESIZE_RATIO", "0")).contains("0.01 to 8"));
        assert!(error(("HISTORY", "maybe")).contains("HISTORY"));
    }

    #[test]
    fn only_texts_with_an_activation_word_are_answered() {
        let (_, environment) = apply(&[("ACTIVATION_WORDS", "robot what")]).unwrap();
        assert!(environment.activates("What, now?") && environment.activates("Hey Robot!"));
        assert!(!environment.activates("somewhat robotic"));
        assert!(apply(&[]).unwrap().1.activates("anything"));
    }
}
