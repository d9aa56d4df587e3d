//! Verdicts on made-up series, and on the numbers of real runs that could not learn.

use super::*;

fn facts(n_steps: u64) -> RunFacts {
    let term = |name: &str, role, weight| TermFacts { name: name.to_owned(), role, weight };
    RunFacts {
        n_steps,
        max_completion_tokens: Some(40),
        learning_rate: Some(1e-4),
        max_grad_norm: Some(1.0),
        temperature: Some(1.0),
        kl_coef: Some(0.04),
        instructs: Some(false),
        space: Some("thousandths".to_owned()),
        terms: vec![
            term("iou", TermRole::Accuracy, 1.0),
            term("confidence", TermRole::Other, 0.2),
            term("format", TermRole::Format, 1.0),
        ],
    }
}

/// Each series from step 1 on.
fn history(series: &[(&str, &[f64])]) -> History {
    let mut history = History::default();
    for (name, values) in series {
        for (step, value) in (1..).zip(*values) {
            history.record(step, name, *value);
        }
    }
    history
}

#[track_caller]
fn check(series: &[(&str, &[f64])], facts: &RunFacts, expect: &[(Problem, u64, &str)]) {
    let verdicts = diagnose(&history(series), facts);
    let got: Vec<(Problem, u64)> = verdicts.iter().map(|v| (v.problem, v.since)).collect();
    let expected: Vec<(Problem, u64)> = expect.iter().map(|(p, since, _)| (*p, *since)).collect();
    assert_eq!(got, expected, "{verdicts:#?}");
    for (verdict, (.., words)) in verdicts.iter().zip(expect) {
        let text = verdict.to_string();
        assert!(words.split('|').all(|word| text.contains(word)), "{text}");
    }
}

/// Numbers of a sound step; the reward rises a little each step.
fn sound(n: usize) -> Vec<(&'static str, Vec<f64>)> {
    let rising = |from: f64, by: f64| (0..n).map(|i| from + by * i as f64).collect();
    vec![
        ("completions/truncated", vec![0.0; n]),
        ("reward/zero_std_groups", vec![0.1; n]),
        ("reward/iou/mean", rising(0.4, 0.002)),
        ("reward/format/mean", vec![1.0; n]),
        ("reward/total/mean", rising(1.4, 0.002)),
        ("policy/kl", rising(0.0, 0.001)),
        ("policy/grad_norm", vec![0.6; n]),
        ("policy/entropy", vec![1.0; n]),
        ("policy/loss", vec![0.0; n]),
    ]
}

/// Sound numbers with some series replaced.
#[track_caller]
fn check_with(
    n: usize,
    replaced: &[(&'static str, Vec<f64>)],
    facts: &RunFacts,
    expect: &[(Problem, u64, &str)],
) {
    let mut series = sound(n);
    for (name, values) in replaced {
        series.retain(|(other, _)| other != name);
        series.push((name, values.clone()));
    }
    let series: Vec<(&str, &[f64])> =
        series.iter().map(|(name, values)| (*name, &values[..])).collect();
    check(&series, facts, expect);
}

#[test]
fn a_sound_run_has_no_verdict() {
    for n in [1, 2, 5, 40] {
        check_with(n, &[], &facts(40), &[]);
    }
    check(&[], &facts(40), &[]);
}

/// `rollout.max_completion_tokens = 4`, three steps: the numbers are those of the run.
#[test]
fn a_run_whose_completions_are_all_cut() {
    let facts = RunFacts { max_completion_tokens: Some(4), ..facts(3) };
    check(
        &[
            ("completions/truncated", &[1.0, 1.0, 1.0]),
            ("reward/zero_std_groups", &[1.0, 1.0, 1.0]),
            ("reward/iou/mean", &[0.0, 0.0, 0.0]),
            ("reward/format/mean", &[0.0, 0.0, 0.0]),
            ("reward/total/mean", &[0.0, 0.0, 0.0]),
            ("policy/kl", &[0.0, 0.0, 0.0]),
            ("policy/grad_norm", &[0.0, 0.0, 0.0]),
            ("policy/entropy", &[1.3778, 1.159, 1.1634]),
        ],
        &facts,
        &[(
            Problem::Truncated,
            1,
            "100 % of the completions are cut at 4 tokens|max_completion_tokens|template",
        )],
    );
}

/// Questions that do not say what an answer looks like, two steps and twelve: the policy finds the form by itself and
/// never the coordinates. The numbers are those of the runs.
#[test]
fn a_run_whose_questions_ask_for_no_form() {
    let iou =
        [0.0004, 0.0017, 0.0, 0.0, 0.0, 0.0034, 0.0086, 0.0052, 0.0021, 0.0015, 0.0029, 0.0036];
    let format = [
        0.1875, 0.6562, 0.5938, 0.4375, 0.7188, 0.9062, 0.9062, 0.9688, 0.75, 0.875, 0.8438, 0.8125,
    ];
    for n in [2, 12] {
        check(
            &[
                ("completions/truncated", &[0.5312, 0.3125]),
                ("reward/zero_std_groups", &[0.25, 0.0]),
                ("reward/iou/mean", &iou[..n]),
                ("reward/format/mean", &format[..n]),
                ("policy/kl", &[0.0, 0.1113]),
                ("policy/grad_norm", &[1.9636, 2.0951]),
                ("policy/entropy", &[1.3112, 1.4046]),
            ],
            &facts(n as u64),
            &[(
                Problem::NothingRight,
                1,
                "No answer is right|thousandths|what an answer looks like",
            )],
        );
    }
}

/// The same with a policy that does not know the form: the format is 0 all the time.
#[test]
fn a_run_whose_format_is_never_met() {
    let zero = vec![0.0; 6];
    let replaced = [
        ("reward/format/mean", zero.clone()),
        ("reward/iou/mean", zero.clone()),
        ("reward/zero_std_groups", vec![1.0; 6]),
    ];
    let words = "0 % of the completions have the form|reward.format.instruct = true|template";
    check_with(6, &replaced, &facts(60), &[(Problem::NoFormat, 1, words)]);
    let asked = RunFacts { instructs: Some(true), ..facts(60) };
    let words = "does not take up the form that the questions ask for|a few steps of SFT";
    check_with(6, &replaced, &asked, &[(Problem::NoFormat, 1, words)]);
    let mut no_facts = RunFacts::default();
    check_with(6, &replaced, &no_facts, &[(Problem::NoFormat, 1, "have the form")]);
    // A reward that pays for no format misses none.
    no_facts.terms = vec![TermFacts { name: "iou".into(), role: TermRole::Accuracy, weight: 1.0 }];
    check_with(6, &replaced, &no_facts, &[(Problem::NothingRight, 1, "right")]);
}

/// Learning rates of 0.9 and 0.05 without a bound on the gradient: the numbers are those of the runs.
#[test]
fn a_run_that_was_blown_up() {
    let facts = RunFacts { learning_rate: Some(0.9), max_grad_norm: Some(0.0), ..facts(6) };
    let words = "nats per token|optimizer.learning_rate = 9e-1 is too high|max_grad_norm = 0";
    let lost = |first: f64| [first, 0.0, 0.0, 0.0, 0.0, 0.0];
    check(
        &[
            ("completions/truncated", &[0.0, 1.0, 1.0, 1.0, 1.0, 1.0]),
            ("reward/zero_std_groups", &[0.0, 1.0, 1.0, 1.0, 1.0, 1.0]),
            ("reward/iou/mean", &lost(0.5362)),
            ("reward/format/mean", &lost(1.0)),
            ("reward/total/mean", &lost(1.6193)),
            ("policy/kl", &[0.0, 6.4909, 6.2812, 5.4279, 5.8927, 6.1065]),
            ("policy/grad_norm", &[1.035, 0.0135, 0.0, 0.0, 0.0, 0.0]),
            ("policy/entropy", &[1.0328, 0.018, 0.0, 0.0, 0.0, 0.0]),
        ],
        &facts,
        &[(Problem::Diverged, 2, words)],
    );
    check(
        &[
            ("completions/truncated", &[0.0, 0.9688, 0.5938, 1.0, 0.0625, 1.0]),
            ("reward/zero_std_groups", &[0.0, 1.0, 1.0, 1.0, 1.0, 1.0]),
            ("reward/total/mean", &lost(1.6193)),
            ("policy/kl", &[0.0, 8.4999, 11.3064, 8.1226, 11.5974, 7.3387]),
        ],
        &facts,
        &[(Problem::Diverged, 2, "KL")],
    );
    // Without a reference policy nothing measures the distance, but the reward is gone all the same.
    let unbound = RunFacts { kl_coef: Some(0.0), ..facts };
    check(
        &[
            ("reward/zero_std_groups", &[0.0, 1.0, 1.0, 1.0, 1.0, 1.0]),
            ("reward/total/mean", &lost(1.6193)),
        ],
        &unbound,
        &[(Problem::Diverged, 2, "its reward fell from 1.62 to 0.00|loss.kl_coef = 0.04")],
    );
}

#[test]
fn a_lucky_answer_that_is_not_repeated_is_no_divergence() {
    check(
        &[
            ("reward/zero_std_groups", &[1.0, 0.8, 1.0, 1.0, 1.0, 1.0]),
            ("reward/format/mean", &[0.0; 6]),
            ("reward/total/mean", &[0.0, 0.02, 0.0, 0.0, 0.0, 0.0]),
        ],
        &facts(6),
        &[(Problem::NoFormat, 1, "0 % of the completions have the form")],
    );
}

#[test]
fn a_number_that_is_not_finite_is_a_divergence_at_once() {
    let mut kl = vec![0.01; 4];
    kl[3] = f64::NAN;
    check_with(4, &[("policy/kl", kl)], &facts(40), &[(Problem::Diverged, 4, "policy/kl is NaN")]);
}

#[test]
fn a_gradient_that_blows_up_is_a_divergence_and_a_spike_is_not() {
    let mut norms = vec![0.6; 12];
    norms[9..].fill(7.0);
    let large = ("policy/grad_norm", norms);
    let mut lost = vec![1.4; 12];
    lost[9..].fill(0.5);
    let words = "gradient norm rose from 0.60 to 7.00, and its reward fell from 1.40 to 0.50";
    let fallen = [large.clone(), ("reward/total/mean", lost)];
    check_with(12, &fallen, &facts(40), &[(Problem::Diverged, 10, words)]);
    let mut far = vec![0.01; 12];
    far[9..].fill(0.6);
    let words = "and its KL to the reference policy is 0.60 nats per token";
    let strayed = [large.clone(), ("policy/kl", far)];
    check_with(12, &strayed, &facts(40), &[(Problem::Diverged, 10, words)]);
    // Answers that begin to earn something have larger gradients than none that did.
    let mut earned = vec![0.0; 12];
    earned[9..].fill(0.4);
    for reward in [earned, vec![1.4; 12]] {
        check_with(12, &[large.clone(), ("reward/total/mean", reward)], &facts(40), &[]);
    }
    // A supervised run has a loss alone.
    let mut loss = vec![0.5; 12];
    let large = ("policy/grad_norm", &large.1[..]);
    check(&[large, ("policy/loss", &loss)], &facts(40), &[]);
    loss[9..].fill(2.0);
    let words = "its loss rose from 0.50 to 2.00";
    check(&[large, ("policy/loss", &loss)], &facts(40), &[(Problem::Diverged, 10, words)]);
    let mut spike = vec![0.6; 12];
    spike[10] = 50.0;
    check_with(12, &[("policy/grad_norm", spike)], &facts(40), &[]);
}

#[test]
fn groups_that_all_earn_the_same_are_explained_by_what_else_is_seen() {
    let equal = ("reward/zero_std_groups", vec![1.0; 6]);
    let coarse = "100 % of the groups|cannot tell the completions";
    check_with(6, std::slice::from_ref(&equal), &facts(40), &[(Problem::NoSignal, 1, coarse)]);
    let solved = [equal.clone(), ("reward/iou/mean", vec![1.0; 6])];
    check_with(6, &solved, &facts(40), &[(Problem::NoSignal, 1, "every answer is right already")]);
    let greedy = [equal, ("policy/entropy", vec![0.001; 6])];
    check_with(6, &greedy, &facts(40), &[(Problem::NoSignal, 1, "top_k|temperature (it is 1)")]);
}

#[test]
fn a_policy_that_always_says_the_same() {
    let mut entropy = vec![1.0; 12];
    entropy[6..].fill(0.02);
    let words = "entropy fell from 1.00 to 0.020|vrft reward test";
    let expect = [(Problem::EntropyCollapsed, 7, words)];
    check_with(12, &[("policy/entropy", entropy)], &facts(40), &expect);
    // One that was certain from the start has lost nothing.
    check_with(12, &[("policy/entropy", vec![0.02; 12])], &facts(40), &[]);
}

#[test]
fn a_reward_that_does_not_rise_is_told_when_half_of_the_run_is_over() {
    let noise = |i: usize| if i.is_multiple_of(2) { 0.05 } else { -0.05 };
    let flat: Vec<f64> = (0..50).map(|i| 1.0 + noise(i)).collect();
    let expect = [(Problem::RewardFlat, 1, "not risen over 50 steps: 1.000|1e-4")];
    check_with(50, &[("reward/total/mean", flat.clone())], &facts(100), &expect);
    check_with(49, &[("reward/total/mean", flat[..49].to_vec())], &facts(100), &[]);
    // What a journal plays back earns what it earned, whatever is learned from it.
    let replayed = ("replay/staleness", vec![3.0; 50]);
    check_with(50, &[("reward/total/mean", flat.clone()), replayed], &facts(100), &[]);
    let falling: Vec<f64> = (0..50).map(|i| 1.5 - 0.01 * i as f64 + noise(i)).collect();
    let expect = [(Problem::RewardFlat, 1, "has fallen over 50 steps")];
    check_with(50, &[("reward/total/mean", falling)], &facts(100), &expect);
    // Nothing to gain any more: 2.2 is the most there is.
    check_with(50, &[("reward/total/mean", vec![2.19; 50])], &facts(100), &[]);
}

#[test]
fn one_bad_batch_is_no_sign() {
    let mut cut = vec![0.0; 6];
    cut[4..].fill(1.0);
    check_with(6, &[("completions/truncated", cut.clone())], &facts(40), &[]);
    cut[3] = 1.0;
    let expect = [(Problem::Truncated, 4, "100 %")];
    check_with(6, &[("completions/truncated", cut.clone())], &facts(40), &expect);
    // It is over: so is the verdict.
    cut[5] = 0.0;
    check_with(6, &[("completions/truncated", cut)], &facts(40), &[]);
}

#[test]
fn each_problem_is_told_once_when_it_starts() {
    let mut watch = Watch::default();
    let mut told = Vec::new();
    for step in 1..=6 {
        watch.record(step, "completions/truncated", 1.0);
        told.extend(watch.news(&facts(40)).into_iter().map(|verdict| (step, verdict.problem)));
    }
    assert_eq!(told, [(3, Problem::Truncated)]);
}

/// A run as `recorded/record.py` wrote it down, step by step: what is told at each.
fn recorded(json: &str) -> Vec<(u64, Vec<Verdict>)> {
    let run: serde_json::Value = serde_json::from_str(json).unwrap();
    let steps = run["steps"].as_u64().unwrap();
    let facts = RunFacts { kl_coef: run["kl_coef"].as_f64(), ..facts(steps) };
    let series = run["series"].as_object().unwrap();
    let mut watch = Watch::default();
    let told = (1..=steps).map(|step| {
        for (name, values) in series {
            if let Some(value) = values[step as usize - 1].as_f64() {
                watch.record(step, name, value);
            }
        }
        (step, watch.news(&facts))
    });
    told.filter(|(_, verdicts)| !verdicts.is_empty()).collect()
}

/// The step at which a run is said to have diverged.
fn diverged_at(json: &str) -> Option<u64> {
    let is_diverged = |verdict: &Verdict| verdict.problem == Problem::Diverged;
    recorded(json).into_iter().find(|(_, told)| told.iter().any(is_diverged)).map(|(step, _)| step)
}

#[test]
fn healthy_runs_as_they_were_recorded_have_not_diverged() {
    assert_eq!(recorded(include_str!("recorded/sound-40.json")), []);
    // Answers that begin to earn something: the gradient's norm rises from nothing to a usual one.
    assert_eq!(diverged_at(include_str!("recorded/sound-rising-gradient.json")), None);
}

#[test]
fn sick_runs_as_they_were_recorded_are_told_within_a_few_steps() {
    for (json, expected) in [
        (include_str!("recorded/sick-rate-0.05.json"), 3),
        (include_str!("recorded/sick-rate-0.01-no-kl.json"), 4),
        (include_str!("recorded/sick-rate-0.003.json"), 3),
    ] {
        assert_eq!(diverged_at(json), Some(expected), "{json}");
    }
}

#[test]
fn a_policy_that_calls_none_of_its_tools_is_told_from_one_that_has_none() {
    let with = |calls: &[f64]| {
        let mut series = sound(6);
        series.push(("completions/calls/mean", calls.to_vec()));
        let series: Vec<(&str, &[f64])> =
            series.iter().map(|(name, values)| (*name, values.as_slice())).collect();
        let verdicts = diagnose(&history(&series), &facts(40));
        verdicts
            .into_iter()
            .map(|verdict| (verdict.problem, verdict.to_string()))
            .collect::<Vec<_>>()
    };
    let [(Problem::NoCalls, text)] = &with(&[0.0; 6])[..] else { panic!("{:?}", with(&[0.0; 6])) };
    assert!(text.contains("none of its completions calls one (since step 1)"), "{text}");
    assert!(with(&[0.0, 0.0, 0.0, 0.0, 0.0, 0.25]).is_empty());
}
