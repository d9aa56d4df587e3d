//! Any text.

use serde::{Deserialize, Serialize};

use super::{AnswerKind, Author, Draft, Examples, Form, Kind};
use crate::Answer;
use crate::rng::Rng;
use crate::terms::{Metric, Similarity};

/// Words of texts that are drawn.
const WORDS: [&str; 12] = [
    "stop", "open", "daily", "north", "exit", "platform", "two", "market", "street", "water",
    "fresh", "bread",
];

/// Any text.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextAnswer {}

impl Kind for TextAnswer {
    fn form(&self) -> Form {
        Form::Text
    }

    fn instruction(&self) -> String {
        "Give the text.".to_owned()
    }

    fn example(&self) -> String {
        "text".to_owned()
    }

    fn read(&self, text: &str, _author: Author) -> Option<Answer> {
        let text = text.trim();
        (!text.is_empty()).then(|| Answer::Words(text.to_owned()))
    }

    fn is_exact(&self, _text: &str, _reading: &Answer) -> bool {
        true
    }

    fn usual_metric(&self) -> Metric {
        Metric::Similarity(Similarity::default())
    }

    fn draw(&self, rng: &mut Rng) -> Draft {
        let words: Vec<&str> = (0..3 + rng.below(4)).map(|_| *rng.pick(&WORDS)).collect();
        Draft::Text(words.join(" "))
    }

    fn corrupt(&self, draft: &Draft, sigma: f64, rng: &mut Rng) -> Draft {
        let Draft::Text(text) = draft else { return draft.clone() };
        let letter = |c: char| if rng.unit() < sigma { 'x' } else { c };
        Draft::Text(text.chars().map(letter).collect())
    }

    fn constant(&self, _gold: &Draft) -> Option<Draft> {
        Some(Draft::Text("thing".to_owned()))
    }
}

/// Whatever nothing else fits.
pub(super) fn recognize(_examples: &Examples) -> Option<(AnswerKind, String)> {
    Some((AnswerKind::Text(TextAnswer {}), "free text".to_owned()))
}
