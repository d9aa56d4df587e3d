//! Conversations as data sets have them: who speaks under which name, and where the pictures stand.

use serde_json::{Map, Value};
use vrft_messages::{Part, Role, Turn};

use crate::pictures::Cell;

/// Where a text has its image; each mark becomes a picture in its place.
pub(super) const IMAGE_MARK: &str = "<image>";

/// Keys under which a row has a conversation: LLaVA and VLM-R1, the chat form, TRL.
pub(crate) const CONVERSATION_KEYS: [&str; 3] = ["conversations", "messages", "prompt"];

/// Keys of the speaker and of what is said, as LLaVA and as chat messages have them.
const SPEAKER_KEYS: [&str; 2] = ["from", "role"];
const WORDS_KEYS: [&str; 2] = ["value", "content"];

/// What a conversation says.
#[derive(Debug, Default)]
pub(crate) struct Conversation {
    /// All turns but an answer at the end.
    pub(crate) turns: Vec<Turn>,
    /// The last turn, if it is the assistant's.
    pub(crate) answer: Option<String>,
    /// Pictures that parts of turns bring along, in their order; `None` for a part that only marks a place.
    pub(crate) pictures: Vec<Option<Cell>>,
}

/// Reads a list of turns.
///
/// # Errors
/// What is no conversation, by the number of the turn; a speaker with another name than is known.
pub(crate) fn read(turns: &Value) -> Result<Conversation, String> {
    let list = turns.as_array().ok_or("the conversation should be a list of turns")?;
    let mut conversation = Conversation::default();
    for (idx, turn) in list.iter().enumerate() {
        let at = |why: String| format!("turn {idx} of the conversation: {why}");
        let object = turn.as_object().ok_or_else(|| at("should be an object".to_owned()))?;
        let role = role(object).map_err(at)?;
        if idx + 1 == list.len()
            && role == Role::Assistant
            && let Some(answer) = answer_in_json(object)
        {
            conversation.turns.push(Turn::answer(&answer));
            continue;
        }
        let parts = parts(object, &mut conversation.pictures).map_err(at)?;
        conversation.turns.push(Turn { role, parts });
    }
    if let Some(last) = conversation.turns.pop_if(|turn| turn.role == Role::Assistant) {
        if last.n_images() > 0 {
            return Err("the answer at the end of the conversation has an image".to_owned());
        }
        conversation.answer = Some(last.text());
    }
    if !conversation.turns.iter().any(|turn| turn.role == Role::User) {
        return Err("the conversation has no question: no turn of the user".to_owned());
    }
    Ok(conversation)
}

fn role(turn: &Map<String, Value>) -> Result<Role, String> {
    let name = SPEAKER_KEYS.iter().find_map(|key| turn.get(*key)).and_then(Value::as_str);
    match name.unwrap_or_default().to_ascii_lowercase().as_str() {
        "system" => Ok(Role::System),
        "human" | "user" => Ok(Role::User),
        "gpt" | "assistant" | "model" | "bot" | "chatgpt" => Ok(Role::Assistant),
        "" => Err("no speaker, expected a key \"from\" or \"role\"".to_owned()),
        other => Err(format!(
            "the speaker {other:?} is not known, expected system, human (or user) or gpt (or assistant)"
        )),
    }
}

/// An answer that is a value in place of a text, as `[32, 40, 200, 180]`: as JSON writes it. `None` for a text, and for a
/// list of parts.
fn answer_in_json(turn: &Map<String, Value>) -> Option<String> {
    let words = WORDS_KEYS.iter().find_map(|key| turn.get(*key))?;
    let is_part = |item: &Value| item.is_string() || item.get("type").is_some();
    match words {
        Value::String(_) | Value::Null => None,
        Value::Array(items) if items.is_empty() || items.iter().any(is_part) => None,
        other => Some(other.to_string()),
    }
}

fn parts(turn: &Map<String, Value>, pictures: &mut Vec<Option<Cell>>) -> Result<Vec<Part>, String> {
    let words = WORDS_KEYS.iter().find_map(|key| turn.get(*key));
    match words {
        Some(Value::String(text)) => Ok(marked(text, pictures)),
        Some(Value::Array(list)) => {
            let mut parts = Vec::new();
            for part in list {
                parts.extend(one_part(part, pictures)?);
            }
            Ok(parts)
        }
        Some(other) => Err(format!("expected text or a list of parts, got {other}")),
        None => Err("nothing is said, expected a key \"value\" or \"content\"".to_owned()),
    }
}

/// A part of a chat message.
fn one_part(part: &Value, pictures: &mut Vec<Option<Cell>>) -> Result<Vec<Part>, String> {
    if let Value::String(text) = part {
        return Ok(marked(text, pictures));
    }
    // A table has all keys in every part, empty where they do not apply.
    match part["type"].as_str() {
        Some("text") => {
            let text = part["text"].as_str().ok_or("a part of type text has no \"text\"")?;
            Ok(marked(text, pictures))
        }
        Some("image" | "image_url") => {
            let keys = ["image", "path", "url", "image_url"];
            let source = keys.iter().map(|key| &part[*key]).find(|value| !value.is_null());
            let source = source.map(|value| if value.is_object() { &value["url"] } else { value });
            let cell = match source {
                None => None,
                Some(Value::String(name)) => Some(Cell::Name(name.clone())),
                Some(other) => {
                    return Err(format!("the image of a part should be a path, got {other}"));
                }
            };
            pictures.push(cell);
            Ok(vec![Part::Image])
        }
        _ => Err(format!("a part should be of type text or image, got {}", part["type"])),
    }
}

/// A text with its marks as pictures. Line breaks beside a mark only set it apart, so they go with it.
pub(crate) fn marked(text: &str, pictures: &mut Vec<Option<Cell>>) -> Vec<Part> {
    if !text.contains(IMAGE_MARK) {
        return vec![Part::Text(text.to_owned())];
    }
    let mut parts = Vec::new();
    let pieces: Vec<&str> = text.split(IMAGE_MARK).collect();
    let last = pieces.len() - 1;
    for (idx, piece) in pieces.into_iter().enumerate() {
        if idx > 0 {
            parts.push(Part::Image);
            pictures.push(None);
        }
        let line_ends = ['\n', '\r'];
        let piece = if idx == 0 { piece.trim_start() } else { piece.trim_start_matches(line_ends) };
        let piece = if idx == last { piece.trim_end() } else { piece.trim_end_matches(line_ends) };
        if !piece.is_empty() {
            parts.push(Part::Text(piece.to_owned()));
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(text: &str) -> Part {
        Part::Text(text.to_owned())
    }

    #[track_caller]
    fn check_marks(words: &str, expected: &[Part]) {
        assert_eq!(marked(words, &mut Vec::new()), expected);
    }

    #[test]
    fn each_mark_is_a_picture_in_its_place() {
        check_marks("<image>\nWhere?", &[Part::Image, text("Where?")]);
        check_marks("<image><image>Which?", &[Part::Image, Part::Image, text("Which?")]);
        check_marks(
            "Compare <image> with <image>.",
            &[text("Compare "), Part::Image, text(" with "), Part::Image, text(".")],
        );
        check_marks("Where?\r\n<image>\r\n", &[text("Where?"), Part::Image]);
        check_marks(" as it is \n", &[text(" as it is \n")]);
    }

    #[test]
    fn names_of_speakers_differ() {
        let turns = [
            json!([{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]),
            json!([{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]),
            json!([{"from": "user", "value": "q"}, {"from": "assistant", "value": "a"}]),
            json!([{"role": "User", "content": [{"type": "text", "text": "q"}]}, {"role": "model", "content": "a"}]),
        ];
        for turns in turns {
            let conversation = read(&turns).unwrap();
            assert_eq!(conversation.answer.as_deref(), Some("a"));
            assert_eq!(conversation.turns, [Turn { role: Role::User, parts: vec![text("q")] }]);
        }
    }

    #[test]
    fn all_turns_before_the_last_answer_are_the_prompt() {
        let turns = json!([
            {"from": "system", "value": "Be careful."}, {"from": "human", "value": "<image>\nColor?"},
            {"from": "gpt", "value": "Red."}, {"from": "human", "value": "Where?"}, {"from": "gpt", "value": "Here."}]);
        let conversation = read(&turns).unwrap();
        let roles: Vec<Role> = conversation.turns.iter().map(|turn| turn.role).collect();
        assert_eq!(roles, [Role::System, Role::User, Role::Assistant, Role::User]);
        assert_eq!(conversation.answer.as_deref(), Some("Here."));
        assert_eq!(conversation.pictures, [None]);
    }

    #[test]
    fn parts_may_bring_their_picture_along() {
        let content = json!([{"type": "image", "image": "a.png"}, {"type": "text", "text": "Where?"},
                             {"type": "image_url", "image_url": {"url": "b.png"}, "text": null}]);
        let conversation = read(&json!([{"role": "user", "content": content}])).unwrap();
        assert_eq!(conversation.turns[0].parts, [Part::Image, text("Where?"), Part::Image]);
        let named = |name: &str| Some(Cell::Name(name.to_owned()));
        assert_eq!(conversation.pictures, [named("a.png"), named("b.png")]);
        assert_eq!(conversation.answer, None);
    }

    #[test]
    fn the_last_answer_may_be_a_list_or_an_object() {
        let ask = json!({"from": "human", "value": "Where?"});
        for answer in [json!([32, 40, 200, 180]), json!([{"bbox_2d": [1, 2, 3, 4]}]), json!(3)] {
            let said = read(&json!([ask, {"from": "gpt", "value": answer}])).unwrap();
            assert_eq!(said.answer, Some(answer.to_string()));
        }
        let part = json!([{"type": "text", "text": "left"}]);
        let said = read(&json!([ask, {"from": "gpt", "value": part}])).unwrap();
        assert_eq!(said.answer.as_deref(), Some("left"));
    }
    #[test]
    fn what_is_no_conversation_is_named_by_its_turn() {
        let check = |turns: Value, why: &str| assert_eq!(read(&turns).unwrap_err(), why);
        check(json!("hi"), "the conversation should be a list of turns");
        check(
            json!([{"from": "human", "value": "q"}, {"from": "tool", "value": "a"}]),
            "turn 1 of the conversation: the speaker \"tool\" is not known, expected system, human (or user) or gpt \
             (or assistant)",
        );
        check(
            json!([{"from": "gpt", "value": "a"}]),
            "the conversation has no question: no turn of the user",
        );
    }
}
