//! `vrft retrieve`: rows of a larger data set that are like the shots, to learn from before the shots.
//!
//! The two stages are those of SWAT ([arXiv 2406.11148](https://arxiv.org/abs/2406.11148)), which learns from the retrieved
//! rows and the shots together, then from the shots alone. Here the first stage has the retrieved rows alone, and whole
//! policies are tuned in both, where SWAT has a classifier.

use std::cmp::Ordering;
use std::path::PathBuf;

use clap::Args;
use eyre::{WrapErr, ensure};
use vrft_dataset::{Dataset, OpenOptions, Row};
use vrft_model::{LoadOptions, Policy};
use vrft_processor::Processor;
use vrft_prompts::{Checker, Declared, Prompter};

use crate::cli::GraphOptions;
use crate::config::Config;
use crate::graph::Graph;
use crate::print::{remark, say};

#[derive(Args)]
pub(crate) struct RetrieveOptions {
    /// The larger data set.
    #[arg(long, value_name = "FILE")]
    pool: PathBuf,
    /// Rows of it to take for each shot: those whose pictures are most alike to the policy's vision tower.
    #[arg(long, default_value_t = 8)]
    near: usize,
    /// Take only rows whose answer is of the shot's class or category.
    #[arg(long)]
    same_class: bool,
    /// File to write: the names of the rows, for `data.rows`.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    graph: GraphOptions,
}

/// A row by what is compared.
struct Seen<'a> {
    row: &'a Row,
    class: Option<std::sync::Arc<str>>,
    /// Mean of the features of its pictures, of length 1.
    direction: Vec<f32>,
}

/// Writes the names of the nearest rows, those of the first shot first, each once.
pub(crate) fn retrieve(options: &RetrieveOptions) -> eyre::Result<()> {
    ensure!(options.near > 0, "--near = 0: expected 1 or more rows for each shot");
    let graph = Graph::load(&options.graph)?;
    let mut policy = graph.config.policy.clone();
    policy.path = graph.checkpoint()?;
    let processor = Processor::of(&policy)?;
    let device = vrft_model::open_device("evaluation.device", graph.config.evaluation.device)?;
    let tower = LoadOptions::new(&policy, device, false);
    let tower = Policy::load_beside(&policy.path, policy.base.as_deref(), &tower)?;
    let tower = Tower { processor: &processor, policy: &tower };
    let (shots, prompter) = shots(&processor, &graph.config)?;
    let shots = tower.see(&shots, &prompter).wrap_err("data.train")?;
    let pool = Dataset::open_with(&options.pool, &OpenOptions::default()).wrap_err("--pool")?;
    let pool = tower.see(&pool, &prompter).wrap_err("--pool")?;
    let names = nearest(&shots, &pool, options.near, options.same_class);
    ensure!(!names.is_empty(), "{:?} has no row of the class of any shot", options.pool);
    let lines: String = names.iter().map(|name| format!("{name}\n")).collect();
    std::fs::write(&options.out, lines)
        .wrap_err_with(|| format!("cannot write {:?}", options.out))?;
    let (n, of, n_shots) = (names.len(), pool.len(), shots.len());
    say!("{}: {n} of {of} rows, for {n_shots} shots", options.out.display());
    Ok(())
}

/// The shots as a run draws them, and what asks about them.
pub(crate) fn shots(processor: &Processor, config: &Config) -> eyre::Result<(Dataset, Prompter)> {
    let Config { data, evaluation, policy, rewards, rollout, run, .. } = config;
    ensure!(data.sources.is_empty(), "[[data.sources]]: name the rows of one task by data.train");
    let options = data.options_to_learn(None, evaluation);
    let dataset = Dataset::open_with(&data.train, &options).wrap_err("data.train")?;
    let prompter = Prompter::of_data(
        &rewards.shared,
        &policy.system,
        &dataset,
        data,
        Declared::learned(data, None),
    )?;
    let checker = Checker::new(processor, rollout.max_completion_tokens);
    let dataset = dataset
        .retain_valid(|row| checker.check(&prompter, row), data.max_bad_fraction)?
        .shots(data.shots, run.seed, data.max_bad_fraction)?
        .shots_per_class(data.class_shots(), run.seed, |row| prompter.class(row))?;
    Ok((dataset, prompter))
}

/// What looks at pictures.
struct Tower<'a> {
    processor: &'a Processor,
    policy: &'a Policy,
}

impl Tower<'_> {
    /// All rows with pictures that can be decoded.
    fn see<'d>(&self, dataset: &'d Dataset, prompter: &Prompter) -> eyre::Result<Vec<Seen<'d>>> {
        let mut seen = Vec::with_capacity(dataset.len());
        for row in dataset.iter() {
            match self.direction(row) {
                Ok(direction) => seen.push(Seen { row, class: prompter.class(row), direction }),
                Err(why) => remark!("{}: {why:#}; left out", row.origin.place()),
            }
        }
        ensure!(!seen.is_empty(), "no row has a picture that can be seen");
        Ok(seen)
    }

    fn direction(&self, row: &Row) -> eyre::Result<Vec<f32>> {
        let pictures: Vec<Vec<u8>> =
            row.pictures.iter().map(|picture| picture.bytes()).collect::<Result<_, _>>()?;
        ensure!(!pictures.is_empty(), "no picture");
        let pictures: Vec<&[u8]> = pictures.iter().map(Vec::as_slice).collect();
        let prompt = self.processor.encode(None, "", &pictures)?;
        let images: Vec<_> = prompt.images.iter().collect();
        let features = self.policy.image_features(&images)?;
        let mut sum = Vec::new();
        for features in features {
            let mean = features.to_dtype(candle_core::DType::F32)?.mean(0)?.to_vec1::<f32>()?;
            sum.resize(mean.len(), 0.0);
            sum.iter_mut().zip(mean).for_each(|(sum, value)| *sum += value);
        }
        let length = sum.iter().map(|value| value * value).sum::<f32>().sqrt();
        ensure!(length > 0.0 && length.is_finite(), "its features are not finite, or all 0");
        Ok(sum.into_iter().map(|value| value / length).collect())
    }
}

/// Names of the rows of the pool that are nearest to each shot by the cosine of their features.
fn nearest(shots: &[Seen<'_>], pool: &[Seen<'_>], near: usize, same_class: bool) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for shot in shots {
        let cosine = |other: &Seen<'_>| -> f32 {
            shot.direction.iter().zip(&other.direction).map(|(a, b)| a * b).sum()
        };
        let fits = |other: &&Seen<'_>| !same_class || other.class == shot.class;
        let mut others: Vec<(f32, &Seen<'_>)> =
            pool.iter().filter(fits).map(|other| (cosine(other), other)).collect();
        others.sort_by(|a, b| b.0.partial_cmp(&a.0).unwrap_or(Ordering::Equal));
        for (_, other) in others.into_iter().take(near) {
            let name = other.row.sample_id();
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
    }
    names
}
