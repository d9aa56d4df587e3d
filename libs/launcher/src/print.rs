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
