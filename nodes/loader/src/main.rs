//! The loader: questions about images, sent only against credit.

use vrft_config::Config;
use vrft_messages::{Credit, PromptBatch};
use vrft_node::Node;

use crate::sources::Sources;

mod held_out;
mod live;
mod prompt;
mod question;
mod session;
mod sources;
#[cfg(test)]
mod tests;

fn main() -> std::process::ExitCode {
    vrft_node::exit(start())
}

fn start() -> eyre::Result<()> {
    let config = vrft_node::load_config()?;
    if let Some(settings) = &config.data.stream {
        return live::run(Node::join_live(&config, live::LIVE)?, &config, settings);
    }
    let sources = Sources::open(&config)?;
    run(Node::join(&config)?, &config, &sources)
}

/// Answers each credit with the batch of prompts it names.
fn run(mut node: Node, config: &Config, sources: &Sources) -> eyre::Result<()> {
    while let Some(credit) = node.recv::<Credit>("credit")? {
        let step = config.learner.step_of(credit.first_prompt_id);
        let batch: eyre::Result<PromptBatch> = node.timed(step, "loader", |_| {
            let ids = (credit.first_prompt_id..).take(credit.prompts as usize);
            let prompts = ids.map(|id| {
                let (task, sample) = sources.sample(id);
                prompt::make(config, sample, task, id, credit.policy_version)
            });
            Ok(PromptBatch { prompts: prompts.collect::<eyre::Result<_>>()? })
        });
        node.send("prompts", &batch?)?;
        node.send_metrics()?;
    }
    node.finish()
}
