//! Steps that show the policy the true answer.

use vrft_learner::{Demonstration, Origin, TrainCompletion, TrainGroup};
use vrft_objective::config::{ChordConfig, LossConfig, TokenWeight};

use crate::fixture::{Setup, batch, distance, groups, weights};

/// The true answer of a prompt, as long as three tokens.
fn truth(origin: Origin, advantage: f32) -> TrainCompletion {
    TrainCompletion {
        token_ids: vec![40, 41, 42],
        old_logprobs: Vec::new(),
        advantage,
        truncated: false,
        is_scored: true,
        origin,
        inserted: vec![],
        first_turn: None,
    }
}

fn with(mut groups: Vec<TrainGroup>, truth: &TrainCompletion) -> Vec<TrainGroup> {
    groups.iter_mut().for_each(|group| group.completions.push(truth.clone()));
    groups
}

fn chord(mu: f64, token_weight: TokenWeight) -> Setup {
    let chord = Some(ChordConfig { mu, token_weight, ..ChordConfig::default() });
    Setup { loss: LossConfig { chord, ..LossConfig::default() }, ..Setup::default() }
}

/// As if the policy had said it: the ratio of the first update is 1 for both, that of the second to the policy before.
#[test]
fn a_true_answer_is_learned_from_like_a_completion_of_the_policy() {
    let mut setup = Setup::default();
    setup.learner.iterations = 2;
    let shown = with(batch(), &truth(Origin::Truth, 0.9));
    let mut learner = setup.learner();
    let stats = learner.grpo_step(&shown).unwrap();

    let sampler = crate::fixture::load(false);
    let mut said = shown.clone();
    for group in &mut said {
        let own = group.completions.last_mut().unwrap();
        let completions: &[&[u32]] = &[&own.token_ids];
        let packed = vrft_model::PackedGroup { prompt: &group.prompt, completions, inserted: &[] };
        let logprobs = sampler.logprobs(&[packed], setup.temperature).unwrap().logprobs;
        (own.old_logprobs, own.origin) = (logprobs.to_vec1().unwrap(), Origin::Sampled);
    }
    let mut expected = setup.learner();
    let of_said = expected.grpo_step(&said).unwrap();
    let apart = distance(&weights(learner.policy()), &weights(expected.policy()));
    assert!(apart < 1e-6, "{apart}");
    for path in ["policy/loss", "policy/kl", "policy/grad_norm"] {
        let (a, b) = (stats.metrics[path], of_said.metrics[path]);
        assert!((a - b).abs() < 1e-5 * (1.0 + b.abs()), "{path}: {a}, {b}");
    }
    // What is said of the policy's own completions is without it.
    let lengths = "completions/length/mean";
    assert_eq!(
        stats.metrics[lengths],
        setup.learner().grpo_step(&batch()).unwrap().metrics[lengths]
    );
}

#[test]
fn imitation_alone_is_the_supervised_step() {
    let mut setup = chord(1.0, TokenWeight::One);
    setup.temperature = 1.0;
    let mut learner = setup.learner();
    let shown = with(batch(), &truth(Origin::Demonstration, 0.0));
    let stats = learner.grpo_step(&shown).unwrap();
    let demonstrations: Vec<Demonstration> = shown
        .iter()
        .map(|group| Demonstration { prompt: group.prompt.clone(), token_ids: vec![40, 41, 42] })
        .collect();
    let mut expected = setup.learner();
    let of_sft = expected.sft_step(&demonstrations).unwrap();
    assert!(distance(&weights(learner.policy()), &weights(expected.policy())) < 1e-7);
    let (a, b) = (stats.metrics["policy/imitation_loss"], of_sft.metrics["policy/loss"]);
    assert!((a - b).abs() < 1e-5 * b, "{a}, {b}");
}

#[test]
fn imitation_has_its_share_of_the_loss_and_none_of_the_objective() {
    let mut plain = Setup::default().learner();
    let objective = plain.grpo_step(&batch()).unwrap().metrics["policy/loss"];
    for token_weight in [TokenWeight::Phi, TokenWeight::One] {
        let mut setup = chord(0.25, token_weight);
        let shown = with(batch(), &truth(Origin::Demonstration, 0.0));
        let whole = setup.learner().grpo_step(&shown).unwrap();
        let expect = 0.75 * objective + 0.25 * whole.metrics["policy/imitation_loss"];
        assert!((whole.metrics["policy/loss"] - expect).abs() < 1e-5, "{whole:?}, {expect}");
        assert_eq!(whole.metrics["policy/imitation_share"], 0.25);
        setup.learner.max_tokens_per_micro_batch = 1;
        setup.learner.split_groups = true;
        let parts = setup.learner().grpo_step(&shown).unwrap();
        for path in ["policy/loss", "policy/imitation_loss", "policy/grad_norm", "policy/kl"] {
            let (a, b) = (whole.metrics[path], parts.metrics[path]);
            assert!((a - b).abs() < 1e-4 * (1.0 + a.abs()), "{path}: {a}, {b}");
        }
    }
}

/// Without an advantage and without a KL nothing but the demonstration teaches.
#[test]
fn a_prompt_whose_completions_did_equally_well_teaches_by_its_demonstration() {
    let mut setup = chord(0.5, TokenWeight::One);
    setup.loss.kl_coef = 0.0;
    let equal = groups(&[&[0.0, 0.0]]);
    let shown = with(equal.clone(), &truth(Origin::Demonstration, 0.0));
    let stats = setup.learner().grpo_step(&shown).unwrap();
    assert!(stats.metrics["policy/grad_norm"] > 0.0, "{stats:?}");
    assert_eq!(stats.metrics["completions/zero_advantage"], 2.0);
}

#[test]
fn demonstrations_and_their_settings_belong_together() {
    let shown = with(batch(), &truth(Origin::Demonstration, 0.0));
    let error = Setup::default().learner().grpo_step(&shown).unwrap_err().to_string();
    assert!(error.contains("should be 0, as there is no [loss.chord], got 3"), "{error}");
    let error = chord(0.1, TokenWeight::Phi).learner().grpo_step(&batch()).unwrap_err().to_string();
    assert!(error.contains("should be 1 or more, as there is a [loss.chord], got 0"), "{error}");
    let mut sampled = truth(Origin::Truth, 1.0);
    sampled.old_logprobs = vec![-1.0; 3];
    let error = Setup::default().learner().grpo_step(&with(batch(), &sampled)).unwrap_err();
    assert!(error.to_string().contains("0, as no policy sampled it, got 3"), "{error}");
}
