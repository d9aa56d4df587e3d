//! The loader: questions about images, sent only against credit.

use config::Config;
use dataset::{Dataset, Order};
use eyre::WrapErr;
use messages::{Credit, PromptBatch};
use node::Node;
use tracing::info;

mod prompt;
#[cfg(test)]
mod tests;

fn main() -> std::process::ExitCode {
    node::exit(start())
}

fn start() -> eyre::Result<()> {
    let config = node::load_config()?;
    let dataset = open(&config)?;
    run(Node::join(&config)?, &config, &dataset)
}

/// The rows to learn from: usable ones, and as many as there should be shots.
fn open(config: &Config) -> eyre::Result<Dataset> {
    let reward = reward::Reward::new(&config.reward);
    let valid = Dataset::open(&config.data.train)?
        .retain_valid(|sample| prompt::check(sample, &reward), config.data.max_bad_fraction)?;
    let skipped = valid.skipped().len();
    let dataset = valid
        .shots(config.data.shots, config.run.seed)
        .wrap_err_with(|| format!("data.shots with data.train = {:?}", config.data.train))?;
    info!(samples = dataset.len(), skipped, "Opened the training data.");
    Ok(dataset)
}

/// Answers each credit with the batch of prompts it names.
fn run(mut node: Node, config: &Config, dataset: &Dataset) -> eyre::Result<()> {
    let order = Order::new(dataset.len(), config.run.seed);
    while let Some(credit) = node.recv::<Credit>("credit")? {
        let step = config.learner.step_of(credit.first_prompt_id);
        let batch: eyre::Result<PromptBatch> = node.timed(step, "loader", |_| {
            let ids = (credit.first_prompt_id..).take(credit.prompts as usize);
            let prompts =
                ids.map(|id| prompt::make(config, dataset, &order, id, credit.policy_version));
            Ok(PromptBatch { prompts: prompts.collect::<eyre::Result<_>>()? })
        });
        node.send("prompts", &batch?)?;
        node.send_metrics()?;
    }
    node.finish()
}
