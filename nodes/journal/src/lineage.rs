//! How far the policy that learns is from the policies that sampled a logged run.
//!
//! A run is a function of its settings: with the same ones, version n of a logged run is version n of this one. With
//! others they have in common only what both start from, and each step of the learner leads further away.

use std::path::Path;

use vrft_config::Document;

/// The settings that decide what a policy version is.
const DECISIVE: [&str; 13] = [
    "run.seed",
    "policy",
    "data",
    "rollout",
    "reward",
    "semantic",
    "advantage",
    "loss",
    "optimizer",
    "learner.prompts_per_step",
    "learner.steps",
    "learner.iterations",
    "learner.refills",
];

/// What the policies of two runs have in common.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Lineage {
    /// All settings are the same.
    Same,
    /// The one that both start from; the runs differ in this setting.
    Start(String),
}

impl Lineage {
    /// Compares the settings of a logged run with those of this one.
    pub(crate) fn of(logged_run: &Path, document: &Document) -> Self {
        let path = logged_run.join("config.toml");
        let Ok(logged) = Document::load(&path, &[]) else {
            return Self::Start(format!("{}, which cannot be read", path.display()));
        };
        match DECISIVE.into_iter().find(|key| logged.get(key) != document.get(key)) {
            Some(key) => Self::Start(key.to_owned()),
            None => Self::Same,
        }
    }

    /// Learner steps between the last policy that both runs had and the one that makes this step.
    pub(crate) fn staleness(&self, step: u64, sampled_by: u64) -> u64 {
        let learning = step.saturating_sub(1);
        match self {
            Self::Same => learning.saturating_sub(sampled_by),
            Self::Start(_) => learning,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_with_other_settings_have_only_their_start_in_common() {
        let folder = tempfile::tempdir().unwrap();
        let document = |text: &str| Document::parse(text, "test").unwrap();
        let text = "[loss]\nkl_coef = 0.04\n[run]\nname = \"a\"";
        let unknown = Lineage::of(folder.path(), &document(text));
        assert!(matches!(&unknown, Lineage::Start(why) if why.contains("config.toml")));
        std::fs::write(folder.path().join("config.toml"), text).unwrap();
        let renamed = document("[loss]\nkl_coef = 0.04\n[run]\nname = \"b\"");
        assert_eq!(Lineage::of(folder.path(), &renamed), Lineage::Same);
        let free = document("[loss]\nkl_coef = 0.0");
        assert_eq!(Lineage::of(folder.path(), &free), Lineage::Start("loss".to_owned()));
    }

    #[test]
    fn each_step_under_other_settings_leads_further_away() {
        let other = Lineage::Start("loss".to_owned());
        assert_eq!([1, 2, 3].map(|step| other.staleness(step, step - 1)), [0, 1, 2]);
        assert_eq!([1, 2, 3].map(|step| Lineage::Same.staleness(step, step - 1)), [0, 0, 0]);
        // A window of 2: the policy that sampled is one behind.
        assert_eq!([2, 3].map(|step| Lineage::Same.staleness(step, step - 2)), [1, 1]);
    }
}
