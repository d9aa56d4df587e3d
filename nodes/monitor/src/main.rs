//! The monitor: writes down the numbers of all nodes, says how each step went, makes the report.
#![expect(clippy::print_stdout, reason = "what it prints is what the user of a run reads")]

mod environment;
mod ports;
mod progress;
#[cfg(feature = "rerun")]
mod recording;
#[cfg(not(feature = "rerun"))]
#[path = "no_recording.rs"]
mod recording;
mod records;
mod rest;
mod tensorboard;

use std::path::Path;

use clap::Parser;
use eyre::{WrapErr, bail};
use vrft_config::Document;
use vrft_messages::MetricBatch;
use vrft_node::ports::AnyInput;
use vrft_node::{Node, Waited};
use vrft_plan::LearnerConfig;
use vrft_report::RunFacts;

use crate::environment::Environment;
use crate::ports::{GROUPS, METRICS, PORTS, PROMPTS, REWARDS};
use crate::progress::Progress;
use crate::recording::Recording;
use crate::records::Records;
use crate::tensorboard::TensorBoard;

fn main() -> std::process::ExitCode {
    vrft_node::exit(start())
}

/// Writes down what the nodes say of themselves.
#[derive(Parser)]
struct Arguments {
    /// Join a run that has started already, as its node of this name whose path is `dynamic`.
    #[arg(long, value_name = "ID")]
    join: Option<String>,
}

fn start() -> eyre::Result<()> {
    let arguments = Arguments::parse();
    let document = vrft_node::load_document()?;
    let node = match &arguments.join {
        None => Node::join(&PORTS, &document)?,
        Some(id) => Node::join_late(&PORTS, &document, id)?,
    };
    run(node, &document)
}

/// An input's name is the name of the node whose metrics it carries.
fn run(mut node: Node, document: &Document) -> eyre::Result<()> {
    let learner: LearnerConfig = document.section()?;
    let recording = recording(&node, document)?;
    let run_dir = node.run_dir().to_owned();
    write_config(&run_dir, document)?;
    let mut environment = Environment::gather(&run_dir);
    environment.write(&run_dir)?;
    records::write_members(&run_dir, &node.members())?;
    let mut desk = Desk {
        records: Records::open(&run_dir, environment.n_sessions())?,
        board: TensorBoard::new(&run_dir),
        progress: Progress::new(&learner, &node.members(), RunFacts::of(document)),
        recording,
    };
    let collected = collect(&mut node, &mut desk);
    environment.end();
    environment.write(&run_dir)?;
    let report = vrft_report::write_report(&run_dir)?;
    // What a run that broke off has come to is no result of it; its report has what there is.
    if collected.is_ok() {
        print_results(&run_dir)?;
    }
    println!("Report: {}", vrft_config::shown(&report));
    collected?;
    node.finish()
}

/// What a run has come to: the measures beside each other, and the best policies with where they are.
fn print_results(run_dir: &Path) -> eyre::Result<()> {
    if let Ok(comparison) = vrft_report::comparison(run_dir) {
        println!("{}", comparison.to_text());
    }
    for line in vrft_report::live_answers(run_dir)? {
        println!("{line}");
    }
    for best in vrft_report::best_policies(run_dir)? {
        println!("{best}");
        println!("  {}", vrft_config::shown(&run_dir.join(&best.checkpoint)));
    }
    Ok(())
}

/// Keeps the configuration in the run folder, unless the launcher has put it there with all defaults written out.
fn write_config(run_dir: &Path, document: &Document) -> eyre::Result<()> {
    let path = run_dir.join("config.toml");
    if document.is_from(&path) {
        return Ok(());
    }
    std::fs::write(&path, document.to_toml()).wrap_err_with(|| format!("{path:?}"))
}

/// The recording, where the graph sends what it is made of.
fn recording(node: &Node, document: &Document) -> eyre::Result<Option<Recording>> {
    let has = [node.has_input(&PROMPTS), node.has_input(&GROUPS), node.has_input(&REWARDS)];
    match has.iter().filter(|has| **has).count() {
        0 => Ok(None),
        3 => Recording::open(node, document).map(Some),
        _ => bail!(
            "a recording needs all of the inputs {}, {} and {}",
            PROMPTS.name(),
            GROUPS.name(),
            REWARDS.name()
        ),
    }
}

/// Where metrics go.
struct Desk {
    records: Records,
    board: TensorBoard,
    progress: Progress,
    recording: Option<Recording>,
}

impl Desk {
    fn take(&mut self, source: &str, batch: &MetricBatch) -> eyre::Result<()> {
        self.records.append(source, batch)?;
        self.board.append(source, batch)?;
        if let Some(recording) = &self.recording {
            recording.append(source, batch)?;
        }
        for line in self.progress.take(source, batch) {
            println!("{line}");
        }
        Ok(())
    }
}

fn collect(node: &mut Node, desk: &mut Desk) -> eyre::Result<()> {
    let metrics = node.others(&METRICS);
    rest::of_earlier_session(node, &metrics, desk)?;
    let mut inputs: Vec<&dyn AnyInput> =
        metrics.iter().map(|input| input as &dyn AnyInput).collect();
    let rewards: &dyn AnyInput = &REWARDS;
    inputs.extend(desk.recording.as_ref().map(|_| rewards));
    loop {
        let input = match node.wait(&inputs, None)? {
            Waited::Message(input) => input,
            Waited::Over => return rest::after_stop(node, &metrics, desk),
            Waited::Ended(_) | Waited::Lost(_) | Waited::Nothing => continue,
        };
        let Some(of_node) = metrics.iter().find(|metrics| metrics.name() == input) else {
            desk.recording.as_ref().map_or(Ok(()), |recording| recording.take_step(node))?;
            continue;
        };
        if let Some(batch) = node.recv(of_node)? {
            desk.take(&input, &batch)?;
        }
    }
}
