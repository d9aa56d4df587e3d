//! One name.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::draft::{names, other_name};
use super::{AnswerKind, Author, Draft, Examples, Form, Kind};
use crate::config::{ConfigError, ensure};
use crate::reading::quote;
use crate::rng::Rng;
use crate::terms::{Accuracy, Metric};
use crate::text::extract::spelled_tag;
use crate::text::names::{chosen, normalize, same_label};
use crate::{Answer, RewardError};

/// Most distinct names that count as a list to choose from.
const MAX_LISTED: usize = 12;
/// Examples of each name that make a list of them likely.
const MIN_EACH: usize = 3;
/// Characters of a name; longer answers are text.
const MAX_CHARS: usize = 40;
/// Words of a name that occurs once.
const MAX_WORDS: usize = 3;

/// One name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LabelAnswer {
    /// The names to choose from; empty for any.
    pub labels: Vec<String>,
}

impl Kind for LabelAnswer {
    fn is_nothing(key: &str, value: &toml::Value) -> bool {
        key == "labels" && value.as_array().is_some_and(Vec::is_empty)
    }

    fn form(&self) -> Form {
        Form::Name
    }

    fn check(&self) -> Result<(), ConfigError> {
        for (idx, label) in self.labels.iter().enumerate() {
            let twin = self.labels[..idx].iter().find(|earlier| same_label(earlier, label));
            ensure(twin.is_none(), "reward.answer.labels", format!("{label:?}"), || {
                format!(
                    "other names: it is read as {:?}, which is there already",
                    twin.unwrap_or(label)
                )
            })?;
            let is_name = !normalize(label).is_empty();
            ensure(is_name, "reward.answer.labels", format!("{label:?}"), || {
                "names with a letter, digit or other sign".into()
            })?;
            let tag = spelled_tag(label);
            ensure(tag.is_none(), "reward.answer.labels", format!("{label:?}"), || {
                format!("names without {}, which no answer can say", tag.unwrap_or_default())
            })?;
        }
        Ok(())
    }

    fn instruction(&self) -> String {
        if self.labels.is_empty() {
            "Give one name.".to_owned()
        } else {
            format!("Answer with one of: {}.", listed(&self.labels, ", "))
        }
    }

    fn example(&self) -> String {
        if self.labels.is_empty() { "name".to_owned() } else { listed(&self.labels, " or ") }
    }

    fn read(&self, text: &str, _author: Author) -> Option<Answer> {
        chosen(text, &self.labels).map(Answer::Words)
    }

    fn is_exact(&self, text: &str, reading: &Answer) -> bool {
        match reading {
            Answer::Words(name) if !self.labels.is_empty() => same_label(name, text),
            _ => !text.contains('\n'),
        }
    }

    fn check_truth(&self, text: &str, _truth: Option<&Answer>) -> Result<(), RewardError> {
        if normalize(text).is_empty() {
            return Err(RewardError::EmptyLabel { got: quote(text) });
        }
        Ok(())
    }

    fn usual_metric(&self) -> Metric {
        Metric::Accuracy(Accuracy::default())
    }

    fn draw(&self, rng: &mut Rng) -> Draft {
        Draft::Text((*rng.pick(&names(&self.labels))).to_owned())
    }

    fn corrupt(&self, draft: &Draft, sigma: f64, rng: &mut Rng) -> Draft {
        let Draft::Text(name) = draft else { return draft.clone() };
        let right = rng.unit() >= 2.0 * sigma;
        Draft::Text(if right { name.clone() } else { other_name(name, &self.labels, rng) })
    }

    /// All names, one after the other.
    fn hedged(&self, gold: &Draft, _rng: &mut Rng) -> Option<Draft> {
        Some(Draft::Text(format!("{gold}, {}", names(&self.labels).join(", "))))
    }

    fn constant(&self, _gold: &Draft) -> Option<Draft> {
        Some(Draft::Text("thing".to_owned()))
    }
}

/// Names one after the other; in quotes where one of them has a comma in it, as `cat, dog`.
pub(super) fn listed(labels: &[String], separator: &str) -> String {
    if labels.iter().all(|label| !label.contains(',')) {
        return labels.join(separator);
    }
    let quoted: Vec<String> = labels.iter().map(|label| format!("\"{label}\"")).collect();
    quoted.join(separator)
}

impl LabelAnswer {
    /// For these answers: the names to choose from are those that are there, if each is there often.
    pub(crate) fn of(answers: &[&str]) -> Self {
        Self::listing(&answers.iter().map(|answer| answer.trim()).collect(), answers.len())
    }

    fn listing(distinct: &BTreeSet<&str>, n_answers: usize) -> Self {
        let names = distinct_names(distinct.iter().copied());
        let is_list =
            (2..=MAX_LISTED).contains(&names.len()) && n_answers >= MIN_EACH * names.len();
        Self { labels: if is_list { names } else { Vec::new() } }
    }
}

/// Short texts that repeat, or that are short indeed.
pub(super) fn recognize(examples: &Examples) -> Option<(AnswerKind, String)> {
    let is_short = |answer: &str| answer.chars().count() <= MAX_CHARS && !answer.contains('\n');
    examples.all(is_short).then_some(())?;
    let distinct = examples.distinct();
    if distinct.len() < examples.n_answers() {
        let names = LabelAnswer::listing(&distinct, examples.n_answers());
        return Some((AnswerKind::Label(names), "short texts that repeat: names".to_owned()));
    }
    examples.all(|answer| answer.split_whitespace().count() <= MAX_WORDS).then_some(())?;
    let reason = "every answer is a word or three: names".to_owned();
    Some((AnswerKind::Label(LabelAnswer::default()), reason))
}

/// Each name once, in its first spelling: letter case and composed accents make no other name.
fn distinct_names<'a>(answers: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for answer in answers.into_iter().filter(|answer| !normalize(answer).is_empty()) {
        if !names.iter().any(|name| same_label(name, answer)) {
            names.push(answer.to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AnswerConfig;
    use crate::reading::read_truth;

    #[test]
    fn spellings_of_one_name_are_listed_once() {
        assert_eq!(distinct_names(["No", "YES", "Yes", "no", ".."]), ["No", "YES"]);
        assert_eq!(distinct_names(["caf\u{e9}", "cafe\u{301}"]), ["caf\u{e9}"]);
    }

    fn animals() -> AnswerConfig {
        let labels = ["dog", "hot dog", "bear", "teddy bear", "cat"].map(str::to_owned).to_vec();
        AnswerConfig::of(AnswerKind::Label(LabelAnswer { labels }))
    }

    #[test]
    fn a_truth_may_be_a_name_that_another_is_a_part_of() {
        for name in ["dog", "hot dog", "teddy bear", "Hot_Dog"] {
            let truth = read_truth(&format!("<answer>{name}</answer>"), &animals()).unwrap();
            assert!(same_label(&truth.words().unwrap(), name), "{truth:?}");
        }
        assert!(read_truth("hot dog or cat", &animals()).is_err());
    }

    #[test]
    fn several_classes_in_one_name_are_set_apart_from_others() {
        let answers = ["cat, dog", "Cat, Dog", "cat", "cat", "CAT, dog", "cat"];
        let answer = LabelAnswer::of(&answers);
        assert_eq!(answer.labels.len(), 2, "{:?}", answer.labels);
        assert!(
            answer.instruction().eq_ignore_ascii_case("Answer with one of: \"cat, dog\", \"cat\"."),
            "{}",
            answer.instruction()
        );
        let config = AnswerConfig::of(super::super::AnswerKind::Label(answer));
        let said = |text: &str| read_truth(text, &config).unwrap().words().unwrap();
        assert!(same_label(&said("cat, DOG"), "cat, dog"));
    }

    #[test]
    fn names_that_are_read_alike_are_refused() {
        let labels = ["Caf\u{e9}", "cat", "CAFE\u{301}"].map(str::to_owned).to_vec();
        let error = Kind::check(&LabelAnswer { labels }).unwrap_err().to_string();
        assert!(
            error.starts_with("reward.answer.labels") && error.contains("Caf\u{e9}"),
            "{error}"
        );
        let error = Kind::check(&LabelAnswer { labels: vec![" . ".into()] }).unwrap_err();
        assert!(error.to_string().contains("names with a letter"), "{error}");
    }
}
