//! Positions in the text of a configuration, for messages.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

/// Line of a position, from 1.
pub(crate) fn line_of(text: &str, position: usize) -> usize {
    text.bytes().take(position).filter(|byte| *byte == b'\n').count() + 1
}

/// A message with the line that it is about, as the parser of TOML writes its own.
pub(crate) fn excerpt(text: &str, span: &Range<usize>, message: &str) -> String {
    let line = line_of(text, span.start);
    let start = text[..span.start].rfind('\n').map_or(0, |newline| newline + 1);
    let content = text[start..].lines().next().unwrap_or_default();
    let column = text[start..span.start].chars().count();
    let gutter = " ".repeat(line.to_string().len() + 1);
    let indent = " ".repeat(column + 1);
    let marks = "^".repeat(span.len().max(1));
    format!(
        "TOML parse error at line {line}, column {}\n{gutter}|\n{line} | {content}\n{gutter}|{indent}{marks}\n{message}",
        column + 1
    )
}

/// The text between the start of a key and the end of its value, for the longest part of a dotted path that is
/// written in the text; `None` if not even its first key is.
pub(crate) fn position_of(root: &DeTable<'_>, path: &str) -> Option<usize> {
    let mut position = None;
    let mut table = root;
    for key in path.split('.') {
        let Some((written, value)) = table.get_key_value(key) else { break };
        position = Some(written.span().start);
        let DeValue::Table(next) = value.get_ref() else { break };
        table = next;
    }
    position
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_points_at_what_it_is_about() {
        let shown = excerpt("a = 1\n[leaner]\n", &(7..13), "unknown section");
        let expected =
            "TOML parse error at line 2, column 2\n  |\n2 | [leaner]\n  |  ^^^^^^\nunknown section";
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_key_is_found_as_far_as_it_is_written() {
        let text = "[a]\nx = 1\n[a.b]\ny = 2\n";
        let root = DeTable::parse(text).unwrap();
        let line = |path: &str| position_of(root.get_ref(), path).map(|at| line_of(text, at));
        assert_eq!(line("a.x"), Some(2));
        assert_eq!(line("a.b.y"), Some(4));
        assert_eq!(line("a.b.z"), Some(3));
        assert_eq!(line("c"), None);
    }
}
