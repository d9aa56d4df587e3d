//! Moments in fewer bits: they learn as those in f32 do, and a run goes on from them bit by bit.

use candle_core::DType;
use tempfile::tempdir;
use vrft_kernels::Backend;
use vrft_learner::{Checkpoints, Cursor, Demonstration, Learner, OptimizerState, Schedule};

use crate::fixture::{Setup, load, prompts};
use crate::resume;

const N_STEPS: usize = 40;

fn setup(state: OptimizerState) -> Setup {
    let mut setup = Setup::without_kl();
    setup.optimizer.state = state;
    setup.optimizer.schedule = Schedule::Constant;
    setup.optimizer.learning_rate = 1e-3;
    setup.learner.steps = N_STEPS as u64;
    setup
}

fn demonstrations() -> Vec<Demonstration> {
    let answers = [vec![35, 37, 27, 2], vec![90, 35, 120, 121, 2], vec![50, 2]];
    let demonstrations = prompts().into_iter().zip(answers);
    demonstrations.map(|(prompt, token_ids)| Demonstration { prompt, token_ids }).collect()
}

/// Loss of every step.
fn curve(learner: &mut Learner, n: usize) -> Vec<f64> {
    let demonstrations = demonstrations();
    let step = |_| learner.sft_step(&demonstrations).unwrap().metrics["policy/loss"];
    (0..n).map(step).collect()
}

/// Largest difference of the curves as a share of what is learned in all.
fn apart(state: OptimizerState) -> f64 {
    let of = |state| curve(&mut setup(state).learner(), N_STEPS);
    let (expected, got) = (of(OptimizerState::F32), of(state));
    let learned = expected[0] - expected[N_STEPS - 1];
    assert!(learned > 2.0, "{expected:?}");
    let off = expected.iter().zip(&got).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    off / learned
}

#[test]
fn sixteen_bits_learn_as_thirty_two_do() {
    let apart = apart(OptimizerState::Bf16);
    assert!(apart < 0.02, "{apart} of the way apart");
}

#[test]
fn eight_bits_learn_nearly_as_thirty_two_do() {
    let apart = apart(OptimizerState::Int8);
    assert!(apart < 0.05, "{apart} of the way apart");
}

#[test]
fn four_steps_are_two_and_two_in_fewer_bits() {
    for state in [OptimizerState::Bf16, OptimizerState::Int8] {
        let mut setup = Setup::default();
        setup.optimizer.state = state;
        resume::check_setup(DType::F32, Backend::Cpu, &setup);
    }
}

#[test]
fn a_checkpoint_in_fewer_bits_is_smaller_and_can_be_gone_on_from_in_any() {
    let size_of = |state| {
        let dir = tempdir().unwrap();
        let mut learner = setup(state).learner();
        curve(&mut learner, 2);
        let checkpoints = Checkpoints::new(dir.path(), 1).unwrap();
        let path = checkpoints.save(&learner, &Cursor::default()).unwrap();
        for other in [OptimizerState::F32, OptimizerState::Bf16, OptimizerState::Int8] {
            let mut second = setup(other).learner_of(load(true));
            second.restore(&checkpoints.newest().unwrap().unwrap()).unwrap();
            // The first loss is that of the weights alone, the second of what the moments made of them.
            let [a, b] = [curve(&mut learner, 2), curve(&mut second, 2)];
            assert_eq!(a[0], b[0]);
            assert!((a[1] - b[1]).abs() < 0.01 * a[1], "{state:?} to {other:?}: {a:?}, {b:?}");
            learner.restore(&checkpoints.newest().unwrap().unwrap()).unwrap();
        }
        std::fs::metadata(path.join("optimizer.safetensors")).unwrap().len() as f64
    };
    let all = size_of(OptimizerState::F32);
    let (half, quarter) =
        (size_of(OptimizerState::Bf16) / all, size_of(OptimizerState::Int8) / all);
    // The smallest variables stay in f32, and names take their room.
    assert!(half < 0.62 && quarter < 0.45, "{half}, {quarter}");
}
