//! One line of `spans.jsonl`: what a node did, and when.

use serde::Deserialize;

/// A stretch of time, in seconds since the start of its session.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Span {
    pub(crate) node: String,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) step: Option<u64>,
    /// The session of the run in which it was: a resumed run has several.
    #[serde(default)]
    pub(crate) session: usize,
    pub(crate) start: f64,
    pub(crate) end: f64,
}

impl Span {
    /// Whether the node waited for others rather than worked.
    pub(crate) fn is_wait(&self) -> bool {
        self.name.contains("wait")
    }
}

/// Stretches in which any of the spans runs, in order and without overlap.
pub(crate) fn union(mut stretches: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    stretches.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut merged: Vec<(f64, f64)> = Vec::new();
    for (start, end) in stretches {
        match merged.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => merged.push((start, end)),
        }
    }
    merged
}

/// Stretches that lie in both of two unions.
pub(crate) fn intersection(a: &[(f64, f64)], b: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let common = |x: &(f64, f64), y: &(f64, f64)| (x.0.max(y.0), x.1.min(y.1));
    let pairs = a.iter().flat_map(|x| b.iter().map(move |y| common(x, y)));
    pairs.filter(|(start, end)| end > start).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_merge_and_intersect() {
        let a = union(vec![(4.0, 6.0), (0.0, 2.0), (1.0, 3.0)]);
        assert_eq!(a, [(0.0, 3.0), (4.0, 6.0)]);
        assert_eq!(intersection(&a, &[(2.5, 5.0)]), [(2.5, 3.0), (4.0, 5.0)]);
    }
}
