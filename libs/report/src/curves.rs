//! Which metrics become which charts.

use crate::chart::{Line, LineChart, LineStyle};
use crate::comparison::Comparison;
use crate::evaluation::{Evaluation, metric_title};
use crate::html::escape;
use crate::label;
use crate::load::Run;

/// A curve that has a chart to itself: metric, title, note.
const SINGLE: [(&str, &str, &str); 8] = [
    ("policy/kl", "KL to the reference policy", "nats per token"),
    ("policy/entropy", "Entropy", "nats per token of a completion"),
    ("completions/length/mean", "Completion length", "tokens, mean of a step"),
    ("completions/truncated", "Truncated completions", "cut at the token limit, per step"),
    ("policy/grad_norm", "Gradient norm", "before clipping"),
    ("policy/learning_rate", "Learning rate", "per learner step"),
    ("policy/clip_fraction", "Clip fraction", "tokens whose ratio was clipped"),
    ("policy/staleness", "Staleness", "learner steps between sampling and update"),
];

/// All training curves, as figures.
pub(crate) fn training(run: &Run) -> String {
    let metrics = &run.metrics;
    let single = |name: &str, title: &str, note: &str| {
        over_steps(title, note, vec![Line::curve("RFT", "s-rft", metrics.curve(name))])
    };
    let mut figures = over_steps(
        "Reward",
        "weighted sum of the terms, mean of a step",
        vec![Line::curve("total", "s-rft", metrics.curve("reward/total/mean"))],
    );
    figures += &terms(run);
    let no_signal = "groups whose rewards are all equal, per step";
    figures += &single("reward/zero_std_groups", "Groups without a signal", no_signal);
    for (name, title, note) in SINGLE {
        // A policy that is never stale and never cut short needs no chart that says 0 throughout.
        let curve = metrics.curve(name);
        let is_event =
            matches!(name, "completions/truncated" | "policy/clip_fraction" | "policy/staleness");
        if !is_event || curve.iter().any(|(_, value)| *value != 0.0) {
            figures += &single(name, title, note);
        }
    }
    figures += &over_steps(
        "Loss",
        "GRPO objective; its level says little, its jumps do",
        vec![Line::curve("RFT", "s-rft", metrics.curve("policy/loss"))],
    );
    figures
        + &over_steps(
            "Loss of the supervised baseline",
            "cross-entropy, nats per token",
            vec![Line::curve("SFT", "s-sft", metrics.sft_curve("policy/loss"))],
        )
}

/// The held-out metric over learner steps, with base, SFT and the best constant answer as levels; nothing with fewer than three evaluations of the RFT.
pub(crate) fn held_out(run: &Run, comparison: &Comparison) -> String {
    let Some(metric) = comparison.metrics.first() else { return String::new() };
    // Before its first step the policy of the RFT is the base.
    let has_start = run.evaluations.iter().any(|e| e.label == "rft" && e.policy_version == 0);
    let is_start = |e: &Evaluation| e.label == "base" && !has_start;
    let of_rft = || run.evaluations.iter().filter(|e| e.label == "rft" || is_start(e));
    let mut points: Vec<(f64, f64)> =
        of_rft().filter_map(|e| Some((e.policy_version as f64, e.metric(metric)?))).collect();
    let intervals = of_rft().filter_map(|e| {
        let (low, high) = e.interval(metric)?;
        Some((e.policy_version as f64, low, high))
    });
    if points.len() < 3 {
        return String::new();
    }
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let rft = Line {
        intervals: intervals.collect(),
        style: LineStyle::Marked,
        ..Line::curve("RFT", "s-rft", points)
    };
    let level = |name: &str| {
        let value = comparison.row(name).and_then(|row| (*row.cells.first()?).map(|c| c.value));
        let points = value.map(|value| vec![(0.0, value)]).unwrap_or_default();
        Line {
            style: LineStyle::Level,
            ..Line::curve(&label::display(name), label::class(name), points)
        }
    };
    let title = format!("{} over the run", escape(metric_title(metric)));
    let lines = vec![level("base"), level("sft"), level(label::CONSTANT), rft];
    over_steps(&title, "held-out data; bars: 95 % confidence", lines)
}

/// How long the learner had nothing to do.
pub(crate) fn waiting(run: &Run) -> String {
    let line = Line::curve("learner", "s3", run.metrics.curve("time/wait_secs"));
    over_steps(
        "Waiting",
        "seconds of a step in which the learner had nothing to learn from",
        vec![line],
    )
}

fn terms(run: &Run) -> String {
    let line = |(i, term): (usize, &String)| {
        let curve = run.metrics.curve(&format!("reward/{term}/mean"));
        Line::curve(term, &format!("s{}", 1 + i % 5), curve)
    };
    let lines = run.metrics.reward_terms().iter().enumerate().map(line).collect();
    over_steps("Terms of the reward", "before weighting, mean of a step", lines)
}

fn over_steps(title: &str, note: &str, lines: Vec<Line>) -> String {
    LineChart { title, note, x_title: "learner step", x_names: None, lines }.figure()
}
