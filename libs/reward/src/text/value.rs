//! A forgiving reader of JSON and of Python literals, for text that a language model wrote.
//!
//! Either kind of quotes, trailing commas, `NaN`, `None` are fine. It reads one value from one place, never
//! panics, and gives up below [`MAX_DEPTH`], so that time and memory stay in proportion to the text.

/// Deepest nesting that is read; an answer needs three levels.
const MAX_DEPTH: usize = 8;

/// A value as written; names such as `true` or `None` count as text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Number(f64),
    Text(String),
    List(Vec<Value>),
    Object(Vec<(String, Value)>),
}

/// As JSON.
impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::Number(number) => number.fmt(f),
            Value::Text(text) => f.write_str(&crate::answers::quoted(text)),
            Value::List(items) => {
                f.write_str("[")?;
                for (idx, item) in items.iter().enumerate() {
                    f.write_str(if idx > 0 { ", " } else { "" })?;
                    item.fmt(f)?;
                }
                f.write_str("]")
            }
            Value::Object(fields) => {
                f.write_str("{")?;
                for (idx, (key, value)) in fields.iter().enumerate() {
                    f.write_str(if idx > 0 { ", " } else { "" })?;
                    write!(f, "{}: {value}", crate::answers::quoted(key))?;
                }
                f.write_str("}")
            }
        }
    }
}

impl Value {
    /// The value of a key, whatever the case of its letters; the first one where it is repeated.
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        let key = key.trim();
        match self {
            Value::Object(fields) => {
                fields.iter().find(|(name, _)| name.trim().eq_ignore_ascii_case(key)).map(|f| &f.1)
            }
            _ => None,
        }
    }
}

impl Value {
    /// A number, also one in quotes.
    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            Value::Number(number) => Some(*number),
            Value::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// Whether this is a list that holds text where numbers are due, as in `["1", "2"]`.
    pub(crate) fn has_quoted_numbers(&self) -> bool {
        match self {
            Value::Text(text) => text.trim().parse::<f64>().is_ok(),
            Value::List(items) => items.iter().any(Value::has_quoted_numbers),
            _ => false,
        }
    }

    /// All keys, those of nested objects included.
    pub(crate) fn keys(&self) -> Vec<&str> {
        match self {
            Value::Object(fields) => {
                let each = fields
                    .iter()
                    .flat_map(|(key, value)| std::iter::once(key.as_str()).chain(value.keys()));
                each.collect()
            }
            Value::List(items) => items.iter().flat_map(Value::keys).collect(),
            _ => Vec::new(),
        }
    }

    /// All numbers of nested lists, in their order; `None` if there is anything else.
    pub(crate) fn numbers(&self) -> Option<Vec<f64>> {
        let mut numbers = Vec::new();
        self.collect_numbers(&mut numbers).then_some(numbers)
    }

    fn collect_numbers(&self, numbers: &mut Vec<f64>) -> bool {
        match self {
            Value::Number(number) => {
                numbers.push(*number);
                true
            }
            Value::List(items) => items.iter().all(|item| item.collect_numbers(numbers)),
            _ => false,
        }
    }
}

/// Reads the value at the start of `text`: it, and what follows it. `None` if there is no whole value.
#[cfg(test)]
pub(crate) fn read(text: &str) -> Option<(Value, &str)> {
    read_counting(text).0
}

/// The same, and how many bytes were looked at.
pub(crate) fn read_counting(text: &str) -> (Option<(Value, &str)>, usize) {
    let mut reader = Reader { rest: text, farthest: text.len() };
    let value = reader.value(0);
    let used = text.len() - reader.rest.len().min(reader.farthest);
    (value.map(|value| (value, reader.rest)), used)
}

struct Reader<'a> {
    rest: &'a str,
    /// Bytes that were left at the farthest place looked at.
    farthest: usize,
}

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Option<Value> {
        if depth > MAX_DEPTH {
            return None;
        }
        match self.peek()? {
            '{' => self.object(depth),
            '[' | '(' => self.list(depth),
            '\'' | '"' => self.quoted().map(Value::Text),
            _ => self.bare(),
        }
    }

    fn object(&mut self, depth: usize) -> Option<Value> {
        self.take('{');
        let mut fields = Vec::new();
        while !self.take('}') {
            let key = self.quoted()?;
            if !self.take(':') {
                return None;
            }
            fields.push((key, self.value(depth + 1)?));
            self.separator('}')?;
        }
        Some(Value::Object(fields))
    }

    fn list(&mut self, depth: usize) -> Option<Value> {
        let close = if self.take('[') { ']' } else { ')' };
        self.take('(');
        let mut items = Vec::new();
        while !self.take(close) {
            items.push(self.value(depth + 1)?);
            self.separator(close)?;
        }
        Some(Value::List(items))
    }

    /// A comma, or nothing right before the end of the list.
    fn separator(&mut self, close: char) -> Option<()> {
        (self.take(',') || self.peek()? == close).then_some(())
    }

    /// A text in quotes. A backslash is kept unless it stands before a quote, a slash or another backslash.
    fn quoted(&mut self) -> Option<String> {
        let quote = self.peek().filter(|c| matches!(c, '\'' | '"'))?;
        let body = &self.rest[1..];
        let mut text = String::new();
        let mut escaped = false;
        for (at, c) in body.char_indices() {
            match c {
                '\\' if !escaped => escaped = true,
                c if c == quote && !escaped => {
                    self.rest = &body[at + 1..];
                    return Some(text);
                }
                c => {
                    if escaped && !matches!(c, '\\' | '/' | '\'' | '"') {
                        text.push('\\');
                    }
                    text.push(c);
                    escaped = false;
                }
            }
        }
        self.farthest = 0;
        None
    }

    /// A number, or a name such as `None`.
    fn bare(&mut self) -> Option<Value> {
        let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.' | '_');
        let end = self.rest.find(|c| !word(c)).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(end);
        // A token that the text ends in may have been cut: 0.9 of 0.95.
        if token.is_empty() || rest.is_empty() {
            return None;
        }
        self.rest = rest;
        Some(token.parse().map_or_else(|_| Value::Text(token.to_owned()), Value::Number))
    }

    /// The next character that is no white space, left in place.
    fn peek(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start();
        self.rest.chars().next()
    }

    fn take(&mut self, c: char) -> bool {
        let found = self.peek() == Some(c);
        if found {
            self.rest = &self.rest[c.len_utf8()..];
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: Option<Value>) {
        assert_eq!(read(text).map(|(value, _)| value), expect);
    }
    fn numbers(values: &[f64]) -> Value {
        Value::List(values.iter().copied().map(Value::Number).collect())
    }

    #[test]
    fn a_list() {
        check("[1, 2.5, -3e2]", Some(numbers(&[1.0, 2.5, -300.0])));
    }
    #[test]
    fn a_python_tuple() {
        check("(1,2)", Some(numbers(&[1.0, 2.0])));
    }
    #[test]
    fn a_trailing_comma() {
        check("[1, 2, ]", Some(numbers(&[1.0, 2.0])));
    }
    #[test]
    fn a_list_that_is_cut() {
        check("[1, 2", None);
    }
    #[test]
    fn brackets_that_do_not_match() {
        check("[1, 2)", None);
    }
    #[test]
    fn two_values_without_a_comma() {
        check("[1 2]", None);
    }
    #[test]
    fn nesting_without_end() {
        check(&"[".repeat(1_000_000), None);
    }
    #[test]
    fn backslashes() {
        let text = |text: &str| Some(Value::Text(text.into()));
        check(r#""a\\b\"c\nd" "#, text(r#"a\b"c\nd"#));
        check(r"'a\'b'", text("a'b"));
        check(r"'a\'", None);
    }
    #[test]
    fn an_object_with_either_quotes() {
        let (value, rest) = read("{'A': 1, \"b\": 'x',} tail").unwrap();
        assert_eq!(value.get("a"), Some(&Value::Number(1.0)));
        assert_eq!(value.get("B"), Some(&Value::Text("x".into())));
        assert_eq!(rest, " tail");
    }
}
