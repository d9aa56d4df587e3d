//! From a text message to a conversation: one question, or turns as the language nodes of dora's hub mark them.

use std::collections::VecDeque;

use eyre::{ensure, eyre};
use vrft_answer::Answerer;
use vrft_messages::{Part, Role, Turn};

/// How the hub marks who speaks; what is not marked is the user's.
const MARKS: [(&str, Role); 6] = [
    ("<|system|>\n", Role::System),
    ("<|assistant|>\n", Role::Assistant),
    ("<|user|>\n<|im_start|>\n", Role::User),
    ("<|user|>\n", Role::User),
    ("<|tool|>\n", Role::User),
    ("<|im_start|>\n", Role::User),
];

/// How the hub marks a picture that is named by its address.
const PICTURE: &str = "<|user|>\n<|vision_start|>\n";

/// What was asked before and answered, in words alone.
pub(crate) struct History {
    exchanges: VecDeque<(String, String)>,
    capacity: usize,
}

impl History {
    /// Keeps so many exchanges, the newest.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { exchanges: VecDeque::new(), capacity }
    }

    pub(crate) fn add(&mut self, question: &str, answer: &str) {
        if self.capacity > 0 {
            if self.exchanges.len() == self.capacity {
                self.exchanges.pop_front();
            }
            self.exchanges.push_back((question.to_owned(), answer.to_owned()));
        }
    }

    fn turns(&self) -> impl Iterator<Item = Turn> {
        self.exchanges.iter().flat_map(|(question, answer)| {
            [said(Role::User, question), said(Role::Assistant, answer)]
        })
    }
}

/// The last question of a text message in words.
pub(crate) fn question_of(texts: &[String]) -> &str {
    texts.last().map_or("", |text| marked(text).1)
}

/// The conversation that a text message makes, with what was said before; its pictures stand before the last question.
///
/// # Errors
/// No text, or turns that do not end with a question.
pub(crate) fn conversation(
    answerer: &Answerer,
    history: &History,
    texts: &[String],
    n_pictures: usize,
) -> eyre::Result<Vec<Turn>> {
    let (last, before) =
        texts.split_last().ok_or_else(|| eyre!("a text message without a text"))?;
    ensure!(
        texts.iter().all(|text| !text.starts_with(PICTURE)),
        "a turn names a picture by its address, which is not fetched: send it to an input with `image` in its name"
    );
    let (role, words) = marked(last);
    ensure!(
        role == Role::User && !words.trim().is_empty(),
        "the last turn should be a question of the user, got {last:?}"
    );
    let asked = answerer.question(words, n_pictures);
    let before = before.iter().map(|text| {
        let (role, words) = marked(text);
        said(role, words)
    });
    let (own, earlier): (Vec<Turn>, Vec<Turn>) = before.partition(|turn| turn.role == Role::System);
    Ok(with_earlier(asked, own, history.turns().chain(earlier)))
}

/// The default question with what was said before.
pub(crate) fn after(history: &History, asked: Vec<Turn>) -> Vec<Turn> {
    with_earlier(asked, Vec::new(), history.turns())
}

/// System turns first, those of the message in place of the configured one; then what was said before.
fn with_earlier(
    asked: Vec<Turn>,
    system: Vec<Turn>,
    earlier: impl Iterator<Item = Turn>,
) -> Vec<Turn> {
    let (configured, question): (Vec<Turn>, Vec<Turn>) =
        asked.into_iter().partition(|turn| turn.role == Role::System);
    let system = if system.is_empty() { configured } else { system };
    system.into_iter().chain(earlier).chain(question).collect()
}

fn said(role: Role, words: &str) -> Turn {
    Turn { role, parts: vec![Part::Text(words.to_owned())] }
}

fn marked(text: &str) -> (Role, &str) {
    let found = MARKS.iter().find_map(|(mark, role)| Some((*role, text.strip_prefix(mark)?)));
    found.unwrap_or((Role::User, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question() -> Vec<Turn> {
        vec![Turn::system("configured"), Turn::question(1, "Now?")]
    }

    fn words(turns: &[Turn]) -> Vec<(Role, String, usize)> {
        turns.iter().map(|turn| (turn.role, turn.text(), turn.n_images())).collect()
    }

    #[test]
    fn what_was_said_stands_between_system_and_question_without_its_pictures() {
        let mut history = History::new(1);
        history.add("Long ago?", "Yes.");
        history.add("Before?", "No.");
        let expected = [
            (Role::System, "configured".to_owned(), 0),
            (Role::User, "Before?".to_owned(), 0),
            (Role::Assistant, "No.".to_owned(), 0),
            (Role::User, "Now?".to_owned(), 1),
        ];
        assert_eq!(words(&after(&history, question())), expected);
    }

    #[test]
    fn marks_of_the_hub_say_who_speaks() {
        for (text, expected) in [
            ("<|system|>\nBe kind.", (Role::System, "Be kind.")),
            ("<|user|>\n<|im_start|>\nWhat?", (Role::User, "What?")),
            ("<|assistant|>\nThat.", (Role::Assistant, "That.")),
            ("plain", (Role::User, "plain")),
        ] {
            assert_eq!(marked(text), expected);
        }
        let own = vec![said(Role::System, "own")];
        let turns = with_earlier(question(), own, std::iter::empty());
        assert_eq!(words(&turns)[0].1, "own");
        assert_eq!(turns.len(), 2);
    }
}
