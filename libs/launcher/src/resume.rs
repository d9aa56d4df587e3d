//! Going on with a run: with what its folder holds, unless the command line says otherwise and means it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use eyre::{WrapErr, ensure};
use serde::Deserialize;

use crate::cli::{GraphOptions, RunOptions};
use crate::graph::Graph;
use crate::lock::RunLock;
use crate::origin::{MadeOf, Origin};
use crate::print::say;
use crate::run::{Prepared, command_line, made_of, verify_start};
use crate::{check, difference, run_dir};

/// Finds the run, takes its folder and checks that it is still the same run.
///
/// # Errors
/// No such run, one that is under way, a graph, a configuration or data other than it began with.
pub(crate) fn prepare(options: &RunOptions, named: Option<&Path>) -> eyre::Result<Prepared> {
    let run_dir = run_dir::find(named, Path::new("out"))?;
    let lock = RunLock::take(&run_dir)?;
    let (before, (mut graph, mut origin)) = match Origin::read(&run_dir)? {
        Some((origin, descriptor)) => {
            let before = Graph::of_run(&run_dir, &origin.folder, descriptor, &[])?;
            let config = before.config.clone();
            (Some(config), (asked(options, before, &run_dir)?, origin))
        }
        None => (None, without_origin(options, &run_dir)?),
    };
    graph.config.run.resume = true;
    graph.check_files()?;
    if options.with_changes {
        check_steps(&steps_done(&run_dir)?, graph.config.learner.steps)?;
    }
    verify_start(&graph, options)?;
    check::check_starts(&graph)?;
    let shortage = check::check_memory(&graph)?.filter(|_| options.with_changes);
    let now = MadeOf { graph_file: Origin::graph_file(&run_dir)?, ..made_of(&graph)? };
    if let Some(config) = before.filter(|_| !options.with_changes) {
        origin.made_of.check(&now, &config, &origin.folder)?;
    }
    origin.made_of = now;
    let news = graph.notes.iter().filter(|note| !origin.warnings.contains(note)).cloned();
    let news: Vec<String> = news.chain(shortage).collect();
    origin.warnings.extend(news);
    origin.commands.push(command_line());
    if options.start_over {
        set_damaged_aside(&run_dir)?;
    } else {
        check_intact(&run_dir)?;
    }
    Ok(Prepared { graph, run_dir, origin, lock })
}

/// The graph and the configuration to resume with: the run's own, or those of the command line with `--with-changes`.
fn asked(options: &RunOptions, before: Graph, run_dir: &Path) -> eyre::Result<Graph> {
    let GraphOptions { graph, config, overrides } = &options.graph;
    if graph.is_none() && config.is_none() && overrides.is_empty() {
        return Ok(before);
    }
    let named = graph.is_some() || config.is_some();
    let given = if named { Some(Graph::load(&options.graph)) } else { None };
    let given = given.transpose()?;
    let descriptor = match (&given, graph) {
        (Some(given), Some(_)) => given.descriptor.clone(),
        _ => before.descriptor.clone(),
    };
    let folder =
        given.as_ref().filter(|_| graph.is_some()).map_or(&before.folder, |one| &one.folder);
    let mut now = Graph::of_run(run_dir, folder, descriptor, overrides)?;
    if let (Some(given), Some(_)) = (given, config) {
        now.config = given.config;
    }
    if options.with_changes {
        return Ok(now);
    }
    difference::refuse((&before.descriptor, &before.config), (&now.descriptor, &now.config))?;
    Ok(before)
}

/// A run that something else has started says nothing of its graph.
fn without_origin(options: &RunOptions, run_dir: &Path) -> eyre::Result<(Graph, Origin)> {
    let config = options.graph.config.clone().unwrap_or_else(|| run_dir.join("config.toml"));
    let graph = Graph::load(&GraphOptions { config: Some(config), ..options.graph.clone() })
        .wrap_err_with(|| {
            format!(
                "{run_dir:?} does not hold its graph: name it, as in `vrft run GRAPH --resume DIR`"
            )
        })?;
    check_nodes(&graph, run_dir)?;
    let origin = Origin {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        graph: graph.path.clone(),
        folder: graph.folder.clone(),
        ..Origin::default()
    };
    Ok((graph, origin))
}

/// Refuses a graph whose nodes are not those of the run: where none was named, it is the usual one.
fn check_nodes(graph: &Graph, run_dir: &Path) -> eyre::Result<()> {
    #[derive(Deserialize)]
    struct Known {
        id: String,
    }
    let path = run_dir.join("nodes.json");
    let Ok(text) = std::fs::read_to_string(&path) else { return Ok(()) };
    let known: Vec<Known> = serde_json::from_str(&text).wrap_err_with(|| format!("in {path:?}"))?;
    let known: BTreeSet<String> = known.into_iter().map(|node| node.id).collect();
    let asked: BTreeSet<String> =
        graph.descriptor.nodes.iter().map(|node| node.id.to_string()).collect();
    let list = |nodes: &BTreeSet<String>| nodes.iter().cloned().collect::<Vec<_>>().join(", ");
    ensure!(
        known == asked,
        "{run_dir:?} does not hold its graph, whose nodes were {}; {:?} has {}: name the graph that it was started with, as in \
         `vrft run GRAPH --resume DIR`",
        list(&known),
        graph.path,
        list(&asked)
    );
    Ok(())
}

/// The steps that the learners of a run have taken, each with the folder of its checkpoints.
fn steps_done(run_dir: &Path) -> eyre::Result<Vec<(PathBuf, u64)>> {
    let mut done = Vec::new();
    for path in learners(run_dir)? {
        let checkpoints = vrft_learner::Checkpoints::new(&path, usize::MAX)?;
        // One of which none is intact is told of where it is read.
        if let Ok(Some(newest)) = checkpoints.newest() {
            done.push((path, newest.step));
        }
    }
    Ok(done)
}

/// A run does not go back: its weights have taken the steps that they have taken.
///
/// # Errors
/// Fewer steps than a learner has taken.
fn check_steps(done: &[(PathBuf, u64)], steps: u64) -> eyre::Result<()> {
    for (path, done) in done {
        ensure!(
            *done <= steps,
            "learner.steps = {steps}, but {} has taken {done} steps already, and a run does not go back: name at least {done}, \
             or start another run",
            path.display()
        );
    }
    Ok(())
}

/// Refuses a run of which a learner has saved checkpoints and none is intact, before its nodes start and end again.
///
/// # Errors
/// The first such learner, and what to do.
fn check_intact(run_dir: &Path) -> eyre::Result<()> {
    for learner in learners(run_dir)? {
        vrft_learner::Checkpoints::new(&learner, usize::MAX)?.newest()?;
    }
    Ok(())
}

/// The folders of checkpoints of a run, one for each learner.
fn learners(run_dir: &Path) -> eyre::Result<Vec<PathBuf>> {
    let folder = run_dir.join("checkpoints");
    let Ok(learners) = std::fs::read_dir(&folder) else { return Ok(Vec::new()) };
    let paths = learners.map(|learner| learner.map(|learner| learner.path()));
    let paths = paths.collect::<std::io::Result<Vec<PathBuf>>>();
    let mut paths = paths.wrap_err_with(|| format!("cannot list {folder:?}"))?;
    let is_set_aside = |path: &PathBuf| {
        let ending = path.extension().and_then(|ending| ending.to_str());
        ending.is_some_and(|ending| ending.starts_with(DAMAGED))
    };
    paths.retain(|path| !is_set_aside(path));
    paths.sort();
    Ok(paths)
}

/// What the name of a folder ends in that was set aside.
const DAMAGED: &str = "damaged";

/// Renames the folders of checkpoints of which none is intact, so that their learners begin again.
fn set_damaged_aside(run_dir: &Path) -> eyre::Result<()> {
    for path in learners(run_dir)? {
        let checkpoints = vrft_learner::Checkpoints::new(&path, usize::MAX)?;
        if checkpoints.newest().is_ok() {
            continue;
        }
        let mut aside = path.with_extension(DAMAGED);
        let mut n = 1;
        while aside.exists() {
            n += 1;
            aside = path.with_extension(format!("{DAMAGED}-{n}"));
        }
        std::fs::rename(&path, &aside).wrap_err_with(|| format!("cannot rename {path:?}"))?;
        say!("No intact checkpoint in {}: set aside as {}.", path.display(), aside.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_does_not_hold_its_graph_goes_on_with_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let graph = concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs/rft.yml").into();
        let options = GraphOptions { graph: Some(graph), config: None, overrides: Vec::new() };
        let graph = Graph::load(&options).unwrap();
        // A run of which nothing was written yet could be of any graph.
        check_nodes(&graph, folder.path()).unwrap();
        let write = |nodes: &[String]| {
            let nodes: Vec<_> = nodes.iter().map(|id| serde_json::json!({"id": id})).collect();
            let text = serde_json::to_string(&nodes).unwrap();
            std::fs::write(folder.path().join("nodes.json"), text).unwrap();
        };
        let ids: Vec<String> =
            graph.descriptor.nodes.iter().map(|node| node.id.to_string()).collect();
        write(&ids);
        check_nodes(&graph, folder.path()).unwrap();
        write(&[&ids[..], &["camera".to_owned()]].concat());
        let error = check_nodes(&graph, folder.path()).unwrap_err().to_string();
        for words in ["camera", "rft.yml", "vrft run GRAPH --resume DIR"] {
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn a_run_without_an_intact_checkpoint_is_refused_before_it_starts() {
        let folder = tempfile::tempdir().unwrap();
        let write = |learner: &str, step: &str, text: &str| {
            let path = folder.path().join("checkpoints").join(learner).join(step);
            std::fs::create_dir_all(&path).unwrap();
            std::fs::write(path.join("model.safetensors"), text).unwrap();
            std::fs::write(path.join("state.json"), state(step)).unwrap();
            vrft_checkpoint::Manifest::write(&path).unwrap();
            path
        };
        check_intact(folder.path()).unwrap();
        write("sft", "step-000003", "weights");
        let first = write("learner", "step-000001", "weights");
        let second = write("learner", "step-000002", "weights");
        std::fs::write(second.join("model.safetensors"), "cut").unwrap();
        check_intact(folder.path()).unwrap();
        std::fs::write(first.join("model.safetensors"), "cut").unwrap();
        let error = check_intact(folder.path()).unwrap_err().to_string();
        for words in ["none of the 2 checkpoints in", "checkpoints/learner", "--start-over"] {
            assert!(error.contains(words), "{error}");
        }
        set_damaged_aside(folder.path()).unwrap();
        check_intact(folder.path()).unwrap();
        assert!(folder.path().join("checkpoints/learner.damaged/step-000002").is_dir());
        assert_eq!(steps_done(folder.path()).unwrap().len(), 1);
    }

    /// What a learner notes beside its weights.
    fn state(step: &str) -> String {
        let step: u64 = step.trim_start_matches("step-").parse().unwrap();
        serde_json::json!({"step": step, "cursor": {"next_prompt_id": 0}, "settings": {}})
            .to_string()
    }

    #[test]
    fn a_run_does_not_go_back() {
        let done = [("checkpoints/learner".into(), 20), ("checkpoints/sft".into(), 10)];
        check_steps(&done, 20).unwrap();
        check_steps(&[], 1).unwrap();
        let error = check_steps(&done, 15).unwrap_err().to_string();
        for words in ["learner.steps = 15", "checkpoints/learner has taken 20 steps", "at least 20"]
        {
            assert!(error.contains(words), "{error}");
        }
        assert_eq!(steps_done(Path::new("no/such/run")).unwrap(), []);
    }
}
