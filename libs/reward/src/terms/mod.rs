//! The terms that a reward can be made of. A metric is one structure: its fields are the keys that it knows, and
//! [`Evaluate`] is what it does; the list of all is in [`Metric`].

mod average_precision;
mod claims;
mod confidence;
mod counts;
mod distance;
mod format;
mod hota;
mod length;
mod numbers;
mod overlap;
mod repetition;
mod shape;
mod target;
mod words;

pub use average_precision::AveragePrecision;
pub use claims::{Claims, Consistency, Restated};
pub use confidence::{Confidence, Miss};
pub use counts::{Brevity, Completeness, Count, Recall, RefinedRecall};
pub use distance::{Distance, Size};
pub use format::{Format, ThinkFormat};
pub use hota::Hota;
pub use length::{Cosine, Overlong};
pub use numbers::{Closeness, Ratio};
pub use overlap::{Boundary, Label, Norm, Overlap, RefinedOverlap, Yaw};
pub use repetition::Repetition;
pub use shape::{Shape, Snra};
pub use target::Target;
pub use words::{Accuracy, Same, Similarity, Tiles};

use std::collections::BTreeMap;

use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::answers::AnswerKind;
use crate::case::Case;
use crate::config::parts::{self, Required};
use crate::config::{AnswerConfig, ConfigError, ensure};

/// One term: a number made of answer and truth, and its weight.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TermConfig {
    /// What is measured, with the keys that only it knows.
    #[serde(flatten)]
    pub metric: Metric,
    /// What it is multiplied with in the sum.
    pub weight: f64,
    /// Name of another term that this one is multiplied with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate: Option<String>,
    /// Pay in full if the first numbers agree, as Visual-RFT's program does by mistake.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub shortcut: bool,
}

/// The keys that all terms have, with their defaults.
#[derive(Deserialize)]
#[serde(default)]
struct Common {
    weight: f64,
    gate: Option<String>,
    shortcut: bool,
}

/// Names of the keys of [`Common`].
const COMMON: [&str; 3] = ["weight", "gate", "shortcut"];

/// What a metric does. Unless it says otherwise its values lie between 0 and 1.
pub(crate) trait Evaluate {
    /// Whether it can be measured on answers of this kind.
    fn applies_to(kind: &AnswerKind) -> bool
    where
        Self: Sized;

    /// The keys that must be there, and what to write for each.
    fn required() -> &'static [Required]
    where
        Self: Sized,
    {
        &[]
    }

    /// Checks what the types of the keys cannot rule out; `at` is the path of the term.
    fn check(&self, _at: &str, _answer: &AnswerConfig) -> Result<(), ConfigError> {
        Ok(())
    }

    /// The greatest weight that makes sense.
    fn max_weight(&self) -> f64 {
        f64::INFINITY
    }

    /// Name of the term that must be known before.
    fn of(&self) -> Option<&str> {
        None
    }

    /// The value of a completion, before gate and weight.
    fn value(&self, case: &Case) -> f64;

    /// Least and greatest value.
    fn range(&self) -> (f64, f64) {
        (0.0, 1.0)
    }
}

macro_rules! metrics {
    ($($(#[$doc:meta])* $metric:ident = $name:literal),* $(,)?) => {
        /// What is measured. Unless said otherwise a value lies between 0 and 1.
        #[derive(Debug, Clone, PartialEq, Serialize)]
        #[serde(tag = "metric")]
        pub enum Metric {
            $($(#[$doc])* #[serde(rename = $name)] $metric($metric)),*
        }

        impl Metric {
            /// As it is written.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Metric::$metric(_) => $name),*
                }
            }

            /// The metrics that can be measured on answers of a kind.
            pub fn names_for(kind: &AnswerKind) -> Vec<&'static str> {
                let all = [$(($name, $metric::applies_to(kind))),*];
                all.into_iter().filter(|(_, applies)| *applies).map(|(name, _)| name).collect()
            }

            /// The metric that its keys declare; `None` if there is none of this name.
            fn from_table(name: &str, keys: Table, at: &str) -> Option<Result<Self, String>> {
                match name {
                    $($name => {
                        let owner = concat!("the metric ", $name);
                        let part = parts::part::<$metric>(keys, at, owner, &COMMON, $metric::required(), Shape::is_nothing);
                        Some(part.map(Metric::$metric))
                    })*
                    _ => None,
                }
            }

            pub(crate) fn evaluate(&self) -> &dyn Evaluate {
                match self {
                    $(Metric::$metric(metric) => metric),*
                }
            }
        }
    };
}

metrics! {
    /// Σ likeness over pairs, divided by `norm`.
    Overlap = "overlap",
    /// Σ nearness over pairs of points or of centers of boxes in space, divided by `norm`.
    Distance = "distance",
    /// Σ likeness of the sizes over pairs of boxes in space, divided by `norm`.
    Size = "size",
    /// Share of the true items that are hit.
    Recall = "recall",
    /// Confidence high on hits, low on the others.
    Confidence = "confidence",
    /// Share of pairs with the right label.
    Label = "label",
    /// Nearness of the number of items: 1 - |n - m| / max(n, m).
    Count = "count",
    /// min(1, m / n) for n predictions of m true items.
    Brevity = "brevity",
    /// 1 - (share missed + share invented) / 2.
    Completeness = "completeness",
    /// COCO's average precision of this one answer, all confidences equal; at `threshold`, or over ten.
    AveragePrecision = "average_precision",
    /// IoU of the edges of the regions, a fiftieth of the diagonal wide.
    Boundary = "boundary",
    /// Cosine of the difference in turn, from 0 to 1, averaged as the overlap.
    Yaw = "yaw",
    /// Higher-order tracking accuracy (arXiv 2009.07736).
    Hota = "hota",
    /// Likeness of the item that is meant, if the right one is.
    Target = "target",
    /// 1 if the answer is the true one.
    Accuracy = "accuracy",
    /// 1 - |error| / `scale`, not below 0.
    Closeness = "closeness",
    /// 1 - |ln(predicted / true)| / ln(`scale`), not below 0.
    Ratio = "ratio",
    /// Share of the places of a permutation that are right.
    Tiles = "tiles",
    /// 1 - edit distance / longer length.
    Similarity = "similarity",
    /// 1 if the completion has the declared form.
    Format = "format",
    /// 1 if the completion opens with its thinking and closes it once, as in TRL.
    ThinkFormat = "think_format",
    /// Right answers earn more when short, wrong ones when long, along half a cosine.
    Cosine = "cosine",
    /// Share of repeated word groups times `penalty`, which is negative.
    Repetition = "repetition",
    /// 0 up to `tokens` - `margin`, then falling to -1 at `tokens`.
    Overlong = "overlong",
    /// Share of the checkable statements in the thinking that are true.
    Claims = "claims",
    /// 1 if the number claimed in the thinking is the number of items in the answer.
    Consistency = "consistency",
    /// 1 if the last sentence of the thinking repeats the answer.
    Restated = "restated",
}

impl Metric {
    /// Whether it judges how an answer is written and argued: its form, its thinking, its length.
    pub fn is_form(&self) -> bool {
        !self.is_accuracy() && !matches!(self, Self::Confidence(_))
    }

    /// Whether it says how right an answer is, rather than how it is written or argued, how long it is or how sure.
    pub fn is_accuracy(&self) -> bool {
        !matches!(
            self,
            Self::Confidence(_)
                | Self::Brevity(_)
                | Self::Format(_)
                | Self::ThinkFormat(_)
                | Self::Cosine(_)
                | Self::Repetition(_)
                | Self::Overlong(_)
                | Self::Claims(_)
                | Self::Consistency(_)
                | Self::Restated(_)
        )
    }
}

impl TermConfig {
    /// A term of weight 1.
    pub fn of(metric: Metric) -> Self {
        let Common { weight, gate, shortcut } = Common::default();
        Self { metric, weight, gate, shortcut }
    }

    /// Least and greatest value.
    pub(crate) fn range(&self) -> (f64, f64) {
        self.metric.evaluate().range()
    }

    /// A term from its table, as `[reward.terms.NAME]` has it; `at` names that table in errors.
    ///
    /// # Errors
    /// No metric, an unknown one, or a key or value that the metric does not know.
    pub fn from_table(mut table: Table, at: &str) -> Result<Self, String> {
        let Some(name) = table.remove("metric") else {
            return Err(format!("{at}.metric is missing: write what is measured"));
        };
        let common = COMMON.iter().filter_map(|key| Some(((*key).to_owned(), table.remove(*key)?)));
        let Common { weight, gate, shortcut } = parts::read(Value::Table(common.collect()), at)?;
        let metric = Metric::from_table(name.as_str().unwrap_or_default(), table, at)
            .ok_or_else(|| format!("{at}.metric = {name}: expected the name of a metric"))??;
        Ok(Self { metric, weight, gate, shortcut })
    }
}

impl Default for Common {
    fn default() -> Self {
        Self { weight: 1.0, gate: None, shortcut: false }
    }
}

/// Reads `[reward.terms]`, so that whatever is wrong is said with the name of its term.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, TermConfig>, D::Error> {
    let tables: BTreeMap<String, Table> = BTreeMap::deserialize(deserializer)?;
    let term = |(name, table)| {
        let term = TermConfig::from_table(table, &format!("reward.terms.{name}"));
        Ok((name, term.map_err(D::Error::custom)?))
    };
    tables.into_iter().map(term).collect()
}

/// Whether answers of a kind are items, which are paired with the true ones.
fn has_items(kind: &AnswerKind) -> bool {
    kind.geometry().is_some()
}

/// Refuses a likeness outside of [0, 1].
fn check_threshold(threshold: f64, at: &str) -> Result<(), ConfigError> {
    let fine = (0.0..=1.0).contains(&threshold);
    ensure(fine, &format!("{at}.threshold"), threshold, || "a likeness in [0, 1]".into())
}

/// Refuses to compare labels of items that have none.
fn check_labels(compares: bool, at: &str, answer: &AnswerConfig) -> Result<(), ConfigError> {
    ensure(!compares || answer.has_item_labels(), &format!("{at}.label"), true, || {
        "a name for reward.answer.keys.label as well, or no comparison of labels".into()
    })
}
