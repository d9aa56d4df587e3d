//! Draws a token from a line of logits.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::Sampling;

/// Values that are summed before the place of a draw is looked for among them one by one.
const BLOCK: usize = 64;

/// A random stream and the buffer that its draws are made in.
#[derive(Debug)]
pub(crate) struct Sampler {
    random: StdRng,
    /// Probability of each token, not normalized: `exp((logit - largest) / temperature)`.
    powers: Vec<f32>,
    candidates: Vec<u32>,
}

/// A token and its logprob before top-k and top-p.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Drawn {
    pub(crate) token: u32,
    pub(crate) logprob: f32,
}

impl Sampler {
    pub(crate) fn new(seed: u64) -> Self {
        let random = StdRng::seed_from_u64(seed);
        Self { random, powers: Vec::new(), candidates: Vec::new() }
    }

    /// Draws from `logits`, of which those of `forbidden` tokens do not count; nothing if they are no
    /// distribution.
    pub(crate) fn draw(
        &mut self,
        logits: &[f32],
        forbidden: &[u32],
        sampling: &Sampling,
    ) -> Option<Drawn> {
        let temperature = sampling.logprob_temperature() as f32;
        self.powers.clear();
        self.powers.extend_from_slice(logits);
        let (largest, sum) = vrft_kernels::exp_in_place(&mut self.powers, temperature);
        if !(largest.is_finite() && sum.is_finite()) {
            return None;
        }
        let mut left = sum;
        for token in forbidden {
            left -= std::mem::take(&mut self.powers[*token as usize]);
        }
        let token = if sampling.temperature <= 0.0 {
            self.largest()
        } else if sampling.top_k > 0 || sampling.top_p < 1.0 {
            self.draw_filtered(sampling, left)
        } else {
            self.draw_any(left)
        };
        let logprob = (logits[token as usize] - largest) / temperature - sum.ln();
        Some(Drawn { token, logprob })
    }

    /// The first of the most probable tokens.
    fn largest(&self) -> u32 {
        let larger =
            |best: usize, i: usize| if self.powers[i] > self.powers[best] { i } else { best };
        (0..self.powers.len()).fold(0, larger) as u32
    }

    fn draw_any(&mut self, sum: f32) -> u32 {
        let mut left = self.random.random::<f32>() * sum;
        let mut last = 0;
        for (block_idx, block) in self.powers.chunks(BLOCK).enumerate() {
            let block_sum = sum_of(block);
            if left >= block_sum {
                left -= block_sum;
                continue;
            }
            for (i, power) in block.iter().enumerate().filter(|(_, power)| **power > 0.0) {
                last = block_idx * BLOCK + i;
                if left < *power {
                    return last as u32;
                }
                left -= power;
            }
        }
        // Rounding has carried the draw past the end: the last token that can be drawn.
        let any = self.powers.iter().rposition(|power| *power > 0.0);
        any.unwrap_or(last) as u32
    }

    /// Among the `top_k` most probable tokens, the smallest set whose probability reaches `top_p`.
    fn draw_filtered(&mut self, sampling: &Sampling, sum: f32) -> u32 {
        let Self { random, powers, candidates } = self;
        let more_probable =
            |a: &u32, b: &u32| powers[*b as usize].total_cmp(&powers[*a as usize]).then(a.cmp(b));
        // A token this improbable is outside the set even if all less probable ones are as probable as it.
        let floor = (1.0 - sampling.top_p as f32) / powers.len() as f32 * sum;
        candidates.clear();
        let all = 0..powers.len() as u32;
        match sampling.top_k {
            0 => candidates.extend(all.filter(|token| powers[*token as usize] >= floor)),
            _ => candidates.extend(all),
        }
        if sampling.top_k > 0 && sampling.top_k < candidates.len() {
            candidates.select_nth_unstable_by(sampling.top_k - 1, more_probable);
            candidates.truncate(sampling.top_k);
        }
        candidates.sort_unstable_by(more_probable);
        let of_all = if sampling.top_k > 0 { total(powers, candidates) } else { sum };
        let mut kept = 0.0;
        let reaches = candidates.iter().position(|token| {
            kept += powers[*token as usize];
            kept >= sampling.top_p as f32 * of_all
        });
        candidates.truncate(reaches.map_or(candidates.len(), |idx| idx + 1));
        let mut left = random.random::<f32>() * total(powers, candidates);
        for token in candidates.iter() {
            left -= powers[*token as usize];
            if left < 0.0 {
                return *token;
            }
        }
        candidates.last().copied().unwrap_or_default()
    }
}

/// Sum in lanes, so that it vectorizes.
fn sum_of(block: &[f32]) -> f32 {
    let (lanes, rest) = block.as_chunks::<16>();
    let mut sums = [0.0; 16];
    for lane in lanes {
        sums.iter_mut().zip(lane).for_each(|(sum, x)| *sum += x);
    }
    sums.iter().sum::<f32>() + rest.iter().sum::<f32>()
}

fn total(powers: &[f32], tokens: &[u32]) -> f32 {
    tokens.iter().map(|token| powers[*token as usize]).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampling(top_k: usize, top_p: f64) -> Sampling {
        Sampling {
            temperature: 1.0,
            top_p,
            top_k,
            max_tokens: 1,
            min_tokens: 0,
            stop: vec![],
            max_rows: 64,
        }
    }

    /// How often each token is drawn.
    fn counts(logits: &[f32], forbidden: &[u32], sampling: &Sampling) -> Vec<usize> {
        let mut counts = vec![0; logits.len()];
        for seed in 0..4000 {
            let drawn = Sampler::new(seed).draw(logits, forbidden, sampling).unwrap();
            counts[drawn.token as usize] += 1;
        }
        counts
    }

    /// Probabilities 0.5, 0.25, 0.125, 0.125 by way of 100 tokens, so that draws cross blocks.
    fn logits() -> Vec<f32> {
        let mut logits = vec![f32::NEG_INFINITY; 100];
        for (token, p) in [(3, 0.5f32), (70, 0.25), (98, 0.125), (99, 0.125)] {
            logits[token] = p.ln() + 3.0;
        }
        logits
    }

    #[track_caller]
    fn check(sampling: &Sampling, forbidden: &[u32], expected: &[(usize, f64)]) {
        let counts = counts(&logits(), forbidden, sampling);
        assert_eq!(counts.iter().filter(|count| **count > 0).count(), expected.len());
        for (token, share) in expected {
            let got = counts[*token] as f64 / 4000.0;
            assert!((got - share).abs() < 0.03, "token {token}: {got}, not {share}");
        }
    }

    #[test]
    fn tokens_come_as_often_as_they_are_probable() {
        check(&sampling(0, 1.0), &[], &[(3, 0.5), (70, 0.25), (98, 0.125), (99, 0.125)])
    }

    #[test]
    fn a_forbidden_token_leaves_its_share_to_the_others() {
        check(&sampling(0, 1.0), &[3], &[(70, 0.5), (98, 0.25), (99, 0.25)])
    }

    #[test]
    fn top_k_keeps_so_many() {
        check(&sampling(2, 1.0), &[], &[(3, 2.0 / 3.0), (70, 1.0 / 3.0)])
    }

    #[test]
    fn top_p_keeps_the_token_that_reaches_it() {
        check(&sampling(0, 0.7), &[], &[(3, 2.0 / 3.0), (70, 1.0 / 3.0)]);
        check(&sampling(3, 0.5), &[], &[(3, 1.0)]);
    }

    #[test]
    fn temperature_sharpens() {
        let cold = Sampling { temperature: 0.5, ..sampling(0, 1.0) };
        check(&cold, &[], &[(3, 0.727), (70, 0.182), (98, 0.045), (99, 0.045)]);
    }

    #[test]
    fn the_logprob_is_that_of_the_whole_distribution() {
        let greedy = Sampling::greedy(1, vec![]);
        let drawn = Sampler::new(0).draw(&logits(), &[], &greedy).unwrap();
        assert_eq!(drawn.token, 3);
        assert!((drawn.logprob - 0.5f32.ln()).abs() < 1e-6);
    }

    #[test]
    fn no_distribution_gives_no_token() {
        let inf = f32::INFINITY;
        for logits in [[1.0, f32::NAN], [f32::NAN, 1.0], [1.0, inf], [-inf, -inf]] {
            assert!(Sampler::new(0).draw(&logits, &[], &sampling(0, 1.0)).is_none(), "{logits:?}");
        }
    }
}
