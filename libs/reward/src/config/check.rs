//! What contradicts itself in a declared task.

use vrft_config::{ConfigError, missing, require};

use super::{AnswerType, Keys, MatchBy, Measure, Metric, RewardConfig, Shape, Space, TermConfig};

/// The most that statements in the thinking may weigh: they are cheap to make.
const MAX_CLAIMS_WEIGHT: f64 = 0.2;

impl RewardConfig {
    /// Checks the declaration as a whole.
    ///
    /// # Errors
    /// The first key that contradicts another one or cannot be worked with, and what to write instead.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.check_answer()?;
        self.check_matching()?;
        ensure(
            (0.0..=1.0).contains(&self.refine_after),
            "reward.refine_after",
            self.refine_after,
            || "a share of the training in [0, 1]".into(),
        )?;
        if let Some(correction) = &self.correction {
            for (key, value) in [("alpha", correction.alpha), ("gamma", correction.gamma)] {
                let fine = (0.0..=10.0).contains(&value);
                ensure(fine, &format!("reward.correction.{key}"), value, || "from 0 to 10".into())?;
            }
        }
        for (name, term) in &self.terms {
            let key = |suffix: &str| format!("reward.terms.{name}.{suffix}");
            self.check_term(name, term, &key)?;
            check_numbers(term, &key)?;
            check_required(term, &key)?;
        }
        Ok(())
    }

    fn check_answer(&self) -> Result<(), ConfigError> {
        let answer = &self.answer;
        let keys = key_names(&answer.keys);
        let allowed = allowed_keys(answer.kind);
        for (name, value) in keys {
            let fine = value.is_empty() || allowed.contains(&name);
            ensure(fine, &format!("reward.answer.keys.{name}"), value, || {
                format!("nothing: an answer of type {:?} knows the keys {allowed:?}", answer.kind)
            })?;
        }
        for (name, value) in
            keys.into_iter().filter(|(name, _)| required_keys(answer.kind).contains(name))
        {
            ensure(!value.is_empty(), &format!("reward.answer.keys.{name}"), value, || {
                format!("a name, since answers of type {:?} have one", answer.kind)
            })?;
        }
        let labelled = answer.kind.has_items() && !answer.keys.label.is_empty();
        let may_list = answer.kind == AnswerType::Label || labelled;
        ensure(
            answer.labels.is_empty() || may_list,
            "reward.answer.labels",
            answer.labels.len(),
            || "no labels: this type of answer has none".into(),
        )?;
        let region = matches!(answer.kind, AnswerType::Polygon | AnswerType::Mask);
        ensure(!region || answer.space != Space::Pixels, "reward.answer.space", "pixels", || {
            "thousandths or unit: outlines are compared on a grid over the whole image".into()
        })?;
        let permutation = answer.kind == AnswerType::Permutation;
        ensure(answer.length == 0 || permutation, "reward.answer.length", answer.length, || {
            "nothing: only permutations have a length".into()
        })
    }

    fn check_matching(&self) -> Result<(), ConfigError> {
        let matching = &self.matching;
        let measure = matching.measure;
        let boxes = matches!(
            self.answer.kind,
            AnswerType::Boxes | AnswerType::Box | AnswerType::Json | AnswerType::Track
        );
        let points = self.answer.kind == AnswerType::Points;
        let fine = match measure {
            Measure::Iou => !points,
            Measure::L1 => boxes || points,
            Measure::Giou | Measure::Diou | Measure::Ciou => boxes,
        };
        ensure(
            fine || !self.answer.kind.has_items(),
            "reward.match.measure",
            format!("{measure:?}").to_lowercase(),
            || {
                if points {
                    "\"l1\" for points".into()
                } else {
                    "\"iou\", the measure of this type of answer".into()
                }
            },
        )?;
        ensure(
            matching.threshold < 1.0 && matching.threshold >= -1.0,
            "reward.match.threshold",
            matching.threshold,
            || "below 1, and 0 or above for all but GIoU, DIoU and CIoU".into(),
        )?;
        ensure(matching.scale > 0.0, "reward.match.scale", matching.scale, || "above 0".into())?;
        let has_confidence = !self.answer.keys.confidence.is_empty();
        let needs = matching.by == MatchBy::None && self.has(Metric::Confidence);
        ensure(!needs || has_confidence, "reward.match.by", "none", || "another matching".into())?;
        ensure(!matching.label || self.has_labels(), "reward.match.label", true, || {
            "false, or a name for reward.answer.keys.label".into()
        })
    }

    fn check_term(
        &self,
        name: &str,
        term: &TermConfig,
        key: &dyn Fn(&str) -> String,
    ) -> Result<(), ConfigError> {
        let kind = self.answer.kind;
        ensure(term.metric.applies_to(kind), &key("metric"), term.metric.name(), || {
            format!("one of {}, the metrics of an answer of type {kind:?}", Metric::names_for(kind))
        })?;
        for set in term.set_keys() {
            ensure(term.metric.keys().contains(&set), &key(set), "set", || {
                format!(
                    "nothing: the metric {} knows only {:?}",
                    term.metric.name(),
                    term.metric.keys()
                )
            })?;
        }
        let labelled =
            term.metric != Metric::Label && term.label != Some(true) || self.has_labels();
        ensure(labelled, &key("label"), true, || {
            "a name for reward.answer.keys.label as well, or no comparison of labels".into()
        })?;
        let confident =
            term.metric != Metric::Confidence || !self.answer.keys.confidence.is_empty();
        ensure(confident, &key("metric"), "confidence", || {
            "a name for reward.answer.keys.confidence as well, or another metric".into()
        })?;
        for (suffix, other) in [("gate", &term.gate), ("of", &term.of)] {
            let Some(other) = other else { continue };
            let fine = other != name
                && self
                    .terms
                    .get(other)
                    .is_some_and(|other| other.gate.is_none() && other.of.is_none());
            ensure(fine, &key(suffix), other, || {
                "the name of another term that itself has neither gate nor of".into()
            })?;
        }
        let cheap = term.metric != Metric::Claims || term.weight <= MAX_CLAIMS_WEIGHT;
        ensure(cheap, &key("weight"), term.weight, || {
            format!("at most {MAX_CLAIMS_WEIGHT}: statements are cheap to make")
        })
    }

    fn has(&self, metric: Metric) -> bool {
        self.terms.values().any(|term| term.metric == metric)
    }

    fn has_labels(&self) -> bool {
        !self.answer.keys.label.is_empty()
    }
}

fn check_numbers(term: &TermConfig, key: &dyn Fn(&str) -> String) -> Result<(), ConfigError> {
    let weight = term.weight;
    ensure(weight >= 0.0 && weight.is_finite(), &key("weight"), weight, || "0 or above".into())?;
    if let Some(threshold) = term.threshold {
        let fine = (0.0..=1.0).contains(&threshold);
        ensure(fine, &key("threshold"), threshold, || "a likeness in [0, 1]".into())?;
    }
    if let Some(scale) = term.scale {
        let least = if term.metric == Metric::Ratio { 1.0 } else { 0.0 };
        ensure(scale > least && scale.is_finite(), &key("scale"), scale, || {
            format!("above {least}")
        })?;
    }
    if let Some(ngram) = term.ngram {
        ensure(ngram > 0, &key("ngram"), ngram, || "at least 1 word".into())?;
    }
    if let Some(penalty) = term.penalty {
        ensure(penalty <= 0.0 && penalty.is_finite(), &key("penalty"), penalty, || {
            "0 or below".into()
        })?;
    }
    if let (Some(tokens), Some(margin)) = (term.tokens, term.margin) {
        let fine = (1..=tokens).contains(&margin);
        ensure(fine, &key("margin"), margin, || format!("from 1 to tokens = {tokens}"))?;
    }
    let refined = term.refined.as_ref().and_then(|refined| refined.shape.as_ref());
    for shape in [Some(&term.shape), refined].into_iter().flatten() {
        let fine = match shape {
            Shape::Linear | Shape::Shift(_) => true,
            Shape::Power(alpha) => *alpha > 0.0 && alpha.is_finite(),
            Shape::Step(from) => (0.0..=1.0).contains(from),
            Shape::Ramp([low, high]) => 0.0 <= *low && low <= high && *high <= 1.0,
            Shape::Snra(snra) => snra.k0 > 0.0 && snra.k1 >= snra.k0 && snra.k1.is_finite(),
        };
        ensure(fine, &key("shape"), format!("{shape:?}"), || {
            "power above 0, step in [0, 1], ramp rising within [0, 1], or snra with 0 < k0 ≤ k1"
                .into()
        })?;
    }
    Ok(())
}

fn check_required(term: &TermConfig, key: &dyn Fn(&str) -> String) -> Result<(), ConfigError> {
    let missing = |name: &str, remedy: &str| Err(missing(key(name), remedy));
    match term.metric {
        Metric::Cosine | Metric::Overlong if term.tokens.is_none() => {
            missing("tokens", "write the length, in tokens, at which a completion is at its limit")
        }
        Metric::Overlong if term.margin.is_none() => {
            missing("margin", "write over how many tokens the penalty grows")
        }
        Metric::Cosine if term.of.is_none() => {
            missing("of", "write the name of the term that says whether the answer is right")
        }
        Metric::Closeness | Metric::Ratio if term.scale.is_none() => {
            missing("scale", "write the error at which nothing is earned any more")
        }
        _ => Ok(()),
    }
}

fn key_names(keys: &Keys) -> [(&'static str, &str); 9] {
    [
        ("place", &keys.place),
        ("confidence", &keys.confidence),
        ("label", &keys.label),
        ("start", &keys.start),
        ("end", &keys.end),
        ("frame", &keys.frame),
        ("id", &keys.id),
        ("objects", &keys.objects),
        ("target", &keys.target),
    ]
}

fn allowed_keys(kind: AnswerType) -> &'static [&'static str] {
    match kind {
        AnswerType::Boxes | AnswerType::Points | AnswerType::Polygon | AnswerType::Box3d => {
            &["place", "confidence", "label"]
        }
        AnswerType::Box | AnswerType::Mask => &["place", "label"],
        AnswerType::Interval => &["start", "end", "label"],
        AnswerType::Track => &["place", "frame", "id"],
        AnswerType::Json => &["place", "label", "objects", "target"],
        _ => &[],
    }
}

fn required_keys(kind: AnswerType) -> &'static [&'static str] {
    match kind {
        AnswerType::Track => &["place", "frame"],
        AnswerType::Json => &["place", "label", "objects", "target"],
        _ => &[],
    }
}

fn ensure(
    holds: bool,
    key: &str,
    got: impl ToString,
    expected: impl FnOnce() -> String,
) -> Result<(), ConfigError> {
    if holds { Ok(()) } else { require(false, key, got, expected()) }
}
