//! The section `[tune]`: which settings are tried, in which ranges, how many, and what ends one early.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use toml::Value;
use vrft_config::{ConfigError, Section, require};

/// How `vrft tune` looks for better settings. A run reads nothing of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TuneConfig {
    /// Settings that are tried, the configuration's own among them.
    pub(crate) trials: usize,
    /// Of so many trials one goes on to the next rung, with as many times the steps.
    pub(crate) eta: usize,
    /// Rungs; the last one has `learner.steps`.
    pub(crate) rungs: usize,
    /// The held-out measure to choose by; left out, the first of `table.metrics`, else the usual one.
    pub(crate) metric: String,
    /// KL per token, in nats, averaged over five steps, above which a trial is ended; 0 for no bound.
    pub(crate) max_kl: f64,
    /// A trial whose reward, averaged over five steps, falls below this share of what it began with is ended; 0 for no
    /// bound.
    pub(crate) min_reward: f64,
    /// Ranges by key. Left out, learning rate, weight of the KL, group size and temperature around usual values.
    pub(crate) space: BTreeMap<String, Range>,
}

/// What a setting may be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Range {
    /// One of these.
    OneOf(Vec<Value>),
    /// A number between two others.
    Between(Between),
}

/// A range of numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Between {
    low: f64,
    high: f64,
    /// Whether equal factors are as likely as each other, rather than equal differences.
    #[serde(default)]
    log: bool,
}

impl Default for TuneConfig {
    fn default() -> Self {
        Self {
            trials: 9,
            eta: 3,
            rungs: 3,
            metric: String::new(),
            max_kl: 1.0,
            min_reward: 0.5,
            space: BTreeMap::new(),
        }
    }
}

impl Section for TuneConfig {
    const NAME: &'static str = "tune";

    fn check(&self) -> Result<(), ConfigError> {
        require((2..=999).contains(&self.trials), "tune.trials", self.trials, "2 to 999")?;
        require(self.eta >= 2, "tune.eta", self.eta, "2 or more")?;
        require((1..=6).contains(&self.rungs), "tune.rungs", self.rungs, "1 to 6")?;
        require(self.max_kl >= 0.0, "tune.max_kl", self.max_kl, "0 (no bound) or above")?;
        require(
            (0.0..1.0).contains(&self.min_reward),
            "tune.min_reward",
            self.min_reward,
            "a share in [0, 1); 0 for no bound",
        )?;
        self.space.iter().try_for_each(|(key, range)| range.check(key))
    }
}

impl Range {
    fn check(&self, key: &str) -> Result<(), ConfigError> {
        let place = format!("tune.space.{key:?}");
        require(
            key.contains('.') && !key.starts_with("run.") && key != "learner.steps",
            place.clone(),
            "given",
            "the key of a setting in quotes, as \"optimizer.learning_rate\", and none that each trial has of its own \
             (run.seed, learner.steps)",
        )?;
        match self {
            Self::OneOf(values) => require(!values.is_empty(), place, "[]", "at least one value"),
            Self::Between(Between { low, high, log }) => require(
                low.is_finite() && high.is_finite() && low < high && (!log || *low > 0.0),
                place,
                format!("{low} to {high}"),
                "low below high, and above 0 with log = true",
            ),
        }
    }

    /// The value at a share of the range, in [0, 1). Three digits are enough to try a number, and can be read.
    fn at(&self, share: f64) -> Value {
        match self {
            Self::OneOf(values) => {
                let idx = (share * values.len() as f64) as usize;
                values[idx.min(values.len() - 1)].clone()
            }
            Self::Between(Between { low, high, log: true }) => {
                Value::Float(rounded((low.ln() + share * (high / low).ln()).exp()))
            }
            Self::Between(Between { low, high, log: false }) => {
                Value::Float(rounded(low + share * (high - low)))
            }
        }
    }
}

fn rounded(value: f64) -> f64 {
    format!("{value:.2e}").parse().unwrap_or(value)
}

/// The ranges where the configuration names none: a learning rate up to ten times lower or higher than the configured
/// one, and what published runs have used.
pub(crate) fn usual_space(learning_rate: f64) -> BTreeMap<String, Range> {
    let between = |low, high, log| Range::Between(Between { low, high, log });
    let ints = |values: &[i64]| Range::OneOf(values.iter().map(|v| Value::Integer(*v)).collect());
    BTreeMap::from([
        (
            "optimizer.learning_rate".to_owned(),
            between(learning_rate / 10.0, (learning_rate * 10.0).min(0.5), true),
        ),
        (
            "loss.kl_coef".to_owned(),
            Range::OneOf([0.0, 0.01, 0.04, 0.1].map(Value::Float).to_vec()),
        ),
        ("rollout.group_size".to_owned(), ints(&[4, 8, 16])),
        ("rollout.temperature".to_owned(), between(0.7, 1.2, false)),
    ])
}

/// A combination of settings: overrides as on the command line, by key.
pub(crate) type Settings = BTreeMap<String, Value>;

/// The combinations to try. The first is the configuration as it is; the others share every range out evenly (a Latin
/// hypercube), so that few of them see all of it. The same seed gives the same.
pub(crate) fn combinations(
    space: &BTreeMap<String, Range>,
    trials: usize,
    seed: u64,
) -> Vec<Settings> {
    let n = trials - 1;
    let mut all = vec![Settings::new(); trials];
    for (dimension, (key, range)) in (0..).zip(space) {
        let mut places: Vec<usize> = (0..n).collect();
        shuffle(&mut places, seed.wrapping_add(dimension << 32));
        for (settings, place) in all[1..].iter_mut().zip(places) {
            let share = (place as f64 + 0.5) / n as f64;
            settings.insert(key.clone(), range.at(share));
        }
    }
    all
}

/// Fisher and Yates, with the numbers of SplitMix64.
fn shuffle(values: &mut [usize], seed: u64) {
    let mut state = seed;
    for last in (1..values.len()).rev() {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        values.swap(last, (mixed % (last as u64 + 1)) as usize);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use vrft_config::Document;

    use super::*;

    fn read(text: &str) -> Result<TuneConfig, ConfigError> {
        Document::parse(text, "test").unwrap().section()
    }

    #[test]
    fn ranges_are_lists_or_bounds() {
        let tune = read(
            "[tune]\ntrials = 5\n[tune.space]\n\"rollout.group_size\" = [4, 8]\n\
             \"optimizer.learning_rate\" = {low = 1e-6, high = 1e-4, log = true}",
        )
        .unwrap();
        let all = combinations(&tune.space, tune.trials, 0);
        assert_eq!((all.len(), all[0].len()), (5, 0));
        let rates: BTreeSet<String> =
            all[1..].iter().map(|s| s["optimizer.learning_rate"].to_string()).collect();
        // Quarters of two decades, each at its middle.
        assert_eq!(
            rates.into_iter().collect::<Vec<_>>(),
            ["0.000001780", "0.00000562", "0.0000178", "0.0000562"]
                .map(|text| Value::Float(text.parse().unwrap()).to_string())
                .into_iter()
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect::<Vec<_>>()
        );
        let sizes: Vec<i64> =
            all[1..].iter().filter_map(|s| s["rollout.group_size"].as_integer()).collect();
        assert_eq!(sizes.iter().filter(|size| **size == 4).count(), 2, "{sizes:?}");
        assert_eq!(combinations(&tune.space, 5, 0), all);
        assert_ne!(combinations(&usual_space(1e-5), 9, 0), combinations(&usual_space(1e-5), 9, 1));
    }

    #[test]
    fn the_usual_ranges_lie_around_the_configured_rate() {
        let all = combinations(&usual_space(1e-5), 9, 3);
        for settings in &all[1..] {
            let rate = settings["optimizer.learning_rate"].as_float().unwrap();
            assert!((1e-6..1e-4).contains(&rate), "{rate}");
            let temperature = settings["rollout.temperature"].as_float().unwrap();
            assert!((0.7..1.2).contains(&temperature), "{temperature}");
        }
    }

    #[test]
    fn what_cannot_be_tried_is_refused_by_its_key() {
        let refused = |text: &str, key: &str, words: &str| {
            let error = read(text).unwrap_err().to_string();
            assert!(error.starts_with(key) && error.contains(words), "{error}");
        };
        refused("[tune]\ntrials = 1", "tune.trials", "2 to 999");
        refused("[tune]\neta = 1", "tune.eta", "2 or more");
        refused("[tune]\nrungs = 0", "tune.rungs", "1 to 6");
        refused("[tune]\nmin_reward = 1.0", "tune.min_reward", "a share");
        refused("[tune.space]\n\"run.seed\" = [1]", "tune.space.\"run.seed\"", "each trial");
        refused("[tune.space]\n\"a.b\" = []", "tune.space.\"a.b\"", "at least one");
        refused(
            "[tune.space]\n\"a.b\" = {low = 0.0, high = 1.0, log = true}",
            "tune.space.\"a.b\"",
            "above 0 with log",
        );
        assert!(read("[tune.space]\noptimizer.learning_rate = [1e-5]").is_err());
    }
}
