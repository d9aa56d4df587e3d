//! Which rows make a few-shot training set.

use std::collections::BTreeSet;

use rand::SeedableRng;
use rand::seq::index;
use rand_chacha::ChaCha8Rng;

/// `n` of `len` places without repetition, a function of the seed. `n` must not exceed `len`.
pub(crate) fn draw(len: usize, n: usize, seed: u64) -> BTreeSet<usize> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    index::sample(&mut rng, len, n).into_iter().collect()
}
