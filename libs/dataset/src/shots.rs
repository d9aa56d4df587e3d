//! Which rows make a few-shot training set.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use rand::SeedableRng;
use rand::seq::index;
use rand_chacha::ChaCha8Rng;

use crate::{DatasetError, Row, Truth};

/// Keeps the draws of classes apart from each other and from other draws of the seed.
const CLASS_STREAM: u64 = 0x636c_6173_7300_0000;

/// Which rows are drawn of each class.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ClassShots {
    /// Rows of each class; 0 for all.
    pub n: usize,
    /// Whether a class with fewer rows gives all of them, and is no error.
    pub fewer: bool,
    /// Questions for what is not there, for each drawn one for what is.
    pub absent: f64,
    /// Share of rows that may be left out because their pictures are damaged.
    pub max_bad_fraction: f64,
}

/// `n` of `len` places without repetition, a function of the seed. `n` must not exceed `len`.
pub(crate) fn draw(len: usize, n: usize, seed: u64) -> BTreeSet<usize> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    index::sample(&mut rng, len, n).into_iter().collect()
}

/// Places of the rows that are drawn of each class, and of the questions for what is not there. What is drawn of a
/// class does not depend on which other classes there are.
pub(crate) fn draw_by_class(
    rows: &[Row],
    path: &Path,
    shots: ClassShots,
    seed: u64,
    class: &impl Fn(&Row) -> Option<Arc<str>>,
) -> Result<BTreeSet<usize>, DatasetError> {
    let mut by_class: BTreeMap<Arc<str>, Vec<usize>> = BTreeMap::new();
    let mut asks_in_vain = Vec::new();
    for (idx, row) in rows.iter().enumerate() {
        if matches!(&row.truth, Truth::Boxes(boxes) if boxes.is_empty()) {
            asks_in_vain.push(idx);
            continue;
        }
        let class = class(row).ok_or_else(|| DatasetError::NoClass {
            path: path.to_owned(),
            row: row.origin.place(),
        })?;
        by_class.entry(class).or_default().push(idx);
    }
    let mut kept = BTreeSet::new();
    for (class, places) in &by_class {
        let got = places.len();
        let n = if shots.fewer { shots.n.min(got) } else { shots.n };
        if n > got {
            let (path, class) = (path.to_owned(), class.to_string());
            return Err(DatasetError::TooFewOfClass { path, class, expected: n, got });
        }
        kept.extend(sample(places, n, seed, hash(class)));
    }
    let n_absent = (shots.absent * kept.len() as f64).round() as usize;
    kept.extend(sample(&asks_in_vain, n_absent.min(asks_in_vain.len()), seed, CLASS_STREAM));
    Ok(kept)
}

fn hash(class: &str) -> u64 {
    twox_hash::XxHash3_128::oneshot(class.as_bytes()) as u64
}

fn sample(places: &[usize], n: usize, seed: u64, stream: u64) -> Vec<usize> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ CLASS_STREAM);
    rng.set_stream(stream);
    index::sample(&mut rng, places.len(), n).into_iter().map(|idx| places[idx]).collect()
}
