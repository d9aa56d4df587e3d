//! From `[reward]` as it was written to one without gaps: mode and overrides applied, missing keys named.

use toml::{Table, Value};
use vrft_config::{ConfigError, Document, Section, missing, overlay, require};

use super::{AnswerConfig, AnswerKind, Metric, RewardConfig};

impl Section for RewardConfig {
    const NAME: &'static str = "reward";

    /// Applies the chosen mode, and the overrides once more: they win.
    fn prepare(table: Table, document: &Document) -> Result<Table, ConfigError> {
        let table = with_mode(table)?;
        finish(document.override_again(Self::NAME, table)?)
    }

    fn check(&self) -> Result<(), ConfigError> {
        self.validate()
    }
}

/// Lays the chosen mode over the rest.
pub(super) fn with_mode(mut reward: Table) -> Result<Table, ConfigError> {
    let mode = reward.get("mode").and_then(Value::as_str).unwrap_or("fixed").to_owned();
    let modes = reward.get("modes").and_then(Value::as_table);
    match modes.and_then(|modes| modes.get(&mode)).and_then(Value::as_table).cloned() {
        Some(differences) => overlay(&mut reward, differences),
        None if mode == "fixed" => {}
        None => {
            let declared: Vec<&str> =
                modes.into_iter().flat_map(|t| t.keys()).map(String::as_str).collect();
            let expected = format!(
                "\"fixed\", or a mode with a table [reward.modes.{mode}]; there is {declared:?}"
            );
            require(false, "reward.mode", format!("{mode:?}"), expected)?;
        }
    }
    Ok(reward)
}

/// Removes empty gates, and refuses a task that lacks what it cannot do without.
pub(super) fn finish(mut reward: Table) -> Result<Table, ConfigError> {
    if let Some(preset) = reward.get("preset") {
        require(false, "reward.preset", preset, "the path of a file that ends in .toml")?;
    }
    let terms = reward.get_mut("terms").and_then(Value::as_table_mut);
    for term in terms.into_iter().flat_map(|terms| terms.iter_mut()) {
        let Some(term) = term.1.as_table_mut() else { continue };
        if term.get("gate").and_then(Value::as_str) == Some("") {
            term.remove("gate");
        }
    }
    check_presence(&reward)?;
    Ok(reward)
}

fn check_presence(reward: &Table) -> Result<(), ConfigError> {
    let answer = reward.get("answer").filter(|answer| answer.get("type").is_some());
    let Some(answer) = answer else {
        let names = AnswerKind::NAMES.join(", ");
        let remedy = format!("write the kind of answer, one of {names}");
        return Err(missing("reward.answer.type", remedy));
    };
    let terms = reward.get("terms").and_then(Value::as_table);
    let Some(terms) = terms.filter(|terms| !terms.is_empty()) else {
        let remedy = "write at least one table [reward.terms.NAME] with a metric";
        return Err(missing("reward.terms", remedy));
    };
    // What is wrong with the answer is said when it is read.
    let Ok(answer) = answer.clone().try_into::<AnswerConfig>() else { return Ok(()) };
    terms.iter().try_for_each(|(name, term)| check_metric(name, term, &answer))
}

fn check_metric(name: &str, term: &Value, answer: &AnswerConfig) -> Result<(), ConfigError> {
    let names = Metric::names_for(&answer.kind);
    let key = format!("reward.terms.{name}.metric");
    let Some(metric) = term.get("metric") else {
        return Err(missing(key, format!("write what is measured, one of {}", names.join(", "))));
    };
    let applies = metric.as_str().is_some_and(|metric| names.contains(&metric));
    let of_kind = answer.kind.name();
    let expected =
        format!("one of {}, the metrics of an answer of type {of_kind}", names.join(", "));
    require(applies, key, metric, expected)
}

#[cfg(test)]
mod tests;
