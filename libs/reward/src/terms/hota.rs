//! Tracks of several objects: higher-order tracking accuracy.
//!
//! HOTA is the mean over the thresholds α = 0.05, 0.10, … 0.95 of √(DetA · AssA): how many boxes are found, and how
//! consistently each object keeps its id ([arXiv 2009.07736](https://arxiv.org/abs/2009.07736), section 4). Boxes
//! are paired frame by frame, preferring pairs of ids that overlap much over the whole video, as the authors'
//! evaluation does.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Evaluate;
use crate::answers::AnswerKind;
use crate::case::Case;
use crate::matching::best_pairing;
use crate::{Item, Place};

const N_ALPHAS: usize = 19;

/// Higher-order tracking accuracy.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hota {}

impl Evaluate for Hota {
    fn applies_to(kind: &AnswerKind) -> bool {
        kind.kind().as_items().is_some_and(|items| items.keys().frame.is_some())
    }

    fn value(&self, case: &Case) -> f64 {
        if let Some(decided) = case.decided() {
            return decided;
        }
        let truth = Ids::new(case.true_items());
        let said = Ids::new(case.predicted());
        // Predictions that are not valid are detections that hit nothing.
        let n_said = case.n_predicted();
        let frames = frames(case.true_items(), case.predicted());
        let alignment = alignment(&frames, &truth, &said);
        let total: f64 = (1..=N_ALPHAS)
            .map(|k| at_alpha(&frames, &truth, &said, &alignment, n_said, 0.05 * k as f64))
            .sum();
        total / N_ALPHAS as f64
    }
}

/// Boxes of one frame: true ones and predicted ones, by their index, and the IoU of each pair.
struct Frame {
    truth: Vec<usize>,
    said: Vec<usize>,
    iou: Vec<Vec<f64>>,
}

/// The id of each item as a number, and how many items each id has.
struct Ids {
    of: Vec<usize>,
    n_items: Vec<usize>,
}

impl Ids {
    fn new(items: &[Item]) -> Self {
        let mut numbers: BTreeMap<Option<&str>, usize> = BTreeMap::new();
        let mut ids = Self { of: Vec::with_capacity(items.len()), n_items: Vec::new() };
        for item in items {
            let next = numbers.len();
            let id = *numbers.entry(item.id.as_deref()).or_insert(next);
            ids.n_items.resize(ids.n_items.len().max(id + 1), 0);
            ids.n_items[id] += 1;
            ids.of.push(id);
        }
        ids
    }
}

fn frames(truth: &[Item], said: &[Item]) -> Vec<Frame> {
    let mut by_frame: BTreeMap<Option<u64>, (Vec<usize>, Vec<usize>)> = BTreeMap::new();
    for (idx, item) in truth.iter().enumerate() {
        by_frame.entry(item.frame).or_default().0.push(idx);
    }
    for (idx, item) in said.iter().enumerate() {
        by_frame.entry(item.frame).or_default().1.push(idx);
    }
    let iou = |t: usize, p: usize| match (&truth[t].place, &said[p].place) {
        (Place::Box(a), Place::Box(b)) => a.iou(b),
        _ => 0.0,
    };
    let frame = |(t, p): (Vec<usize>, Vec<usize>)| Frame {
        iou: t.iter().map(|t| p.iter().map(|p| iou(*t, *p)).collect()).collect(),
        truth: t,
        said: p,
    };
    by_frame.into_values().map(frame).collect()
}

/// How well each true id goes with each predicted one over the whole video: a soft Jaccard index.
fn alignment(frames: &[Frame], truth: &Ids, said: &Ids) -> BTreeMap<(usize, usize), f64> {
    let mut together: BTreeMap<(usize, usize), f64> = BTreeMap::new();
    for frame in frames {
        let row_sum: Vec<f64> = frame.iou.iter().map(|row| row.iter().sum()).collect();
        let column_sum: Vec<f64> =
            (0..frame.said.len()).map(|c| frame.iou.iter().map(|row| row[c]).sum()).collect();
        for (r, t) in frame.truth.iter().enumerate() {
            for (c, p) in frame.said.iter().enumerate() {
                let iou = frame.iou[r][c];
                let either = row_sum[r] + column_sum[c] - iou;
                if iou > 0.0 {
                    *together.entry((truth.of[*t], said.of[*p])).or_default() += iou / either;
                }
            }
        }
    }
    let whole =
        |&(t, p): &(usize, usize), both: f64| (truth.n_items[t] + said.n_items[p]) as f64 - both;
    together.into_iter().map(|(ids, both)| (ids, both / whole(&ids, both))).collect()
}

fn at_alpha(
    frames: &[Frame],
    truth: &Ids,
    said: &Ids,
    alignment: &BTreeMap<(usize, usize), f64>,
    n_said: usize,
    alpha: f64,
) -> f64 {
    let mut matched: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    for frame in frames {
        let ids = |r: usize, c: usize| (truth.of[frame.truth[r]], said.of[frame.said[c]]);
        let score = |r: usize, c: usize| {
            Some(alignment.get(&ids(r, c)).copied().unwrap_or(0.0) * frame.iou[r][c])
        };
        for (r, pair) in
            best_pairing(frame.truth.len(), frame.said.len(), &score).into_iter().enumerate()
        {
            if let Some((c, _)) = pair.filter(|(c, _)| frame.iou[r][*c] >= alpha - f64::EPSILON) {
                *matched.entry(ids(r, c)).or_default() += 1;
            }
        }
    }
    let hits: usize = matched.values().sum();
    if hits == 0 {
        return 0.0;
    }
    let detection = hits as f64 / (truth.of.len() + n_said - hits) as f64;
    let of_pair = |(&(t, p), &n): (&(usize, usize), &usize)| {
        n as f64 * n as f64 / (truth.n_items[t] + said.n_items[p] - n) as f64
    };
    let association = matched.iter().map(of_pair).sum::<f64>() / hits as f64;
    (detection * association).sqrt()
}
