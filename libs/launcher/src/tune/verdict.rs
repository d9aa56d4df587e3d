//! Early verdicts: a trial that has gone wrong is ended before its last step.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::space::TuneConfig;

/// Steps that a verdict looks at together, so that one step decides nothing.
const WINDOW: usize = 5;

/// What is wrong with a run by the metrics that are there, if anything is.
pub(crate) fn verdict(run_dir: &Path, config: &TuneConfig) -> Option<String> {
    let text = std::fs::read_to_string(run_dir.join("metrics.jsonl")).ok()?;
    judge(&text, config)
}

fn judge(metrics: &str, config: &TuneConfig) -> Option<String> {
    let (mut kl, mut reward) = (BTreeMap::new(), BTreeMap::new());
    // The last line may be half written.
    for line in metrics.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let Some(step) = line["step"].as_u64() else { continue };
        let curve = match line["name"].as_str() {
            Some("policy/kl") => &mut kl,
            Some("reward/total/mean") => &mut reward,
            _ => continue,
        };
        curve.insert(step, line["value"].as_f64().unwrap_or(f64::NAN));
    }
    let kl: Vec<f64> = kl.into_values().collect();
    let reward: Vec<f64> = reward.into_values().collect();
    if kl.iter().chain(&reward).any(|value| !value.is_finite()) {
        return Some("a metric that is no number".to_owned());
    }
    let newest = |curve: &[f64]| mean(&curve[curve.len().checked_sub(WINDOW)?..]);
    let bound = config.max_kl;
    if let Some(kl) = newest(&kl).filter(|kl| bound > 0.0 && *kl > bound) {
        return Some(format!("KL {kl:.3} nats per token, above tune.max_kl = {bound}"));
    }
    if reward.len() < 2 * WINDOW || config.min_reward == 0.0 {
        return None;
    }
    let (start, now) = (mean(&reward[..WINDOW])?, newest(&reward)?);
    // Of a reward that began below 0 there is no share.
    (start > 0.0 && now < config.min_reward * start).then(|| {
        format!(
            "reward fell from {start:.3} to {now:.3}, below tune.min_reward = {}",
            config.min_reward
        )
    })
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(name: &str, values: &[f64]) -> String {
        let line = |(step, value): (usize, &f64)| {
            format!(
                "{{\"step\":{},\"name\":{name:?},\"value\":{value},\"node\":\"n\"}}\n",
                step + 1
            )
        };
        values.iter().enumerate().map(line).collect()
    }
    fn of(metrics: &str) -> Option<String> {
        judge(metrics, &TuneConfig::default())
    }

    #[test]
    fn a_kl_that_stays_high_ends_a_trial_and_a_peak_does_not() {
        assert_eq!(of(&lines("policy/kl", &[0.1, 0.2, 4.0, 0.1, 0.1])), None);
        let why = of(&lines("policy/kl", &[0.1, 1.2, 1.5, 1.1, 1.4, 1.3])).unwrap();
        assert!(why.contains("KL 1.300") && why.contains("tune.max_kl = 1"), "{why}");
        assert_eq!(of(&lines("policy/kl", &[9.0; 4])), None, "too few steps to say");
    }

    #[test]
    fn a_reward_that_fell_to_less_than_half_ends_a_trial() {
        let fell = [1.0, 1.0, 1.0, 1.0, 1.0, 0.4, 0.4, 0.4, 0.4, 0.4];
        let why = of(&lines("reward/total/mean", &fell)).unwrap();
        assert!(why.contains("from 1.000 to 0.400"), "{why}");
        assert_eq!(of(&lines("reward/total/mean", &fell[..9])), None);
        let below_zero: Vec<f64> = fell.iter().map(|value| -value).collect();
        assert_eq!(of(&lines("reward/total/mean", &below_zero)), None);
    }

    #[test]
    fn a_line_that_is_half_written_is_waited_for() {
        assert_eq!(of("{\"step\":1,\"name\":\"policy/kl\",\"val"), None);
        assert!(of("{\"step\":1,\"name\":\"policy/kl\",\"value\":null}").is_some());
    }
}
