//! Conversations: who says what, and where the pictures stand.

use arrow::array::{Array, StructArray};
use arrow::datatypes::UInt32Type;
use serde_json::{Value, json};

use crate::MessageError;
use crate::build::{nullable_strings, numbers, strings, table};
use crate::columns::Columns;

/// Speaker of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The system, which sets the scene.
    System,
    /// The user, who asks.
    User,
    /// The assistant, which is the policy, and answers.
    Assistant,
}

/// A piece of what is said.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Part {
    /// A part that is words.
    Text(String),
    /// The next picture of the prompt.
    Image,
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Turn {
    /// Speaker of the turn.
    pub role: Role,
    /// What is said and shown, in its order.
    pub parts: Vec<Part>,
}

impl Role {
    /// All roles that a turn can have.
    const ALL: [Role; 3] = [Role::System, Role::User, Role::Assistant];

    /// The name in chat messages.
    pub fn name(self) -> &'static str {
        match self {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
        }
    }
}

impl Turn {
    /// A turn of the system, in words.
    pub fn system(text: &str) -> Self {
        Self { role: Role::System, parts: vec![Part::Text(text.to_owned())] }
    }

    /// An answer of the assistant, in words.
    pub fn answer(text: &str) -> Self {
        Self { role: Role::Assistant, parts: vec![Part::Text(text.to_owned())] }
    }

    /// A question about pictures, which come first.
    pub fn question(n_images: usize, text: &str) -> Self {
        let mut parts = vec![Part::Image; n_images];
        parts.push(Part::Text(text.to_owned()));
        Self { role: Role::User, parts }
    }

    /// The words of the turn without its pictures.
    pub fn text(&self) -> String {
        let texts = self.parts.iter().filter_map(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            Part::Image => None,
        });
        texts.collect()
    }

    /// Number of pictures in the turn.
    pub fn n_images(&self) -> usize {
        self.parts.iter().filter(|part| **part == Part::Image).count()
    }
}

/// The turns in the form of Hugging Face's chat messages, which chat templates are written for.
pub fn chat_messages(turns: &[Turn]) -> Value {
    let message = |turn: &Turn| {
        let content = match turn.role {
            Role::User => turn.parts.iter().map(part_value).collect(),
            // Templates differ in whether they expect parts here; all take a text.
            Role::System | Role::Assistant => Value::String(turn.text()),
        };
        json!({"role": turn.role.name(), "content": content})
    };
    turns.iter().map(message).collect()
}

/// A table with a row for each part: the number of its turn, who speaks, and the words; null is a picture.
pub(crate) fn turns_to_arrow<'a>(conversations: impl Iterator<Item = &'a [Turn]>) -> StructArray {
    let rows: Vec<(u32, Role, Option<&str>)> = conversations
        .flat_map(|turns| (0..).zip(turns))
        .flat_map(|(number, turn)| turn.parts.iter().map(move |part| (number, turn.role, part)))
        .map(|(number, role, part)| match part {
            Part::Text(text) => (number, role, Some(text.as_str())),
            Part::Image => (number, role, None),
        })
        .collect();
    table(vec![
        ("turn", numbers::<UInt32Type>(rows.iter().map(|row| row.0))),
        ("role", strings(rows.iter().map(|row| row.1.name()))),
        ("text", nullable_strings(rows.iter().map(|row| row.2))),
    ])
}

/// Rows that a conversation takes in the table.
pub(crate) fn n_parts(turns: &[Turn]) -> usize {
    turns.iter().map(|turn| turn.parts.len()).sum()
}

/// The turns of one conversation.
pub(crate) fn read_turns(array: &StructArray) -> Result<Vec<Turn>, MessageError> {
    let columns = Columns::new("turns of prompts", array);
    let numbers = columns.primitive::<UInt32Type>("turn")?;
    let roles = columns.strings("role")?;
    let texts = columns.nullable_strings("text")?;
    let mut turns: Vec<Turn> = Vec::new();
    for row in 0..columns.n_rows() {
        let name = roles.value(row);
        let role = Role::ALL.into_iter().find(|role| role.name() == name);
        let role = role.ok_or_else(|| columns.row_error(row, format!("role {name:?}")))?;
        let part =
            if texts.is_valid(row) { Part::Text(texts.value(row).to_owned()) } else { Part::Image };
        let is_next = row == 0 || numbers.value(row) != numbers.value(row - 1);
        match turns.last_mut() {
            Some(turn) if !is_next => turn.parts.push(part),
            _ => turns.push(Turn { role, parts: vec![part] }),
        }
    }
    Ok(turns)
}

fn part_value(part: &Part) -> Value {
    match part {
        Part::Text(text) => json!({"type": "text", "text": text}),
        Part::Image => json!({"type": "image"}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_chat_messages() {
        let answer = Turn { role: Role::Assistant, parts: vec![Part::Text("Red.".into())] };
        let turns = [Turn::system("Be careful."), Turn::question(1, "Color?"), answer];
        let expected = json!([
            {"role": "system", "content": "Be careful."},
            {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Color?"}]},
            {"role": "assistant", "content": "Red."}]);
        assert_eq!(chat_messages(&turns), expected);
        assert_eq!((turns[1].n_images(), turns[1].text()), (1, "Color?".to_owned()));
    }
}
