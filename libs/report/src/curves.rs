//! Which metrics become which charts.

use crate::chart::{Line, LineChart, LineStyle};
use crate::comparison::{Comparison, ComparisonRow};
use crate::evaluation::{Evaluation, metric_title};
use crate::html::escape;
use crate::label;
use crate::label::Kind;
use crate::load::Run;
use crate::teams::Team;

/// A curve that has a chart to itself: metric, title, note.
const SINGLE: [(&str, &str, &str); 16] = [
    ("policy/kl", "KL to the reference policy", "nats per token"),
    ("policy/entropy", "Entropy", "nats per token of a completion"),
    ("completions/length/mean", "Completion length", "tokens, mean of a step"),
    ("completions/truncated", "Truncated completions", "cut at the token limit, per step"),
    ("advantage/variance", "Variance of the advantages", "0: no answer better than another"),
    ("policy/grad_norm", "Gradient norm", "before clipping"),
    ("policy/learning_rate", "Learning rate", "per learner step"),
    ("policy/clip_fraction", "Clip fraction", "tokens whose ratio was clipped"),
    ("policy/staleness", "Staleness", "learner steps between sampling and update"),
    ("truth/used", "True answers in use", "share of prompts whose true answer taught something"),
    (
        "policy/imitation_loss",
        "Loss of the imitation",
        "cross-entropy of the true answers, nats per token",
    ),
    ("policy/imitation_share", "Share of the imitation", "its weight \u{3bc} in the loss"),
    ("policy/teacher_kl", "KL to the teacher", "reverse, nats per token"),
    ("policy/visual_advantage", "What the picture adds", "nats per token, mean of a step"),
    (
        "policy/effective_samples",
        "Effective samples",
        "share of a step's completions, by their importance weights",
    ),
    (
        "policy/refused_steps",
        "Refused steps",
        "their completions were too far from the policy; so far",
    ),
];

/// All training curves, as figures.
pub(crate) fn training(run: &Run) -> String {
    let lines =
        |name: &str| -> Vec<Line> { run.teams.reinforced().map(|t| line(run, t, name)).collect() };
    let single = |name: &str, title: &str, note: &str| over_steps(title, note, lines(name));
    let mut figures =
        single("reward/total/mean", "Reward", "weighted sum of the terms, mean of a step");
    figures += &run.teams.reinforced().map(|team| terms(run, team)).collect::<String>();
    let no_signal = "groups whose rewards are all equal, per step";
    figures += &single("reward/zero_std_groups", "Groups without a signal", no_signal);
    for (name, title, note) in SINGLE {
        // A policy that is never stale and never cut short needs no chart that says 0 throughout.
        let is_event = matches!(
            name,
            "completions/truncated"
                | "policy/clip_fraction"
                | "policy/staleness"
                | "policy/effective_samples"
                | "policy/refused_steps"
        );
        let lines = lines(name);
        let mut values = lines.iter().flat_map(|line| &line.points);
        if !is_event || values.any(|(_, value)| *value != 0.0) {
            figures += &single(name, title, note);
        }
    }
    let noise = run.teams.reinforced().map(|team| noise_scale(run, team)).collect();
    let note = "prompts a step below which noise is most of the gradient; over 20 steps";
    figures += &over_steps("Gradient noise scale", note, noise);
    let note = "objective of the reinforcement fine-tuning; its level says little, its jumps do";
    figures += &single("policy/loss", "Loss", note);
    let supervised = run.teams.supervised().map(|team| line(run, team, "policy/loss"));
    let title = "Loss of the supervised fine-tuning";
    figures + &over_steps(title, "cross-entropy, nats per token", supervised.collect())
}

/// A curve of one learner.
fn line(run: &Run, team: &Team, name: &str) -> Line {
    Line::curve(&team.title, team.class, run.metrics.curve(team, name))
}

/// `tr(Σ) / |G|²` over the last steps. Both are summed before they are divided, because the estimates of one step are mostly
/// noise; where that of the signal is not above 0, nothing can be said.
fn noise_scale(run: &Run, team: &Team) -> Line {
    const STEPS: usize = 20;
    let signal = run.metrics.curve(team, "policy/grad_signal");
    let noise = run.metrics.curve(team, "policy/grad_noise");
    let steps: Vec<(f64, f64, f64)> = signal
        .iter()
        .zip(&noise)
        .filter(|(signal, noise)| signal.0 == noise.0)
        .map(|((step, signal), (_, noise))| (*step, *signal, *noise))
        .collect();
    let over_last = |last: &[(f64, f64, f64)]| {
        let (step, ..) = *last.last()?;
        let signal: f64 = last.iter().map(|(_, signal, _)| signal).sum();
        let noise: f64 = last.iter().map(|(_, _, noise)| noise).sum();
        (signal > 0.0 && noise > 0.0).then_some((step, noise / signal))
    };
    let points = steps.windows(STEPS).filter_map(over_last).collect();
    Line { style: LineStyle::Marked, ..Line::curve(&team.title, team.class, points) }
}

/// The held-out metric over learner steps, with the other policies and the best constant answer as levels; nothing with
/// fewer than three evaluations of one that learns from rewards.
pub(crate) fn held_out(run: &Run, comparison: &Comparison) -> String {
    let Some(metric) = comparison.metrics.first() else { return String::new() };
    let labels = comparison.rows.iter().filter(|row| row.kind == Kind::Reinforced);
    let learned: Vec<Line> =
        labels.filter_map(|row| learning_curve(run, &row.label, metric)).collect();
    if learned.is_empty() {
        return String::new();
    }
    let level = |row: &ComparisonRow| {
        let points = row.cells.first().and_then(|cell| *cell).map(|cell| (0.0, cell.value));
        Line {
            style: LineStyle::Level,
            ..Line::curve(
                &label::display(&row.label),
                label::class(&row.label),
                points.into_iter().collect(),
            )
        }
    };
    let is_level = |row: &&ComparisonRow| {
        matches!(row.kind, Kind::Base | Kind::Supervised | Kind::Constant)
            && label::is_of_whole_run(&row.label)
    };
    let mut lines: Vec<Line> = comparison.rows.iter().filter(is_level).map(level).collect();
    lines.extend(learned);
    let title = format!("{} over the run", escape(metric_title(metric)));
    over_steps(&title, "held-out data; bars: 95 % confidence", lines)
}

/// What the versions under a label are worth. Before its first step a policy is the base.
fn learning_curve(run: &Run, label: &str, metric: &str) -> Option<Line> {
    let base = label::base_of(label);
    let has_start = run.evaluations.iter().any(|e| e.label == label && e.policy_version == 0);
    let is_start = |e: &Evaluation| e.label == base && !has_start;
    let of_label = || run.evaluations.iter().filter(|e| e.label == label || is_start(e));
    let mut points: Vec<(f64, f64)> =
        of_label().filter_map(|e| Some((e.policy_version as f64, e.metric(metric)?))).collect();
    let intervals = of_label().filter_map(|e| {
        let (low, high) = e.interval(metric)?;
        Some((e.policy_version as f64, low, high))
    });
    if points.len() < 3 {
        return None;
    }
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    Some(Line {
        intervals: intervals.collect(),
        style: LineStyle::Marked,
        ..Line::curve(&label::display(label), run.class_of(label), points)
    })
}

/// How long the learner had nothing to do.
pub(crate) fn waiting(run: &Run) -> String {
    over_steps(
        "Waiting",
        "seconds of a step in which the learner had nothing to learn from",
        run.teams.reinforced().map(|team| line(run, team, "time/wait_secs")).collect(),
    )
}

fn terms(run: &Run, team: &Team) -> String {
    let line = |(i, term): (usize, &String)| {
        let curve = run.metrics.curve(team, &format!("reward/{term}/mean"));
        Line::curve(term, &format!("s{}", 1 + i % 5), curve)
    };
    let lines = run.metrics.reward_terms().iter().enumerate().map(line).collect();
    let title = run.teams.titled("Terms of the reward", team);
    over_steps(&title, "before weighting, mean of a step", lines)
}

fn over_steps(title: &str, note: &str, lines: Vec<Line>) -> String {
    LineChart { title, note, x_title: "learner step", x_names: None, lines }.figure()
}
