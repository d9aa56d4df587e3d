//! Which metric applies to which kind of answer, and which keys it knows.

use AnswerType::*;

use super::{AnswerType, Metric, Shape, TermConfig};

impl Metric {
    /// All metrics with the kinds of answer they apply to and the keys they know besides `metric`, `weight`,
    /// `gate` and `shortcut`. Those without kinds apply to all.
    const TABLE: [(Metric, &str, &[AnswerType], &[&str]); 25] = [
        (Metric::Overlap, "overlap", ITEMS, &["norm", "label", "shape", "refined"]),
        (Metric::Recall, "recall", ITEMS, &["threshold", "label", "refined"]),
        (Metric::Confidence, "confidence", &[Boxes], &["norm", "threshold", "miss"]),
        (Metric::Label, "label", ITEMS, &["norm"]),
        (Metric::Count, "count", ITEMS, &["shape"]),
        (Metric::Brevity, "brevity", ITEMS, &[]),
        (Metric::Completeness, "completeness", ITEMS, &["threshold", "label"]),
        (Metric::AveragePrecision, "average_precision", &[Boxes], &["threshold", "label"]),
        (Metric::Boundary, "boundary", &[Polygon, Mask], &["norm", "shape"]),
        (Metric::Yaw, "yaw", &[Box3d], &["norm"]),
        (Metric::Hota, "hota", &[Track], &[]),
        (Metric::Target, "target", &[Json], &["shape"]),
        (Metric::Accuracy, "accuracy", &[Label, Number, Permutation, Text], &["same"]),
        (Metric::Closeness, "closeness", &[Number], &["scale", "shape"]),
        (Metric::Ratio, "ratio", &[Number], &["scale", "shape"]),
        (Metric::Tiles, "tiles", &[Permutation, Text], &["shape"]),
        (Metric::Similarity, "similarity", &[Text], &["shape"]),
        (Metric::Format, "format", &[], &[]),
        (Metric::ThinkFormat, "think_format", &[], &[]),
        (Metric::Cosine, "cosine", &[], &["of", "tokens", "right", "wrong"]),
        (Metric::Repetition, "repetition", &[], &["ngram", "penalty"]),
        (Metric::Overlong, "overlong", &[], &["tokens", "margin"]),
        (Metric::Claims, "claims", ITEMS, &[]),
        (Metric::Consistency, "consistency", ITEMS, &[]),
        (Metric::Restated, "restated", &[], &[]),
    ];

    /// As it is written.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// Whether it can be measured on this kind of answer.
    pub fn applies_to(self, kind: AnswerType) -> bool {
        let kinds = self.row().2;
        kinds.is_empty() || kinds.contains(&kind)
    }

    /// The metrics of a kind of answer, for messages.
    pub fn names_for(kind: AnswerType) -> String {
        let names = Self::TABLE.iter().filter(|row| row.0.applies_to(kind)).map(|row| row.1);
        names.collect::<Vec<_>>().join(", ")
    }

    /// The keys it knows.
    pub(super) fn keys(self) -> &'static [&'static str] {
        self.row().3
    }

    fn row(
        self,
    ) -> &'static (Metric, &'static str, &'static [AnswerType], &'static [&'static str]) {
        Self::TABLE.iter().find(|row| row.0 == self).expect("every metric has its row")
    }
}

const ITEMS: &[AnswerType] = &[Boxes, Box, Points, Polygon, Mask, Interval, Track, Box3d, Json];

impl TermConfig {
    /// The keys that are set and that only some metrics know.
    pub(super) fn set_keys(&self) -> Vec<&'static str> {
        let set = [
            ("norm", self.norm.is_some()),
            ("label", self.label.is_some()),
            ("threshold", self.threshold.is_some()),
            ("refined", self.refined.is_some()),
            ("miss", self.miss.is_some()),
            ("same", self.same.is_some()),
            ("scale", self.scale.is_some()),
            ("of", self.of.is_some()),
            ("tokens", self.tokens.is_some()),
            ("margin", self.margin.is_some()),
            ("ngram", self.ngram.is_some()),
            ("penalty", self.penalty.is_some()),
            ("right", self.right.is_some()),
            ("wrong", self.wrong.is_some()),
            ("shape", self.shape != Shape::Linear),
        ];
        set.into_iter().filter(|(_, set)| *set).map(|(key, _)| key).collect()
    }
}
