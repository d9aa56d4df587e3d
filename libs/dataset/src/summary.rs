//! What a data set is, in a few lines for the user.

use std::fmt::Write;

use crate::Dataset;

/// Rows and annotations without use that are named.
const N_NAMED: usize = 3;

/// A number of rows in words: one of them has no s.
pub(crate) fn rows(n: usize) -> String {
    if n == 1 { "1 row".to_owned() } else { format!("{n} rows") }
}

/// The form of a verb that goes with a number.
pub(crate) fn verb<'a>(n: usize, of_one: &'a str, of_many: &'a str) -> &'a str {
    if n == 1 { of_one } else { of_many }
}

impl Dataset {
    /// The file, its split, and how many rows are there, usable, skipped and used; then the first reasons for skipping
    /// and what was assumed, a line each. To be told after [`Dataset::retain_valid`].
    pub fn summary(&self, n_used: usize) -> Vec<String> {
        let mut first = self.path().display().to_string();
        if let Some(split) = self.split() {
            write!(first, ", split {split}").unwrap_or_default();
        }
        let n_skipped = self.skipped().len();
        let n_usable = self.n_total() - n_skipped;
        write!(
            first,
            ": {}, {n_usable} usable, {n_skipped} skipped, {n_used} used",
            rows(self.n_total())
        )
        .unwrap_or_default();
        let mut lines = vec![first];
        let skipped = [(self.skipped(), "skipped"), (self.skipped_parts(), "skipped")];
        for (parts, what) in skipped {
            let named = parts.iter().take(N_NAMED);
            lines.extend(named.map(|skipped| format!("{what} {skipped}")));
            if parts.len() > N_NAMED {
                lines.push(format!("{what} {} more", parts.len() - N_NAMED));
            }
        }
        lines.extend(self.notes().iter().cloned());
        lines
    }
}
