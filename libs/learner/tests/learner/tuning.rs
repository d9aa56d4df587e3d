//! Attacked pictures, soft prompts, and starts that are learned over tasks.

use candle_core::{DType, Tensor};
use vrft_checkpoint::{PromptTuningConfig, SOFT_PROMPT};
use vrft_learner::{Demonstration, Learner, OptimizerConfig, Schedule};
use vrft_model::{LoadOptions, Policy};
use vrft_plan::AttackConfig;
use vrft_processor::Processor;

use crate::fixture::{Setup, batch, checkpoint_dir, distance, options, prompts, weights};

fn demonstrations() -> Vec<Demonstration> {
    let of = |(prompt, idx): (vrft_processor::EncodedPrompt, u32)| Demonstration {
        prompt,
        token_ids: vec![40 + idx, 50, 60 + idx],
    };
    prompts().into_iter().zip(0..).map(of).collect()
}

fn with_prompt() -> Policy {
    let prompt_tuning = Some(PromptTuningConfig { tokens: 4, seed: 1 });
    let options = LoadOptions { prompt_tuning, ..options(DType::F32, true) };
    Policy::load(&checkpoint_dir(), &options).unwrap()
}

fn fast() -> Setup {
    let optimizer = OptimizerConfig {
        learning_rate: 3e-2,
        schedule: Schedule::Constant,
        ..OptimizerConfig::default()
    };
    Setup { optimizer, ..Setup::default() }
}

fn soft(learner: &Learner) -> Tensor {
    learner.policy().tensors()[SOFT_PROMPT].copy().unwrap()
}

fn far(a: &Tensor, b: &Tensor) -> f64 {
    let squares = (a - b).unwrap().sqr().unwrap().sum_all().unwrap();
    f64::from(squares.to_scalar::<f32>().unwrap()).sqrt()
}

#[test]
fn an_adversarial_step_learns_from_what_is_harder_and_says_how_much() {
    let range = Processor::load(&checkpoint_dir()).unwrap().preprocessor().pixel_range();
    let attack = AttackConfig { epsilon: 8.0, steps: 3, step_size: 3.0, random_start: true };
    let demos = demonstrations();
    let stepped = || {
        let mut learner = Setup::default().learner();
        let stats = learner.adversarial_step(&demos, &attack, range).unwrap();
        (weights(learner.policy()), stats.metrics)
    };
    let (attacked, metrics) = stepped();
    assert!(metrics["attack/nll"] > metrics["attack/nll_before"] + 1e-3, "{metrics:?}");
    // Each token counts alike in the loss, each demonstration in the mean of the attacks: all have three tokens here.
    assert!((metrics["policy/loss"] - metrics["attack/nll"]).abs() < 1e-4, "{metrics:?}");
    let mut plain = Setup::default().learner();
    plain.sft_step(&demos).unwrap();
    assert!(distance(&weights(plain.policy()), &attacked) > 0.0);
    // The same step attacks alike.
    assert_eq!(distance(&stepped().0, &attacked), 0.0);
}

#[test]
fn a_soft_prompt_learns_and_leaves_the_rest_as_it_is() {
    let mut learner = fast().learner_of(with_prompt());
    let start = soft(&learner);
    let first = learner.sft_step(&demonstrations()).unwrap().metrics["policy/loss"];
    for _ in 0..10 {
        learner.sft_step(&demonstrations()).unwrap();
    }
    let last = learner.sft_step(&demonstrations()).unwrap().metrics["policy/loss"];
    assert!(last < first - 0.1, "{first} to {last}");
    assert!(far(&soft(&learner), &start) > 0.1);
    assert_eq!(learner.policy().variables().len(), 1);
}

#[test]
fn a_soft_prompt_is_held_near_the_policy_without_it() {
    let mut learner = fast().learner_of(with_prompt());
    learner.grpo_step(&batch()).unwrap();
    let metrics = learner.grpo_step(&batch()).unwrap().metrics;
    assert!(metrics["policy/kl"] > 1e-4, "{metrics:?}");
}

#[test]
fn reptile_goes_a_share_of_the_way_that_the_steps_of_a_task_go() {
    let batches = vec![demonstrations(); 3];
    let whole = {
        let mut learner = fast().learner_of(with_prompt());
        let stats = learner.reptile(&batches, 1.0).unwrap();
        assert!(stats.last_loss < stats.first_loss, "{stats:?}");
        soft(&learner)
    };
    let by_steps = {
        let mut learner = fast().learner_of(with_prompt());
        for batch in &batches {
            learner.sft_step(batch).unwrap();
        }
        soft(&learner)
    };
    assert!(far(&whole, &by_steps) < 1e-5);
    let mut learner = fast().learner_of(with_prompt());
    let start = soft(&learner);
    learner.reptile(&batches, 0.25).unwrap();
    let quarter = ((&whole - &start).unwrap() * 0.25 + start).unwrap();
    assert!(far(&soft(&learner), &quarter) < 1e-5);
    assert!(learner.reptile(&[], 0.5).is_err());
}

#[test]
fn a_start_learned_over_tasks_learns_another_task_faster() {
    // Each task answers the same questions with its own first token, and the rest alike.
    let task = |token: u32| -> Vec<Demonstration> {
        let of = |demo: Demonstration| Demonstration { token_ids: vec![token, 50, 61], ..demo };
        demonstrations().into_iter().map(of).collect()
    };
    let loss_after = |learner: &mut Learner| {
        let losses = (0..3).map(|_| learner.sft_step(&task(90)).unwrap().metrics["policy/loss"]);
        losses.last().unwrap()
    };
    let fresh = loss_after(&mut fast().learner_of(with_prompt()));
    let mut learner = fast().learner_of(with_prompt());
    for _ in 0..6 {
        for token in [70, 80, 100] {
            learner.reptile(&vec![task(token); 4], 0.5).unwrap();
        }
    }
    let folder = tempfile::tempdir().unwrap();
    learner.policy().save(folder.path()).unwrap();
    let started = with_prompt();
    started.restore(folder.path()).unwrap();
    let learned = loss_after(&mut fast().learner_of(started));
    assert!(learned < fresh - 0.5, "{fresh} from a fresh prompt, {learned} from a learned one");
}
