//! What can be told of examples before their kind is: which of them can be answered at all, and what stands around answers.

use std::collections::BTreeSet;

use super::recognized::Odd;
use crate::answers::{AnswerKind, Example};
use crate::check_tags;
use crate::geometry::Geometry;
use crate::reading::quote;
use crate::text::extract::Solution;

/// The examples whose answers can be said at all, and why the others cannot: they spell a tag.
pub(super) fn sound<'a>(
    examples: &[Example<'a>],
    answer: impl Fn(&Example<'a>) -> &'a str,
) -> (Vec<Example<'a>>, Odd) {
    let mut odd = Odd::new();
    let sound = examples.iter().filter(|example| match check_tags(answer(example)) {
        Ok(()) => true,
        Err(error) => {
            odd.insert(example.place.to_owned(), error.to_string());
            false
        }
    });
    (sound.copied().collect(), odd)
}

/// How many answers were found behind a mark.
pub(super) fn told_of_marks(examples: &[Example]) -> Option<String> {
    let mark = |example: &&Example| Solution::new(example.solution).mark;
    let mut marked = examples.iter().filter_map(|example| Some((example, mark(&example)?)));
    let (first, mark) = marked.next()?;
    let (n, all) = (1 + marked.count(), examples.len());
    Some(format!(
        "; {n} of {all} are marked, by {mark} in {}, and what stands before the mark is taken for thinking",
        first.place
    ))
}

/// That an answer without keys has words beside its numbers, which are no part of it.
pub(super) fn told_of_words(kind: &AnswerKind, some: &[(Example, &str)]) -> Option<String> {
    let is_place = matches!(kind.geometry(), Some(Geometry::Box | Geometry::Point));
    let has_key = kind.kind().as_items().is_some_and(|items| items.keys().place.is_some());
    let has_words = |answer: &str| !answer.contains('{') && answer.contains(char::is_alphabetic);
    let mut worded = some.iter().filter(|(_, answer)| is_place && !has_key && has_words(answer));
    let (first, answer) = worded.next()?;
    Some(format!(
        "; what stands beside the numbers is no part of the answer, as in {:?} in {}",
        quote(answer),
        first.place
    ))
}

/// Whether an answer is brackets around nothing.
pub(super) fn is_empty_list(answer: &str) -> bool {
    let is_bracket = |c: char| "[](){}".contains(c);
    answer.contains(is_bracket) && answer.chars().all(|c| is_bracket(c) || c.is_whitespace())
}

/// What is said where there is nothing: a text without digits among answers that have some.
pub(super) fn nothing(answers: &[&str]) -> String {
    let wordy =
        |answer: &&&str| !answer.is_empty() && !answer.contains(|c: char| c.is_ascii_digit());
    let said: BTreeSet<&str> = answers.iter().filter(wordy).copied().collect();
    let listed = answers.iter().any(|answer| answer.contains(['[', '{', '(']));
    match said.into_iter().collect::<Vec<_>>()[..] {
        [one] if listed => one.to_owned(),
        _ => String::new(),
    }
}
