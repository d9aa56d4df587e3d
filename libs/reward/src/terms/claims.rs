//! Statements in the thinking that can be checked against the truth.
//!
//! A line such as `#1: count=3`, `#2: region=(10,20,300,400)` or `#3: attr=red` is a claim: so many items, an item
//! there (IoU above one half), an item of that name. Claims pay little and only for being true, see the limit on
//! their weight; a gate on the answer's own term keeps them from paying for thinking without answering.

use serde::{Deserialize, Serialize};

use super::{Evaluate, has_items};
use crate::answers::AnswerKind;
use crate::case::Case;
use crate::text::extract::thinking;
use crate::text::find::numbers;
use crate::text::names::letters;
use crate::{Answer, BBox, Item, Place, same_label};

/// The most that statements in the thinking may weigh: they are cheap to make.
const MAX_WEIGHT: f64 = 0.2;

/// Claims of a completion that are looked at.
const MAX_CLAIMS: usize = 32;
/// Overlap with a true box that makes a claimed region true.
const HIT: f64 = 0.5;

#[derive(Debug, PartialEq)]
enum Claim<'a> {
    Count(f64),
    Region([f64; 4]),
    Attribute(&'a str),
}

/// The share of claims that are true; 0 without any.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {}

impl Evaluate for Claims {
    fn applies_to(kind: &AnswerKind) -> bool {
        has_items(kind)
    }

    fn max_weight(&self) -> f64 {
        MAX_WEIGHT
    }

    fn value(&self, case: &Case) -> f64 {
        let claims: Vec<Claim> = read(thinking(case.attempt.text)).collect();
        if claims.is_empty() {
            return 0.0;
        }
        let right = claims.iter().filter(|claim| holds(claim, case.true_items())).count();
        right as f64 / claims.len() as f64
    }
}

/// 1 if a number is claimed and the answer has that number of items.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consistency {}

impl Evaluate for Consistency {
    fn applies_to(kind: &AnswerKind) -> bool {
        has_items(kind)
    }

    fn value(&self, case: &Case) -> f64 {
        let claimed = read(thinking(case.attempt.text)).filter_map(|claim| match claim {
            Claim::Count(count) => Some(count),
            _ => None,
        });
        f64::from(u8::from(claimed.last() == Some(case.n_predicted() as f64)))
    }
}

/// 1 if the last sentence of the thinking repeats the answer: its letters, or all numbers of its first item.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restated {}

impl Evaluate for Restated {
    fn applies_to(_kind: &AnswerKind) -> bool {
        true
    }

    fn value(&self, case: &Case) -> f64 {
        f64::from(u8::from(is_restated(case)))
    }
}

fn is_restated(case: &Case) -> bool {
    let thinking = thinking(case.attempt.text).trim().trim_end_matches(['.', '!']);
    // A full stop ends a sentence only before white space: 0.5 does not.
    let last = [". ", ".\n", "\n"].iter().filter_map(|end| thinking.rfind(end)).max();
    let tail = last.map_or(thinking, |at| &thinking[at + 1..]);
    let found: Vec<f64> = numbers(tail).collect();
    let all = |wanted: &[f64]| found.windows(wanted.len()).any(|window| window == wanted);
    match &case.reading {
        Some(Answer::Words(words)) => {
            !letters(words).is_empty() && letters(tail).contains(&letters(words))
        }
        Some(Answer::Number(number)) => found.last() == Some(number),
        Some(Answer::Items(items)) => match items.valid.first().map(|item| &item.place) {
            Some(place @ (Place::Box(_) | Place::Point(_) | Place::Span(_))) => {
                place.numbers().is_some_and(|numbers| all(&numbers))
            }
            _ => false,
        },
        Some(Answer::Order(order)) => all(&order.iter().map(|n| *n as f64).collect::<Vec<_>>()),
        Some(Answer::Nothing) => letters(tail).contains(&letters(&case.config.answer.nothing)),
        None => false,
    }
}

fn read(thinking: &str) -> impl Iterator<Item = Claim<'_>> {
    let claims = thinking.lines().filter_map(|line| {
        let (number, claim) = line.trim().strip_prefix('#')?.split_once(':')?;
        number.trim().parse::<u32>().ok()?;
        let (name, value) = claim.split_once('=')?;
        match name.trim() {
            "count" => value.trim().parse().ok().map(Claim::Count),
            "region" => {
                let corners: Vec<f64> = numbers(value).take(5).collect();
                corners.try_into().ok().map(Claim::Region)
            }
            "attr" => Some(Claim::Attribute(value.trim())),
            _ => None,
        }
    });
    claims.take(MAX_CLAIMS)
}

fn holds(claim: &Claim, truth: &[Item]) -> bool {
    match claim {
        Claim::Count(count) => *count == truth.len() as f64,
        Claim::Region(corners) => BBox::try_new(*corners).is_ok_and(|region| {
            truth
                .iter()
                .any(|item| matches!(item.place, Place::Box(bbox) if bbox.iou(&region) > HIT))
        }),
        Claim::Attribute(name) => truth
            .iter()
            .any(|item| item.label.as_deref().is_some_and(|label| same_label(label, name))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_lines_with_a_number() {
        let text = "I see\n#1: count=3\n #2: region=(1, 2, 3, 4)\n#3: attr= red \n#x: count=1\n#4: mood=good";
        let claims: Vec<Claim> = read(text).collect();
        assert_eq!(
            claims,
            [Claim::Count(3.0), Claim::Region([1., 2., 3., 4.]), Claim::Attribute("red")]
        );
    }
}
