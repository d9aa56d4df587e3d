//! Which of the questions that a data set allows are asked: the part of a protocol between layout and prompt.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rand::SeedableRng;
use rand::seq::index;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::DatasetError;
use crate::readers::is_same;

/// Names that an error lists of those that are there.
const N_NAMED: usize = 20;

/// What is asked about annotated or labeled pictures. The default asks for what is there, whatever it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Selection {
    /// Categories or classes that are asked about; empty for all.
    pub categories: Vec<String>,
    /// Questions for what is not on a picture, whose true answer is that there is nothing.
    pub absent: Absent,
    /// File with the names of the classes, see `data.classes`.
    pub classes: Option<PathBuf>,
    /// Of several questions about the same place only the first is asked.
    pub first_question: bool,
    /// Which of several outlines of a place count.
    pub outlines: Outlines,
    /// Whether the shapes of objects are read too.
    pub masks: bool,
    /// What `bbox` of a row is; `None` for what COCO has, and in rows of other files for what these tell.
    pub bbox: Option<BboxForm>,
    /// File with the names of the samples that are used; all where there is none.
    pub rows: Option<PathBuf>,
}

/// Which questions are asked for what is not on a picture.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Absent {
    /// None.
    #[default]
    None,
    /// So many for each question about what is there, always the same ones.
    Share(f64),
    /// Each category on each picture that it is known to be absent from.
    Every,
}

/// Which of the outlines of a place an answer should enclose.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outlines {
    /// All that are labeled as the target.
    #[default]
    Target,
    /// The first in the file, whatever its label, as Visual-RFT's program reads ReasonSeg.
    First,
}

/// How four numbers are a box.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BboxForm {
    /// x, y, width, height, as COCO has it.
    #[default]
    Sides,
    /// x and y of the upper left and of the lower right corner.
    Corners,
}

impl Selection {
    /// Whether this category or class is asked about.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.categories.is_empty() || self.categories.iter().any(|category| is_same(category, name))
    }

    /// The categories that are asked about, of those that the data set has.
    ///
    /// # Errors
    /// A name that the data set does not have.
    pub(crate) fn among(
        &self,
        path: &Path,
        known: &BTreeSet<Arc<str>>,
    ) -> Result<Vec<Arc<str>>, DatasetError> {
        for name in &self.categories {
            if !known.iter().any(|known| is_same(known, name)) {
                let found = known.iter().take(N_NAMED).map(ToString::to_string).collect();
                let n_found = known.len();
                let (path, name) = (path.to_owned(), name.clone());
                return Err(DatasetError::UnknownCategory { path, name, found, n_found });
            }
        }
        Ok(known.iter().filter(|name| self.has(name)).cloned().collect())
    }
}

/// Which questions for what is absent belong to the data does not depend on the run's seed.
const ABSENT_SEED: u64 = 0;

/// `n` of `len` places without repetition and in order.
pub(crate) fn draw_absent(len: usize, n: usize) -> Vec<usize> {
    let mut rng = ChaCha8Rng::seed_from_u64(ABSENT_SEED);
    let mut drawn = index::sample(&mut rng, len, n.min(len)).into_vec();
    drawn.sort_unstable();
    drawn
}

/// The names of samples in a file, one a line.
///
/// # Errors
/// A file that cannot be read, or has none.
pub(crate) fn listed(path: &Path) -> Result<BTreeSet<String>, DatasetError> {
    let text = crate::files::read_text(path)?;
    let names: BTreeSet<String> = text
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect();
    if names.is_empty() {
        let message = "it names no sample, one is expected a line".to_owned();
        return Err(DatasetError::Content {
            path: path.to_owned(),
            format: "a list of rows",
            message,
        });
    }
    Ok(names)
}
