//! `vrft eval`: what a checkpoint does on held-out data.

use crate::cli::EvalOptions;
use crate::graph::Graph;

/// Greedy answers of one policy, measured and printed as JSON.
pub(crate) fn evaluate(options: &EvalOptions) -> eyre::Result<()> {
    let graph = Graph::load(&options.graph)?;
    let mut config = graph.config;
    let anchor = |path: &std::path::Path| graph.folder.join(path);
    config.policy.path = options.checkpoint.clone().unwrap_or_else(|| anchor(&config.policy.path));
    config.evaluation.test =
        options.data.clone().unwrap_or_else(|| anchor(&config.evaluation.test));
    let judge = evaluate::Judge::load(&config)?;
    let judgement = judge.evaluate(&config.policy.path)?;
    println!("{}", serde_json::to_string_pretty(&judgement.summary())?);
    Ok(())
}
