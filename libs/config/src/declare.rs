//! Turns tasks as they were written down into ones without gaps: preset, mode and overrides applied, missing keys named.

use std::path::Path;

use toml::{Table, Value};

use crate::load::{apply_override, parse_error};
use crate::{AnswerType, ConfigError, Metric, RewardConfig};

/// Presets that build on presets, at most.
const MAX_PRESETS: usize = 4;

/// Applies presets, overrides and the chosen mode, in this order, and the overrides once more: they win.
///
/// `folder` is where the paths of presets start.
pub(crate) fn resolve(
    mut table: Table,
    folder: &Path,
    overrides: &[String],
) -> Result<Table, ConfigError> {
    for assignment in overrides {
        apply_override(&mut table, assignment)?;
    }
    if let Some(Value::Table(reward)) = table.remove("reward") {
        let mut reward = with_presets(reward, folder, MAX_PRESETS)?;
        with_mode(&mut reward)?;
        table.insert("reward".to_owned(), Value::Table(reward));
        for assignment in overrides.iter().filter(|text| !is_preset(text)) {
            apply_override(&mut table, assignment)?;
        }
        if let Some(Value::Table(reward)) = table.get("reward") {
            check_presence(reward)?;
        }
    }
    resolve_sources(&mut table, folder)?;
    Ok(table)
}

/// Whether a file builds on others, so that what it says may have gaps.
pub(crate) fn has_gaps(table: &Table) -> bool {
    let preset = table.get("reward").and_then(|reward| reward.get("preset")).is_some();
    preset || sources(table).any(|source| source.contains_key("reward"))
}

fn sources(table: &Table) -> impl Iterator<Item = &Table> {
    let sources = table.get("data").and_then(|data| data.get("sources")?.as_array());
    sources.into_iter().flatten().filter_map(Value::as_table)
}

/// Makes the reward of each source whole.
fn resolve_sources(table: &mut Table, folder: &Path) -> Result<(), ConfigError> {
    if sources(table).all(|source| !source.contains_key("reward")) {
        return Ok(());
    }
    let shared = match table.get("reward") {
        Some(Value::Table(reward)) => reward.clone(),
        _ => Table::try_from(RewardConfig::default()).expect("the default reward is a table"),
    };
    let sources = table.get_mut("data").and_then(|data| data.get_mut("sources")?.as_array_mut());
    for source in sources.into_iter().flatten().filter_map(Value::as_table_mut) {
        let task = source.get("task").cloned();
        if let Some(Value::Table(reward)) = source.get_mut("reward") {
            let own = std::mem::take(reward);
            *reward = of_source(own, &shared, folder).map_err(|error| ConfigError::Source {
                task: task.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned(),
                error: Box::new(error),
            })?;
            reward.extend(task.map(|task| ("task".to_owned(), task)));
        }
    }
    Ok(())
}

/// A reward with a preset or a type of answer stands alone; any other is laid over the run's.
fn of_source(own: Table, shared: &Table, folder: &Path) -> Result<Table, ConfigError> {
    let has_type = own.get("answer").is_some_and(|answer| answer.get("type").is_some());
    let mut reward = match has_type || own.contains_key("preset") {
        true => with_presets(own, folder, MAX_PRESETS)?,
        false => {
            let mut reward = shared.clone();
            overlay(&mut reward, own);
            reward
        }
    };
    with_mode(&mut reward)?;
    check_presence(&reward)?;
    Ok(reward)
}

fn is_preset(assignment: &str) -> bool {
    assignment.trim_start().starts_with("reward.preset")
}

/// The section laid over the one that it names.
fn with_presets(mut reward: Table, folder: &Path, left: usize) -> Result<Table, ConfigError> {
    let Some(preset) = reward.remove("preset") else { return Ok(reward) };
    let name = preset.as_str().unwrap_or_default();
    if left == 0 {
        return Err(wrong("reward.preset", name, "a file whose presets end somewhere"));
    }
    let path = folder.join(name);
    let text = std::fs::read_to_string(&path)
        .map_err(|source| ConfigError::Read { path: path.clone(), source })?;
    let origin = path.display().to_string();
    let mut file: Table = toml::from_str(&text).map_err(|error| parse_error(&origin, &error))?;
    let Some(Value::Table(base)) = file.remove("reward") else {
        return Err(wrong("reward.preset", name, "a file with a section [reward]"));
    };
    let mut base = with_presets(base, path.parent().unwrap_or(folder), left - 1)?;
    overlay(&mut base, reward);
    Ok(base)
}

fn with_mode(reward: &mut Table) -> Result<(), ConfigError> {
    let mode = reward.get("mode").and_then(Value::as_str).unwrap_or("fixed").to_owned();
    let modes = reward.get("modes").and_then(Value::as_table);
    match modes.and_then(|modes| modes.get(&mode)).and_then(Value::as_table).cloned() {
        Some(differences) => overlay(reward, differences),
        None if mode == "fixed" => {}
        None => {
            let declared: Vec<&str> =
                modes.into_iter().flat_map(|t| t.keys()).map(String::as_str).collect();
            let expected = format!(
                "\"fixed\", or a mode with a table [reward.modes.{mode}]; there is {declared:?}"
            );
            return Err(wrong("reward.mode", &mode, expected));
        }
    }
    Ok(())
}

/// Lays one table over another: tables meet key by key, anything else is replaced; an empty gate takes one away.
fn overlay(base: &mut Table, over: Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            // A mode that takes a gate away has still to do so.
            (Some(Value::Table(base)), Value::Table(over)) if key == "modes" => merge(base, over),
            (Some(Value::Table(base)), Value::Table(over)) => overlay(base, over),
            (_, Value::String(text)) if key == "gate" && text.is_empty() => {
                base.remove(&key);
            }
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

/// The same, with empty gates as they are.
fn merge(base: &mut Table, over: Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(base)), Value::Table(over)) => merge(base, over),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

/// What a declared task cannot do without.
fn check_presence(reward: &Table) -> Result<(), ConfigError> {
    let answer = reward.get("answer").and_then(Value::as_table);
    if answer.is_none_or(|answer| !answer.contains_key("type")) {
        let remedy = format!("write the kind of answer, one of {}", AnswerType::NAMES);
        return Err(ConfigError::Absent { key: "reward.answer.type".into(), remedy });
    }
    let terms = reward.get("terms").and_then(Value::as_table);
    let Some(terms) = terms.filter(|terms| !terms.is_empty()) else {
        let remedy = "write at least one table [reward.terms.NAME] with a metric".to_owned();
        return Err(ConfigError::Absent { key: "reward.terms".into(), remedy });
    };
    let kind = answer.and_then(|answer| answer["type"].clone().try_into::<AnswerType>().ok());
    for (name, term) in terms {
        if term.as_table().is_none_or(|term| !term.contains_key("metric")) {
            let choice = kind.map_or_else(String::new, Metric::names_for);
            let remedy = format!("write what is measured, one of {choice}");
            return Err(ConfigError::Absent { key: format!("reward.terms.{name}.metric"), remedy });
        }
    }
    Ok(())
}

fn wrong(key: &str, got: &str, expected: impl Into<String>) -> ConfigError {
    ConfigError::Task { key: key.into(), got: format!("{got:?}"), expected: expected.into() }
}

#[cfg(test)]
#[path = "declare_tests.rs"]
mod tests;
