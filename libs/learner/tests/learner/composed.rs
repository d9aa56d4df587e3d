//! The reference backend, composed of candle's operations: the same step, the same samples, the same run after a
//! resume.

use candle_core::DType;
use vrft_checkpoint::LoraConfig;
use vrft_kernels::Backend;
use vrft_learner::{Learner, OptimizerState, TrainGroup};
use vrft_model::Policy;
use vrft_processor::Processor;
use vrft_rollout::{Completion, Sampling};

use crate::fixture::{
    Setup, batch, checkpoint_dir, distance, load, load_with_adapters, prompts, weights,
};
use crate::resume;
use crate::steps::proportional;

/// Weights after three updates and what each step reported.
fn run(setup: &Setup, load: &dyn Fn() -> Policy, batch: &[TrainGroup]) -> (Learner, Vec<f64>) {
    let mut learner = setup.learner_of(load());
    let mut reported = Vec::new();
    for _ in 0..3 {
        let metrics = learner.grpo_step(batch).unwrap().metrics;
        for path in ["policy/loss", "policy/kl", "policy/entropy", "policy/grad_norm"] {
            reported.push(metrics[path]);
        }
    }
    (learner, reported)
}

/// Reports and weights may differ by this share.
#[track_caller]
fn check(setup: &Setup, load: &dyn Fn() -> Policy, tolerance: f32) {
    let before = weights(&load());
    let batch = batch();
    let (expected, expected_reports) = run(setup, load, &batch);
    let moved = distance(&before, &weights(expected.policy()));
    let composed = || load().with_backend(Backend::Composed);
    let (got, reports) = run(setup, &composed, &batch);
    for (a, b) in reports.iter().zip(&expected_reports) {
        let near = (a - b).abs() <= f64::from(tolerance) * b.abs().max(0.1);
        assert!(near, "{reports:?}, not {expected_reports:?}");
    }
    let apart = distance(&weights(expected.policy()), &weights(got.policy()));
    assert!(moved > 1e-3 && apart <= tolerance * moved, "{apart} of {moved}");
}

#[test]
fn three_steps_move_every_weight_alike() {
    check(&proportional(4096), &|| load(true), 1e-4);
    // Several micro-batches, with layers computed again.
    let mut setup = proportional(150);
    setup.learner.activation_mib = 1;
    check(&setup, &|| load(true), 1e-4);
}

#[test]
fn adapters_move_alike() {
    let lora = LoraConfig { rank: 4, vision: true, dropout: 0.1, ..LoraConfig::default() };
    check(&proportional(4096), &|| load_with_adapters(&lora), 1e-4);
}

#[test]
fn narrow_moments_stay_in_main_memory_and_change_nothing_else() {
    for state in [OptimizerState::Bf16, OptimizerState::Int8] {
        let mut setup = proportional(4096);
        setup.optimizer.state = state;
        // A sum that differs in its last bit may be rounded to the next number of fewer bits.
        check(&setup, &|| load(true), 1e-2);
    }
}

#[test]
fn an_interrupted_run_goes_on_bit_by_bit() {
    resume::check_setup(DType::F32, Backend::Composed, &Setup::default());
}

fn sampled(backend: Backend) -> Vec<Vec<Completion>> {
    let processor = Processor::load(&checkpoint_dir()).unwrap();
    let mut sampling = Sampling::greedy(24, Vec::new());
    sampling.temperature = 0.9;
    let policy = load(false).with_backend(backend);
    let prompts = prompts();
    let prompts: Vec<_> = prompts.iter().collect();
    let seed = |prompt: usize, completion: usize| (100 * prompt + completion) as u64;
    vrft_rollout::generate(&policy, &processor, &prompts, 3, &sampling, &seed).unwrap()
}

#[test]
fn samples_are_the_same_token_by_token() {
    let [expected, got] = [Backend::Cpu, Backend::Composed].map(sampled);
    for (got, expected) in got.iter().flatten().zip(expected.iter().flatten()) {
        assert_eq!(got.token_ids, expected.token_ids);
        let logprobs = got.logprobs.iter().zip(&expected.logprobs);
        assert!(logprobs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) <= 1e-4);
    }
}
