//! One function for each problem: the sign in the numbers, the likely cause, the remedy.

use super::{History, Problem, RunFacts, TermRole, Verdict};

/// Steps in a row that a sign must hold before it is reported, or all of a shorter run: a single bad batch is no sign.
const PATIENCE: usize = 3;
/// The same for signs that a hard but sound task may show at its start.
const LONG_PATIENCE: usize = 5;
/// A share that is as good as all.
const NEARLY_ALL: f64 = 0.9;
/// A mean that is as good as nothing, of values up to 1.
const NEARLY_NOTHING: f64 = 0.01;
/// A mean reward below this was never earned by skill: a lucky answer among many makes as much, and its end is no loss.
const EARNED: f64 = 0.1;
/// KL per token, in nats, beyond which no answer is left that the reference policy would give: sound runs stay below
/// 0.5, runs that were blown up on purpose are at 5 and more.
const DIVERGED_KL: f64 = 1.0;
/// A gradient norm above this multiple of the median of the steps before is no fluctuation. By itself it is no harm: a
/// policy whose answers begin to earn something has larger gradients than one whose groups all earned the same.
const BLOWN_UP: f64 = 10.0;
/// Share of the reward before that a policy keeps while it learns, however noisy its steps are; and the KL per token, in
/// nats, that it stays below. Both are looked at over as many steps as the gradient was large in.
const KEPT: f64 = 0.5;
const STRAYED_KL: f64 = 0.3;
/// A supervised loss above this multiple of that before has been unlearned.
const UNLEARNED: f64 = 1.5;
/// Share of the entropy at the start below which a policy has nothing left to choose from.
const COLLAPSED: f64 = 0.05;
/// Steps that a trend is looked for in, and at least half of the run.
const TREND_STEPS: usize = 30;
/// Times its standard error that a slope must be to be one.
const SIGNIFICANT: f64 = 2.0;

/// The end of a series as far as all of it satisfies something.
struct Stretch {
    since: u64,
    values: Vec<f64>,
}

impl Stretch {
    fn of(
        series: impl DoubleEndedIterator<Item = (u64, f64)>,
        patience: usize,
        facts: &RunFacts,
        holds: impl Fn(f64) -> bool,
    ) -> Option<Self> {
        let end: Vec<(u64, f64)> = series.rev().take_while(|(_, value)| holds(*value)).collect();
        let (since, _) = *end.last()?;
        let n_steps = if facts.n_steps == 0 { usize::MAX } else { facts.n_steps as usize };
        let values = end.into_iter().map(|(_, value)| value).collect::<Vec<f64>>();
        (values.len() >= patience.min(n_steps)).then_some(Self { since, values })
    }

    fn mean(&self) -> f64 {
        mean(&self.values)
    }
}

pub(super) fn diverged(history: &History, facts: &RunFacts) -> Option<Verdict> {
    let (since, sign) = not_finite(history)
        .or_else(|| far_away(history, facts))
        .or_else(|| blown_up(history, facts))
        .or_else(|| forgot_everything(history, facts))?;
    let rate = facts.learning_rate.map_or("the learning rate".to_owned(), |rate| {
        format!("optimizer.learning_rate = {rate:e}")
    });
    let unbounded = match facts.max_grad_norm {
        Some(0.0) => " and gradients are not clipped (optimizer.max_grad_norm = 0)",
        _ => "",
    };
    let near = match facts.kl_coef {
        Some(0.0) => ", hold the policy near its start (loss.kl_coef = 0.04)",
        _ => "",
    };
    Some(Verdict {
        problem: Problem::Diverged,
        since,
        sign: format!("The policy has diverged: {sign}"),
        cause: format!("{rate} is too high{unbounded}"),
        remedy: format!(
            "start again from what the run began with, or from a checkpoint of before step {since}, with a tenth of the \
             learning rate{near}, and keep optimizer.max_grad_norm at 1"
        ),
    })
}

/// A number that is not one any more.
fn not_finite(history: &History) -> Option<(u64, String)> {
    ["policy/loss", "policy/kl", "policy/grad_norm", "policy/entropy"].into_iter().find_map(
        |name| {
            let (step, value) = history.series(name).find(|(_, value)| !value.is_finite())?;
            Some((step, format!("{name} is {value}")))
        },
    )
}

fn far_away(history: &History, facts: &RunFacts) -> Option<(u64, String)> {
    let far = Stretch::of(history.series("policy/kl"), 2, facts, |kl| kl >= DIVERGED_KL)?;
    Some((far.since, format!("its KL to the reference policy is {:.1} nats per token", far.mean())))
}

fn blown_up(history: &History, facts: &RunFacts) -> Option<(u64, String)> {
    let norms: Vec<(u64, f64)> = history.series("policy/grad_norm").collect();
    let n_before = norms.len().checked_sub(PATIENCE)?;
    if n_before < PATIENCE {
        return None;
    }
    let mut before: Vec<f64> = norms[..n_before].iter().map(|(_, norm)| *norm).collect();
    before.sort_by(f64::total_cmp);
    let usual = before[n_before / 2];
    let end = norms[n_before..].iter().copied();
    let large = |norm: f64| usual > 0.0 && norm >= BLOWN_UP * usual;
    let blown_up = Stretch::of(end, PATIENCE, facts, large)?;
    let harm = harm_since(history, blown_up.since)?;
    let norm = blown_up.mean();
    Some((
        blown_up.since,
        format!("its gradient norm rose from {usual:.2} to {norm:.2}, and {harm}"),
    ))
}

/// What a policy has lost from a step on, in words; `None` if nothing.
fn harm_since(history: &History, since: u64) -> Option<String> {
    let means = |name: &str| {
        let (before, after): (Vec<_>, Vec<_>) =
            history.series(name).partition(|(step, _)| *step < since);
        let values = |points: Vec<(u64, f64)>| points.into_iter().map(|(_, value)| value).collect();
        let (before, after): (Vec<f64>, Vec<f64>) = (values(before), values(after));
        (!before.is_empty() && !after.is_empty()).then(|| (mean(&before), mean(&after)))
    };
    let reward = means("reward/total/mean");
    let kl = means("policy/kl").map(|(_, kl)| kl).filter(|kl| *kl >= STRAYED_KL);
    match (reward, kl) {
        (Some((before, after)), _) if before >= EARNED && after <= KEPT * before => {
            Some(format!("its reward fell from {before:.2} to {after:.2}"))
        }
        (_, Some(kl)) => Some(format!("its KL to the reference policy is {kl:.2} nats per token")),
        (Some(_), None) => None,
        // A supervised run has a loss alone.
        (None, None) => {
            let (before, after) = means("policy/loss")?;
            (before > 0.0 && after >= UNLEARNED * before)
                .then(|| format!("its loss rose from {before:.2} to {after:.2}"))
        }
    }
}

/// A reward that was there and is gone, with nothing left to tell completions apart by.
fn forgot_everything(history: &History, facts: &RunFacts) -> Option<(u64, String)> {
    let no_signal = history.series("reward/zero_std_groups");
    let no_signal = Stretch::of(no_signal, PATIENCE, facts, |share| share >= NEARLY_ALL)?;
    let total = || history.series("reward/total/mean");
    let best = total()
        .take_while(|(step, _)| *step < no_signal.since)
        .map(|(_, reward)| reward)
        .fold(0.0, f64::max);
    let gone = |reward: f64| best >= EARNED && reward <= NEARLY_NOTHING * best;
    let gone = Stretch::of(total(), PATIENCE, facts, gone)?;
    Some((gone.since, format!("its reward fell from {best:.2} to {:.2}", gone.mean())))
}

pub(super) fn truncated(history: &History, facts: &RunFacts) -> Option<Verdict> {
    let series = history.series("completions/truncated");
    let cut = Stretch::of(series, PATIENCE, facts, |share| share >= NEARLY_ALL)?;
    let (length, key) = match facts.max_completion_tokens {
        Some(n) => (format!(" at {n} tokens"), format!("rollout.max_completion_tokens = {n}")),
        None => (String::new(), "rollout.max_completion_tokens".to_owned()),
    };
    Some(Verdict {
        problem: Problem::Truncated,
        since: cut.since,
        sign: format!("{} of the completions are cut{length}", percent(cut.mean())),
        cause: format!(
            "{key} is too short for an answer, or the policy never ends its turn because the chat template is not \
             the one that it was trained with"
        ),
        remedy: "raise rollout.max_completion_tokens; if completions still run to the end, read some of them in the \
                 report and compare the checkpoint's chat template and end-of-turn token"
            .to_owned(),
    })
}

pub(super) fn no_format(history: &History, facts: &RunFacts) -> Option<Verdict> {
    let names = facts.names_of(TermRole::Format);
    let names = if facts.terms.is_empty() { vec!["format"] } else { names };
    let none = |name: &str| {
        let series = history.series(&mean_of(name)).collect::<Vec<_>>();
        Stretch::of(series.into_iter(), PATIENCE, facts, |value| value <= NEARLY_NOTHING)
    };
    let missed = names.into_iter().find_map(none)?;
    let remedy = match facts.instructs {
        Some(false) => {
            "set reward.format.instruct = true, or say in each question what an answer looks like"
        }
        _ => {
            "read some completions in the report and compare them with what reward.format asks for; show the form by \
             a few steps of SFT if the policy does not take it up"
        }
    };
    Some(Verdict {
        problem: Problem::NoFormat,
        since: missed.since,
        sign: format!(
            "{} of the completions have the form that is paid for",
            percent(missed.mean())
        ),
        cause: format!(
            "{}, or the chat template opens the thinking itself so that the completion lacks a tag",
            match facts.instructs {
                Some(true) => "the policy does not take up the form that the questions ask for",
                _ => "the questions do not say what an answer looks like",
            }
        ),
        remedy: remedy.to_owned(),
    })
}

pub(super) fn nothing_right(history: &History, facts: &RunFacts) -> Option<Verdict> {
    let accuracy = facts.accuracy(history);
    let wrong =
        Stretch::of(accuracy.into_iter(), LONG_PATIENCE, facts, |value| value <= NEARLY_NOTHING)?;
    let (cause, remedy) = match &facts.space {
        Some(space) => (
            format!(
                "coordinates of another space than the {space:?} that the reward reads, or questions that do not say \
                 what an answer looks like"
            ),
            "compare some completions with their true answers in the report: set reward.answer.space to what the \
             policy writes, and let the question say it (reward.format.instruct = true)",
        ),
        None => (
            "answers that the reward cannot read, questions that do not say what an answer looks like, or a task that \
             the policy cannot do at all"
                .to_owned(),
            "compare some completions with their true answers in the report; ask for the answer's form in the \
             question (reward.format.instruct = true), or start from SFT",
        ),
    };
    Some(Verdict {
        problem: Problem::NothingRight,
        since: wrong.since,
        sign: format!("No answer is right: the mean accuracy is {:.3}", wrong.mean()),
        cause,
        remedy: remedy.to_owned(),
    })
}

pub(super) fn no_signal(history: &History, facts: &RunFacts) -> Option<Verdict> {
    let series = history.series("reward/zero_std_groups");
    let equal = Stretch::of(series, LONG_PATIENCE, facts, |share| share >= NEARLY_ALL)?;
    let accuracy = facts.accuracy(history);
    let is_solved = Stretch::of(accuracy.into_iter(), 1, facts, |value| value >= 0.99).is_some();
    let entropy = history.series("policy/entropy").next_back().map(|(_, entropy)| entropy);
    let (cause, remedy) = if is_solved {
        ("every answer is right already".to_owned(), "stop here, or give it harder data".to_owned())
    } else if entropy.is_some_and(|entropy| entropy < NEARLY_NOTHING) {
        let temperature = facts.temperature.map_or(String::new(), |t| format!(" (it is {t})"));
        (
            "the completions of a prompt are all the same: the sampling has no room to differ, as with the top_k = 1 \
             of many a generation_config.json"
                .to_owned(),
            format!("set rollout.top_k = 0 and rollout.top_p = 1.0, or raise rollout.temperature{temperature}"),
        )
    } else {
        (
            "the reward cannot tell the completions of a prompt apart: too coarse, or prompts that are always or \
             never got right"
                .to_owned(),
            "pay for partial success (an overlap without a threshold), raise rollout.group_size, or let steps ask \
             for other prompts (learner.refills)"
                .to_owned(),
        )
    };
    Some(Verdict {
        problem: Problem::NoSignal,
        since: equal.since,
        sign: format!(
            "In {} of the groups all completions earn the same, so there is nothing to learn from",
            percent(equal.mean())
        ),
        cause,
        remedy,
    })
}

pub(super) fn no_calls(history: &History, facts: &RunFacts) -> Option<Verdict> {
    // Only a rollout that has tools counts calls.
    let calls = history.series("completions/calls/mean");
    let none = Stretch::of(calls, LONG_PATIENCE, facts, |calls| calls == 0.0)?;
    Some(Verdict {
        problem: Problem::NoCalls,
        since: none.since,
        sign: "The graph gives the policy tools, and none of its completions calls one".to_owned(),
        cause: "a policy that was never shown the tag of a tool does not write it by chance, and what is never tried earns \
                nothing that could be learned"
            .to_owned(),
        remedy: "say in rollout.tools.instructions how the tool is called, start from a policy that follows instructions, or \
                 show it some calls first: supervised steps with the call in sft.answer_prefix, or answers that begin with one"
            .to_owned(),
    })
}

pub(super) fn entropy_collapsed(history: &History, facts: &RunFacts) -> Option<Verdict> {
    let entropies = || history.series("policy/entropy");
    let start: Vec<f64> = entropies().take(PATIENCE).map(|(_, entropy)| entropy).collect();
    let start = mean(&start);
    let low =
        Stretch::of(entropies(), LONG_PATIENCE, facts, |entropy| entropy <= COLLAPSED * start)?;
    // A policy that was certain from the start has lost nothing.
    (start > 10.0 * NEARLY_NOTHING).then(|| Verdict {
        problem: Problem::EntropyCollapsed,
        since: low.since,
        sign: format!(
            "The policy always says the same: its entropy fell from {start:.2} to {:.3} nats per token",
            low.mean()
        ),
        cause: "an answer that pays whatever the picture shows, or a learning rate that is too high".to_owned(),
        remedy: "look at the answers in the report; `vrft reward test` attacks the reward; lower the learning rate or \
                 set loss.entropy_coef = 0.001"
            .to_owned(),
    })
}

pub(super) fn reward_flat(history: &History, facts: &RunFacts) -> Option<Verdict> {
    // What a journal plays back was sampled before: the policy that learns cannot change what it earned.
    history.series("replay/staleness").next().is_none().then_some(())?;
    let rewards: Vec<(u64, f64)> = history.series("reward/total/mean").collect();
    let n_enough = TREND_STEPS.max(facts.n_steps as usize / 2);
    if rewards.len() < n_enough {
        return None;
    }
    let (slope, error) = trend(&rewards);
    let values: Vec<f64> = rewards.iter().map(|(_, reward)| *reward).collect();
    let highest: f64 = facts.terms.iter().map(|term| term.weight.max(0.0)).sum();
    let is_earned = highest > 0.0 && mean(&values) >= NEARLY_ALL * highest;
    if slope > SIGNIFICANT * error || is_earned {
        return None;
    }
    let (first, last) = (rewards.first()?, rewards.last()?);
    let word = if slope < -SIGNIFICANT * error { "fallen" } else { "not risen" };
    let rate = facts.learning_rate.map_or("the learning rate".to_owned(), |rate| {
        format!("optimizer.learning_rate = {rate:e}")
    });
    let n_groups = history.series("reward/zero_std_groups");
    let equal: Vec<f64> = n_groups.map(|(_, share)| share).collect();
    let few = if mean(&equal) > 0.5 {
        format!(
            ", or too little to learn from: in {} of the groups all earn the same",
            percent(mean(&equal))
        )
    } else {
        String::new()
    };
    Some(Verdict {
        problem: Problem::RewardFlat,
        since: first.0,
        sign: format!(
            "The reward has {word} over {} steps: {:.3} on average",
            last.0 - first.0 + 1,
            mean(&values)
        ),
        cause: format!("{rate} is too low, or too high to hold on to anything{few}"),
        remedy: "try three times and a third of the learning rate; more prompts a step or larger groups \
                 (learner.prompts_per_step, rollout.group_size) make the gradient less noisy"
            .to_owned(),
    })
}

impl RunFacts {
    fn names_of(&self, role: TermRole) -> Vec<&str> {
        let terms = self.terms.iter().filter(|term| term.role == role && term.weight > 0.0);
        terms.map(|term| term.name.as_str()).collect()
    }

    /// The weighted mean of the accuracies of each step; nothing where the reward measures none.
    fn accuracy(&self, history: &History) -> Vec<(u64, f64)> {
        let is_accuracy =
            |term: &&super::TermFacts| term.role == TermRole::Accuracy && term.weight > 0.0;
        let mut sums: std::collections::BTreeMap<u64, (f64, f64)> = Default::default();
        for term in self.terms.iter().filter(is_accuracy) {
            for (step, value) in history.series(&mean_of(&term.name)) {
                let (sum, weight) = sums.entry(step).or_default();
                (*sum, *weight) = (*sum + term.weight * value, *weight + term.weight);
            }
        }
        sums.into_iter().map(|(step, (sum, weight))| (step, sum / weight)).collect()
    }
}

fn mean_of(term: &str) -> String {
    format!("reward/{term}/mean")
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

/// Slope of the line through some points, by least squares, and its standard error.
fn trend(points: &[(u64, f64)]) -> (f64, f64) {
    let n = points.len() as f64;
    let mean_x = points.iter().map(|(x, _)| *x as f64).sum::<f64>() / n;
    let mean_y = points.iter().map(|(_, y)| *y).sum::<f64>() / n;
    let xx: f64 = points.iter().map(|(x, _)| (*x as f64 - mean_x).powi(2)).sum();
    let xy: f64 = points.iter().map(|(x, y)| (*x as f64 - mean_x) * (y - mean_y)).sum();
    let slope = xy / xx;
    let residual = |(x, y): &(u64, f64)| (y - mean_y - slope * (*x as f64 - mean_x)).powi(2);
    let variance = points.iter().map(residual).sum::<f64>() / (n - 2.0);
    (slope, (variance / xx).sqrt())
}
