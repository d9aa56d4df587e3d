//! Completions of two turns: what stands between them is read and not learned, and each turn has its own credit.

use vrft_learner::{FirstTurn, Learner, TrainCompletion, TrainGroup};
use vrft_model::PackedGroup;
use vrft_objective::config::{Aggregation, LossConfig};
use vrft_processor::{EncodedPrompt, Insertion};

use crate::fixture::{Setup, load, prompts};

const FIRST: [u32; 4] = [40, 41, 42, 43];
const SECOND: [u32; 3] = [60, 61, 62];

/// A sum over tokens, so that a turn weighs the same alone and beside another one.
fn setup() -> Setup {
    let aggregation = Aggregation::SequenceSum;
    let loss = LossConfig { aggregation, kl_coef: 0.0, ..LossConfig::default() };
    Setup { loss, ..Setup::default() }
}

/// A picture with words, between the turns.
fn inserted() -> Insertion {
    let [image, ..] = prompts();
    Insertion { after: FIRST.len(), tokens: image }
}

fn completion(
    prompt: &EncodedPrompt,
    token_ids: &[u32],
    inserted: Vec<Insertion>,
    advantage: f32,
) -> TrainCompletion {
    let group = PackedGroup { prompt, completions: &[token_ids], inserted: &[&inserted] };
    let tokens = load(false).logprobs(&[group], setup().temperature).unwrap();
    TrainCompletion {
        token_ids: token_ids.to_vec(),
        old_logprobs: tokens.logprobs.to_vec1().unwrap(),
        advantage,
        truncated: false,
        is_scored: true,
        origin: vrft_learner::Origin::Sampled,
        inserted,
        first_turn: None,
    }
}

/// Two turns with an advantage each.
fn two_turns(first: f32, second: f32) -> TrainGroup {
    let [_, prompt, _] = prompts();
    let tokens = [&FIRST[..], &SECOND].concat();
    let mut completion = completion(&prompt, &tokens, vec![inserted()], second);
    let advantage = first;
    completion.first_turn = Some(FirstTurn { n_tokens: FIRST.len(), advantage });
    TrainGroup { prompt_id: 0, prompt, hinted: None, completions: vec![completion] }
}

/// One of the turns alone, behind all that stands before it.
fn one_turn(prompt: EncodedPrompt, tokens: &[u32], advantage: f32) -> TrainGroup {
    let completions = vec![completion(&prompt, tokens, vec![], advantage)];
    TrainGroup { prompt_id: 0, prompt, hinted: None, completions }
}

fn first_alone(advantage: f32) -> TrainGroup {
    let [_, prompt, _] = prompts();
    one_turn(prompt, &FIRST, advantage)
}

fn second_alone(advantage: f32) -> TrainGroup {
    let [_, prompt, _] = prompts();
    let mut before = prompt.followed_by(&FIRST);
    let (next, tokens) = (before.next_position(), inserted().tokens);
    before.token_ids.extend(tokens.token_ids);
    before.positions.extend(tokens.positions.iter().map(|place| place.map(|axis| axis + next)));
    before.images.extend(tokens.images);
    one_turn(before, &SECOND, advantage)
}

fn gradient(group: TrainGroup) -> Vec<f32> {
    let mut learner: Learner = setup().learner();
    let groups = [group];
    let counts = learner.counts(&groups);
    let (gradients, _) = learner.gradients_of(&groups, &counts).unwrap();
    gradients.to_flat(learner.policy().variables()).unwrap()
}

#[track_caller]
fn check_equal(got: &[f32], expect: &[f32]) {
    let largest = expect.iter().fold(0.0f32, |most, value| most.max(value.abs()));
    assert!(largest > 1e-3, "a gradient that says something");
    let off = got.iter().zip(expect).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(off < 1e-4 * largest, "off by {off}, largest {largest}");
}

#[test]
fn the_second_turn_is_learned_as_an_answer_to_all_that_stands_before_it() {
    check_equal(&gradient(two_turns(0.0, 1.0)), &gradient(second_alone(1.0)));
}

#[test]
fn the_first_turn_is_learned_as_if_nothing_followed() {
    check_equal(&gradient(two_turns(-0.5, 0.0)), &gradient(first_alone(-0.5)));
}

#[test]
fn each_turn_has_its_own_credit() {
    let first = gradient(first_alone(-0.5));
    let second = gradient(second_alone(2.0));
    let sum: Vec<f32> = first.iter().zip(&second).map(|(a, b)| a + b).collect();
    check_equal(&gradient(two_turns(-0.5, 2.0)), &sum);
}

#[test]
fn a_first_turn_that_is_all_of_it_is_refused() {
    let mut group = two_turns(1.0, 1.0);
    group.completions[0].first_turn = Some(FirstTurn { n_tokens: 7, advantage: 1.0 });
    let error = setup().learner().grpo_step(&[group]).unwrap_err().to_string();
    let expect =
        "tokens of the first turn of completion 0 of prompt 0 should be below its 7 tokens, got 7";
    assert_eq!(error, expect);
}
