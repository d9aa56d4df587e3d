//! What is needed to run it again: configuration and environment.

use toml::Value;

use crate::html::{escape, folded};
use crate::load::Run;
use crate::number::count;

/// The few settings that a reader asks for first, as a line of facts.
pub(crate) fn recipe(run: &Run) -> String {
    let mut facts: Vec<(String, String)> = Vec::new();
    let mut fact = |name: &str, value: String| facts.push((name.to_owned(), value));
    if let Some(config) = &run.config {
        let shots = config.document.get("data.shots").and_then(Value::as_integer);
        let samples = match (run.metrics.newest("data/used"), shots) {
            (Some(used), _) => format!("{used}"),
            (None, None | Some(0)) => "all".to_owned(),
            (None, Some(shots)) => shots.to_string(),
        };
        fact("training samples", samples);
        fact("learner steps", config.learner.steps.to_string());
        fact("prompts per step", config.learner.prompts_per_step.to_string());
        fact("group size", config.rollout.group_size.to_string());
        fact("window", config.learner.window.to_string());
        if let Some(rate) = config.document.get("optimizer.learning_rate").and_then(Value::as_float)
        {
            fact("learning rate", format!("{rate:e}"));
        }
        if let Some(coefficient) = config.document.get("loss.kl_coef") {
            fact("KL coefficient", coefficient.to_string());
        }
        fact("seed", config.run.seed.to_string());
    } else if let Some(step) =
        run.teams.reinforced().filter_map(|team| run.metrics.last_step(team)).max()
    {
        fact("learner steps", step.to_string());
    }
    if let Some(secs) = run.metrics.elapsed(&run.environment.session_starts) {
        fact("elapsed", crate::number::duration(secs));
    }
    if facts.is_empty() {
        return String::new();
    }
    format!("<dl class=recipe>{}</dl>\n", pairs(&facts))
}

/// The configuration, folded.
pub(crate) fn configuration(run: &Run) -> String {
    let config =
        run.config_text.as_deref().map(|t| folded("config.toml, every default written out", t));
    config.unwrap_or_default()
}

/// What a reader of the numbers should know first.
pub(crate) fn warnings(run: &Run) -> String {
    let warning = |text: &String| format!("<p class=gap>Warning: {}.</p>\n", escape(text));
    run.warnings.iter().map(warning).collect()
}

/// The machine and the program, and what could not be read of the run.
pub(crate) fn environment(run: &Run) -> String {
    let facts = run.environment.facts();
    let mut html = String::new();
    if !facts.is_empty() {
        html += &format!("<dl class=environment>{}</dl>\n", pairs(facts));
    }
    for (file, n) in &run.unreadable {
        let lines = count(*n, "line");
        html += &format!("<p class=gap>{lines} of {} could not be read.</p>\n", escape(file));
    }
    html
}

fn pairs(facts: &[(String, String)]) -> String {
    let pair = |(name, value): &(String, String)| {
        format!("<div><dt>{}</dt><dd>{}</dd></div>", escape(&name.replace('_', " ")), escape(value))
    };
    facts.iter().map(pair).collect()
}
