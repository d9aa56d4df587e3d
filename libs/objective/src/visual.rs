//! How much the picture matters for each token, as a factor of the token's weight.

use crate::config::VisualConfig;

/// A factor for each token of a prompt's completions, one completion after the other; see [`VisualConfig`].
///
/// `seen` and `unseen` are the logprobs of the tokens with the picture and with the picture without detail, one list for
/// each completion. The factors of a completion's tokens have the mean 1 before completions are weighed, and the completions'
/// factors have the mean 1 too, so that the picture decides what counts and not how much all of it does.
pub fn visual_factors(seen: &[&[f32]], unseen: &[&[f32]], config: &VisualConfig) -> Vec<f32> {
    let advantages: Vec<Vec<f32>> = seen
        .iter()
        .zip(unseen)
        .map(|(seen, unseen)| seen.iter().zip(*unseen).map(|(a, b)| a - b).collect())
        .collect();
    let of_completions = if config.completions {
        completion_factors(&advantages)
    } else {
        vec![1.0; advantages.len()]
    };
    let factors = advantages.iter().zip(of_completions).flat_map(|(advantages, of_completion)| {
        token_factors(advantages, config.share)
            .into_iter()
            .map(move |factor| factor * of_completion)
    });
    factors.collect()
}

/// Each completion's mean visual advantage over the mean of all; those below 0 count as 0. All 1 where none is above 0.
fn completion_factors(advantages: &[Vec<f32>]) -> Vec<f32> {
    let mean = |values: &[f32]| values.iter().sum::<f32>() / values.len().max(1) as f32;
    let means: Vec<f32> = advantages.iter().map(|values| mean(values).max(0.0)).collect();
    let of_all = mean(&means);
    if of_all <= 0.0 {
        return vec![1.0; means.len()];
    }
    means.into_iter().map(|mean| mean / of_all).collect()
}

/// Half of the weight for the share of tokens with the highest visual advantage, half for the others; of equal ones the
/// earlier counts as higher. All 1 where one of the groups would be empty.
fn token_factors(advantages: &[f32], share: f64) -> Vec<f32> {
    let n = advantages.len();
    let n_high = (share * n as f64).ceil() as usize;
    if n_high == 0 || n_high >= n {
        return vec![1.0; n];
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| advantages[b].total_cmp(&advantages[a]));
    let half = |of: usize| n as f32 / (2 * of) as f32;
    let mut factors = vec![half(n - n_high); n];
    for idx in &order[..n_high] {
        factors[*idx] = half(n_high);
    }
    factors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(share: f64, completions: bool) -> VisualConfig {
        VisualConfig { share, completions }
    }

    #[test]
    fn few_tokens_that_need_the_picture_weigh_as_much_as_all_others() {
        let factors = visual_factors(
            &[&[-1.0, -0.5, -2.0, -1.0, -1.0]],
            &[&[-1.0, -3.0, -2.0, -0.9, -1.0]],
            &config(0.2, false),
        );
        assert_eq!(factors, [0.625, 2.5, 0.625, 0.625, 0.625]);
        assert_eq!(factors.iter().sum::<f32>(), 5.0);
    }

    #[test]
    fn completions_count_by_how_much_they_look() {
        let (seen, unseen): ([&[f32]; 3], [&[f32]; 3]) =
            ([&[-1.0], &[-1.0], &[-1.0]], [&[-2.0], &[-4.0], &[-0.5]]);
        assert_eq!(visual_factors(&seen, &unseen, &config(0.5, true)), [0.75, 2.25, 0.0]);
        assert_eq!(visual_factors(&seen, &seen, &config(0.5, true)), [1.0; 3]);
    }

    #[test]
    fn a_share_that_is_everything_or_a_single_token_changes_nothing() {
        assert_eq!(token_factors(&[0.5], 0.2), [1.0]);
        assert_eq!(token_factors(&[0.5, 0.1], 0.9), [1.0, 1.0]);
        assert!(token_factors(&[], 0.2).is_empty());
    }
}
