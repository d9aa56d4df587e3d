//! Mean reward and mean of each term, whichever node gave them.

use std::collections::BTreeMap;

use vrft_messages::RewardRow;

/// Name of the whole reward beside those of its terms.
const TOTAL: &str = "total";

/// The mean reward and the mean of each term, over the completions that have it and could be scored.
pub(crate) fn means<'a>(rows: impl Iterator<Item = &'a RewardRow>) -> BTreeMap<String, f64> {
    let mut sums: BTreeMap<&str, (f64, u32)> = BTreeMap::new();
    for row in rows {
        let Some(reward) = row.reward else { continue };
        let terms = row.terms.iter().map(|term| (term.name.as_str(), term.value));
        for (name, value) in terms.chain([(TOTAL, reward)]) {
            let (sum, n) = sums.entry(name).or_default();
            (*sum, *n) = (*sum + f64::from(value), *n + 1);
        }
    }
    sums.into_iter().map(|(name, (sum, n))| (name.to_owned(), sum / f64::from(n))).collect()
}

#[cfg(test)]
mod tests {
    use vrft_messages::Term;

    use super::*;

    fn row(reward: Option<f32>, terms: &[(&str, f32)]) -> RewardRow {
        let term = |(name, value): &(&str, f32)| Term {
            name: (*name).to_owned(),
            value: *value,
            weight: 1.0,
        };
        RewardRow {
            prompt_id: 0,
            completion_idx: 0,
            reward,
            first_turn: None,
            terms: terms.iter().map(term).collect(),
        }
    }

    #[test]
    fn a_term_counts_where_it_is() {
        let rows = [
            row(Some(1.0), &[("iou", 1.0)]),
            row(Some(0.5), &[("iou", 0.5)]),
            row(Some(0.0), &[("accuracy", 0.0)]),
            row(None, &[("iou", 9.0)]),
        ];
        let expect = [("accuracy", 0.0), ("iou", 0.75), (TOTAL, 0.5)];
        assert_eq!(means(rows.iter()), expect.map(|(name, mean)| (name.to_owned(), mean)).into());
    }
}
