//! `vrft eval`: what a checkpoint does on held-out data.

use eyre::WrapErr;

use crate::cli::EvalOptions;
use crate::graph::Graph;
use crate::print::say;

/// Greedy answers of one policy, measured and printed as JSON. What a run has made is judged by the task of that run
/// unless another configuration is named.
pub(crate) fn evaluate(options: &EvalOptions) -> eyre::Result<()> {
    let loading = &options.loading;
    let target = options.checkpoint.as_ref().map(|name| loading.named(name)).transpose()?;
    let mut asked = options.graph.clone();
    if asked.config.is_none()
        && let Some(own) = target.as_ref().and_then(|target| target.config.clone())
    {
        eprintln!("# judged as {} says, since no --config names another task", own.display());
        asked.config = Some(own);
    }
    if let Some(data) = &options.data {
        // As --set says it, so that what the file chose for its own rows does not hold for these.
        let data = toml::Value::String(std::path::absolute(data)?.display().to_string());
        asked.overrides.push(format!("evaluation.test={data}"));
        // Nothing of these rows is set aside: all of them are judged by.
        asked.overrides.push("data.hold_out=0".to_owned());
    }
    let graph = Graph::load(&asked)?;
    graph.notes.iter().for_each(|note| eprintln!("# {note}"));
    let checkpoint = match target {
        Some(target) => target.checkpoint,
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
