//! The first stage of Visual-RFT's evaluation of detection: what the policy that is started from says is on a picture.

use std::path::Path;

use eyre::{WrapErr, ensure};
use vrft_config::Document;

use super::{Table, assignment};
use crate::config::Config;
use crate::difference;
use crate::graph::Graph;
use crate::print::say;

/// The file in the folder of a table.
const FILE: &str = "exist.json";
/// The configuration that it was made with.
const MADE_WITH: &str = "exist.toml";

/// The table with its evaluation restricted to what exists, where it asks for that. The file is made once.
pub(crate) fn ready(table: &Table) -> eyre::Result<Table> {
    let mut ready = table.clone();
    if !table.spec.existence {
        return Ok(ready);
    }
    let every = "evaluation.ask=\"every\"".to_owned();
    std::fs::create_dir_all(&table.folder).wrap_err_with(|| format!("{:?}", table.folder))?;
    let path = table.folder.canonicalize()?.join(FILE);
    let made_with = path.with_file_name(MADE_WITH);
    let mut options = table.graph.clone();
    options.overrides.push(every.clone());
    let graph = Graph::load(&options)?;
    if path.exists() {
        check_same(&path, &made_with, &graph.config)?;
    } else {
        say!("{}: which categories are on which picture", table.spec.title);
        let mut config = graph.config.judge();
        config.policy.path = graph.checkpoint()?;
        let judge = vrft_evaluate::Judge::load(&config).wrap_err("evaluation.test")?;
        let exists = judge.existence(&config.policy.path)?;
        let n_yes = exists.values().filter(|exists| **exists).count();
        say!("yes to {n_yes} of {} questions", exists.len());
        std::fs::write(&made_with, graph.config.to_toml())
            .and_then(|()| vrft_config::replace(&path, serde_json::to_string(&exists)?))
            .wrap_err_with(|| format!("cannot write {path:?}"))?;
    }
    ready.graph.overrides.extend([every, assignment("evaluation.exist", &path)]);
    Ok(ready)
}

/// Refuses a file with answers that another policy gave, or to other questions.
pub(super) fn check_same(answers: &Path, made_with: &Path, now: &Config) -> eyre::Result<()> {
    // A folder of an earlier version does not say what its answers were made with.
    if !made_with.exists() {
        return Ok(());
    }
    let before = Config::read(&Document::load(made_with, &[])?)?;
    let differences = difference::of_configs(&before, now)?;
    ensure!(
        differences.is_empty(),
        "{:?} was made with other settings:\n    {}\n  Name another --out, or remove the file to ask again",
        answers,
        differences.join("\n    ")
    );
    Ok(())
}
