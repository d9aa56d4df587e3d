//! What a command line asks for that is not what made a run.

use std::collections::BTreeMap;

use dora_message::descriptor::Descriptor;
use eyre::{WrapErr, bail};
use serde_json::Value;

use crate::config::Config;

/// Keys that say where and how a run continues, and what a table makes of it, not what it computes.
const OF_THE_START: [&str; 4] =
    ["config.run.resume", "config.run.out", "config.table.", "graph.env."];

/// Refuses a graph or a configuration other than the run's own.
///
/// # Errors
/// Each key that differs, with both values.
pub(crate) fn refuse(
    before: (&Descriptor, &Config),
    now: (&Descriptor, &Config),
) -> eyre::Result<()> {
    let differences = differences(&flat(before)?, &flat(now)?);
    if differences.is_empty() {
        return Ok(());
    }
    bail!(
        "this is not what made the run:\n    {}\n  Leave it out to continue as the run began, or add --with-changes to continue with it",
        differences.join("\n    ")
    )
}

/// Each key of the configuration that differs, with both values.
///
/// # Errors
/// A configuration that cannot be printed.
pub(crate) fn of_configs(before: &Config, now: &Config) -> eyre::Result<Vec<String>> {
    let flat = |config: &Config| -> eyre::Result<BTreeMap<String, Value>> {
        let mut values = BTreeMap::new();
        let config: toml::Table = toml::from_str(&config.to_toml())?;
        insert("config", &serde_json::to_value(config)?, &mut values);
        Ok(values)
    };
    Ok(differences(&flat(before)?, &flat(now)?))
}

fn differences(before: &BTreeMap<String, Value>, now: &BTreeMap<String, Value>) -> Vec<String> {
    let keys = before.keys().chain(now.keys().filter(|key| !before.contains_key(*key)));
    let keys = keys.filter(|key| !OF_THE_START.iter().any(|start| key.starts_with(start)));
    let shown = |value: Option<&Value>| value.map_or("nothing".to_owned(), ToString::to_string);
    keys.filter(|key| before.get(*key) != now.get(*key))
        .map(|key| format!("{key}: {} before, {} now", shown(before.get(key)), shown(now.get(key))))
        .collect()
}

/// Every value by its path; nodes of the graph by their ids.
fn flat((graph, config): (&Descriptor, &Config)) -> eyre::Result<BTreeMap<String, Value>> {
    let mut values = BTreeMap::new();
    let mut graph = serde_json::to_value(graph).wrap_err("the graph cannot be printed")?;
    if let Some(nodes) = graph.get_mut("nodes").and_then(Value::as_array_mut).map(std::mem::take) {
        let by_id = nodes.into_iter().map(|node| {
            let id = node.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
            (id, node)
        });
        graph["nodes"] = Value::Object(by_id.collect());
    }
    insert("graph", &graph, &mut values);
    let config: toml::Table = toml::from_str(&config.to_toml())?;
    insert("config", &serde_json::to_value(config)?, &mut values);
    Ok(values)
}

fn insert(path: &str, value: &Value, values: &mut BTreeMap<String, Value>) {
    match value {
        Value::Null => {}
        Value::Object(fields) => {
            for (key, value) in fields {
                insert(&format!("{path}.{key}"), value, values);
            }
        }
        other => _ = values.insert(path.to_owned(), other.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(args: &str) -> Descriptor {
        yaml_serde::from_str(&format!("nodes: [{{id: learner, path: x, args: {args:?}}}]")).unwrap()
    }

    #[test]
    fn the_same_is_accepted_wherever_it_writes_and_whatever_a_table_makes_of_it() {
        let mut now = Config::default();
        now.run.resume = true;
        now.run.out = "elsewhere".into();
        let title = "another heading".to_owned();
        now.table = Some(crate::table::TableConfig { title, ..Default::default() });
        refuse((&graph("a"), &Config::default()), (&graph("a"), &now)).unwrap();
    }

    #[test]
    fn every_key_that_differs_is_named() {
        let mut now = Config::default();
        now.learner.steps = 7;
        let error = refuse((&graph("sft"), &Config::default()), (&graph("grpo"), &now));
        let error = error.unwrap_err().to_string();
        for words in [
            "config.learner.steps: 100 before, 7 now",
            "graph.nodes.learner.args: \"sft\" before, \"grpo\" now",
            "--with-changes",
        ] {
            assert!(error.contains(words), "{error}");
        }
    }
}
