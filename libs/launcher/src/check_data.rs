//! The data part of `vrft check`: every row as the run will take it.

use std::path::Path;

use eyre::{WrapErr, eyre};
use vrft_dataset::{Dataset, Overlap, Row};
use vrft_processor::Processor;
use vrft_prompts::{Checker, Declared, Prompter};

use crate::graph::Graph;
use crate::print::say;

/// Opens a data set of a graph.
pub(crate) fn open(graph: &Graph, path: &Path, split: Option<&str>) -> eyre::Result<Dataset> {
    let data = &graph.config.data;
    let mut options = data.open_options(split);
    options.image_root = options.image_root.map(|root| graph.folder.join(root));
    Ok(Dataset::open_with(&graph.folder.join(path), &options)?)
}

/// Checks training and held-out data and prints which rows are used; with `all` every picture is decoded.
///
/// # Errors
/// Data that cannot be used, or more bad rows than `data.max_bad_fraction` allows.
pub(crate) fn check_data(graph: &Graph, all: bool) -> eyre::Result<()> {
    let config = &graph.config;
    let (data, evaluation) = (&config.data, &config.evaluation);
    let mut policy = config.policy.clone();
    policy.path = graph.checkpoint()?;
    let processor = &Processor::of(&policy)?;
    let mut training = Vec::new();
    if data.sources.is_empty() {
        let train = (None, data.train.as_path(), data.split.as_deref());
        training.push(checked(graph, processor, "data.train", train, data.shots, all)?);
    }
    for source in &data.sources {
        let train = (Some(source.task.as_str()), source.train.as_path(), source.split.as_deref());
        training.push(checked(graph, processor, "data.sources.train", train, source.shots, all)?);
    }
    let test = (None, evaluation.test.as_path(), evaluation.split.as_deref());
    let test = checked(graph, processor, "evaluation.test", test, 0, all)?;
    for train in &training {
        let overlap = Overlap::between(train, &test);
        if overlap.pictures > 0 {
            say!("# warning: {overlap}");
        }
    }
    Ok(())
}

/// One data set with the task, the path and the split of it.
fn checked(
    graph: &Graph,
    processor: &Processor,
    key: &str,
    (task, path, split): (Option<&str>, &Path, Option<&str>),
    shots: usize,
    all: bool,
) -> eyre::Result<Dataset> {
    let config = &graph.config;
    let reward = task.map_or(&config.rewards.shared, |task| config.rewards.of(task));
    let data = &config.data;
    let dataset = open(graph, path, split).wrap_err_with(|| key.to_owned())?;
    let declared = Declared { space: data.space_of(task), boxes_are: data.boxes_are };
    let prompter = Prompter::new(reward, &config.policy.system).for_data(&dataset, declared);
    let checker = Checker::new(processor, config.rollout.max_completion_tokens);
    let check = |row: &Row| {
        checker.check(&prompter, row)?;
        if all { row.decode() } else { Ok(()) }
    };
    let max_bad_fraction = config.data.max_bad_fraction;
    let dataset = dataset.retain_valid(check, max_bad_fraction);
    let dataset = dataset.map_err(|error| eyre!("{key}: {error}"))?;
    let dataset = dataset.shots(shots, config.run.seed, max_bad_fraction);
    let dataset =
        dataset.map_err(|error| eyre!("{key}, of which data.shots are drawn: {error}"))?;
    let summary = dataset.summary(dataset.len());
    let note = checker.note(reward);
    for (number, line) in summary.iter().chain(prompter.notes()).chain(&note).enumerate() {
        say!("# {}{line}", if number == 0 { format!("{key}: ") } else { "  ".to_owned() });
    }
    Ok(dataset)
}
