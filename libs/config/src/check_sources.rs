//! Contradictions among the sources of the data.

use std::collections::BTreeSet;

use crate::check::require;
use crate::{ConfigError, DataConfig};

/// Prompts are dealt out by the hundred, and every source has one of them.
const MAX_SOURCES: usize = 100;

impl DataConfig {
    /// Checks `[[data.sources]]` and what stands beside it.
    pub(crate) fn validate_sources(&self) -> Result<(), ConfigError> {
        let (n, default) = (self.sources.len(), DataConfig::default());
        require(n <= MAX_SOURCES, "data.sources", n, "at most 100 sources")?;
        require(
            n == 0 || (self.train == default.train && self.shots == default.shots),
            "data.train",
            self.train.display(),
            "left out, and data.shots as well: each of [[data.sources]] has its own",
        )?;
        let exponent = self.sampling_exponent;
        require(
            exponent.is_none_or(|exponent| n > 0 && (0.0..=1.0).contains(&exponent)),
            "data.sampling_exponent",
            exponent.unwrap_or(0.0),
            "in [0, 1], and left out without [[data.sources]]",
        )?;
        let mut names = BTreeSet::new();
        for source in &self.sources {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
            require(
                !source.task.is_empty() && source.task.chars().all(is_plain),
                "data.sources.task",
                format!("{:?}", source.task),
                "a name of letters, digits, - and _, since metrics and files bear it",
            )?;
            require(
                names.insert(&source.task),
                "data.sources.task",
                format!("{:?}", source.task),
                "another name, since an earlier source has this one",
            )?;
            let weight = source.weight;
            require(
                weight > 0.0 && weight.is_finite(),
                "data.sources.weight",
                weight,
                "above 0; leave a source out to learn nothing from it",
            )?;
            if let Some(reward) = &source.reward {
                let task = source.task.clone();
                reward
                    .validate()
                    .map_err(|error| ConfigError::Source { task, error: Box::new(error) })?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::Config;

    const TWO: &str = "[[data.sources]]\ntask = \"a\"\ntrain = \"a.jsonl\"\n\
                       [[data.sources]]\ntask = \"b\"\ntrain = \"b.jsonl\"\nweight = 2.0\ntest = \"t.jsonl\"";

    #[track_caller]
    fn refused(text: &str, key: &str, words: &str) {
        let error = Config::parse(text, "test").unwrap_err().to_string();
        assert!(error.starts_with(key) && error.contains(words), "{error}");
    }

    #[test]
    fn several_sources_are_read_and_printed() {
        let text = format!("[data]\nsampling_exponent = 1.0\n{TWO}");
        let config = Config::parse(&text, "test").unwrap();
        assert_eq!((config.data.weight_of("a"), config.data.weight_of("b")), (1.0, 2.0));
        assert_eq!(Config::parse(&config.to_toml(), "printed").unwrap(), config);
    }

    #[test]
    fn contradictions_are_named() {
        refused(&format!("[data]\ntrain = \"x.jsonl\"\n{TWO}"), "data.train", "left out");
        refused("[data]\nsampling_exponent = 0.5", "data.sampling_exponent", "[[data.sources]]");
        refused(&TWO.replace("\"b\"", "\"a\""), "data.sources.task", "another name");
        refused(&TWO.replace("\"b\"", "\"b/c\""), "data.sources.task", "letters");
        refused(&TWO.replace("2.0", "0.0"), "data.sources.weight", "above 0");
    }

    #[test]
    fn a_source_may_have_its_own_reward() {
        let own = "[data.sources.reward.answer]\ntype = \"label\"\n[data.sources.reward.terms.right]\nmetric = \"accuracy\"";
        let config = Config::parse(&format!("{TWO}\n{own}"), "test").unwrap();
        let terms = |task| config.reward_of(task).terms.keys().cloned().collect::<Vec<_>>();
        assert_eq!(terms("a"), ["confidence", "format", "iou"]);
        assert_eq!(terms("b"), ["right"]);
        assert_eq!(config.reward_of("b").task, "b");
        assert_eq!(Config::parse(&config.to_toml(), "printed").unwrap(), config);
    }

    #[test]
    fn a_source_may_say_what_is_different() {
        let shared = "[reward]\n[reward.answer]\ntype = \"label\"\n[reward.terms.right]\nmetric = \"accuracy\"\n";
        let own = "[data.sources.reward.terms.right]\nweight = 0.5";
        let config = Config::parse(&format!("{shared}{TWO}\n{own}"), "test").unwrap();
        let weight = |task| config.reward_of(task).terms["right"].weight;
        assert_eq!((weight("a"), weight("b")), (1.0, 0.5));
    }

    #[test]
    fn what_is_wrong_with_the_reward_of_a_source_is_said_with_its_task() {
        let start = "in the reward of the source \"b\"";
        let own = format!("{TWO}\n[data.sources.reward.answer]\ntype = \"label\"");
        refused(&own, start, "reward.terms is missing");
        let terms = format!("{own}\n[data.sources.reward.terms.a]\nmetric = \"overlap\"");
        refused(&terms, start, "expected one of accuracy");
        let unknown = format!("{TWO}\n[data.sources.reward]\ntau = 1.0");
        let error = Config::parse(&unknown, "test").unwrap_err().to_string();
        assert!(error.contains("unknown field `tau`"), "{error}");
    }

    #[test]
    fn a_missing_file_of_a_source_is_named() {
        let mut config = Config::parse(TWO, "test").unwrap();
        config.policy.path = ".".into();
        config.evaluation.test = ".".into();
        let error = config.check_files().unwrap_err().to_string();
        assert!(error.contains("data.sources.train") && error.contains("a.jsonl"), "{error}");
    }
}
