//! How the score grows with the number of shots, and how many shots one method needs to be as good as another.
//!
//! The score of a method is fitted by a line over the shots' logarithm, `a + b · log2(shots)`, for each seed by least squares. A
//! least-squares line is linear in the scores, so the mean of the seeds' lines is the line through all scores, and their
//! spread is that of the seeds.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::ResultRun;
use crate::student::{mean_interval, student_t_975};

/// Fewer numbers of shots say nothing about whether a line fits.
const MIN_SHOTS: usize = 3;

/// The methods that are compared: the first is measured in shots of the second.
const PAIR: (&str, &str) = ("rft", "sft");

/// Name of their difference.
const GAP: &str = "RFT \u{2212} SFT";

/// What more shots are worth to each method, and what one method's shots are worth in shots of the other.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ShotFits {
    /// One line a method, of methods that were trained with at least three numbers of shots.
    pub lines: Vec<ShotLine>,
    /// The line through RFT minus SFT, over the seeds that have both with every number of shots.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gap: Option<ShotLine>,
    /// With how many shots that line says both are as good, where their gap certainly changes with the shots.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meet: Option<MeetingShots>,
    /// RFT in shots of SFT, one for each number of shots.
    pub equals: Vec<EqualShots>,
}

/// `a + b · log2(shots)`, fitted to the scores of one method.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ShotLine {
    /// `sft` or `rft`, or another label of the evaluator.
    pub label: String,
    /// `a`: the score at one shot.
    pub at_one: f64,
    /// `b`: what twice as many shots add.
    pub doubling: f64,
    /// Half the width of the 95 % confidence interval of `b` over seeds (Student's t); `None` for a single seed, and for
    /// seeds that all have the same.
    pub half_width: Option<f64>,
    /// Root of the mean squared distance of the means over seeds from the line: large where no line fits.
    pub misfit: f64,
    /// Seeds that have every number of shots.
    pub n_seeds: usize,
}

/// Where the lines of RFT and SFT meet.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MeetingShots {
    /// Number of shots.
    pub shots: f64,
    /// 95 % confidence interval over the paired seeds (Fieller's theorem).
    pub interval: (f64, f64),
}

/// RFT with some shots is as good as SFT with how many.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EqualShots {
    /// Shots of RFT.
    pub shots: usize,
    /// Shots of SFT where its line has the mean score of RFT.
    pub equal: f64,
    /// 95 % confidence interval over the paired seeds (Fieller's theorem).
    pub interval: (f64, f64),
}

/// Score of a method by number of shots, for each seed that has all of them.
type Scores = BTreeMap<u64, Vec<f64>>;

impl ShotFits {
    /// Fits all methods; `None` where fewer than three numbers of shots were measured.
    pub(super) fn new(runs: &[ResultRun], metric: &str) -> Option<Self> {
        let trained: Vec<&ResultRun> = runs.iter().filter(|run| run.is_trained).collect();
        let shots: BTreeSet<usize> = trained.iter().filter_map(|run| run.shots).collect();
        let shots: Vec<usize> = shots.into_iter().filter(|shots| *shots > 0).collect();
        let labels: BTreeSet<&str> = trained.iter().map(|run| run.label.as_str()).collect();
        if shots.len() < MIN_SHOTS {
            return None;
        }
        let by_label: BTreeMap<&str, Scores> = labels
            .into_iter()
            .map(|label| (label, scores(&trained, label, metric, &shots)))
            .filter(|(_, scores)| !scores.is_empty())
            .collect();
        let lines = by_label.iter().map(|(label, scores)| ShotLine::new(label, scores, &shots));
        let lines: Vec<ShotLine> = lines.collect();
        let equals = match (by_label.get(PAIR.0), by_label.get(PAIR.1)) {
            (Some(of), Some(by)) => equals(of, by, &shots),
            _ => Vec::new(),
        };
        let gap = by_label.get(PAIR.0).zip(by_label.get(PAIR.1)).map(|(of, by)| minus(of, by));
        let gap = gap.filter(|gap| !gap.is_empty());
        let meet = gap.as_ref().and_then(|gap| MeetingShots::new(gap, &shots));
        let gap = gap.map(|gap| ShotLine::new(GAP, &gap, &shots));
        (!lines.is_empty()).then_some(Self { lines, gap, meet, equals })
    }
}

impl ShotLine {
    fn new(label: &str, scores: &Scores, shots: &[usize]) -> Self {
        let lines: Vec<(f64, f64)> = scores.values().map(|scores| line(scores, shots)).collect();
        let mean = |values: Vec<f64>| mean_interval(&values).unwrap_or((f64::NAN, None));
        let (at_one, _) = mean(lines.iter().map(|(a, _)| *a).collect());
        let (doubling, half_width) = mean(lines.iter().map(|(_, b)| *b).collect());
        let distance = |(i, shots): (usize, &usize)| {
            let (score, _) = mean(scores.values().map(|scores| scores[i]).collect());
            (score - at_one - doubling * (*shots as f64).log2()).powi(2)
        };
        let squares: f64 = shots.iter().enumerate().map(distance).sum();
        let misfit = (squares / shots.len() as f64).sqrt();
        Self { label: label.to_owned(), at_one, doubling, half_width, misfit, n_seeds: lines.len() }
    }
}

impl MeetingShots {
    /// `−a / b` of the line through the differences; whether they grow or shrink with the shots.
    fn new(gap: &Scores, shots: &[usize]) -> Option<Self> {
        let lines: Vec<(f64, f64)> = gap.values().map(|gap| line(gap, shots)).collect();
        let sign = lines.iter().map(|(_, slope)| slope).sum::<f64>().signum();
        let above: Vec<f64> = lines.iter().map(|(at_one, _)| -sign * at_one).collect();
        let slopes: Vec<f64> = lines.iter().map(|(_, slope)| sign * slope).collect();
        let (x, (low, high)) = ratio(&above, &slopes)?;
        Some(Self { shots: x.exp2(), interval: (low.exp2(), high.exp2()) })
    }
}

/// One method's scores minus another's, by seed.
fn minus(of: &Scores, by: &Scores) -> Scores {
    let pairs = of.iter().filter_map(|(seed, of)| Some((*seed, of, by.get(seed)?)));
    let gap = |of: &[f64], by: &[f64]| of.iter().zip(by).map(|(of, by)| of - by).collect();
    pairs.map(|(seed, of, by)| (seed, gap(of, by))).collect()
}

fn scores(runs: &[&ResultRun], label: &str, metric: &str, shots: &[usize]) -> Scores {
    let seeds: BTreeSet<u64> = runs.iter().map(|run| run.seed).collect();
    let of = |seed: u64, shots: usize| {
        let is =
            |run: &&&ResultRun| run.label == label && run.seed == seed && run.shots == Some(shots);
        runs.iter().rfind(is)?.metrics.get(metric).copied().filter(|value| value.is_finite())
    };
    let all = |seed: u64| shots.iter().map(|shots| of(seed, *shots)).collect::<Option<Vec<f64>>>();
    seeds.into_iter().filter_map(|seed| Some((seed, all(seed)?))).collect()
}

/// Intercept and slope of the least-squares line over the logarithm of the shots.
fn line(scores: &[f64], shots: &[usize]) -> (f64, f64) {
    let n = shots.len() as f64;
    let x: Vec<f64> = shots.iter().map(|shots| (*shots as f64).log2()).collect();
    let (mean_x, mean_y) = (x.iter().sum::<f64>() / n, scores.iter().sum::<f64>() / n);
    let covariance: f64 = x.iter().zip(scores).map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let variance: f64 = x.iter().map(|x| (x - mean_x).powi(2)).sum();
    let slope = covariance / variance;
    (mean_y - slope * mean_x, slope)
}

/// For each number of shots of one method, where the other's line has its score.
///
/// Nothing where fewer than two seeds have both, or where it is not certain that the other gains by more shots: every number of
/// shots would then be as good.
fn equals(of: &Scores, by: &Scores, shots: &[usize]) -> Vec<EqualShots> {
    let seeds: Vec<u64> = of.keys().filter(|seed| by.contains_key(seed)).copied().collect();
    let lines: Vec<(f64, f64)> = seeds.iter().map(|seed| line(&by[seed], shots)).collect();
    let slopes: Vec<f64> = lines.iter().map(|(_, slope)| *slope).collect();
    let equal = |(i, shots): (usize, &usize)| {
        let above: Vec<f64> =
            seeds.iter().zip(&lines).map(|(seed, (at_one, _))| of[seed][i] - at_one).collect();
        let (x, (low, high)) = ratio(&above, &slopes)?;
        Some(EqualShots { shots: *shots, equal: x.exp2(), interval: (low.exp2(), high.exp2()) })
    };
    shots.iter().enumerate().filter_map(equal).collect()
}

/// The ratio of the means of paired values and its 95 % confidence interval, by Fieller's theorem: all x for which the mean of
/// `y − x · b` over the pairs does not differ from 0 by Student's t.
///
/// `None` for fewer than two pairs, or where the mean of b is not certainly above 0, since the interval has no end then.
fn ratio(y: &[f64], b: &[f64]) -> Option<(f64, (f64, f64))> {
    let n = y.len();
    if n < 2 {
        return None;
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / n as f64;
    let (mean_y, mean_b) = (mean(y), mean(b));
    let covariance = |u: &[f64], mean_u: f64, v: &[f64], mean_v: f64| {
        let products = u.iter().zip(v).map(|(u, v)| (u - mean_u) * (v - mean_v));
        products.sum::<f64>() / ((n - 1) * n) as f64
    };
    let t = student_t_975(n - 1).powi(2);
    let square = mean_b * mean_b - t * covariance(b, mean_b, b, mean_b);
    let cross = mean_b * mean_y - t * covariance(y, mean_y, b, mean_b);
    let constant = mean_y * mean_y - t * covariance(y, mean_y, y, mean_y);
    if mean_b <= 0.0 || square <= 0.0 {
        return None;
    }
    let root = (cross * cross - square * constant).max(0.0).sqrt();
    Some((mean_y / mean_b, ((cross - root) / square, (cross + root) / square)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(label: &str, scores: &[(usize, [f64; 3])]) -> Vec<ResultRun> {
        let of = |shots: usize, seed: usize, score: f64| ResultRun {
            label: label.to_owned(),
            shots: Some(shots),
            is_trained: true,
            seed: seed as u64,
            n_questions: None,
            metrics: BTreeMap::from([("miou".to_owned(), score)]),
        };
        let seeds = |(shots, scores): &(usize, [f64; 3])| {
            let shots = *shots;
            scores.iter().enumerate().map(move |(seed, score)| of(shots, seed, *score)).collect()
        };
        scores.iter().flat_map(|one| -> Vec<ResultRun> { seeds(one) }).collect()
    }

    #[test]
    fn a_line_is_found_again() {
        let scores = [(1, [0.1, 0.3, 0.2]), (4, [0.3, 0.5, 0.4]), (16, [0.5, 0.7, 0.6])];
        let fits = ShotFits::new(&runs("sft", &scores), "miou").unwrap();
        let line = &fits.lines[0];
        assert!((line.at_one - 0.2).abs() < 1e-12 && (line.doubling - 0.1).abs() < 1e-12);
        // All seeds have the same slope, of which no interval follows.
        assert!(line.half_width.is_none() && line.misfit < 1e-12);
        assert_eq!((line.label.as_str(), line.n_seeds), ("sft", 3));
    }

    #[test]
    fn a_method_that_is_two_doublings_ahead_needs_a_quarter_of_the_shots() {
        let sft = [(1, [0.10, 0.21, 0.29]), (4, [0.30, 0.40, 0.50]), (16, [0.51, 0.59, 0.70])];
        let rft = sft.map(|(shots, scores)| (shots, scores.map(|score| score + 0.2)));
        let runs = [runs("sft", &sft), runs("rft", &rft)].concat();
        let fits = ShotFits::new(&runs, "miou").unwrap();
        let [one, four, sixteen] = &fits.equals[..] else { panic!("{fits:?}") };
        assert!((four.equal - 16.0).abs() < 0.2, "{four:?}");
        assert!(one.equal < four.equal && four.equal < sixteen.equal);
        assert!(four.interval.0 < four.equal && four.equal < four.interval.1);
    }

    /* In Python, with numpy and scipy: y = [2, 3, 4], b = [1, 1.2, 0.9]; t = 4.302653;
    the roots of (b̄² − t² s_bb / n) x² − 2 (b̄ȳ − t² s_yb / n) x + (ȳ² − t² s_yy / n). */
    #[test]
    fn the_interval_of_a_ratio_is_fieller_s() {
        let (x, (low, high)) = ratio(&[2.0, 3.0, 4.0], &[1.0, 1.2, 0.9]).unwrap();
        assert!((x - 2.903_225_8).abs() < 1e-6);
        assert!(
            (low - 0.441_396_7).abs() < 1e-5 && (high - 6.938_094_5).abs() < 1e-5,
            "{low} {high}"
        );
    }

    #[test]
    fn the_gap_has_a_line_of_its_own_and_the_methods_meet_where_it_is_nothing() {
        let sft = [(1, [0.30, 0.31, 0.29]), (4, [0.30, 0.31, 0.29]), (16, [0.30, 0.31, 0.29])];
        // Behind by 0.02 with one shot, 0.01 more with each doubling: even with four.
        let rft =
            [(1, [0.283, 0.29, 0.267]), (4, [0.30, 0.312, 0.288]), (16, [0.319, 0.33, 0.311])];
        let fits = ShotFits::new(&[runs("sft", &sft), runs("rft", &rft)].concat(), "miou").unwrap();
        let (gap, meet) = (fits.gap.unwrap(), fits.meet.unwrap());
        assert!((gap.doubling - 0.01).abs() < 1e-3 && (gap.at_one + 0.02).abs() < 1e-3, "{gap:?}");
        assert!((meet.shots - 4.0).abs() < 0.2, "{meet:?}");
        assert!(meet.interval.0 < meet.shots && meet.shots < meet.interval.1, "{meet:?}");
        // The other way round they meet at the same place.
        let turned = [runs("rft", &sft), runs("sft", &rft)].concat();
        let turned = ShotFits::new(&turned, "miou").unwrap();
        assert!((turned.meet.unwrap().shots - meet.shots).abs() < 1e-9);
        assert!((turned.gap.unwrap().doubling + gap.doubling).abs() < 1e-12);
    }

    #[test]
    fn nothing_is_said_where_more_shots_do_not_help_for_certain() {
        let flat = [(1, [0.5, 0.4, 0.6]), (4, [0.6, 0.4, 0.5]), (16, [0.4, 0.6, 0.5])];
        let runs = [runs("sft", &flat), runs("rft", &flat)].concat();
        let fits = ShotFits::new(&runs, "miou").unwrap();
        assert_eq!(fits.lines.len(), 2);
        assert!(fits.equals.is_empty());
    }

    #[test]
    fn two_numbers_of_shots_are_no_curve() {
        let scores = [(1, [0.1, 0.3, 0.2]), (4, [0.3, 0.5, 0.4])];
        assert_eq!(ShotFits::new(&runs("sft", &scores), "miou"), None);
    }

    #[test]
    fn a_seed_without_all_shots_is_left_out() {
        let mut runs = runs("rft", &[(1, [0.1; 3]), (4, [0.2; 3]), (16, [0.3; 3])]);
        runs.retain(|run| (run.seed, run.shots) != (2, Some(4)));
        assert_eq!(ShotFits::new(&runs, "miou").unwrap().lines[0].n_seeds, 2);
    }
}
