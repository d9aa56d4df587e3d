//! The rewards of a run: `[reward]`, and those that sources of the data have of their own.

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};
use vrft_config::{ConfigError, Document, Section, overlay};

use super::RewardConfig;
use super::declare::{finish, with_mode};

/// How completions are scored, by the task that they belong to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RewardsConfig {
    /// The section `[reward]`, for all tasks that have no reward of their own.
    pub shared: RewardConfig,
    /// The rewards of `[[data.sources]]` that have one, by the task of the source.
    pub own: BTreeMap<String, RewardConfig>,
}

impl RewardsConfig {
    /// Reads both. The reward of a source with a type of answer stands alone; any other is laid over `[reward]`.
    ///
    /// # Errors
    /// A reward that lacks something or contradicts itself.
    pub fn read(document: &Document) -> Result<Self, ConfigError> {
        let shared: RewardConfig = document.section()?;
        let table = match document.get(RewardConfig::NAME) {
            Some(Value::Table(table)) => RewardConfig::prepare(table.clone(), document)?,
            _ => Table::try_from(&shared).expect("a reward is a table"),
        };
        let sources = document.get("data.sources").and_then(Value::as_array);
        let mut own = BTreeMap::new();
        for source in sources.into_iter().flatten() {
            let task = source.get("task").and_then(Value::as_str).unwrap_or_default();
            let Some(Value::Table(reward)) = source.get("reward") else { continue };
            let reward = of_source(reward.clone(), &table, task)
                .map_err(|error| error.within(format!("the reward of the source {task:?}")))?;
            own.insert(task.to_owned(), reward);
        }
        Ok(Self { shared, own })
    }

    /// How completions of a task are scored.
    pub fn of(&self, task: &str) -> &RewardConfig {
        self.own.get(task).unwrap_or(&self.shared)
    }

    /// Checks the terms that one of several nodes judges by, where others judge by the rest; none of them stands for all. A
    /// call of a tool takes `cost_of_calls` from the reward.
    ///
    /// # Errors
    /// A term that no task has; what is about all terms together.
    pub fn check_terms(&self, names: &[String], cost_of_calls: f64) -> Result<(), String> {
        let there: BTreeSet<&String> = self.iter().flat_map(|reward| reward.terms.keys()).collect();
        if let Some(name) = names.iter().find(|name| !there.contains(name)) {
            return Err(format!("--terms: no term {name:?}; there are {there:?}"));
        }
        if !names.is_empty() && self.iter().any(|reward| reward.correction.is_some()) {
            return Err(
                "--terms: with reward.correction the bonus is about all terms together; let one node judge, or leave the \
                 section out"
                    .to_owned(),
            );
        }
        if !names.is_empty() && cost_of_calls != 0.0 {
            return Err(
                "--terms: with rollout.tools.cost the cost of calls would be taken by none of the nodes that judge, or by each; \
                 let one node judge, or leave the cost out"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// The terms of a list such as `iou,confidence`.
    pub fn terms_in(list: &str) -> Vec<String> {
        let names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
        names.map(str::to_owned).collect()
    }

    /// All of them, the shared one first.
    pub fn iter(&self) -> impl Iterator<Item = &RewardConfig> {
        std::iter::once(&self.shared).chain(self.own.values())
    }
}

fn of_source(own: Table, shared: &Table, task: &str) -> Result<RewardConfig, ConfigError> {
    let stands_alone = own.get("answer").is_some_and(|answer| answer.get("type").is_some());
    let mut reward = if stands_alone { Table::new() } else { shared.clone() };
    overlay(&mut reward, own);
    let mut reward = finish(with_mode(reward)?)?;
    reward.insert("task".to_owned(), Value::String(task.to_owned()));
    let reward: RewardConfig = reward.try_into().map_err(|error: toml::de::Error| {
        let message = error.to_string().trim_end().to_owned();
        ConfigError::Parse { origin: "its table".to_owned(), message }
    })?;
    reward.validate()?;
    Ok(reward)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "[[data.sources]]\ntask = \"a\"\ntrain = \"a.jsonl\"\n\
                       [[data.sources]]\ntask = \"b\"\ntrain = \"b.jsonl\"\nweight = 2.0";

    fn read(text: &str) -> Result<RewardsConfig, ConfigError> {
        RewardsConfig::read(&Document::parse(text, "test")?)
    }

    #[track_caller]
    fn refused(text: &str, words: &str) {
        let error = read(text).unwrap_err().to_string();
        let start = "in the reward of the source \"b\"";
        assert!(error.starts_with(start) && error.contains(words), "{error}");
    }

    #[test]
    fn a_source_may_have_its_own_reward() {
        let own = "[data.sources.reward.answer]\ntype = \"label\"\n[data.sources.reward.terms.right]\nmetric = \"accuracy\"";
        let rewards = read(&format!("{TWO}\n{own}")).unwrap();
        let terms = |task| rewards.of(task).terms.keys().cloned().collect::<Vec<_>>();
        assert_eq!(terms("a"), ["confidence", "format", "iou"]);
        assert_eq!(terms("b"), ["right"]);
        assert_eq!(rewards.of("b").task, "b");
    }

    #[test]
    fn what_one_of_several_nodes_cannot_judge_by_is_named() {
        let check = |text: &str, list: &str, cost: f64| {
            read(text).unwrap().check_terms(&RewardsConfig::terms_in(list), cost)
        };
        check("", "iou, format", 0.0).unwrap();
        check("", "", 0.5).unwrap();
        let error = check("", "iou,iuo", 0.0).unwrap_err();
        assert_eq!(
            error,
            "--terms: no term \"iuo\"; there are {\"confidence\", \"format\", \"iou\"}"
        );
        assert!(check("", "iou", 0.5).unwrap_err().contains("rollout.tools.cost"));
    }

    #[test]
    fn a_source_may_say_what_is_different() {
        let shared = "[reward]\n[reward.answer]\ntype = \"label\"\n[reward.terms.right]\nmetric = \"accuracy\"\n";
        let own = "[data.sources.reward.terms.right]\nweight = 0.5";
        let rewards = read(&format!("{shared}{TWO}\n{own}")).unwrap();
        let weight = |task| rewards.of(task).terms["right"].weight;
        assert_eq!((weight("a"), weight("b")), (1.0, 0.5));
    }

    #[test]
    fn what_is_wrong_with_the_reward_of_a_source_is_said_with_its_task() {
        let own = format!("{TWO}\n[data.sources.reward.answer]\ntype = \"label\"");
        refused(&own, "reward.terms is missing");
        refused(
            &format!("{own}\n[data.sources.reward.terms.a]\nmetric = \"overlap\""),
            "expected one of accuracy",
        );
        refused(&format!("{TWO}\n[data.sources.reward]\ntau = 1.0"), "unknown field `tau`");
    }
}
