//! Sampler and learner agree on the probability of every token that was sampled.

use vrft_learner::{TrainCompletion, TrainGroup};
use vrft_processor::Processor;
use vrft_rollout::Sampling;

use crate::fixture::{Setup, checkpoint_dir, load, prompts};

#[test]
fn the_ratio_of_fresh_completions_is_one() {
    let setup = Setup::default();
    let prompts = prompts();
    let processor = Processor::load(&checkpoint_dir()).unwrap();
    let sampling = Sampling {
        temperature: setup.temperature,
        top_p: 1.0,
        top_k: 0,
        max_tokens: 24,
        min_tokens: 0,
        stop: Vec::new(),
        max_rows: 8,
    };
    // With these seeds some completions name the image token, which must not be taken for an image.
    let seed = |prompt: usize, completion: usize| (100 * prompt + completion) as u64;
    let refs: Vec<_> = prompts.iter().collect();
    let sampled =
        vrft_rollout::generate(&load(false), &processor, &refs, 4, &sampling, &seed).unwrap();
    let train = |completion: vrft_rollout::Completion, advantage| TrainCompletion {
        token_ids: completion.token_ids,
        old_logprobs: completion.logprobs,
        advantage,
        truncated: false,
        is_scored: true,
        origin: vrft_learner::Origin::Sampled,
        inserted: vec![],
        first_turn: None,
    };
    let groups: Vec<TrainGroup> = prompts
        .iter()
        .zip(sampled)
        .enumerate()
        .map(|(id, (prompt, completions))| TrainGroup {
            prompt_id: id as u64,
            hinted: None,
            prompt: prompt.clone(),
            completions: completions
                .into_iter()
                .zip([1.0, -1.0, 0.5, -0.5])
                .map(|(c, a)| train(c, a))
                .collect(),
        })
        .collect();
    let metrics = setup.learner().grpo_step(&groups).unwrap().metrics;
    assert!((metrics["policy/ratio"] - 1.0).abs() < 1e-4, "{metrics:?}");
    assert_eq!(metrics["policy/clip_fraction"], 0.0);
}
