//! `vrft tune`: better settings for a configuration, by successive halving.
//!
//! Many combinations are tried for few steps, the best of them for more, and so on up to the steps of the configuration
//! ([Jamieson and Talwalkar 2016](https://arxiv.org/abs/1502.07943)). Trials run one after the other, each on the whole machine,
//! so that a rung is complete before the best of it go on; ASHA, [arXiv 1810.05934](https://arxiv.org/abs/1810.05934), promotes
//! earlier, so that many workers need not wait for the slowest, and with one there is none to wait for. Each rung of a trial is a run of its own, from the start and with the whole
//! learning rate schedule, and is chosen by rows that nothing is reported on.

mod space;
mod trial;
mod verdict;

use std::path::PathBuf;

use eyre::{WrapErr, ensure, eyre};
use vrft_report::{Rung, TrialRow, Tuning, write_tuning};

use self::space::{Settings, combinations, usual_space};
use self::trial::{Outcome, Runner, of_base, shown};
use crate::check_data::check_data;
use crate::cli::{GraphOptions, TuneOptions};
use crate::config::Config;
use crate::graph::Graph;
use crate::print::say;
use crate::run::command_line;

pub(crate) use self::space::TuneConfig;

/// The graph that a trial is of, beside the default graph: without the supervised baseline.
const REINFORCED_ALONE: &str = "configs/rft.yml";

/// What is tried, before anything is run.
struct Plan {
    title: String,
    /// The folder of the trials and of the pages.
    folder: PathBuf,
    graph: GraphOptions,
    /// The configuration with whole paths, judged on the rows to choose by.
    config: Config,
    tune: TuneConfig,
    /// The measure to choose by; empty for the first of the usual ones that was measured.
    metric: String,
    combinations: Vec<Settings>,
    /// Steps of each rung, and how many trials it has besides the configuration as it is.
    rungs: Vec<(u64, usize)>,
}

/// Tries what is missing, and writes page and settings after every trial.
pub(crate) fn tune(options: &TuneOptions) -> eyre::Result<()> {
    let plan = plan(options)?;
    check_rows(options)?;
    check_metric(&plan)?;
    if options.dry_run {
        print_plan(&plan);
        return Ok(());
    }
    say!(
        "Trials are judged on evaluation.validation = {:?} alone: what they say of `test` is said of these rows.",
        plan.config.evaluation.test
    );
    std::fs::create_dir_all(&plan.folder).wrap_err_with(|| format!("{:?}", plan.folder))?;
    let start = plan.folder.join("start.toml");
    std::fs::write(&start, plan.config.to_toml()).wrap_err_with(|| format!("{start:?}"))?;
    let mut runner = Runner {
        vrft: std::env::current_exe()?,
        is_built: options.no_build,
        folder: &plan.folder,
        graph: GraphOptions { config: Some(start), overrides: Vec::new(), ..plan.graph.clone() },
        config: &plan.tune,
        seed: options.seed,
    };
    let mut tuning = begin(&plan);
    let mut alive: Vec<usize> = (0..plan.combinations.len()).collect();
    for (rung, &(steps, _)) in plan.rungs.iter().enumerate() {
        for &idx in &alive {
            let outcome = runner.run(idx, &plan.combinations[idx], steps, &plan.metric)?;
            tuning.trials[idx].rungs.push(rung_of(steps, outcome, &mut tuning.metric));
            tuning.base = tuning.base.or_else(|| of_base(&plan.folder, &tuning.metric));
            tuning.choose();
            write_tuning(&tuning, &plan.folder)?;
        }
        if let Some(&(steps_then, n)) = plan.rungs.get(rung + 1) {
            alive = tuning.promoted(steps, n);
            say!("{} of the trials go on to {steps_then} steps: {alive:?}", alive.len());
        }
    }
    let best = write_best(options, &plan, &tuning)?;
    say!("{}", tuning.to_markdown());
    say!("Written to {} and {}", plan.folder.join("tune.html").display(), best.display());
    Ok(())
}

fn plan(options: &TuneOptions) -> eyre::Result<Plan> {
    let asked = asked(options);
    let graph = Graph::load(&asked)?;
    let mut config = graph.config;
    let rows = config.evaluation.validation.clone().ok_or_else(|| {
        eyre!(
            "evaluation.validation: tune chooses by rows that are neither learned from nor reported on; name a file of \
             them, as in --set 'evaluation.validation=\"mine/validation.jsonl\"'"
        )
    })?;
    ensure!(
        rows != config.evaluation.test,
        "evaluation.validation = {rows:?}: expected other rows than evaluation.test, on which the result is reported"
    );
    config.evaluation = config.evaluation.to_choose(&rows);
    config.evaluation.validation = None;
    config.evaluation.every = Some(0);
    // Of several tasks the run's own is chosen by.
    config.data.sources.iter_mut().for_each(|source| source.test = None);
    let mut tune = config.tune.clone().unwrap_or_default();
    if tune.space.is_empty() {
        tune.space = usual_space(config.optimizer.learning_rate);
    }
    let first = config.learner.steps / tune.eta.pow(tune.rungs as u32 - 1) as u64;
    ensure!(
        first > 0,
        "learner.steps = {}: too few for tune.rungs = {} with tune.eta = {}, of which the first would have no step",
        config.learner.steps,
        tune.rungs,
        tune.eta
    );
    let alone = graph.folder.join(REINFORCED_ALONE);
    let trials = asked.graph.clone().or_else(|| alone.exists().then_some(alone));
    let name = options.file.as_ref().and_then(|file| file.file_stem()).unwrap_or("run".as_ref());
    let of_table = config.table.as_ref().and_then(|table| table.metrics.first().cloned());
    let named = Some(tune.metric.clone()).filter(|name| !name.is_empty());
    let plan = Plan {
        title: config.run.name.clone(),
        folder: std::path::absolute(options.out.join(name))?,
        graph: GraphOptions { graph: trials, ..asked },
        rungs: rungs(&tune, config.learner.steps),
        combinations: combinations(&tune.space, tune.trials, options.seed),
        metric: named.or(of_table).unwrap_or_default(),
        tune,
        config,
    };
    check_combinations(&plan)?;
    Ok(plan)
}

/// Looks at all rows as `vrft check` does: better known before hours of trials than after.
///
/// # Errors
/// Files that are not there, rows that cannot be used.
fn check_rows(options: &TuneOptions) -> eyre::Result<()> {
    let graph = Graph::load(&asked(options))?;
    graph.check_files()?;
    check_data(&graph, false)
}

/// What trials are chosen by must be among what an evaluation measures: it is looked at by that of the best constant answer.
///
/// # Errors
/// A measure that there is not, and those that there are.
fn check_metric(plan: &Plan) -> eyre::Result<()> {
    if plan.metric.is_empty() {
        return Ok(());
    }
    let mut config = plan.config.clone();
    config.policy.path = vrft_checkpoint::checkpoint_dir(&config.policy.path)?;
    let judge = vrft_evaluate::Judge::load(&config.judge()).wrap_err("evaluation.validation")?;
    let Some(constant) = judge.constant() else { return Ok(()) };
    let measured: Vec<&str> = constant.evaluation.metrics.keys().map(String::as_str).collect();
    let is_attacked = config.evaluation.attack.is_some();
    check_measure("tune.metric", &plan.metric, &measured, is_attacked)
}

/// Refuses a measure, named by `key`, that is none of those of an evaluation, which attacks pictures too or not.
pub(crate) fn check_measure(
    key: &str,
    metric: &str,
    measured: &[&str],
    is_attacked: bool,
) -> eyre::Result<()> {
    let plain = metric.strip_prefix("attacked/").filter(|_| is_attacked).unwrap_or(metric);
    let is_loss = is_attacked && metric.starts_with("attack/");
    ensure!(
        is_loss || measured.contains(&plain),
        "{key} = {metric:?}: answers of this kind are not measured by it; there are {}",
        measured.join(", ")
    );
    Ok(())
}

fn asked(options: &TuneOptions) -> GraphOptions {
    let TuneOptions { graph, file, overrides, .. } = options;
    GraphOptions { graph: graph.clone(), config: file.clone(), overrides: overrides.clone() }
}

/// Steps of each rung, and its trials besides the configuration as it is.
fn rungs(tune: &TuneConfig, steps: u64) -> Vec<(u64, usize)> {
    let rung = |rung: usize| {
        let left = tune.eta.pow((tune.rungs - 1 - rung) as u32) as u64;
        let n = (tune.trials - 1).div_ceil(tune.eta.pow(rung as u32));
        (steps / left, n)
    };
    (0..tune.rungs).map(rung).collect()
}

/// Each combination must be a configuration: better known before hours of trials than after.
fn check_combinations(plan: &Plan) -> eyre::Result<()> {
    let text = plan.config.to_toml();
    for settings in &plan.combinations {
        let overrides = overrides(settings);
        let document = vrft_config::Document::parse_with(&text, "the configuration", &overrides)?;
        Config::read(&document).wrap_err_with(|| format!("tune.space, {}", shown(settings)))?;
    }
    Ok(())
}

/// A combination as on the command line.
fn overrides(settings: &Settings) -> Vec<String> {
    settings.iter().map(|(key, value)| format!("{key}={value}")).collect()
}

/// The page before the first trial.
fn begin(plan: &Plan) -> Tuning {
    let row = |settings: &Settings| TrialRow {
        settings: settings.iter().map(|(key, value)| (key.clone(), value.to_string())).collect(),
        rungs: Vec::new(),
    };
    Tuning {
        title: plan.title.clone(),
        command: command_line(),
        metric: plan.metric.clone(),
        judged_on: plan.config.evaluation.test.display().to_string(),
        base: None,
        trials: plan.combinations.iter().map(row).collect(),
        chosen: 0,
    }
}

/// What came of a trial at a rung; the first that was measured says by what.
fn rung_of(steps: u64, outcome: Outcome, metric: &mut String) -> Rung {
    match outcome {
        Outcome::Finished { metric: found, value, interval } => {
            *metric = found;
            Rung { steps, value: Some(value), interval, ended: None }
        }
        Outcome::Ended(why) => Rung { steps, value: None, interval: None, ended: Some(why) },
    }
}

/// Writes the configuration with the best settings, to be run as it is.
fn write_best(options: &TuneOptions, plan: &Plan, tuning: &Tuning) -> eyre::Result<PathBuf> {
    let settings = &plan.combinations[tuning.chosen];
    let mut with_best = asked(options);
    with_best.overrides.extend(overrides(settings));
    let config = Graph::load(&with_best)?.config;
    let mut text = format!("# {}\n# What was changed:\n", tuning.conclusion());
    for (key, value) in settings {
        text += &format!("#   {key} = {value}\n");
    }
    if settings.is_empty() {
        text += "#   nothing\n";
    }
    let path = plan.folder.join("best.toml");
    std::fs::write(&path, text + "\n" + &config.to_toml()).wrap_err_with(|| format!("{path:?}"))?;
    Ok(path)
}

/// What would be run.
fn print_plan(plan: &Plan) {
    let graph = plan.graph.graph();
    say!("{}: graph {}, into {}", plan.title, graph.display(), plan.folder.display());
    say!("  chosen by {} on {}", measure(plan), plan.config.evaluation.test.display());
    let mut n_steps = 0;
    for &(steps, n) in &plan.rungs {
        // The configuration as it is goes all the way, to be compared with.
        n_steps += steps * (n as u64 + 1);
        say!("  {} trials of {steps} steps", n + 1);
    }
    let whole = plan.rungs.last().map_or(1, |(steps, _)| *steps);
    say!("  {n_steps} steps in all, as many as {:.1} runs", n_steps as f64 / whole as f64);
    for (idx, settings) in plan.combinations.iter().enumerate() {
        say!("  trial {idx}: {}", shown(settings));
    }
}

fn measure(plan: &Plan) -> &str {
    if plan.metric.is_empty() { "the first measure of its answers" } else { &plan.metric }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measure_that_there_is_not_is_refused_with_those_that_there_are() {
        let measured = ["miou", "reward"];
        check_measure("tune.metric", "miou", &measured, false).unwrap();
        check_measure("tune.metric", "attacked/miou", &measured, true).unwrap();
        check_measure("tune.metric", "attack/nll", &measured, true).unwrap();
        for (metric, is_attacked) in [("mIoU", false), ("attacked/miou", false), ("ap", true)] {
            let error = check_measure("tune.metric", metric, &measured, is_attacked)
                .unwrap_err()
                .to_string();
            assert!(
                error.starts_with("tune.metric = ") && error.ends_with("miou, reward"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_third_goes_on_with_three_times_the_steps() {
        let tune = TuneConfig::default();
        assert_eq!(rungs(&tune, 60), [(6, 8), (20, 3), (60, 1)]);
        assert_eq!(rungs(&TuneConfig { rungs: 1, ..tune.clone() }, 60), [(60, 8)]);
        assert_eq!(rungs(&TuneConfig { trials: 2, eta: 2, ..tune }, 5), [(1, 1), (2, 1), (5, 1)]);
    }
}
