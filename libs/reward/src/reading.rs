//! How the text of an answer is read, whatever its kind: with forgiveness, to the letter, or as the truth of a data set.

use crate::answers::Author;
use crate::config::{AnswerConfig, From, Reader};
use crate::text::extract::{Solution, answer_text, extract_anywhere, spelled_tag};
use crate::text::json;
use crate::text::marked::why_not_boxed;
use crate::text::names::{folded, letters};
use crate::text::plain::plain;
use crate::{Answer, RewardError};

/// Characters of an answer that may say "nothing": what is longer says more.
const MAX_NOTHING_CHARS: usize = 64;
/// Characters of a bad answer that an error quotes.
const QUOTED_CHARS: usize = 80;

/// What a completion says, as the task wants it read.
pub(crate) fn read_completion(completion: &str, answer: &AnswerConfig) -> Option<Answer> {
    if answer.reader == Reader::Official {
        return answer.kind.kind().read_official(completion);
    }
    let text = match answer.from {
        From::AfterThink => answer_text(completion)?,
        From::Anywhere => extract_anywhere(completion),
    };
    match answer.reader {
        Reader::Strict => read_strictly(text, answer),
        _ => read_answer(text, answer),
    }
}

/// Reads the answer of a model that means well and writes badly; `None` if it says nothing of the declared kind.
///
/// Overlooked is what carries no meaning: either kind of quotes, the case of keys, trailing commas, doubled
/// brackets, prose and code fences around a list, digits of other scripts; an object that the text ends in the
/// middle of is left out. Nothing is guessed: two numbers are no number, two names are no name.
pub fn read_answer(text: &str, answer: &AnswerConfig) -> Option<Answer> {
    read(text, answer, Author::Policy)
}

/// Reads the text of an answer to the letter; `None` unless all of it is a valid answer of the declared kind: what the
/// format instructions ask for, and nothing around it.
///
/// Lists and objects are JSON. Single quotes throughout are fine too, since the data sets of Visual-RFT have them.
pub fn read_strictly(text: &str, answer: &AnswerConfig) -> Option<Answer> {
    let text = text.trim();
    let plain_text = plain(text);
    if says_nothing(&plain_text, &answer.nothing) {
        // An empty list is one to the letter; words are as free as names are.
        let listed = plain_text.contains(['[', ']', '{', '}']);
        return (!listed || json::is_literal(text)).then_some(Answer::Nothing);
    }
    let kind = answer.kind.kind();
    let reading = kind.read(&plain_text, Author::Policy)?;
    kind.is_exact(text, &reading).then_some(reading)
}

/// Reads the `solution` of a sample, with or without thinking and answer tags around it.
///
/// # Errors
/// Text that is not wholly understood, or several answer blocks: what cannot be read must not be learned from.
pub fn read_truth(solution: &str, answer: &AnswerConfig) -> Result<Answer, RewardError> {
    let solution = Solution::new(solution);
    if solution.n_blocks > 1 {
        return Err(RewardError::SeveralAnswers(solution.n_blocks));
    }
    let text = solution.answer;
    check_tags(text)?;
    let truth = read(text, answer, Author::Data);
    answer.kind.kind().check_truth(text, truth.as_ref())?;
    truth.ok_or_else(|| {
        let (expected, got) = (expected(answer), quote(text));
        match why_not_boxed(text) {
            Some(why) => RewardError::Boxed { expected, got, why },
            None => RewardError::Unreadable { expected, got },
        }
    })
}

/// Refuses a true answer, without thinking and tags around it, that spells one of the tags itself.
///
/// # Errors
/// It does.
pub fn check_tags(text: &str) -> Result<(), RewardError> {
    match spelled_tag(text) {
        Some(tag) => Err(RewardError::Tag { tag, got: quote(text) }),
        None => Ok(()),
    }
}

fn read(text: &str, answer: &AnswerConfig, author: Author) -> Option<Answer> {
    let text = plain(text);
    if says_nothing(&text, &answer.nothing) {
        return Some(Answer::Nothing);
    }
    answer.kind.kind().read(&text, author)
}

/// Whether an answer states that there is no object: in the declared words, or as an empty list.
fn says_nothing(text: &str, nothing: &str) -> bool {
    let text = text.trim();
    if nothing.is_empty() || text.chars().nth(MAX_NOTHING_CHARS).is_some() {
        return false;
    }
    let text = folded(text);
    let said = text.chars().filter(|c| c.is_alphanumeric() || "[]{}".contains(*c));
    let said: String = said.collect();
    let declared = letters(nothing);
    ["[]", "json[]", &declared, declared.trim_end_matches('s')].contains(&said.as_str())
}

/// What the true answer should look like, for errors.
fn expected(answer: &AnswerConfig) -> String {
    let example = answer.kind.kind().example();
    if answer.nothing.is_empty() { example } else { format!("{example} or {:?}", answer.nothing) }
}

/// The start of a text, for errors.
pub(crate) fn quote(text: &str) -> String {
    text.chars().take(QUOTED_CHARS).collect()
}

#[cfg(test)]
mod tests;
