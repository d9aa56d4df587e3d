//! Values as Python writes them, for templates that were written for Python.

use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};
use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

use super::limits::{pay, text_bytes};

/// `str(value)`; of something undefined, nothing.
pub(super) fn text(state: &State, value: &Value) -> Result<String, Error> {
    match value.kind() {
        ValueKind::Undefined => Ok(String::new()),
        ValueKind::String => Ok(value.to_string()),
        _ => {
            let mut text = String::new();
            represent(state, value, 0, &mut text)?;
            Ok(text)
        }
    }
}

/// Whether `for` goes through it; Python's texts, lists and dictionaries are also what Jinja calls a sequence.
pub(super) fn is_iterable(value: &Value) -> bool {
    let kind = value.kind();
    matches!(kind, ValueKind::String | ValueKind::Seq | ValueKind::Map | ValueKind::Iterable)
}

/// Appends `repr(value)`. Each value costs fuel: the same list may be in a value many times, and is written each time.
fn represent(state: &State, value: &Value, depth: usize, out: &mut String) -> Result<(), Error> {
    let before = out.len();
    match value.kind() {
        ValueKind::None => out.push_str("None"),
        ValueKind::Bool => out.push_str(if value.is_true() { "True" } else { "False" }),
        ValueKind::String => out.push_str(&quoted(&value.to_string())),
        ValueKind::Number if !value.is_integer() => match f64::try_from(value.clone()) {
            Ok(float) => out.push_str(&number(float)),
            Err(_) => out.push_str(&value.to_string()),
        },
        ValueKind::Seq => represent_items(state, value, depth, ['[', ']'], out)?,
        ValueKind::Map => represent_items(state, value, depth, ['{', '}'], out)?,
        _ => out.push_str(&value.to_string()),
    }
    pay(state, depth, out.len() - before)
}

/// A list, or a dictionary with its keys.
fn represent_items(
    state: &State,
    value: &Value,
    depth: usize,
    [open, close]: [char; 2],
    out: &mut String,
) -> Result<(), Error> {
    pay(state, depth, 0)?;
    out.push(open);
    for (i, item) in value.try_iter()?.enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        represent(state, &item, depth + 1, out)?;
        if value.kind() == ValueKind::Map {
            out.push_str(": ");
            represent(state, &value.get_item(&item)?, depth + 1, out)?;
        }
    }
    out.push(close);
    Ok(())
}

/// In single quotes, or in double ones around a single one.
fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::from(quote);
    for c in text.chars() {
        match c {
            '\n' => out += "\\n",
            '\r' => out += "\\r",
            '\t' => out += "\\t",
            '\\' => out += "\\\\",
            c if c == quote => out.extend(['\\', c]),
            c if c.is_ascii_control() => out += &format!("\\x{:02x}", u32::from(c)),
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

/// The shortest digits that read back as this number, with an exponent below 1e-4 and from 1e16 on.
fn number(value: f64) -> String {
    const PLAIN: std::ops::Range<f64> = 1e-4..1e16;
    if value == 0.0 || PLAIN.contains(&value.abs()) {
        return format!("{value:?}");
    }
    if !value.is_finite() {
        return if value.is_nan() { "nan".into() } else { format!("{value}") };
    }
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    format!("{digits}e{sign}{exponent:0>2}")
}

/// `json.dumps`: spaces after separators, nothing escaped for HTML.
pub(super) fn tojson(
    state: &State,
    value: Value,
    _positional: Rest<Value>,
    options: Kwargs,
) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    let (item, key) = match options.get::<Option<Vec<String>>>("separators")?.as_deref() {
        Some([item, key]) => (item.clone(), key.clone()),
        _ => (if indent.is_some() { "," } else { ", " }.into(), ": ".into()),
    };
    let ascii = options.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false);
    let sorted = options.get::<Option<bool>>("sort_keys")?.unwrap_or(false);
    options.assert_all_used()?;
    let indent_width = indent.unwrap_or(0);
    let layout = Layout { indent: indent_width, between: item.len() + key.len() };
    layout.pay(state, &value, 1)?;
    let mut json = serde_json::to_value(&value).map_err(serialization_error)?;
    if sorted {
        json.sort_all_objects();
    }
    let mut bytes = Vec::new();
    let dumps = Dumps { indent, item, key, ascii, depth: 0, has_items: false };
    json.serialize(&mut Serializer::with_formatter(&mut bytes, dumps))
        .map_err(serialization_error)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// How much `json.dumps` puts around each value.
struct Layout {
    indent: usize,
    /// Bytes of the separators.
    between: usize,
}

impl Layout {
    /// Takes the fuel for writing a value before it is written: the same list may be in it many times.
    fn pay(&self, state: &State, value: &Value, depth: usize) -> Result<(), Error> {
        // A character may become an escape of six.
        let n_text = value.as_str().map_or(0, |text| text.len().saturating_mul(6));
        let n_around = self.indent.saturating_mul(depth).saturating_add(self.between);
        pay(state, depth, n_text.saturating_add(n_around))?;
        if matches!(value.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::Iterable) {
            for item in value.try_iter()? {
                self.pay(state, &item, depth + 1)?;
                if value.kind() == ValueKind::Map {
                    self.pay(state, &value.get_item(&item)?, depth + 1)?;
                }
            }
        }
        Ok(())
    }
}

/// Takes the fuel for `text.format(…)` before it is done: each field may be as wide as the text says, and as long as all
/// arguments together.
pub(super) fn pay_for_format(state: &State, text: &str, args: &[Value]) -> Result<(), Error> {
    let numbers = text.split(|c: char| !c.is_ascii_digit()).filter(|digits| !digits.is_empty());
    let widest = numbers.map(|digits| digits.parse().unwrap_or(usize::MAX)).max().unwrap_or(0);
    let mut n_bytes = 0;
    for arg in args {
        n_bytes += text_bytes(state, arg, 0, true)?;
    }
    let n_fields = text.matches('{').count();
    let most = n_fields.saturating_mul(widest.saturating_add(n_bytes));
    pay(state, 0, most)
}

fn serialization_error(error: serde_json::Error) -> Error {
    Error::new(ErrorKind::BadSerialization, "tojson cannot write this value").with_source(error)
}

/// How `json.dumps` lays out its text.
struct Dumps {
    indent: Option<usize>,
    /// Between items.
    item: String,
    /// Between a key and its value.
    key: String,
    ascii: bool,
    depth: usize,
    /// Whether the list or object that was open last has any.
    has_items: bool,
}

type Written = std::io::Result<()>;

impl Dumps {
    fn open<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, bracket: &[u8]) -> Written {
        self.depth += 1;
        self.has_items = false;
        writer.write_all(bracket)
    }

    fn close<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, bracket: &[u8]) -> Written {
        self.depth -= 1;
        if self.has_items {
            self.line(writer)?;
        }
        self.has_items = true;
        writer.write_all(bracket)
    }

    fn begin<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, first: bool) -> Written {
        if !first {
            writer.write_all(self.item.as_bytes())?;
        }
        self.line(writer)
    }

    fn line<W: ?Sized + std::io::Write>(&self, writer: &mut W) -> Written {
        match self.indent {
            Some(width) => write!(writer, "\n{}", " ".repeat(width * self.depth)),
            None => Ok(()),
        }
    }
}

impl Formatter for Dumps {
    fn write_f64<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, value: f64) -> Written {
        writer.write_all(number(value).as_bytes())
    }

    fn write_string_fragment<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> Written {
        if !self.ascii || fragment.is_ascii() {
            return writer.write_all(fragment.as_bytes());
        }
        for unit in fragment.encode_utf16() {
            match u8::try_from(unit).ok().filter(u8::is_ascii) {
                Some(byte) => writer.write_all(&[byte])?,
                None => write!(writer, "\\u{unit:04x}")?,
            }
        }
        Ok(())
    }

    fn begin_array<W: ?Sized + std::io::Write>(&mut self, writer: &mut W) -> Written {
        self.open(writer, b"[")
    }

    fn end_array<W: ?Sized + std::io::Write>(&mut self, writer: &mut W) -> Written {
        self.close(writer, b"]")
    }

    fn begin_array_value<W>(&mut self, writer: &mut W, first: bool) -> Written
    where
        W: ?Sized + std::io::Write,
    {
        self.begin(writer, first)
    }

    fn end_array_value<W: ?Sized + std::io::Write>(&mut self, _writer: &mut W) -> Written {
        self.has_items = true;
        Ok(())
    }

    fn begin_object<W: ?Sized + std::io::Write>(&mut self, writer: &mut W) -> Written {
        self.open(writer, b"{")
    }

    fn end_object<W: ?Sized + std::io::Write>(&mut self, writer: &mut W) -> Written {
        self.close(writer, b"}")
    }

    fn begin_object_key<W>(&mut self, writer: &mut W, first: bool) -> Written
    where
        W: ?Sized + std::io::Write,
    {
        self.begin(writer, first)
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W) -> Written {
        writer.write_all(self.key.as_bytes())
    }

    fn end_object_value<W: ?Sized + std::io::Write>(&mut self, _writer: &mut W) -> Written {
        self.has_items = true;
        Ok(())
    }
}
