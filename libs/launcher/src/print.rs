//! What is said on standard output. A reader that has gone away, as in `vrft … | head`, is no error.

use std::borrow::Cow;
use std::io::Write;

/// Prints a line for the user.
macro_rules! say {
    ($($argument:tt)*) => { $crate::print::text(&format!("{}\n", format_args!($($argument)*))) };
}
pub(crate) use say;

/// Prints a line beside the result, on standard error.
macro_rules! remark {
    ($($argument:tt)*) => { eprintln!("# {}", $crate::print::harmless(&format!($($argument)*))) };
}
pub(crate) use remark;

/// A text without what would steer the terminal: ids, names and questions come from data.
pub(crate) fn harmless(text: &str) -> Cow<'_, str> {
    let steers = |c: char| c.is_control() && !['\n', '\t'].contains(&c);
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let shown = |c: char| if steers(c) { c.escape_default().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(shown).collect())
}

/// Prints a text, harmless.
pub(crate) fn text(text: &str) {
    let text = harmless(text);
    let mut out = std::io::stdout().lock();
    // The reader of the output is gone, so the failure cannot be reported either.
    let _told = out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok();
}

/// An error with its causes, a line each. Some say their cause themselves, which is not said again.
pub(crate) fn error(error: &eyre::Report) -> String {
    let mut lines: Vec<String> = Vec::new();
    for cause in error.chain().map(ToString::to_string) {
        if lines.last().is_none_or(|before| !before.contains(&cause)) {
            lines.push(cause);
        }
    }
    harmless(&lines.join("\n")).into_owned()
}

#[cfg(test)]
mod tests {
    use eyre::WrapErr;

    #[test]
    fn what_would_steer_the_terminal_is_shown_and_not_done() {
        assert_eq!(
            super::harmless("row 1 (\u{1b}[31mred\u{7}\r)\t1\n"),
            "row 1 (\\u{1b}[31mred\\u{7}\\r)\t1\n"
        );
        assert_eq!(super::error(&eyre::eyre!("\u{9b}2J")), "\\u{9b}2J");
    }

    #[test]
    fn a_cause_is_said_once() {
        let own = || Err::<(), _>(eyre::eyre!("gone")).wrap_err("cannot read a.png: gone");
        let shown = |result: eyre::Result<()>| super::error(&result.unwrap_err());
        assert_eq!(shown(own()), "cannot read a.png: gone");
        assert_eq!(shown(own().wrap_err("--image")), "--image\ncannot read a.png: gone");
    }
}
