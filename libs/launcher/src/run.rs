//! `vrft run`: a graph from start to report, or from where it stopped.

use std::path::{Path, PathBuf};
use std::time::Duration;

use dora_daemon::{Daemon, LogDestination, RunDataflowOptions};
use dora_message::SessionId;
use dora_message::common::LogMessage;
use eyre::WrapErr;
use tokio::sync::watch;

use crate::check_data;
use crate::cli::RunOptions;
use crate::compile::compile;
use crate::fingerprint;
use crate::graph::Graph;
use crate::lock::RunLock;
use crate::origin::{MadeOf, Origin};
use crate::print::say;
use crate::progress::Progress;
use crate::{check, outcome, resume, run_dir};

/// Environment variable that the report quotes the command line from.
const COMMAND_VARIABLE: &str = "VRFT_COMMAND";

/// Time in which the daemon says that it starts a node again that has died.
const RESTART_NOTICE: Duration = Duration::from_secs(1);

/// A run that is ready to start.
pub(crate) struct Prepared {
    pub(crate) graph: Graph,
    pub(crate) run_dir: PathBuf,
    pub(crate) origin: Origin,
    /// Held until the run has ended.
    pub(crate) lock: RunLock,
}

/// Builds the nodes, runs the graph, shows progress and result.
pub(crate) fn run(options: &RunOptions) -> eyre::Result<()> {
    let Prepared { mut graph, run_dir, origin, lock } = match &options.resume {
        None => prepare(options)?,
        Some(named) => {
            let prepared = resume::prepare(options, named.as_deref())?;
            build(&prepared.graph, options)?;
            prepared
        }
    };
    let config_file = run_dir.join("config.toml");
    std::fs::write(&config_file, graph.config.to_toml())
        .wrap_err_with(|| format!("{config_file:?}"))?;
    graph.set_env(vrft_node::CONFIG_VARIABLE, &config_file.display().to_string());
    graph.set_env(vrft_node::RUN_DIR_VARIABLE, &run_dir.display().to_string());
    origin.write(&graph.descriptor, &run_dir)?;
    graph.set_env(COMMAND_VARIABLE, &command_line());
    say!("Run folder: {}", run_dir.display());
    origin.warnings.iter().for_each(|warning| say!("warning: {warning}"));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let expendable = graph.expendable();
    let steps = graph.config.learner.steps;
    let progress = Progress::start(steps, &run_dir, options.verbose, expendable.clone());
    // A graph with a monitor is a ring, which a failure anywhere ends; why is then told once, by its result.
    let stops_itself = graph.is_a_ring();
    let deaths = progress.deaths();
    let result = runtime.block_on(async {
        let graph = dataflow(&graph, progress.log_sender());
        let watcher = stop_after_death(deaths.clone());
        tokio::pin!(graph);
        tokio::select! {
            result = &mut graph => return result,
            () = watcher, if !stops_itself => {}
        }
        graph.await
    });
    let dead = deaths.borrow().clone().filter(|_| !stops_itself);
    let log = progress.finish();
    log.remove_logs_of_dora(&graph.folder);
    let told = outcome::report(result, dead.as_deref(), &log.lines, &run_dir, &expendable);
    drop(lock);
    told
}

/// Builds the nodes, and checks that all are there.
fn build(graph: &Graph, options: &RunOptions) -> eyre::Result<()> {
    if !options.no_build {
        graph.check_devices()?;
        compile(graph)?;
    }
    check::check_nodes(graph, true)
}

/// A new run: its folder is made once all that can be checked before is fine, so that a start that fails leaves none.
fn prepare(options: &RunOptions) -> eyre::Result<Prepared> {
    options.out.as_deref().map_or(Ok(()), run_dir::check_free)?;
    let graph = Graph::load(&options.graph)?;
    graph.check_sources()?;
    graph.check_files()?;
    check::check_starts(&graph)?;
    verify_start(&graph, options)?;
    if graph.is_local() {
        check::check_policy(&graph)?;
    }
    let mut warnings = graph.notes.clone();
    warnings.extend(check::warnings(&graph));
    warnings.extend(check::check_memory(&graph)?);
    let made_of = made_of(&graph)?;
    build(&graph, options)?;
    let run_dir = match &options.out {
        Some(folder) => run_dir::make(folder)?,
        None => run_dir::create(&graph.config.run.out, &graph.config.run.name)?,
    };
    let lock = RunLock::take(&run_dir)?;
    let origin = Origin {
        commands: vec![command_line()],
        version: env!("CARGO_PKG_VERSION").to_owned(),
        graph: graph.path.clone(),
        folder: graph.folder.clone(),
        made_of,
        warnings,
    };
    Ok(Prepared { graph, run_dir, origin, lock })
}

/// Compares the checkpoint that a run starts from with its manifest, if it has one.
pub(crate) fn verify_start(graph: &Graph, options: &RunOptions) -> eyre::Result<()> {
    if options.no_verify {
        return Ok(());
    }
    let base = graph.config.policy.base.as_deref();
    vrft_checkpoint::verify(&graph.checkpoint()?, base).wrap_err("policy.path")
}

/// What a run of this graph is made of, as it is now.
///
/// # Errors
/// A file that cannot be read.
pub(crate) fn made_of(graph: &Graph) -> eyre::Result<MadeOf> {
    let mut made_of = MadeOf { config: Some(graph.config.to_toml()), ..MadeOf::default() };
    if graph.is_local() {
        let base = graph.config.policy.base.as_deref();
        let weights = fingerprint::of_model(&graph.checkpoint()?, base);
        made_of.weights = Some(weights.wrap_err("policy.path")?);
    }
    let data = data_of(graph);
    if !data.is_empty() {
        // What is wrong with a data set is said by the node that reads it, with all that this needs.
        made_of.pictures = check_data::opened(graph).map(|sets| fingerprint::of_pictures(&sets));
    }
    made_of.data = fingerprint::of_data(&data)?;
    Ok(made_of)
}

/// The files and folders that rows are read from.
fn data_of(graph: &Graph) -> Vec<PathBuf> {
    let config = &graph.config;
    if config.stream.is_some() || !graph.is_local() || !graph.reads_data() {
        return Vec::new();
    }
    let mut paths = vec![config.evaluation.test.clone()];
    paths.extend(config.evaluation.validation.clone());
    if config.data.sources.is_empty() {
        paths.push(config.data.train.clone());
    }
    for source in &config.data.sources {
        paths.push(source.train.clone());
        paths.extend(source.test.clone());
    }
    paths.extend(config.data.classes.clone());
    paths.extend(config.data.rows.clone());
    paths.extend(config.evaluation.exist.clone());
    paths
}

pub(crate) fn command_line() -> String {
    let words = std::env::args();
    let quoted = words.map(|word| shlex::try_quote(&word).map(Into::into).unwrap_or(word));
    quoted.collect::<Vec<String>>().join(" ")
}

/// Asks the graph to stop when a node has died and is not started again: where no monitor hears of every node, the others
/// would go on without what it did.
async fn stop_after_death(mut deaths: watch::Receiver<Option<String>>) {
    loop {
        // The sender is gone when the graph has ended.
        if deaths.wait_for(Option::is_some).await.is_err() {
            return std::future::pending().await;
        }
        // That it is started again is said a moment later.
        tokio::time::sleep(RESTART_NOTICE).await;
        if deaths.borrow().is_some() {
            break;
        }
    }
    if let Some(node) = &*deaths.borrow() {
        say!("Node {node:?} has failed: the others are asked to stop.");
    }
    // As from outside: the daemon passes it on to the nodes as their event "stop".
    let _raised = nix::sys::signal::raise(nix::sys::signal::Signal::SIGTERM).is_ok();
}

/// Runs the graph in a daemon inside this process; every node is a process of its own.
async fn dataflow(
    graph: &Graph,
    log: flume::Sender<LogMessage>,
) -> eyre::Result<dora_message::coordinator_to_cli::DataflowResult> {
    // A message that dora dropped would leave a hole in the training data: better no run.
    // What was under way to a rollout that died is lost on purpose; sequence numbers watch over the rest.
    let options = RunDataflowOptions::default()
        .fail_on_lost_backpressure_messages(graph.expendable().is_empty());
    let folder: &Path = &graph.folder;
    let daemon = Daemon::run_dataflow_with(
        None,
        &graph.path,
        None,
        None,
        SessionId::generate(),
        false,
        LogDestination::Channel { sender: log },
        None,
        None,
        false,
        Some(folder.to_owned()),
        Some(graph.descriptor.clone()),
        options,
    );
    daemon.await
}
