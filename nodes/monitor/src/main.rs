//! The monitor: writes down the numbers of all nodes, says how each step went, makes the report.

mod environment;
mod progress;
mod records;

use config::Config;
use eyre::WrapErr;
use messages::MetricBatch;
use node::Node;
use tracing::info;

use crate::progress::Progress;
use crate::records::Records;

fn main() -> std::process::ExitCode {
    node::exit(start())
}

fn start() -> eyre::Result<()> {
    let config = node::load_config()?;
    run(Node::join(&config)?, &config)
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
    let mut progress = Progress::new(config);
    while let Some((source, batch)) = node.recv_any::<MetricBatch>(&inputs)? {
        records.append(&source, &batch)?;
        if let Some(line) = progress.take(&source, &batch) {
            info!("{line}");
        }
    }
    environment.end();
    environment.write(&run_dir)?;
    let report = report::write_report(&run_dir)?;
    if let Ok(comparison) = report::comparison(&run_dir) {
        for line in comparison.to_text().lines() {
            info!("{line}");
        }
    }
    info!("Report: {}", report.display());
    node.finish()
}
