//! What a chat template may cost: its size, its steps, the memory that it fills and the stack that it needs.
//!
//! The engine counts steps and bytes (its "fuel"), except where it writes out a list for `~` or `join`. Lists that would
//! be long when written out are therefore refused when they are stored. One that is never stored, but made anew in the
//! arguments of a macro that calls itself, is not looked at.

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, State, Value};

use super::tags::{self, Piece};

/// Steps of a rendering, and 64 times as many bytes of what it makes. Templates of published models take some thousand
/// for a conversation of a few turns.
pub(super) const FUEL: u64 = 1_000_000;
/// What to say when they are spent.
pub(super) const OUT_OF_FUEL: &str = "it takes more steps or memory than a conversation should \
                                      (1,000,000 steps, 61 MiB)";
/// What the engine lets a template have for one step.
const BYTES_PER_FUEL: usize = 64;
/// How deep lists may lie in each other.
const MAX_DEPTH: usize = 1000;
/// Bytes of a template; those of published models have up to 30,000.
const MAX_BYTES: usize = 1 << 18;
/// Words and signs of one tag, outside of quotes.
const MAX_WORDS: usize = 4096;
/// Tags of a template.
const MAX_TAGS: usize = 8192;
/// Stack for what the parser and the engine do by calling themselves, within all of these bounds. It is mapped, not
/// taken: a template that nests little touches little of it.
const STACK_BYTES: usize = 256 << 20;

/// Whether a template is of a size that can be parsed.
///
/// The parser calls itself for each sign before a value and for each further case of a condition, so a short text of
/// nothing else would overflow the stack.
pub(super) fn check_source(source: &str) -> Result<(), String> {
    if source.len() > MAX_BYTES {
        let got = source.len();
        return Err(format!("it should have at most {MAX_BYTES} bytes, got {got}"));
    }
    let mut n_tags = 0;
    for piece in tags::pieces(source) {
        let Piece::Tag { start, inside, .. } = piece else { continue };
        let line = || source[..start].matches('\n').count() + 1;
        n_tags += 1;
        if n_tags > MAX_TAGS {
            return Err(format!("line {}: it should have at most {MAX_TAGS} tags", line()));
        }
        if tags::n_words(inside) > MAX_WORDS {
            let message = "a tag should have at most";
            return Err(format!("line {}: {message} {MAX_WORDS} words and signs", line()));
        }
    }
    Ok(())
}

/// A value that is about to be stored, if it is one that can be written out.
///
/// What a template makes step by step goes through here at each step. So a list that holds the same list twice, which
/// holds the same list twice and so on, is refused while it is small; and a namespace, the only value that can change,
/// never comes to hold itself.
pub(super) fn keep(state: &State, value: Value, may_be_namespace: bool) -> Result<Value, Error> {
    text_bytes(state, &value, 0, may_be_namespace)?;
    Ok(value)
}

/// Bytes of all texts in a value. Each value in it costs fuel, each time that it is met.
pub(super) fn text_bytes(
    state: &State,
    value: &Value,
    depth: usize,
    may_be_namespace: bool,
) -> Result<usize, Error> {
    pay(state, depth, 0)?;
    let is_namespace = value.as_object().is_some_and(|it| it.type_name().ends_with("::Namespace"));
    if is_namespace && !may_be_namespace {
        return Err(Error::new(ErrorKind::InvalidOperation, "a namespace should hold no other"));
    }
    let mut n_bytes = value.as_str().map_or(0, str::len);
    if matches!(value.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::Iterable) {
        for item in value.try_iter()? {
            n_bytes += text_bytes(state, &item, depth + 1, may_be_namespace)?;
            if value.kind() == ValueKind::Map {
                let item = value.get_item(&item)?;
                n_bytes += text_bytes(state, &item, depth + 1, may_be_namespace)?;
            }
        }
    }
    Ok(n_bytes)
}

/// Takes the fuel for one value at some depth of another, of which `n_bytes` are made.
pub(super) fn pay(state: &State, depth: usize, n_bytes: usize) -> Result<(), Error> {
    if depth > MAX_DEPTH {
        let message = format!("a value should hold others at most {MAX_DEPTH} deep");
        return Err(Error::new(ErrorKind::InvalidOperation, message));
    }
    state.consume_fuel(1 + (n_bytes / BYTES_PER_FUEL) as u64)
}

/// Runs on a stack that is large enough for whatever the bounds allow.
pub(super) fn on_own_stack<T: Send>(
    run: impl FnOnce() -> Result<T, Error> + Send,
) -> Result<T, Error> {
    let failed = |reason: String| Error::new(ErrorKind::InvalidOperation, reason);
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
        let thread = thread.spawn_scoped(scope, run);
        let thread = thread.map_err(|error| failed(format!("no thread to run it on: {error}")))?;
        thread.join().unwrap_or_else(|_panic| Err(failed("the engine panicked".to_owned())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_of_ordinary_size_is_taken() {
        assert_eq!(check_source("{% if a %}{{ b }}{% endif %} }} %}"), Ok(()));
    }

    #[test]
    fn a_large_template_is_refused_where_it_is_too_large() {
        let refused = |source: &str| check_source(source).unwrap_err();
        assert!(refused(&"x".repeat(MAX_BYTES + 1)).starts_with("it should have at most 262144"));
        let tag = format!("\n{{{{ {}x }}}}", "-".repeat(MAX_WORDS));
        assert_eq!(refused(&tag), "line 2: a tag should have at most 4096 words and signs");
        let tags = "{{x}}\n".repeat(MAX_TAGS + 1);
        assert_eq!(refused(&tags), "line 8193: it should have at most 8192 tags");
    }
}
