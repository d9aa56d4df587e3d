//! `vrft reward`: test a declared reward, score completions again, propose a reward from data.

use std::path::Path;

use config::{Config, RewardConfig};
use eyre::{WrapErr, bail, ensure, eyre};
use reward::Reward;
use serde_json::{Value, json};

use crate::cli::RewardCommand;

/// Runs one of the subcommands.
pub(crate) fn reward(command: &RewardCommand) -> eyre::Result<()> {
    match command {
        RewardCommand::Test { spec, data, json, overrides } => {
            let config = Config::load(spec, overrides)?.reward;
            test(&config, data.as_deref(), *json)
        }
        RewardCommand::Score { spec, file, overrides } => {
            score(&Config::load(spec, overrides)?.reward, file)
        }
        RewardCommand::Infer { data } => infer(data),
    }
}

fn test(config: &RewardConfig, data: Option<&Path>, as_json: bool) -> eyre::Result<()> {
    let solutions = match data {
        Some(data) => rows(data)?.into_iter().map(|row| row.1).collect(),
        None => Vec::new(),
    };
    let report = reward::self_test(config, &solutions)?;
    match as_json {
        true => println!("{}", serde_json::to_string_pretty(&report)?),
        false => println!("{report}"),
    }
    let failures = report.failures();
    ensure!(failures.is_empty(), "the reward fails its self-test: {}", failures.join("; "));
    Ok(())
}

/// One line of JSON for every line of `file`: reward, terms, and at the end the means.
fn score(config: &RewardConfig, file: &Path) -> eyre::Result<()> {
    let reward = Reward::new(config);
    let text = std::fs::read_to_string(file).wrap_err_with(|| format!("cannot read {file:?}"))?;
    let (mut sum, mut n, mut unscored) = (0.0, 0, 0);
    for (idx, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let at = || format!("{}, line {}", file.display(), idx + 1);
        let row: Value = serde_json::from_str(line).wrap_err_with(at)?;
        let completion = field(&row, &["completion", "text"]).wrap_err_with(at)?;
        let solution = field(&row, &["solution", "answer", "truth"]).wrap_err_with(at)?;
        let truth = reward.parse_answer(&solution).wrap_err_with(at)?;
        let score = reward.score(&completion, &truth);
        let terms: serde_json::Map<String, Value> =
            score.terms.iter().map(|term| (term.name.clone(), json!(term.value))).collect();
        println!("{}", json!({"line": idx + 1, "reward": score.total, "terms": terms}));
        match score.total {
            Some(total) => (sum, n) = (sum + total, n + 1),
            None => unscored += 1,
        }
    }
    ensure!(
        n + unscored > 0,
        "{file:?} has no rows: expected {{\"completion\": …, \"solution\": …}} a line"
    );
    println!("{}", json!({"n": n, "unscored": unscored, "mean": sum / f64::from(n.max(1))}));
    Ok(())
}

/// Prints a specification that passes its self-test on the data.
fn infer(data: &Path) -> eyre::Result<()> {
    let rows = rows(data)?;
    let rows: Vec<(&str, &str)> = rows.iter().map(|row| (row.0.as_str(), row.1.as_str())).collect();
    let proposal = reward::infer(&rows).wrap_err_with(|| format!("{data:?}"))?;
    let whole = Config { reward: proposal.config, ..Config::default() };
    let table: toml::Table = toml::from_str(&whole.to_toml())?;
    println!("# {}", proposal.reason);
    println!("# The self-test on {} of the rows:", proposal.report.n);
    for line in proposal.report.to_string().lines() {
        println!("# {line}");
    }
    let section: toml::Table =
        [("reward".to_owned(), table["reward"].clone())].into_iter().collect();
    println!("\n{}", toml::to_string_pretty(&section)?);
    Ok(())
}

/// Questions and true answers: JSON lines without images are enough, anything else is a data set.
fn rows(data: &Path) -> eyre::Result<Vec<(String, String)>> {
    if data.extension().is_some_and(|extension| extension == "jsonl") {
        let text =
            std::fs::read_to_string(data).wrap_err_with(|| format!("cannot read {data:?}"))?;
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        return lines
            .map(|(idx, line)| {
                let at = || format!("{}, line {}", data.display(), idx + 1);
                let row: Value = serde_json::from_str(line).wrap_err_with(at)?;
                let problem = field(&row, &["problem", "question", "prompt"]).unwrap_or_default();
                Ok((problem, field(&row, &["solution", "answer"]).wrap_err_with(at)?))
            })
            .collect();
    }
    let dataset = dataset::Dataset::open(data)?;
    let samples = (0..dataset.len()).map(|idx| dataset.get(idx));
    Ok(samples.map(|sample| (sample.problem.clone(), sample.solution.clone())).collect())
}

/// The first of these fields that is there; what is no text is taken as it is written.
fn field(row: &Value, names: &[&str]) -> eyre::Result<String> {
    let found = names.iter().find_map(|name| row.get(name));
    match found.ok_or_else(|| eyre!("expected a field {}", names.join(" or ")))? {
        Value::String(text) => Ok(text.clone()),
        Value::Null => bail!("expected text in {}, got null", names[0]),
        other => Ok(other.to_string()),
    }
}
