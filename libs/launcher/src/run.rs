//! `vrft run`: a graph from start to report.

use std::path::{Path, PathBuf};

use dora_daemon::{Daemon, LogDestination, RunDataflowOptions};
use dora_message::SessionId;
use dora_message::common::LogMessage;
use eyre::WrapErr;

use crate::cli::RunOptions;
use crate::compile::compile;
use crate::graph::Graph;
use crate::progress::Progress;
use crate::{outcome, run_dir};

/// Environment variable that the report quotes the command line from.
const COMMAND_VARIABLE: &str = "VRFT_COMMAND";

/// Builds the nodes, runs the graph, shows progress and result.
pub(crate) fn run(options: &RunOptions) -> eyre::Result<()> {
    let (mut graph, run_dir) = prepare(options)?;
    graph.check_files()?;
    if !options.no_build {
        graph.check_devices()?;
        compile(&graph)?;
    }
    let config_file = run_dir.join("config.toml");
    std::fs::write(&config_file, graph.config.to_toml())
        .wrap_err_with(|| format!("{config_file:?}"))?;
    graph.set_env(vrft_node::CONFIG_VARIABLE, &config_file.display().to_string());
    graph.set_env(vrft_node::RUN_DIR_VARIABLE, &run_dir.display().to_string());
    graph.set_env(COMMAND_VARIABLE, &std::env::args().collect::<Vec<_>>().join(" "));
    println!("Run folder: {}", run_dir.display());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let progress = Progress::start(graph.config.learner.steps, &run_dir, options.verbose);
    let result = runtime.block_on(dataflow(&graph, progress.log_sender()));
    let log = progress.finish();
    outcome::report(result, &log, &run_dir, &graph.expendable())
}

/// The graph with its configuration, and the folder to write to.
fn prepare(options: &RunOptions) -> eyre::Result<(Graph, PathBuf)> {
    let Some(resume) = &options.resume else {
        let graph = Graph::load(&options.graph)?;
        let run_dir = match &options.out {
            Some(folder) => run_dir::make(folder)?,
            None => run_dir::create(&graph.config.run.out, &graph.config.run.name)?,
        };
        return Ok((graph, run_dir));
    };
    let run_dir = run_dir::find(resume.as_deref(), Path::new("out"))?;
    let mut graph = Graph::with_config(&options.graph, Some(&run_dir.join("config.toml")))?;
    graph.config.run.resume = true;
    Ok((graph, run_dir))
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
        None,
        Some(graph.descriptor.clone()),
        options,
    );
    daemon.await
}
