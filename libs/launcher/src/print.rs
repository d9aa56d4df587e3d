//! What is said on standard output. A reader that has gone away, as in `vrft … | head`, is no error.

use std::io::Write;

/// Prints a line for the user.
macro_rules! say {
    ($($argument:tt)*) => { $crate::print::text(&format!("{}\n", format_args!($($argument)*))) };
}
pub(crate) use say;

/// Prints a text as it is.
pub(crate) fn text(text: &str) {
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
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use eyre::WrapErr;

    #[test]
    fn a_cause_is_said_once() {
        let own = || Err::<(), _>(eyre::eyre!("gone")).wrap_err("cannot read a.png: gone");
        let shown = |result: eyre::Result<()>| super::error(&result.unwrap_err());
        assert_eq!(shown(own()), "cannot read a.png: gone");
        assert_eq!(shown(own().wrap_err("--image")), "--image\ncannot read a.png: gone");
    }
}
