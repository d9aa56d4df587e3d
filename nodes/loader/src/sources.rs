//! What is learned from: one data set, or one for each task.

use std::path::Path;

use eyre::WrapErr;
use tracing::info;
use vrft_dataset::{Dataset, Mixture, Order, Sample};

use crate::{Config, prompt};

/// How the size of a source counts where the configuration does not say.
const SAMPLING_EXPONENT: f64 = 0.5;

/// The data of a run. There is no state: the k-th prompt is a function of the configuration and k.
pub(crate) struct Sources {
    sources: Vec<Source>,
    mixture: Mixture,
}

struct Source {
    /// Name of the task; `None` where there is only one, which has the name of its reward.
    task: Option<String>,
    dataset: Dataset,
    order: Order,
}

impl Sources {
    /// Opens `data.train`, or all of `data.sources`.
    ///
    /// # Errors
    /// Data that cannot be used, by file and key.
    pub(crate) fn open(config: &Config) -> eyre::Result<Self> {
        let data = &config.data;
        let sources = match data.sources.is_empty() {
            true => vec![Source::open(config, None, &data.train, data.shots)?],
            false => data
                .sources
                .iter()
                .map(|source| Source::open(config, Some(&source.task), &source.train, source.shots))
                .collect::<eyre::Result<_>>()?,
        };
        let weight =
            |source: &Source| source.task.as_ref().map_or(1.0, |task| data.weight_of(task));
        let sizes: Vec<(f64, usize)> =
            sources.iter().map(|source| (weight(source), source.dataset.len())).collect();
        let exponent = data.sampling_exponent.unwrap_or(SAMPLING_EXPONENT);
        Ok(Self { mixture: Mixture::new(&sizes, exponent, config.run.seed), sources })
    }

    /// What the k-th prompt is about, and its task if several are learned.
    pub(crate) fn sample(&self, k: u64) -> (Option<&str>, &Sample) {
        let (source, number) = self.mixture.place(k);
        let Source { task, dataset, order } = &self.sources[source];
        (task.as_deref(), dataset.get(order.index(number)))
    }
}

impl Source {
    /// The rows to learn from: usable ones, and as many as there should be shots.
    fn open(config: &Config, task: Option<&str>, train: &Path, shots: usize) -> eyre::Result<Self> {
        let reward = task.map_or(&config.rewards.shared, |task| config.rewards.of(task));
        let reward = vrft_reward::Reward::new(reward);
        let valid = Dataset::open(train)?
            .retain_valid(|sample| prompt::check(sample, &reward), config.data.max_bad_fraction)?;
        let skipped = valid.skipped().len();
        let dataset = valid
            .shots(shots, config.run.seed)
            .wrap_err_with(|| format!("data.shots with data.train = {train:?}"))?;
        info!(samples = dataset.len(), skipped, task, "Opened the training data.");
        let order = Order::new(dataset.len(), config.run.seed);
        Ok(Self { task: task.map(str::to_owned), dataset, order })
    }
}
