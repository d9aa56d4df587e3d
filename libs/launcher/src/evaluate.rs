//! `vrft eval`: what a checkpoint does on held-out data.

use eyre::WrapErr;

use crate::cli::EvalOptions;
use crate::graph::Graph;
use crate::print::say;

/// Greedy answers of one policy, measured and printed as JSON.
pub(crate) fn evaluate(options: &EvalOptions) -> eyre::Result<()> {
    let mut asked = options.graph.clone();
    if let Some(data) = &options.data {
        // As --set says it, so that what the file chose for its own rows does not hold for these.
        let data = toml::Value::String(std::path::absolute(data)?.display().to_string());
        asked.overrides.push(format!("evaluation.test={data}"));
    }
    let graph = Graph::load(&asked)?;
    graph.notes.iter().for_each(|note| eprintln!("# {note}"));
    let loading = &options.loading;
    let checkpoint = match &options.checkpoint {
        Some(name) => loading.named(name)?.checkpoint,
        None => graph.checkpoint()?,
    };
    let mut config = graph.config;
    if options.checkpoint.is_some() || loading.base.is_some() {
        config.policy.base.clone_from(&loading.base);
    }
    config.policy.path = checkpoint;
    if options.data.is_some() {
        config.evaluation.split = None;
    }
    loading.verify(&config.policy.path, config.policy.base.as_deref())?;
    let key = if options.data.is_some() { "--data" } else { "evaluation.test" };
    let judge = vrft_evaluate::Judge::load(&config.judge()).wrap_err(key)?;
    // Beside the measures, which another program may read from standard output.
    judge.notes().iter().for_each(|line| eprintln!("# {line}"));
    let judgment = judge.evaluate(&config.policy.path)?;
    say!("{}", serde_json::to_string_pretty(&judgment.summary())?);
    Ok(())
}
