//! Where every completion's random stream comes from.

/// Seed of one completion, mixed so that neighbors in any argument have unrelated streams.
pub fn completion_seed(
    run_seed: u64,
    policy_version: u64,
    prompt_id: u64,
    completion_idx: u16,
) -> u64 {
    let parts = [run_seed, policy_version, prompt_id, u64::from(completion_idx)];
    parts.into_iter().fold(0, |hash, part| split_mix(hash ^ part))
}

/// One step of SplitMix64: a bijection in which every bit of the input reaches every bit of the output.
fn split_mix(state: u64) -> u64 {
    let z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn split_mix_is_the_published_one() {
        assert_eq!(split_mix(0), 0xe220_a839_7b1d_cdaf);
    }

    #[test]
    fn no_two_completions_share_a_seed() {
        let mut seeds = BTreeSet::new();
        for run_seed in 0..5 {
            for version in 0..5 {
                for prompt_id in 0..20 {
                    for completion_idx in 0..20 {
                        seeds.insert(completion_seed(run_seed, version, prompt_id, completion_idx));
                    }
                }
            }
        }
        assert_eq!(seeds.len(), 5 * 5 * 20 * 20);
    }

    #[test]
    fn the_order_of_the_arguments_matters() {
        assert_ne!(completion_seed(1, 2, 3, 4), completion_seed(2, 1, 3, 4));
        assert_ne!(completion_seed(1, 2, 3, 4), completion_seed(1, 2, 4, 3));
    }

    #[test]
    fn half_of_the_bits_flip_between_neighbors() {
        let flips =
            |idx| (completion_seed(7, 1, 9, idx) ^ completion_seed(7, 1, 9, idx + 1)).count_ones();
        let mean = f64::from((0..1000).map(flips).sum::<u32>()) / 1000.0;
        assert!((mean - 32.0).abs() < 0.6, "{mean}");
    }
}
