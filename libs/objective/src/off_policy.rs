//! How much completions that another policy sampled say about this one.

/// The effective number of samples as a share of their number, `(Σw)² / (n Σw²)`, from the logarithms of their
/// importance weights w: 1 for equal weights, 1/n where one outweighs all others.
///
/// The weight of a completion is the ratio of its probability under the policy to that under its sampler, so that its
/// logarithm is a sum over the tokens. [Kong 1992](https://www.jstor.org/stable/2290675) has the measure. `None` without
/// samples, or where a weight is not a number.
pub fn effective_share(log_weights: &[f64]) -> Option<f64> {
    let highest = log_weights.iter().copied().reduce(f64::max)?;
    if log_weights.iter().any(|weight| !weight.is_finite()) {
        return None;
    }
    // A factor of all weights cancels: relative to the highest none overflows.
    let weights = || log_weights.iter().map(|weight| (weight - highest).exp());
    let (sum, squares): (f64, f64) = (weights().sum(), weights().map(|w| w * w).sum());
    Some(sum * sum / (squares * log_weights.len() as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(weights: &[f64], expect: f64) {
        let logs: Vec<f64> = weights.iter().map(|weight| weight.ln()).collect();
        let share = effective_share(&logs).unwrap();
        assert!((share - expect).abs() < 1e-12, "{share}, not {expect}");
    }

    #[test]
    fn equal_weights_are_as_many_as_there_are() {
        check(&[1.0; 7], 1.0);
        check(&[1e-30; 7], 1.0);
        check(&[4.0], 1.0);
    }
    #[test]
    fn a_weight_that_outweighs_all_others_is_one_sample() {
        assert!((effective_share(&[900.0, -5.0, -5.0, -5.0]).unwrap() - 0.25).abs() < 1e-12);
    }
    #[test]
    fn three_to_one() {
        // (3 + 1)² / (2 · (9 + 1))
        check(&[3.0, 1.0], 0.8);
    }
    #[test]
    fn nothing_and_no_number_have_no_share() {
        assert_eq!(effective_share(&[]), None);
        assert_eq!(effective_share(&[0.0, f64::NAN]), None);
        assert_eq!(effective_share(&[0.0, f64::INFINITY]), None);
    }
}
