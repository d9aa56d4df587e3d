//! A run that was interrupted goes on as if nothing had happened, bit by bit.

use candle_core::DType;
use tempfile::tempdir;
use vrft_kernels::Backend;
use vrft_learner::{Checkpoints, Cursor, Learner, TrainGroup};

use crate::fixture::{Setup, batch, checkpoint_dir, load_from, weights};
use crate::objectives::adaptive;

fn learner(setup: &Setup, dtype: DType, backend: Backend) -> Learner {
    setup.learner_of(load_from(&checkpoint_dir(), dtype, true).with_backend(backend))
}

fn steps(learner: &mut Learner, batch: &[TrainGroup], n: usize) -> Vec<(f64, f64)> {
    let step = |_| {
        let metrics = learner.grpo_step(batch).unwrap().metrics;
        (metrics["policy/loss"], metrics["policy/grad_norm"])
    };
    (0..n).map(step).collect()
}

#[track_caller]
fn check(dtype: DType) {
    check_setup(dtype, Backend::Cpu, &Setup::default());
}

#[track_caller]
pub(crate) fn check_setup(dtype: DType, backend: Backend, setup: &Setup) {
    let batch = batch();
    let dir = tempdir().unwrap();
    let mut straight = learner(setup, dtype, backend);
    let expect = steps(&mut straight, &batch, 4);

    let mut first = learner(setup, dtype, backend);
    let mut got = steps(&mut first, &batch, 2);
    let checkpoints = Checkpoints::new(dir.path(), 2).unwrap();
    let cursor = Cursor { next_prompt_id: 6 };
    checkpoints.save(&first, &cursor).unwrap();
    drop(first);

    let checkpoint = checkpoints.newest().unwrap().unwrap();
    assert_eq!((checkpoint.step, checkpoint.cursor), (2, cursor));
    let mut second = learner(setup, dtype, backend);
    second.restore(&checkpoint).unwrap();
    assert_eq!(second.step(), 2);
    got.extend(steps(&mut second, &batch, 2));

    assert_eq!(got, expect);
    assert_eq!(weights(second.policy()), weights(straight.policy()));
}

#[test]
fn four_steps_are_two_and_two_in_f32() {
    check(DType::F32);
}

#[test]
fn four_steps_are_two_and_two_in_bf16() {
    check(DType::BF16);
}

#[test]
fn coefficients_that_adapt_are_part_of_the_checkpoint() {
    check_setup(DType::F32, Backend::Cpu, &Setup { loss: adaptive(), ..Setup::default() });
}

#[test]
fn a_checkpoint_is_a_hugging_face_directory() {
    let setup = Setup::without_kl();
    let dir = tempdir().unwrap();
    let mut learner = setup.learner();
    learner.grpo_step(&batch()).unwrap();
    let checkpoints = Checkpoints::new(dir.path(), 1).unwrap();
    let path = checkpoints.save(&learner, &Cursor::default()).unwrap();
    assert_eq!(path, dir.path().join("step-000001"));
    assert_eq!(weights(&load_from(&path, DType::F32, false)), weights(learner.policy()));
    vrft_processor::Processor::load(&path).unwrap();
}
