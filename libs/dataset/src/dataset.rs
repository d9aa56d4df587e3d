//! A data set in memory.

use std::path::{Path, PathBuf};

use crate::{BadRow, DatasetError, Sample, open, shots};

/// Samples of one file or folder; at least one. Images stay encoded.
#[derive(Debug, Clone)]
pub struct Dataset {
    path: PathBuf,
    rows: Vec<Row>,
    skipped: Vec<BadRow>,
}

/// A sample and where it was.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) row: usize,
    pub(crate) sample: Sample,
}

/// Rows as a reader finds them.
pub(crate) type FoundRows = Vec<Result<Sample, String>>;

impl Dataset {
    /// Reads all rows, and the image files that they name.
    ///
    /// # Errors
    /// A file that is absent, of an unknown format or damaged; a column that is missing or of a wrong type; no
    /// usable row at all.
    pub fn open(path: &Path) -> Result<Self, DatasetError> {
        Self::from_rows(path, open::read(path)?)
    }

    /// Samples that did not come from a file.
    ///
    /// # Errors
    /// No samples.
    pub fn of(samples: Vec<Sample>) -> Result<Self, DatasetError> {
        Self::from_rows(Path::new("(in memory)"), samples.into_iter().map(Ok).collect())
    }

    fn from_rows(path: &Path, found: FoundRows) -> Result<Self, DatasetError> {
        let (mut rows, mut skipped) = (Vec::with_capacity(found.len()), Vec::new());
        for (row, result) in found.into_iter().enumerate() {
            match result {
                Ok(sample) => rows.push(Row { row, sample }),
                Err(why) => skipped.push(BadRow { row, why }),
            }
        }
        Self { path: path.to_owned(), rows, skipped }.not_empty()
    }

    /// Number of samples; never 0.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// False: a data set without samples cannot be opened.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The sample at a place from 0 to [`Dataset::len`]; as with a slice, no other place may be asked for.
    pub fn get(&self, idx: usize) -> &Sample {
        &self.rows[idx].sample
    }

    /// All samples in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Sample> {
        self.rows.iter().map(|row| &row.sample)
    }

    /// Rows that were left out, in the order of the file.
    pub fn skipped(&self) -> &[BadRow] {
        &self.skipped
    }

    /// Leaves out samples with an image that cannot be decoded and those that `check` refuses, with its reason.
    ///
    /// # Errors
    /// More than `max_bad_fraction` of all rows left out (those that [`Dataset::open`] skipped count), or all.
    pub fn retain_valid(
        mut self,
        check: impl Fn(&Sample) -> Result<(), String>,
        max_bad_fraction: f64,
    ) -> Result<Self, DatasetError> {
        let total = self.rows.len() + self.skipped.len();
        for row in std::mem::take(&mut self.rows) {
            match decodable(&row.sample).and_then(|()| check(&row.sample)) {
                Ok(()) => self.rows.push(row),
                Err(why) => self.skipped.push(BadRow { row: row.row, why }),
            }
        }
        self.skipped.sort_by_key(|bad| bad.row);
        if self.skipped.len() as f64 > max_bad_fraction * total as f64 {
            let (path, bad) = (self.path, self.skipped);
            return Err(DatasetError::TooManyBad { path, bad, total, max_bad_fraction });
        }
        self.not_empty()
    }

    /// Keeps `n` samples drawn with the seed, in the order of the file; 0 keeps all.
    ///
    /// # Errors
    /// Fewer samples than `n`.
    pub fn shots(mut self, n: usize, seed: u64) -> Result<Self, DatasetError> {
        let got = self.len();
        if n > got {
            return Err(DatasetError::TooFewRows { path: self.path, expected: n, got });
        }
        if n > 0 {
            let kept = shots::draw(got, n, seed);
            let mut idx = 0..got;
            self.rows.retain(|_| idx.next().is_some_and(|idx| kept.contains(&idx)));
        }
        Ok(self)
    }

    fn not_empty(self) -> Result<Self, DatasetError> {
        match self.rows.is_empty() {
            true => Err(DatasetError::Empty { path: self.path, bad: self.skipped }),
            false => Ok(self),
        }
    }
}

/// Decodes to the last pixel, as the policy will: a file that was cut has a fine header.
fn decodable(sample: &Sample) -> Result<(), String> {
    for (idx, bytes) in sample.images.iter().enumerate() {
        vrft_vision::decode(bytes).map_err(|error| format!("image {idx}: {error}"))?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "dataset_tests.rs"]
mod tests;
