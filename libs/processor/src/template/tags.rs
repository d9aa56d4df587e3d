//! The tags of a template, told from its text without parsing what is in them.

/// A stretch of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// What stands as it is: text, comments, and what is between `raw` and `endraw`.
    Text(&'a str),
    /// `{{ … }}` or `{% … %}`; one without its end reaches to the end of the template.
    Tag {
        /// Where it starts in the template.
        start: usize,
        /// What is between the braces.
        inside: &'a str,
        /// Whether it is `{% … %}`.
        is_statement: bool,
        /// Whether its end is there.
        is_closed: bool,
    },
}

/// All stretches of a template, in order.
pub(super) fn pieces(source: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Some(found) = source[at..].find('{') {
        let start = at + found;
        let open = source[start..].get(..2).unwrap_or("{");
        let end = match open {
            "{%" => "%}",
            "{{" => "}}",
            "{#" => "#}",
            _ => {
                pieces.push(Piece::Text(&source[at..=start]));
                at = start + 1;
                continue;
            }
        };
        let inside = &source[start + 2..];
        let len = if open == "{#" { inside.find(end) } else { Words::new(inside, end).last_end() };
        let is_closed = len.is_some();
        let inside = &inside[..len.unwrap_or(inside.len())];
        let next = (start + 2 + inside.len() + 2).min(source.len());
        if open == "{#" {
            pieces.push(Piece::Text(&source[at..next]));
        } else {
            pieces.push(Piece::Text(&source[at..start]));
            pieces.push(Piece::Tag { start, inside, is_statement: open == "{%", is_closed });
        }
        at = next;
        if name(inside) == "raw" {
            let end = source[at..].find("endraw").map_or(source.len(), |found| at + found);
            // The tag of `endraw` is one of its own.
            let end = source[..end].rfind("{%").filter(|end| *end >= at).unwrap_or(end);
            pieces.push(Piece::Text(&source[at..end]));
            at = end;
        }
    }
    pieces.push(Piece::Text(&source[at..]));
    pieces
}

/// The first word of a statement.
pub(super) fn name(inside: &str) -> &str {
    let inside = inside.trim_start_matches(['-', '+']).trim_start();
    let end = inside.find(|c: char| !c.is_alphanumeric() && c != '_');
    &inside[..end.unwrap_or(inside.len())]
}

/// Words and signs of a tag outside of quotes; what is quoted counts as one.
pub(super) fn n_words(inside: &str) -> usize {
    Words::new(inside, "\0").count()
}

/// Goes over the words and signs of a tag up to its end.
struct Words<'a> {
    text: &'a str,
    end: &'static str,
    at: usize,
    /// Where the end of the tag is, once it was met.
    found: Option<usize>,
}

impl<'a> Words<'a> {
    fn new(text: &'a str, end: &'static str) -> Self {
        Self { text, end, at: 0, found: None }
    }

    /// Where the end of the tag is.
    fn last_end(mut self) -> Option<usize> {
        while self.next().is_some() {}
        self.found
    }

    /// Goes on behind a closing quote.
    fn skip_quoted(&mut self, quote: char) {
        let mut chars = self.text[self.at..].char_indices();
        while let Some((i, c)) = chars.next() {
            if c == '\\' {
                chars.next();
            } else if c == quote {
                self.at += i + 1;
                return;
            }
        }
        self.at = self.text.len();
    }
}

impl Iterator for Words<'_> {
    type Item = ();

    fn next(&mut self) -> Option<()> {
        let rest = &self.text[self.at..];
        let rest = rest.trim_start();
        self.at = self.text.len() - rest.len();
        if rest.starts_with(self.end) {
            self.found = Some(self.at);
            return None;
        }
        let first = rest.chars().next()?;
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        self.at += match rest.find(|c| !is_word(c)) {
            Some(0) => first.len_utf8(),
            Some(len) => len,
            None => rest.len(),
        };
        if matches!(first, '"' | '\'') {
            self.skip_quoted(first);
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Text as it is, tags in brackets.
    #[track_caller]
    fn check(source: &str, expected: &[&str]) {
        let shown = pieces(source).into_iter().filter_map(|piece| match piece {
            Piece::Text(text) => Some(text.to_owned()).filter(|text| !text.is_empty()),
            Piece::Tag { inside, is_closed: true, .. } => Some(format!("[{inside}]")),
            Piece::Tag { inside, .. } => Some(format!("[{inside}")),
        });
        assert_eq!(shown.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn tags_are_told_from_text() {
        check("a{% b %}c{{ d }}e", &["a", "[ b ]", "c", "[ d ]", "e"]);
        check("{ a {b} %} {{ c", &["{", " a {", "b} %} ", "[ c"]);
        check("{{ '}}' ~ \"\\\"}}\" }}.", &["[ '}}' ~ \"\\\"}}\" ]", "."]);
        check("{# {{ a }} #}b{#", &["{# {{ a }} #}", "b{#"]);
        check("{", &["{"]);
    }

    #[test]
    fn what_is_raw_is_text() {
        let pieces = ["[ raw ]", "{% a %}{{ b }}", "[- endraw ]", "[ c ]"];
        check("{% raw %}{% a %}{{ b }}{%- endraw %}{{ c }}", &pieces);
        check("{%raw%}{{ b }}", &["[raw]", "{{ b }}"]);
    }

    #[test]
    fn what_is_quoted_counts_as_one_word() {
        assert_eq!(n_words(" if a_b == 'x %} \\' y' "), 5);
        assert_eq!(n_words("not not -x"), 4);
        assert_eq!(n_words("\"open"), 1);
        assert_eq!(name("- endif -"), "endif");
    }
}
