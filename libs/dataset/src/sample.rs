//! A sample, and a row that could not become one.

/// A question about images and its verifiable answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Name of the sample within its file: the column `sample_id`, else the number of its row.
    pub sample_id: String,
    /// Encoded images (PNG, JPEG, WebP, BMP), in the order in which the question speaks of them.
    pub images: Vec<Vec<u8>>,
    /// The question, as the policy is asked.
    pub problem: String,
    /// The true answer, as the reward reads it.
    pub solution: String,
}

/// A row that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRow {
    /// Number of the row in its file, from 0.
    pub row: usize,
    /// What is wrong with it.
    pub why: String,
}

impl std::fmt::Display for BadRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "row {}: {}", self.row, self.why)
    }
}
