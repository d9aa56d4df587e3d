//! What is learned from: one data set, or one for each task.

use std::collections::BTreeMap;
use std::path::Path;

use eyre::{WrapErr, bail};
use tracing::{info, warn};
use vrft_dataset::{Dataset, Mixture, Order, Row, SourceConfig};
use vrft_messages::Prompt;
use vrft_processor::Processor;

use crate::Config;
use crate::prompt::Maker;
use crate::seen::Seen;

/// How the size of a source counts where the configuration does not say.
const SAMPLING_EXPONENT: f64 = 0.5;

/// Rows that are tried in place of one that cannot be decoded. Few rows are bad, so that a few tries do.
const MAX_TRIES: u64 = 64;

/// Rows without use whose reasons are told one by one.
const N_TOLD: usize = 5;

/// The data of a run. There is no state: the k-th prompt is a function of the configuration, the files and k.
pub(crate) struct Sources<'a> {
    sources: Vec<Source<'a>>,
    mixture: Mixture,
}

struct Source<'a> {
    dataset: Dataset,
    order: Order,
    maker: Maker<'a>,
    max_bad_fraction: f64,
    /// Rows whose pictures turned out to be damaged, and why. They are only remembered, not decided by.
    damaged: BTreeMap<usize, String>,
    seen: Seen,
}

/// How many rows there are, and how many of them are of use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) total: usize,
    pub(crate) skipped: usize,
    pub(crate) used: usize,
}

impl<'a> Sources<'a> {
    /// Opens `data.train`, or all of `data.sources`.
    ///
    /// # Errors
    /// Data that cannot be used, by file and key.
    pub(crate) fn open(config: &Config, processor: &'a Processor) -> eyre::Result<Self> {
        let data = &config.data;
        let sources = if data.sources.is_empty() {
            vec![Source::open(config, processor, None, &data.train, data.shots)?]
        } else {
            data.sources
                .iter()
                .map(|source| {
                    let SourceConfig { task, train, shots, .. } = source;
                    Source::open(config, processor, Some(task), train, *shots)
                })
                .collect::<eyre::Result<Vec<_>>>()?
        };
        // A task's weight acts on its advantages; if it acted here too it would count twice.
        let of_rows = data.sampling_exponent.unwrap_or(SAMPLING_EXPONENT);
        let shares: Option<Vec<f64>> = data.sources.iter().map(|source| source.share).collect();
        let (shares, exponent) = match shares.filter(|shares| !shares.is_empty()) {
            Some(shares) => (shares, 0.0),
            None => (vec![1.0; sources.len()], of_rows),
        };
        let rows = sources.iter().map(|source| source.dataset.len());
        let sizes: Vec<(f64, usize)> = shares.into_iter().zip(rows).collect();
        Ok(Self { mixture: Mixture::new(&sizes, exponent, config.run.seed), sources })
    }

    /// The k-th prompt of the run, to be answered by a policy version.
    ///
    /// # Errors
    /// Too many rows whose pictures cannot be decoded.
    pub(crate) fn prompt(&mut self, config: &Config, k: u64, version: u64) -> eyre::Result<Prompt> {
        let original = config.learner.original_of(k);
        let (source, number) = self.mixture.place(original);
        let prompt = self.sources[source].prompt(config, original, number, version)?;
        Ok(Prompt { prompt_id: k, ..prompt })
    }

    /// The rows that are learned from, by source.
    pub(crate) fn datasets(&self) -> impl Iterator<Item = &Dataset> {
        self.sources.iter().map(|source| &source.dataset)
    }

    /// Names of the samples that were drawn, where a part of the rows is learned from; a list for `data.rows`.
    pub(crate) fn drawn(&self, config: &Config) -> Option<String> {
        let is_part = config.data.shots_per_class > 0 || config.data.shots > 0;
        let names = self.sources.iter().flat_map(|source| source.dataset.iter());
        is_part.then(|| names.map(|row| format!("{}\n", row.sample_id())).collect())
    }

    /// Rows of all sources together, as far as is known by now.
    pub(crate) fn counts(&self) -> Counts {
        self.sources.iter().fold(Counts::default(), |sum, source| Counts {
            total: sum.total + source.dataset.n_total(),
            skipped: sum.skipped + source.n_skipped(),
            used: sum.used + source.dataset.len() - source.damaged.len(),
        })
    }
}

impl<'a> Source<'a> {
    /// The rows to learn from: usable ones, and as many as there should be shots.
    fn open(
        config: &Config,
        processor: &'a Processor,
        task: Option<&str>,
        train: &Path,
        shots: usize,
    ) -> eyre::Result<Self> {
        let dataset =
            Dataset::open_with(train, &config.data.options_to_learn(task, &config.evaluation))?;
        let maker = Maker::new(config, task, processor, &dataset)?;
        let max_bad_fraction = config.data.max_bad_fraction;
        let dataset = dataset
            .check_rest(|row| maker.check(row))
            .retain_valid(|row| maker.check(row), max_bad_fraction)?
            .shots(shots, config.run.seed, max_bad_fraction)
            .wrap_err_with(|| format!("data.shots with data.train = {train:?}"))?;
        let class_shots = config.data.class_shots();
        let dataset =
            dataset.shots_per_class(class_shots, config.run.seed, |row| maker.class(row))?;
        info!(
            samples = dataset.len(),
            skipped = dataset.skipped().len(),
            task,
            "Opened the training data."
        );
        for line in dataset.summary(dataset.len()).iter().chain(maker.notes()) {
            // The launcher shows lines that begin so.
            info!("Data: {line}");
        }
        let order = Order::new(dataset.len(), config.run.seed);
        let (damaged, seen) = (BTreeMap::new(), Seen::default());
        Ok(Self { dataset, order, maker, max_bad_fraction, damaged, seen })
    }

    fn n_skipped(&self) -> usize {
        self.dataset.skipped().len() + self.damaged.len()
    }

    /// The prompt of this number among those of the source. A row whose pictures are damaged is replaced by others,
    /// drawn by the number alone, so that a resumed run replaces it by the same.
    fn prompt(
        &mut self,
        config: &Config,
        k: u64,
        number: u64,
        version: u64,
    ) -> eyre::Result<Prompt> {
        for attempt in 0..MAX_TRIES {
            let idx = self.order.index_of_try(number, attempt);
            if self.damaged.contains_key(&idx) {
                continue;
            }
            match self.maker.make(config, self.dataset.get(idx), &mut self.seen, k, version) {
                Ok(prompt) => return Ok(prompt),
                Err(why) => self.note_damaged(idx, why)?,
            }
        }
        bail!("{}", self.refusal());
    }

    fn note_damaged(&mut self, idx: usize, why: String) -> eyre::Result<()> {
        let row: &Row = self.dataset.get(idx);
        if self.damaged.len() < N_TOLD {
            let file = row.origin.file.display();
            let row = row.origin.place();
            warn!("Data: {file}, {row}: {why}; other rows take the place of this one");
        }
        self.damaged.insert(idx, why);
        let limit = self.max_bad_fraction * self.dataset.n_total() as f64;
        if self.n_skipped() as f64 > limit {
            bail!("{}", self.refusal());
        }
        Ok(())
    }

    fn refusal(&self) -> String {
        let named = self
            .damaged
            .iter()
            .take(N_TOLD)
            .map(|(idx, why)| format!("{}: {why}", self.dataset.get(*idx).origin.place()));
        format!(
            "{} of {} rows of {:?} cannot be used, which is more than data.max_bad_fraction = {}; found while decoding: {}",
            self.n_skipped(),
            self.dataset.n_total(),
            self.dataset.path(),
            self.max_bad_fraction,
            named.collect::<Vec<_>>().join("; ")
        )
    }
}
