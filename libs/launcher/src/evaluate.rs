//! `vrft eval`: what a checkpoint does on held-out data.

use crate::cli::EvalOptions;
use crate::graph::Graph;
use crate::print::say;

/// Greedy answers of one policy, measured and printed as JSON.
pub(crate) fn evaluate(options: &EvalOptions) -> eyre::Result<()> {
    let graph = Graph::load(&options.graph)?;
    let checkpoint = match &options.checkpoint {
        Some(path) => vrft_checkpoint::checkpoint_dir(path)?,
        None => graph.checkpoint()?,
    };
    let mut config = graph.config;
    config.policy.path = checkpoint;
    if let Some(data) = &options.data {
        config.evaluation.test.clone_from(data);
    }
    if !options.no_verify {
        vrft_learner::verify_checkpoint(&config.policy.path)?;
    }
    let judge = vrft_evaluate::Judge::load(&config.judge())?;
    let judgement = judge.evaluate(&config.policy.path)?;
    say!("{}", serde_json::to_string_pretty(&judgement.summary())?);
    Ok(())
}
