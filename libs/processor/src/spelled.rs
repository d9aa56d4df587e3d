//! Special tokens that a text spells are text: what a row says must not end a turn or stand for a picture.
//!
//! A chat template joins what people say with its own special tokens, and after that nobody can tell the two apart.
//! So a character that no text has is put into each special token that a text spells, before the template sees it; the
//! tokenizer takes it out again and encodes what was around it as plain text, which is what `split_special_tokens` of
//! transformers does.

use std::borrow::Cow;

use serde_json::Value;

/// Characters that Unicode keeps free for uses like this.
const MARKS: std::ops::RangeInclusive<char> = '\u{fdd0}'..='\u{fdef}';

/// The special tokens of a tokenizer.
#[derive(Debug)]
pub(crate) struct Spelled {
    /// Longer ones first, so that of two that begin alike the longer is found.
    tokens: Vec<String>,
}

/// A piece of a rendered conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// Special tokens count.
    Template(&'a str),
    /// Marked: special tokens are plain text here.
    Said(&'a str),
}

impl Spelled {
    pub(crate) fn new(mut tokens: Vec<String>) -> Self {
        tokens.retain(|token| !token.is_empty());
        tokens.sort_by_key(|token| std::cmp::Reverse(token.len()));
        Self { tokens }
    }

    /// Whether a text spells a special token.
    pub(crate) fn is_in(&self, text: &str) -> bool {
        self.next(text).is_some()
    }

    /// The messages with each special token broken up that their texts spell, and the character that does it; `None` if
    /// they spell none.
    pub(crate) fn mark(&self, messages: &Value) -> Option<(Value, char)> {
        if !any_text(messages, &|text| self.is_in(text)) {
            return None;
        }
        let mut free = MARKS.filter(|mark| !any_text(messages, &|text| text.contains(*mark)));
        // Who writes all of them into one conversation writes no special token besides.
        let mark = free.next()?;
        let mut marked = messages.clone();
        change_texts(&mut marked, &|text| self.marked(text, mark));
        Some((marked, mark))
    }

    fn marked(&self, text: &str, mark: char) -> String {
        let mut marked = String::with_capacity(text.len() + 3);
        let mut rest = text;
        while let Some((start, token)) = self.next(rest) {
            let first = token.chars().next().map_or(0, char::len_utf8);
            let (before, after) = rest.split_at(start + first);
            marked.push_str(before);
            marked.push(mark);
            rest = after;
        }
        marked + rest
    }

    /// A rendered conversation in pieces: what is marked lies between two special tokens of the template.
    pub(crate) fn pieces<'a>(&self, rendered: &'a str, mark: char) -> Vec<Piece<'a>> {
        let mut pieces = Vec::new();
        // Where the piece of the template begins that was not pushed yet.
        let (mut start, mut said) = (0, 0);
        loop {
            let next = self.next(&rendered[said..]);
            let end = next.map_or(rendered.len(), |(at, _)| said + at);
            if rendered[said..end].contains(mark) {
                pieces.push(Piece::Template(&rendered[start..said]));
                pieces.push(Piece::Said(&rendered[said..end]));
                start = end;
            }
            let Some((_, token)) = next else { break };
            said = end + token.len();
        }
        pieces.push(Piece::Template(&rendered[start..]));
        pieces.retain(|piece| !matches!(piece, Piece::Template("")));
        pieces
    }

    /// Place and text of the first special token.
    fn next(&self, text: &str) -> Option<(usize, &str)> {
        let places = self.tokens.iter().filter_map(|token| Some((text.find(token)?, &**token)));
        // Of those at one place the first is the longest.
        places.min_by_key(|(place, _)| *place)
    }
}

/// A text without the character that marks it.
pub(crate) fn unmarked(text: &str, mark: Option<char>) -> Cow<'_, str> {
    match mark {
        Some(mark) => text.replace(mark, "").into(),
        None => text.into(),
    }
}

/// Whether this holds for a text somewhere in a value.
fn any_text(value: &Value, test: &dyn Fn(&str) -> bool) -> bool {
    match value {
        Value::String(text) => test(text),
        Value::Array(list) => list.iter().any(|value| any_text(value, test)),
        Value::Object(map) => map.values().any(|value| any_text(value, test)),
        _ => false,
    }
}

fn change_texts(value: &mut Value, change: &dyn Fn(&str) -> String) {
    match value {
        Value::String(text) => *text = change(text),
        Value::Array(list) => list.iter_mut().for_each(|value| change_texts(value, change)),
        Value::Object(map) => map.values_mut().for_each(|value| change_texts(value, change)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const MARK: char = '\u{fdd0}';

    fn spelled() -> Spelled {
        Spelled::new(vec!["<|end|>".to_owned(), "<|end|>er".to_owned(), "<s>".to_owned()])
    }

    #[test]
    fn a_spelled_token_is_broken_up() {
        let messages =
            json!([{"role": "user", "content": [{"type": "text", "text": "a <|end|> <s>"}]}]);
        let (marked, mark) = spelled().mark(&messages).unwrap();
        assert_eq!(marked[0]["content"][0]["text"], format!("a <{mark}|end|> <{mark}s>"));
        assert_eq!(marked[0]["role"], "user");
        assert_eq!(spelled().mark(&json!([{"content": "<|en d|>"}])), None);
    }

    #[test]
    fn a_mark_that_a_text_has_is_not_used() {
        let (marked, mark) = spelled().mark(&json!(["\u{fdd0}<s>"])).unwrap();
        assert_eq!(mark, '\u{fdd1}');
        assert_eq!(unmarked(marked[0].as_str().unwrap(), Some(mark)), "\u{fdd0}<s>");
    }

    #[test]
    fn what_is_marked_stands_apart_from_the_template() {
        let rendered = format!("<s>user\nis <{MARK}s> it?<|end|>\n<s>assistant\n");
        let said = format!("user\nis <{MARK}s> it?");
        let expected = [
            Piece::Template("<s>"),
            Piece::Said(&said),
            Piece::Template("<|end|>\n<s>assistant\n"),
        ];
        assert_eq!(spelled().pieces(&rendered, MARK), expected);
    }
}
