//! The monitor: writes down the numbers of all nodes, says how each step went, makes the report.
#![expect(clippy::print_stdout, reason = "what it prints is what the user of a run reads")]

mod environment;
mod progress;
mod records;
mod tensorboard;

use clap::Parser;
use config::Config;
use eyre::WrapErr;
use messages::MetricBatch;
use node::Node;

use crate::progress::Progress;
use crate::records::Records;
use crate::tensorboard::TensorBoard;

fn main() -> std::process::ExitCode {
    node::exit(start())
}

/// Writes down what the nodes say of themselves.
#[derive(Parser)]
struct Arguments {
    /// Join a run that goes on already, as its node of this name whose path is `dynamic`.
    #[arg(long, value_name = "ID")]
    join: Option<String>,
}

fn start() -> eyre::Result<()> {
    let arguments = Arguments::parse();
    let config = node::load_config()?;
    let node = match &arguments.join {
        None => Node::join(&config)?,
        Some(id) => Node::join_late(&config, id)?,
    };
    run(node, &config)
}

/// An input's name is the name of the node whose metrics it carries.
fn run(mut node: Node, config: &Config) -> eyre::Result<()> {
    let inputs = node.inputs();
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    let run_dir = node.run_dir().to_owned();
    std::fs::write(run_dir.join("config.toml"), config.to_toml()).wrap_err("config.toml")?;
    let mut environment = environment::Environment::gather();
    environment.write(&run_dir)?;
    let mut records = Records::open(&run_dir)?;
    let mut board = TensorBoard::new(&run_dir);
    let mut progress = Progress::new(config);
    let collected = collect(&mut node, &inputs, &mut records, &mut board, &mut progress);
    environment.end();
    environment.write(&run_dir)?;
    let report = report::write_report(&run_dir)?;
    if let Ok(comparison) = report::comparison(&run_dir) {
        println!("{}", comparison.to_text());
    }
    println!("Report: {}", report.display());
    // A run that broke off has a report too, of what there is.
    collected?;
    node.finish()
}

fn collect(
    node: &mut Node,
    inputs: &[&str],
    records: &mut Records,
    board: &mut TensorBoard,
    progress: &mut Progress,
) -> eyre::Result<()> {
    while let Some((source, batch)) = node.recv_any::<MetricBatch>(inputs)? {
        records.append(&source, &batch)?;
        board.append(&source, &batch)?;
        if let Some(line) = progress.take(&source, &batch) {
            println!("{line}");
        }
    }
    Ok(())
}
