//! `vrft eval`: what a checkpoint does on held-out data.

use eyre::eyre;
use vrft_config::Document;
use vrft_dataset::DatasetError;
use vrft_evaluate::JudgeError;

use crate::cli::EvalOptions;
use crate::config::Config;
use crate::graph::Graph;
use crate::print::{remark, say};

/// Greedy answers of one policy, measured and printed as JSON. What a run has made is judged by the task of that run
/// unless another configuration is named.
pub(crate) fn evaluate(options: &EvalOptions) -> eyre::Result<()> {
    let config = configured(options)?;
    options.loading.verify(&config.policy.path, config.policy.base.as_deref())?;
    let judge = vrft_evaluate::Judge::load(&config.judge());
    let judge = judge.map_err(|error| match (error, &options.data) {
        (JudgeError::Policy(error), _) => of_policy(&config, error.into()),
        (JudgeError::Processor(error), _) => of_policy(&config, error.into()),
        (error, Some(_)) => of_named_data(error).wrap_err("--data"),
        (error, None) => eyre::Report::from(error).wrap_err("evaluation.test"),
    })?;
    // Beside the measures, which another program may read from standard output.
    judge.notes().iter().for_each(|line| remark!("{line}"));
    let judgment = judge.evaluate(&config.policy.path)?;
    say!("{}", serde_json::to_string_pretty(&judgment.summary())?);
    Ok(())
}

/// What is wrong with the policy, and with which.
fn of_policy(config: &Config, error: eyre::Report) -> eyre::Report {
    error.wrap_err(format!("the policy {}", config.policy.path.display()))
}

/// What is wrong with a data set that the command line names, by what the command line can say about it.
fn of_named_data(error: JudgeError) -> eyre::Report {
    match error {
        JudgeError::Dataset(DatasetError::SeveralSplits { path, splits }) => eyre!(
            "{path:?} has several splits, choose one by `--set evaluation.split=NAME` or name one file: {}",
            splits.join(", ")
        ),
        other => other.into(),
    }
}

/// The split that the command line asks for: that of the configuration is one of its own data.
fn split_asked(overrides: &[String]) -> eyre::Result<Option<String>> {
    let is_of_evaluation = |text: &&String| text.trim_start().starts_with("evaluation");
    let asked: Vec<String> = overrides.iter().filter(is_of_evaluation).cloned().collect();
    let asked = Document::parse_with("", "--set", &asked)?;
    Ok(asked.get("evaluation.split").and_then(|split| split.as_str()).map(str::to_owned))
}

/// The configuration to judge by, with the checkpoint and the data that are named.
fn configured(options: &EvalOptions) -> eyre::Result<Config> {
    let loading = &options.loading;
    let target = options.checkpoint.as_ref().map(|name| loading.named(name)).transpose()?;
    let mut asked = options.graph.clone();
    if asked.config.is_none()
        && let Some(own) = target.as_ref().and_then(|target| target.config.clone())
    {
        remark!("judged as {} says, since no --config names another task", own.display());
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
    graph.notes.iter().for_each(|note| remark!("{note}"));
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
        config.evaluation.split = split_asked(&options.graph.overrides)?;
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use vrft_dataset::Dataset;

    use super::*;
    use crate::checkpoint::Loading;
    use crate::cli::GraphOptions;

    fn options(data: &Path, overrides: &[&str]) -> EvalOptions {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let overrides = overrides.iter().map(ToString::to_string).collect();
        let graph = Some(root.join("dataflow.yml"));
        EvalOptions {
            checkpoint: None,
            loading: Loading { base: None, served: "served".into(), no_verify: true },
            data: Some(data.to_owned()),
            graph: GraphOptions { graph, config: None, overrides },
        }
    }

    #[test]
    fn a_split_of_named_data_is_chosen_as_the_refusal_of_several_says() {
        let folder = tempfile::tempdir().unwrap();
        for split in ["validation", "test"] {
            let row = format!(
                "{{\"image\": \"a.png\", \"problem\": \"{split}?\", \"solution\": \"1\"}}\n"
            );
            std::fs::write(folder.path().join(format!("{split}.jsonl")), row).unwrap();
        }
        image::RgbImage::new(64, 64).save(folder.path().join("a.png")).unwrap();
        let open = |overrides: &[&str]| {
            let config = configured(&options(folder.path(), overrides)).unwrap();
            let options = config.data.options_to_judge(&config.evaluation);
            Dataset::open_with(&config.evaluation.test, &options)
        };
        // The split that the configuration names is that of its own data.
        let error = of_named_data(JudgeError::Dataset(open(&[]).unwrap_err())).to_string();
        for words in [
            "several splits",
            "`--set evaluation.split=NAME`",
            "test (1 file), validation (1 file)",
        ] {
            assert!(error.contains(words), "{error}");
        }
        for split in ["validation", "test"] {
            let dataset = open(&[&format!("evaluation.split={split}")]).unwrap();
            assert_eq!((dataset.len(), dataset.split()), (1, Some(split)));
        }
    }

    #[test]
    fn only_the_command_line_says_of_what_split_named_data_is() {
        let asked = |overrides: &[&str]| {
            let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
            split_asked(&overrides).unwrap()
        };
        assert_eq!(asked(&["reward.preset=nowhere", "evaluation.limit=3"]), None);
        assert_eq!(asked(&["evaluation.split = \"dev\""]).as_deref(), Some("dev"));
    }
}
