//! The result of a run in one sentence.

use crate::comparison::Comparison;
use crate::difference::Verdict;
use crate::evaluation::metric_title;
use crate::label::Kind;
use crate::number::fixed;

/// The sentence at the top of the report, as plain text.
pub(crate) fn headline(comparison: &Comparison) -> String {
    let Some(metric) = comparison.metrics.first() else {
        let estimate = comparison.estimate.as_ref().map(ToString::to_string);
        return estimate.unwrap_or_else(|| "This run has no evaluation yet.".to_owned());
    };
    let metric = metric_title(metric);
    let value =
        |kind: Kind| Some((*comparison.row(comparison.first(kind)?)?.cells.first()?)?.value);
    let Some(rft) = value(Kind::Reinforced) else {
        return match (value(Kind::Base), value(Kind::Supervised)) {
            (Some(base), None) => format!(
                "Before training, held-out {metric} is {}; there is no evaluation after reinforcement fine-tuning yet.",
                fixed(base)
            ),
            _ => "There is no evaluation after reinforcement fine-tuning yet.".to_owned(),
        };
    };
    let change = match value(Kind::Base) {
        Some(base) => change(comparison, metric, base, rft),
        None => format!("After reinforcement fine-tuning, held-out {metric} is {}", fixed(rft)),
    };
    let baseline = value(Kind::Supervised).map(|sft| baseline(comparison, sft)).unwrap_or_default();
    let constant = value(Kind::Constant).map(|value| constant(comparison, value, rft));
    format!("{change}{baseline}.{}", constant.unwrap_or_default())
}

/// The score of the best constant answer, and a warning where the tuned policy is not better than that.
fn constant(comparison: &Comparison, value: f64, rft: f64) -> String {
    let shown = fixed(value);
    let warning = match verdict(comparison, Kind::Constant) {
        Verdict::Better => "",
        Verdict::Unknown if rft > value => "",
        Verdict::Worse | Verdict::Unknown => ", and the tuned policy is worse than that",
        Verdict::Unclear => ", and the tuned policy is not measurably better than that",
    };
    format!(" The best constant answer scores {shown}{warning}.")
}

fn change(comparison: &Comparison, metric: &str, base: f64, rft: f64) -> String {
    let (from, to) = (fixed(base), fixed(rft));
    match verdict(comparison, Kind::Base) {
        Verdict::Better => {
            format!("Reinforcement fine-tuning raised held-out {metric} from {from} to {to}")
        }
        Verdict::Worse => {
            format!("Reinforcement fine-tuning lowered held-out {metric} from {from} to {to}")
        }
        Verdict::Unclear => format!(
            "Reinforcement fine-tuning did not measurably change held-out {metric} ({from} \u{2192} {to})"
        ),
        Verdict::Unknown => {
            format!("Held-out {metric} went from {from} to {to} with reinforcement fine-tuning")
        }
    }
}

/// The result of the supervised baseline on the same samples.
fn baseline(comparison: &Comparison, sft: f64) -> String {
    let sft = fixed(sft);
    match verdict(comparison, Kind::Supervised) {
        Verdict::Better | Verdict::Unknown => {
            format!("; supervised fine-tuning reached {sft}")
        }
        Verdict::Worse => format!("; supervised fine-tuning did better, with {sft}"),
        Verdict::Unclear => format!(
            "; supervised fine-tuning reached {sft}, a difference that this test set cannot tell from chance"
        ),
    }
}

/// How the first policy that learned from rewards compares with the first of another kind.
fn verdict(comparison: &Comparison, from: Kind) -> Verdict {
    let labels = comparison.first(from).zip(comparison.first(Kind::Reinforced));
    let difference = labels.and_then(|(from, to)| comparison.difference(from, to));
    difference.map_or(Verdict::Unknown, |difference| difference.verdict())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Run;

    #[track_caller]
    fn check(values: &[(&str, f64)], expected: &str) {
        let line = |(label, miou): &(&str, f64)| {
            let (low, high) = (miou - 0.02, miou + 0.02);
            format!(
                r#"{{"label":"{label}","n":160,"metrics":{{"miou":{miou},"miou_ci_low":{low},"miou_ci_high":{high}}}}}"#
            )
        };
        let evaluations =
            values.iter().map(|value| serde_json::from_str(&line(value)).unwrap()).collect();
        let run = Run { evaluations, ..Run::default() };
        assert_eq!(headline(&Comparison::new(&run)), expected);
    }

    #[test]
    fn a_gain_is_called_a_gain() {
        check(
            &[("base", 0.4), ("sft", 0.5), ("rft", 0.6)],
            "Reinforcement fine-tuning raised held-out mIoU from 0.400 to 0.600; supervised fine-tuning reached 0.500.",
        );
    }

    #[test]
    fn a_loss_is_called_a_loss() {
        check(
            &[("base", 0.4), ("sft", 0.5), ("rft", 0.3)],
            "Reinforcement fine-tuning lowered held-out mIoU from 0.400 to 0.300; supervised fine-tuning did better, with 0.500.",
        );
    }

    #[test]
    fn noise_is_called_noise() {
        check(
            &[("base", 0.4), ("sft", 0.42), ("rft", 0.41)],
            "Reinforcement fine-tuning did not measurably change held-out mIoU (0.400 \u{2192} 0.410); supervised fine-tuning reached 0.420, a difference that this test set cannot tell from chance.",
        );
    }

    #[test]
    fn a_gain_that_needs_no_eyes_is_called_that() {
        check(
            &[("base", 0.1), ("rft", 0.217), ("constant", 0.217)],
            "Reinforcement fine-tuning raised held-out mIoU from 0.100 to 0.217. The best constant answer scores 0.217, and the tuned policy is not measurably better than that.",
        );
        check(
            &[("base", 0.1), ("rft", 0.6), ("constant", 0.217)],
            "Reinforcement fine-tuning raised held-out mIoU from 0.100 to 0.600. The best constant answer scores 0.217.",
        );
        check(
            &[("base", 0.1), ("rft", 0.1), ("constant", 0.9)],
            "Reinforcement fine-tuning did not measurably change held-out mIoU (0.100 \u{2192} 0.100). The best constant answer scores 0.900, and the tuned policy is worse than that.",
        );
    }

    #[test]
    fn answers_that_are_all_worth_the_same_prove_nothing_about_others() {
        let line = |label: &str, value: u8| {
            format!(
                r#"{{"label":"{label}","n":12,"metrics":{{"miou":{value},"miou_ci_low":{value},"miou_ci_high":{value}}}}}"#
            )
        };
        let lines = [line("base", 0), line("rft", 0), line("constant", 1)];
        let evaluations = lines.map(|line| serde_json::from_str(&line).unwrap()).into();
        let headline = headline(&Comparison::new(&Run { evaluations, ..Run::default() }));
        assert_eq!(
            headline,
            "Reinforcement fine-tuning did not measurably change held-out mIoU (0.000 \u{2192} 0.000). The best constant answer scores 1.000, and the tuned policy is worse than that."
        );
    }

    #[test]
    fn an_unfinished_run_says_so() {
        check(&[], "This run has no evaluation yet.");
        check(
            &[("base", 0.4)],
            "Before training, held-out mIoU is 0.400; there is no evaluation after reinforcement fine-tuning yet.",
        );
    }
}
