//! Which of several sources a prompt comes from.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// Prompts that are dealt out among the sources together, each source having its part of them.
const DEAL: usize = 100;

/// A share of the prompts for each source, dealt out in a reproducible order.
///
/// There is no state to save, as in [`crate::Order`]: the source of the k-th prompt, and how many prompts that source
/// had before, depend on the seed and on k alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mixture {
    /// Prompts of a deal by source; they sum to [`DEAL`].
    parts: Vec<usize>,
    seed: u64,
}

impl Mixture {
    /// Shares in proportion to `weight · n^exponent`, where a source of n samples has that weight; each source has
    /// one prompt in a hundred at least. An exponent of 1 treats samples alike, one of 0 sources.
    ///
    /// There must be one source or more, and a hundred at most.
    pub fn new(sources: &[(f64, usize)], exponent: f64, seed: u64) -> Self {
        let sizes: Vec<f64> =
            sources.iter().map(|(weight, n)| weight * (*n as f64).powf(exponent)).collect();
        let total: f64 = sizes.iter().sum();
        let spare = DEAL.saturating_sub(sources.len()) as f64;
        let exact: Vec<f64> = sizes.iter().map(|size| spare * size / total).collect();
        let mut parts: Vec<usize> = exact.iter().map(|share| 1 + *share as usize).collect();
        // What rounding down left goes to the largest remainders.
        let mut by_remainder: Vec<usize> = (0..parts.len()).collect();
        by_remainder.sort_by(|a, b| exact[*b].fract().total_cmp(&exact[*a].fract()));
        let left = DEAL.saturating_sub(parts.iter().sum());
        by_remainder.into_iter().take(left).for_each(|source| parts[source] += 1);
        Self { parts, seed }
    }

    /// Source of the k-th prompt, and the number of the prompt among those of its source.
    pub fn place(&self, k: u64) -> (usize, u64) {
        if self.parts.len() == 1 {
            return (0, k);
        }
        let deal = self.deal(k / DEAL as u64);
        let place = (k % DEAL as u64) as usize;
        let source = deal[place];
        let before = deal[..place].iter().filter(|other| **other == source).count() as u64;
        (source, k / DEAL as u64 * self.parts[source] as u64 + before)
    }

    fn deal(&self, number: u64) -> Vec<usize> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(number);
        let parts = self.parts.iter().enumerate();
        let mut deal: Vec<usize> =
            parts.flat_map(|(source, &n)| std::iter::repeat_n(source, n)).collect();
        deal.shuffle(&mut rng);
        deal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sources: &[(f64, usize)], exponent: f64, expect: &[usize]) {
        let mixture = Mixture::new(sources, exponent, 0);
        assert_eq!(mixture.parts, expect);
        assert_eq!(mixture.parts.iter().sum::<usize>(), DEAL);
    }

    #[test]
    fn shares_follow_weights_and_sizes() {
        check(&[(1.0, 10), (1.0, 10)], 0.5, &[50, 50]);
        check(&[(1.0, 10), (3.0, 10)], 0.5, &[26, 74]);
        check(&[(1.0, 100), (1.0, 900)], 0.5, &[26, 74]);
        check(&[(1.0, 100), (1.0, 900)], 0.0, &[50, 50]);
        check(&[(1.0, 1), (1.0, 1_000_000)], 1.0, &[1, 99]);
        check(&[(1.0, 7)], 0.5, &[100]);
    }

    #[test]
    fn one_source_has_all_prompts_in_their_order() {
        let mixture = Mixture::new(&[(2.0, 7)], 0.5, 3);
        assert_eq!(mixture.place(12_345), (0, 12_345));
    }

    #[test]
    fn every_source_counts_its_own_prompts_without_a_gap() {
        let mixture = Mixture::new(&[(1.0, 10), (2.0, 30), (0.5, 5)], 0.5, 7);
        let mut next = [0; 3];
        for k in 0..350 {
            let (source, number) = mixture.place(k);
            assert_eq!(number, next[source], "prompt {k}");
            next[source] += 1;
        }
    }

    #[test]
    fn deals_and_seeds_differ() {
        let sources = [(1.0, 10), (1.0, 10)];
        let run = |seed, from: u64| -> Vec<usize> {
            let mixture = Mixture::new(&sources, 0.5, seed);
            (from..from + 100).map(|k| mixture.place(k).0).collect()
        };
        assert_ne!(run(0, 0), run(0, 100));
        assert_ne!(run(0, 0), run(1, 0));
    }
}
