//! `vrft table`: base, SFT and RFT over shots and seeds, one table for each configuration, beside what a paper reports.

mod also;
pub(crate) mod cells;
mod dry_run;
mod existence;
mod join;
mod spec;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use eyre::{WrapErr, bail, ensure, eyre};
use vrft_report::{ResultRun, Results, ResultsHead, write_results};

use crate::cli::{GraphOptions, TableOptions};
use crate::config::Config;
use crate::graph::Graph;
use crate::print::say;
use crate::run::command_line;

pub(crate) use spec::TableConfig;

/// Metrics of a table that names none: those of these that were measured. The first is compared in pairs.
const METRICS: [&str; 7] = ["miou", "accuracy", "overlap", "ap50", "ap", "format", "reward"];

/// Seeds of more runs than anybody waits for.
const MAX_SEEDS: u64 = 1000;

/// One configuration as a table.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    /// The folder of its runs.
    folder: PathBuf,
    /// The first of the graphs.
    graph: GraphOptions,
    /// Graphs that are run one after the other; none for the default one.
    graphs: Vec<PathBuf>,
    config: Config,
    spec: TableConfig,
    /// Numbers of shots; `None` for all rows.
    shots: Vec<Option<usize>>,
    seeds: Vec<u64>,
}

/// Runs what is missing, and writes the tables after every run.
pub(crate) fn table(options: &TableOptions) -> eyre::Result<()> {
    if !options.join.is_empty() {
        return join::join(options);
    }
    let tables = tables(options)?;
    tables.iter().try_for_each(check_metric)?;
    if options.dry_run {
        return dry_run::print(&tables);
    }
    // Asked for now: a build that replaces the executable meanwhile would change the answer.
    let vrft = std::env::current_exe()?;
    let mut runner = cells::Runner { vrft, is_built: options.no_build };
    let mut finished: Vec<Results> = Vec::new();
    for table in &tables {
        let table = existence::ready(table)?;
        let mut others = also::all_of(&table)?;
        let mut runs = Vec::new();
        for &seed in &table.seeds {
            for &shots in &table.shots {
                for cell in cells::Cell::all_of(&table, shots, seed)? {
                    runner.finish(&table, &cell)?;
                    runs.extend(cell.read()?);
                    others.iter_mut().try_for_each(|other| other.judge(&table, &cell))?;
                }
                check_measured(&table, &runs)?;
                let mut now = Results::new(head(&table, &runs), &runs);
                for &shots in table.shots.iter().filter(|_| table.seeds.len() == 1) {
                    for cell in cells::Cell::all_of(&table, shots, seed)? {
                        if cell.folder.exists() {
                            now.compare_answers(shots, &cell.folder)?;
                        }
                    }
                }
                for now in [now].into_iter().chain(others.iter().map(|other| other.results(&table)))
                {
                    finished.retain(|one| one.head.title != now.head.title);
                    finished.push(now);
                }
                write_results(&finished, &options.out)?;
            }
        }
    }
    show(&finished, options);
    Ok(())
}

/// Prints the tables and says where they are.
fn show(tables: &[Results], options: &TableOptions) {
    for results in tables {
        say!("{}", results.to_text());
    }
    say!("Written to {}", options.out.join("table.html").display());
}

/// The tables that the command line asks for.
fn tables(options: &TableOptions) -> eyre::Result<Vec<Table>> {
    let files: Vec<Option<&PathBuf>> = if options.files.is_empty() {
        vec![None]
    } else {
        options.files.iter().map(Some).collect()
    };
    let modes: Vec<Option<&str>> = match &options.modes {
        Some(modes) => modes.iter().map(|mode| Some(mode.as_str())).collect(),
        None => vec![None],
    };
    if let Some(mode) = twice(&modes) {
        bail!("--mode: {:?} is there twice", mode.unwrap_or_default());
    }
    let tables = files.into_iter().flat_map(|file| modes.iter().map(move |mode| (file, *mode)));
    let tables = tables.map(|(file, mode)| one(options, file, mode));
    let tables: Vec<Table> = tables.collect::<eyre::Result<_>>()?;
    for (idx, table) in tables.iter().enumerate() {
        let twin = tables[..idx].iter().any(|other| other.folder == table.folder);
        ensure!(
            !twin,
            "two of the files are called alike, so that their runs would lie in {:?}",
            table.folder
        );
        let twin = tables[..idx].iter().any(|other| other.spec.title == table.spec.title);
        ensure!(!twin, "two of the files have table.title = {:?}", table.spec.title);
    }
    Ok(tables)
}

fn one(options: &TableOptions, file: Option<&PathBuf>, mode: Option<&str>) -> eyre::Result<Table> {
    let mut overrides = options.overrides.clone();
    overrides.extend(mode.map(|mode| format!("reward.mode={mode:?}")));
    let graphs = options.graphs.clone();
    let mut graph =
        GraphOptions { graph: graphs.first().cloned(), config: file.cloned(), overrides };
    let mut config = Graph::load(&graph)?.config;
    if let Some(root) = &options.data {
        let root = root.canonicalize().wrap_err_with(|| format!("--data {root:?}"))?;
        let plain = Config::load(
            &file.cloned().ok_or_else(|| eyre!("--data needs a FILE whose paths start there"))?,
            &graph.overrides,
        )?;
        graph.overrides.extend(rooted(&plain, &root)?);
        config = Graph::load(&graph)?.config;
    }
    let name = file.map_or("runs".into(), |file| file.file_stem().unwrap_or_default().to_owned());
    let mut spec = config.table.clone().unwrap_or_default();
    if spec.title.is_empty() {
        spec.title = config.run.name.clone();
    }
    let mut folder = options.out.join(name);
    if let Some(mode) = mode {
        spec.title = format!("{}, mode {mode}", spec.title);
        folder.as_mut_os_string().push(format!("-{mode}"));
    }
    if let Some(metrics) = &options.metrics {
        spec.metrics.clone_from(metrics);
    }
    let shots = options.shots.clone().unwrap_or_else(|| spec.shots.clone());
    ensure!(!shots.contains(&0), "--shots 0: leave it out to learn from all rows");
    if let Some(shots) = twice(&shots) {
        bail!("--shots (table.shots): {shots} is there twice");
    }
    let shots = if shots.is_empty() { vec![None] } else { shots.into_iter().map(Some).collect() };
    let n_seeds = options.seeds;
    ensure!((1..=MAX_SEEDS).contains(&n_seeds), "--seeds {n_seeds}: expected 1 to {MAX_SEEDS}");
    let last = options.first_seed.checked_add(options.seeds - 1);
    let last = last.ok_or_else(|| eyre!("--first-seed {}: too large", options.first_seed))?;
    let seeds = (options.first_seed..=last).collect();
    Ok(Table { folder, graph, graphs, config, spec, shots, seeds })
}

/// The first that is there a second time.
fn twice<T: PartialEq>(all: &[T]) -> Option<&T> {
    all.iter().enumerate().find(|(idx, one)| all[..*idx].contains(one)).map(|(_, one)| one)
}

/// Overrides that let the relative paths of a configuration's data start at a folder.
fn rooted(config: &Config, root: &Path) -> eyre::Result<Vec<String>> {
    ensure!(
        config.data.sources.is_empty(),
        "--data is for configurations with data.train; write whole paths into [[data.sources]]"
    );
    let (data, evaluation) = (&config.data, &config.evaluation);
    let given = [
        ("data.train", Some(&data.train)),
        ("data.image_root", data.image_root.as_ref()),
        ("data.classes", data.classes.as_ref()),
        ("data.rows", data.rows.as_ref()),
        ("evaluation.test", Some(&evaluation.test)),
        ("evaluation.validation", evaluation.validation.as_ref()),
    ];
    let given = given.into_iter().filter_map(|(key, path)| Some((key, path?)));
    let relative = given.filter(|(_, path)| path.is_relative());
    Ok(relative.map(|(key, path)| assignment(key, &root.join(path))).collect())
}

/// An override with a path as its value.
fn assignment(key: &str, path: &Path) -> String {
    format!("{key}={}", toml::Value::String(path.display().to_string()))
}

/// Refuses a leading metric that answers are not measured by, before hours of runs; where policy or data are not there yet, the
/// first run tells.
fn check_metric(table: &Table) -> eyre::Result<()> {
    let Some(first) = table.spec.metrics.first() else { return Ok(()) };
    let mut config = table.config.judge();
    let Ok(policy) = vrft_checkpoint::checkpoint_dir(&config.policy.path) else { return Ok(()) };
    config.policy.path = policy;
    let Ok(judge) = vrft_evaluate::Judge::load(&config) else { return Ok(()) };
    let Some(constant) = judge.constant() else { return Ok(()) };
    let measured: Vec<&str> = constant.evaluation.metrics.keys().map(String::as_str).collect();
    crate::tune::check_measure(
        "--metric",
        first,
        &measured,
        table.config.evaluation.attack.is_some(),
    )
}

/// Refuses a table whose leading metric nothing was measured by.
fn check_measured(table: &Table, runs: &[ResultRun]) -> eyre::Result<()> {
    let Some(first) = table.spec.metrics.first() else { return Ok(()) };
    let measured: BTreeSet<&str> =
        runs.iter().flat_map(|run| run.metrics.keys().map(String::as_str)).collect();
    ensure!(
        measured.contains(first.as_str()),
        "{}: no policy was measured by {first:?} (table.metrics, --metric), but by: {}",
        table.spec.title,
        measured.into_iter().collect::<Vec<_>>().join(", ")
    );
    Ok(())
}

/// What the table says besides its numbers.
fn head(table: &Table, runs: &[ResultRun]) -> ResultsHead {
    head_of(table, &table.spec.metrics, runs)
}

/// The same with these metrics as columns; if there are none, with the usual ones that were measured.
fn head_of(table: &Table, wanted: &[String], runs: &[ResultRun]) -> ResultsHead {
    let spec = &table.spec;
    let is_measured = |name: &str| runs.iter().any(|run| run.metrics.contains_key(name));
    let metrics = if wanted.is_empty() {
        METRICS.iter().filter(|name| is_measured(name)).map(ToString::to_string).collect()
    } else {
        wanted.to_vec()
    };
    let absent: Vec<String> = wanted.iter().filter(|n| !is_measured(n)).cloned().collect();
    let mut remarks = spec.remarks.clone();
    if !absent.is_empty() {
        remarks.push(format!("Not measured here: {}.", absent.join(", ")));
    }
    ResultsHead {
        title: spec.title.clone(),
        source: spec.source.clone(),
        metrics,
        is_percent: spec.percent,
        shots_per: spec.per.name().to_owned(),
        published: spec.published(),
        remarks,
        command: command_line(),
    }
}
