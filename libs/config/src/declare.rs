//! Turns a task as it was written down into one without gaps: preset, mode and overrides applied, missing keys named.

use std::path::Path;

use toml::{Table, Value};

use crate::load::{apply_override, parse_error};
use crate::{AnswerType, ConfigError, Metric};

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
        check_presence(&table)?;
    }
    Ok(table)
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

/// What a declared task cannot do without.
fn check_presence(table: &Table) -> Result<(), ConfigError> {
    let Some(Value::Table(reward)) = table.get("reward") else { return Ok(()) };
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
