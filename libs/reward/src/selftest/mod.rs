//! Attacks a reward before a policy does.
//!
//! A reward is worth optimizing if the right answer earns the most, if the worse answer earns less, and if none of the
//! known tricks earns half of what honest work does. This checks all three on true answers from data, or on drawn ones.

mod correction;
mod fuzz;
mod probe;
mod report;

pub use report::{Check, Report};

use crate::answers::Draft;
use crate::config::RewardConfig;
use crate::rng::Rng;
use crate::terms::Metric;
use crate::writing::{complete, write};
use crate::{Answer, Attempt, Reward, RewardError, Truth};

/// True answers that are drawn where there is no data.
const N_DRAWN: usize = 64;
/// Corrupted versions of every true answer on every rung.
const N_CORRUPTED: usize = 8;
/// How far off the answers of the ladder are.
const LADDER: [f64; 5] = [0.0, 0.05, 0.1, 0.2, 0.4];
/// Least rank correlation of error and mean reward.
const MAX_SPEARMAN: f64 = -0.9;
/// Most that a trick may earn, as a share of what honest work earns beyond the format.
const MAX_TRICK: f64 = 0.5;
const SEED: u64 = 17;
const EPS: f64 = 1e-9;

/// Tests a declared reward on true answers as they stand in data; on drawn ones if there are none.
///
/// # Errors
/// A true answer that cannot be read.
pub fn self_test(config: &RewardConfig, solutions: &[String]) -> Result<Report, RewardError> {
    let tester = Tester::new(config, solutions)?;
    let mut checks = vec![tester.oracle(), tester.silence(), tester.form_alone()];
    checks.extend(fuzz::fuzz(&tester));
    checks.push(tester.ladder());
    checks.extend(tester.tricks());
    checks.extend(correction::correction(&tester));
    Ok(Report {
        task: config.task.clone(),
        mode: config.mode,
        n: tester.gold.len(),
        drawn: tester.drawn,
        checks,
    })
}

struct Tester {
    reward: Reward,
    /// True answers, as drafts and as the reward sees them.
    gold: Vec<(Draft, Truth)>,
    /// True answers that say "nothing".
    nothing: Vec<Truth>,
    /// Whether they were drawn by chance.
    drawn: bool,
}

impl Tester {
    fn new(config: &RewardConfig, solutions: &[String]) -> Result<Self, RewardError> {
        let reward = Reward::new(config);
        let mut tester = Self { reward, gold: Vec::new(), nothing: Vec::new(), drawn: false };
        for solution in solutions {
            let truth = tester.reward.parse_answer(solution)?;
            match Draft::of(&truth.answer) {
                Some(draft) => tester.gold.push((draft, truth)),
                None if truth.answer == Answer::Nothing => tester.nothing.push(truth),
                None => {}
            }
        }
        let mut rng = Rng::new(SEED);
        // Regions from data have no corners to move: that they can be read is all that data tells of them.
        tester.drawn = tester.gold.is_empty() && tester.nothing.is_empty();
        while tester.drawn && tester.gold.len() < N_DRAWN {
            let draft = config.answer.kind.kind().draw(&mut rng);
            let solution = complete("", &write(&draft, &config.answer), &config.format);
            let truth =
                tester.reward.parse_answer(solution.trim_start_matches("<think></think>"))?;
            tester.gold.push((draft, truth));
        }
        if solutions.is_empty() && !config.answer.nothing.is_empty() {
            tester.nothing.push(tester.reward.parse_answer(&config.answer.nothing)?);
        }
        Ok(tester)
    }

    fn config(&self) -> &RewardConfig {
        self.reward.config()
    }

    /// Whether a term has such a metric.
    fn has(&self, is: impl Fn(&Metric) -> bool) -> bool {
        self.config().terms.values().any(|term| is(&term.metric))
    }

    /// What a completion earns; its length is known to be short.
    fn total(&self, completion: &str, truth: &Truth) -> f64 {
        let attempt = Attempt { text: completion, token_ids: Some(&[]), progress: 0.0 };
        self.reward.score_attempt(&attempt, truth).total.unwrap_or(f64::NAN)
    }

    /// What a completion earns by its form alone.
    fn form(&self, completion: &str, truth: &Truth) -> f64 {
        let attempt = Attempt { text: completion, token_ids: Some(&[]), progress: 0.0 };
        let score = self.reward.score_attempt(&attempt, truth);
        let terms = score.terms.iter().filter(|term| {
            let metric = &self.config().terms[&term.name].metric;
            matches!(metric, Metric::Format(_) | Metric::ThinkFormat(_))
        });
        terms.map(|term| term.weight * term.value).sum()
    }

    /// What honest work earns: the mean over the true answers, beyond the format.
    fn honest(&self) -> f64 {
        self.mean(|draft, truth| {
            let completion = self.perfect(draft);
            self.total(&completion, truth) - self.form(&completion, truth)
        })
    }

    fn mean(&self, value: impl Fn(&Draft, &Truth) -> f64) -> f64 {
        let sum: f64 = self.gold.iter().map(|(draft, truth)| value(draft, truth)).sum();
        sum / self.gold.len().max(1) as f64
    }

    /// The completion of a perfect policy, claims included.
    fn perfect(&self, draft: &Draft) -> String {
        let answer = write(draft, &self.config().answer);
        let n = draft.items().len();
        let thinking = if self.has(|m| matches!(m, Metric::Claims(_) | Metric::Consistency(_))) {
            format!(" I count.\n#1: count={n}\n")
        } else if self.has(|metric| matches!(metric, Metric::Restated(_))) {
            format!(" So it is {answer}")
        } else {
            " The answer follows. ".to_owned()
        };
        complete(&thinking, &answer, &self.config().format)
    }

    /// The right answer earns the most there is, also where that is "nothing".
    fn oracle(&self) -> Check {
        let (_, most) = self.reward.range();
        let least = self.gold.iter().map(|(draft, truth)| self.total(&self.perfect(draft), truth));
        let answer = &self.config().answer;
        let nothing = complete(" There is none. ", &answer.nothing, &self.config().format);
        let claims = self.has(|metric| matches!(metric, Metric::Claims(_)));
        let nothing =
            self.nothing.iter().filter(|_| !claims).map(|truth| self.total(&nothing, truth));
        let got = least.chain(nothing).fold(f64::INFINITY, worse);
        Check::new("the right answer earns the most", got >= most - EPS, format!("{most:.3}"), got)
    }

    /// Saying nothing at all earns nothing.
    fn silence(&self) -> Check {
        let got = self
            .gold
            .iter()
            .map(|(_, truth)| self.answer_terms("", truth))
            .fold(f64::NEG_INFINITY, better);
        Check::new("an empty text earns nothing", got <= EPS, "0".to_owned(), got)
    }

    /// The right form around an empty answer earns the format and no more.
    fn form_alone(&self) -> Check {
        let empty = complete(" hm ", "", &self.config().format);
        let beyond = |truth| self.answer_terms(&empty, truth);
        let got = self.gold.iter().map(|(_, truth)| beyond(truth)).fold(f64::NEG_INFINITY, better);
        Check::new("the form alone earns the format only", got <= EPS, "0".to_owned(), got)
    }

    fn answer_terms(&self, completion: &str, truth: &Truth) -> f64 {
        self.total(completion, truth) - self.form(completion, truth)
    }

    /// The worse the answer, the less it earns.
    fn ladder(&self) -> Check {
        let mut rng = Rng::new(SEED);
        let rungs: Vec<f64> = LADDER
            .iter()
            .map(|&sigma| {
                let mut sum = 0.0;
                for (draft, truth) in &self.gold {
                    for _ in 0..N_CORRUPTED {
                        let kind = self.config().answer.kind.kind();
                        let worse = kind.corrupt(draft, sigma, &mut rng);
                        sum += self.total(&self.perfect(&worse), truth);
                    }
                }
                sum / (self.gold.len() * N_CORRUPTED).max(1) as f64
            })
            .collect();
        let got = spearman(&LADDER, &rungs);
        let mut check = Check::new(
            "worse answers earn less (rank correlation)",
            got <= MAX_SPEARMAN,
            format!("≤ {MAX_SPEARMAN}"),
            got,
        );
        let rungs: Vec<String> = rungs.iter().map(|mean| format!("{mean:.2}")).collect();
        check.note = format!("mean reward {} at errors of {LADDER:?}", rungs.join(", "));
        check
    }

    fn tricks(&self) -> Vec<Check> {
        let honest = self.honest();
        let each = probe::TRICKS.iter().filter_map(|(name, trick)| {
            let is_constant = *name == probe::CONSTANT;
            // That one answer is right more often than others is up to the data, not to the reward.
            let gold = if is_constant { self.distinct() } else { self.gold.iter().collect() };
            let mut rng = Rng::new(SEED);
            let mut sum = 0.0;
            for (draft, truth) in &gold {
                sum += self.answer_terms(&trick(draft, self.config(), &mut rng)?, truth);
            }
            let n = gold.len().max(1) as f64;
            let share = sum / n / honest;
            // Of so few answers each is right so often, whatever the reward.
            let is_fair = is_constant && share <= 1.0 / n + EPS;
            Some(Check::new(
                format!("trick: {name}"),
                share < MAX_TRICK || is_fair,
                format!("< {MAX_TRICK} of honest"),
                share,
            ))
        });
        each.collect()
    }

    /// The true answers, equal ones once.
    fn distinct(&self) -> Vec<&(Draft, Truth)> {
        let mut seen = std::collections::BTreeSet::new();
        self.gold
            .iter()
            .filter(|(draft, _)| seen.insert(write(draft, &self.config().answer)))
            .collect()
    }
}

/// The lesser of two, or NaN if one is.
fn worse(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.min(b) }
}

/// The greater of two, or NaN if one is.
fn better(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

/// Correlation of ranks; equal values share theirs.
fn spearman(a: &[f64], b: &[f64]) -> f64 {
    let (a, b) = (ranks(a), ranks(b));
    let mean = (a.len() as f64 - 1.0) / 2.0;
    let sum = |f: &dyn Fn(f64, f64) -> f64| {
        a.iter().zip(&b).map(|(a, b)| f(a - mean, b - mean)).sum::<f64>()
    };
    let scale = (sum(&|a, _| a * a) * sum(&|_, b| b * b)).sqrt();
    if scale > 0.0 { sum(&|a, b| a * b) / scale } else { 0.0 }
}

fn ranks(values: &[f64]) -> Vec<f64> {
    let rank = |value: &f64| {
        let less = values.iter().filter(|other| *other < value).count() as f64;
        let equal = values.iter().filter(|other| *other == value).count() as f64;
        less + (equal - 1.0) / 2.0
    };
    values.iter().map(rank).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rank_correlation() {
        assert_eq!(spearman(&[1., 2., 3.], &[9., 5., 1.]), -1.0);
        assert_eq!(spearman(&[1., 2., 3.], &[1., 1., 1.]), 0.0);
        // Two equal ranks: scipy.stats.spearmanr gives 0.9486832980505138.
        assert!(
            (spearman(&[1., 2., 3., 4.], &[1., 2., 2., 3.]) - 0.948_683_298_050_513_8).abs()
                < 1e-12
        );
    }
    #[test]
    fn the_default_reward_passes() {
        let report = self_test(&RewardConfig::default(), &[]).unwrap();
        assert!(report.passed(), "{report}");
    }
    #[test]
    fn regions_are_read_from_data_and_varied_by_chance() {
        let text = "[answer]\ntype = \"mask\"\n[match]\nby = \"none\"\nthreshold = 0.0\n\
                    [terms.iou]\nmetric = \"overlap\"\n[terms.format]\nmetric = \"format\"";
        let config = toml::from_str(text).unwrap();
        let runs = "{\"size\": [2, 2], \"counts\": \"022\"}".to_owned();
        let report = self_test(&config, &[runs]).unwrap();
        assert!(report.drawn && report.n == N_DRAWN && report.passed(), "{report}");
        assert!(
            self_test(&config, &["{\"size\": [2, 2], \"counts\": \"02\"}".to_owned()]).is_err()
        );
    }
    #[test]
    fn data_is_used_where_there_is_some() {
        let solutions = ["[{'Position': [10, 20, 110, 120]}]".to_owned(), "No Objects".to_owned()];
        let report = self_test(&RewardConfig::default(), &solutions).unwrap();
        assert_eq!(report.n, 1);
        assert!(report.passed(), "{report}");
        assert!(self_test(&RewardConfig::default(), &["a cat".to_owned()]).is_err());
    }
}
