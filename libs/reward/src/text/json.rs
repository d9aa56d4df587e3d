//! A strict reader of JSON, with the numbers that Python's adds to it: NaN and Infinity.

use super::value::Value;

/// Deepest nesting that is read.
const MAX_DEPTH: usize = 16;

/// Reads a text that is one JSON value, white space around it aside.
///
/// Names (`true`, `false`, `null`) come as text, since no answer has them.
pub(crate) fn read(text: &str) -> Option<Value> {
    let mut reader = Reader { rest: text.trim_start() };
    let value = reader.value(0)?;
    reader.rest.is_empty().then_some(value)
}

/// Whether a text is JSON as it is, with single quotes throughout, or as tuples `(x1,y1),(x2,y2)`.
pub(crate) fn is_literal(text: &str) -> bool {
    if read(text).is_some() {
        return true;
    }
    if !text.contains('"') && read(&text.replace('\'', "\"")).is_some() {
        return true;
    }
    text.starts_with('(')
        && read(&format!("[{}]", text.replace('(', "[").replace(')', "]"))).is_some()
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Option<Value> {
        if depth > MAX_DEPTH {
            return None;
        }
        match self.rest.chars().next()? {
            '{' => self.object(depth),
            '[' => self.list(depth),
            '"' => self.string().map(Value::Text),
            _ => self.word(),
        }
    }

    fn object(&mut self, depth: usize) -> Option<Value> {
        self.take("{");
        let mut fields = Vec::new();
        if self.take("}") {
            return Some(Value::Object(fields));
        }
        loop {
            let key = self.string()?;
            self.take(":").then_some(())?;
            fields.push((key, self.value(depth + 1)?));
            if self.take("}") {
                return Some(Value::Object(fields));
            }
            self.take(",").then_some(())?;
        }
    }

    fn list(&mut self, depth: usize) -> Option<Value> {
        self.take("[");
        let mut items = Vec::new();
        if self.take("]") {
            return Some(Value::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            if self.take("]") {
                return Some(Value::List(items));
            }
            self.take(",").then_some(())?;
        }
    }

    fn string(&mut self) -> Option<String> {
        let body = self.rest.strip_prefix('"')?;
        let mut escaped = false;
        for (idx, c) in body.char_indices() {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => {
                    self.rest = body[idx + 1..].trim_start();
                    return Some(body[..idx].to_owned());
                }
                c if c < ' ' => return None,
                _ => {}
            }
        }
        None
    }

    fn word(&mut self) -> Option<Value> {
        let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
        let end = self.rest.find(|c| !part(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest.trim_start();
        match word {
            "true" | "false" | "null" => Some(Value::Text(word.to_owned())),
            "NaN" => Some(Value::Number(f64::NAN)),
            "Infinity" => Some(Value::Number(f64::INFINITY)),
            "-Infinity" => Some(Value::Number(f64::NEG_INFINITY)),
            number if is_number(number) => number.parse().ok().map(Value::Number),
            _ => None,
        }
    }

    fn take(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest.trim_start();
                true
            }
            None => false,
        }
    }
}

/// JSON's grammar of numbers: no leading zero or plus, digits on both sides of the point.
fn is_number(word: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let (mantissa, exponent) = match word.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (word, None),
    };
    let unsigned = mantissa.strip_prefix('-').unwrap_or(mantissa);
    let (whole, fraction) = match unsigned.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (unsigned, None),
    };
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|e| digits(e.strip_prefix(['+', '-']).unwrap_or(e)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, valid: bool) {
        assert_eq!(read(text).is_some(), valid, "{text}");
    }

    #[test]
    fn values() {
        for text in [
            "{}",
            "[]",
            " [1, -2.5e3, 0.5] ",
            "{\"a\": [true, null]}",
            "\"x\\\"y\"",
            "NaN",
            "1e400",
        ] {
            check(text, true);
        }
    }
    #[test]
    fn no_values() {
        for text in
            ["", "{", "[1,]", "{'a': 1}", "[01]", "[.5]", "[1.]", "[+1]", "[1] x", "{\"a\"}", "inf"]
        {
            check(text, false);
        }
        check(&"[".repeat(100_000), false);
    }
}
