//! The order in which samples are asked about.

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Keeps replacements apart from the numbers that order samples under the same seed.
const REPLACEMENT_SEED: u64 = 0x7265_706c_0000_0000;

/// Epoch after epoch of shuffled samples.
///
/// There is no state to save: the k-th prompt of a run depends on the seed and on k alone, so a resumed run
/// continues with the very prompts that it would have had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    len: usize,
    seed: u64,
}

impl Order {
    /// An order of `len` samples; a data set has at least one.
    pub fn new(len: usize, seed: u64) -> Self {
        Self { len: len.max(1), seed }
    }

    /// Which sample the k-th prompt is about. Each epoch of `len` prompts is a fresh permutation.
    pub fn index(&self, k: u64) -> usize {
        let len = self.len as u64;
        self.permutation(k / len)[(k % len) as usize]
    }

    /// Which sample a try at the k-th prompt is about: the first one is that of [`Order::index`], later ones are drawn by
    /// k and the number of the try.
    pub fn index_of_try(&self, k: u64, attempt: u64) -> usize {
        if attempt == 0 {
            return self.index(k);
        }
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed ^ REPLACEMENT_SEED ^ attempt);
        rng.set_stream(k);
        rng.random_range(0..self.len)
    }

    /// Shuffling anew for each k is microseconds; a step is seconds.
    fn permutation(&self, epoch: u64) -> Vec<usize> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(epoch);
        let mut permutation: Vec<usize> = (0..self.len).collect();
        permutation.shuffle(&mut rng);
        permutation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(order: &Order, epoch: u64) -> Vec<usize> {
        (epoch * 10..(epoch + 1) * 10).map(|k| order.index(k)).collect()
    }

    #[test]
    fn an_epoch_has_every_sample_once() {
        let mut seen = epoch(&Order::new(10, 7), 3);
        seen.sort_unstable();
        assert_eq!(seen, (0..10).collect::<Vec<_>>());
    }
    #[test]
    fn epochs_and_seeds_differ() {
        let order = Order::new(10, 7);
        assert_ne!(epoch(&order, 0), epoch(&order, 1));
        assert_ne!(epoch(&order, 0), epoch(&Order::new(10, 8), 0));
    }
    #[test]
    fn the_same_k_is_the_same_sample() {
        assert_eq!(Order::new(10, 7).index(123), Order::new(10, 7).index(123));
    }
    #[test]
    fn tries_differ_and_repeat() {
        let order = Order::new(1000, 7);
        assert_eq!(order.index_of_try(5, 0), order.index(5));
        let tries: std::collections::BTreeSet<usize> =
            (0..8).map(|attempt| order.index_of_try(5, attempt)).collect();
        assert!(tries.len() > 6, "{tries:?}");
        assert_eq!(order.index_of_try(5, 3), Order::new(1000, 7).index_of_try(5, 3));
        assert_ne!(order.index_of_try(5, 3), order.index_of_try(6, 3));
    }
    #[test]
    fn one_sample_is_always_that() {
        assert_eq!(Order::new(1, 0).index(u64::MAX), 0);
    }
}
