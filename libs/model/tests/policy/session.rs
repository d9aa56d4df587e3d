//! The cached forward agrees with the packed one, whatever rows it carries.

use candle_core::Tensor;
use vrft_model::{PackedGroup, Session};
use vrft_processor::EncodedPrompt;

use crate::fixture::{Golden, difference, flat, load};

/// Tokens for row `row` at step `step`, any fixed choice.
fn token(row: usize, step: usize) -> u32 {
    (20 + 37 * row + 11 * step + row * step) as u32 % 320
}

fn prompts() -> Vec<EncodedPrompt> {
    let golden = Golden::load();
    ["one_image", "no_image", "two_images"].map(|case| golden.prompt(case)).into()
}

/// Logprobs of the fed tokens, row after row.
fn decoded(session: &mut Session, n_rows: usize, n_steps: usize) -> Vec<f32> {
    let mut logprobs = vec![Vec::new(); n_rows];
    for step in 0..n_steps {
        let logits = session.logits().to_vec2::<f32>().expect("logits");
        let tokens: Vec<u32> = (0..n_rows).map(|row| token(row, step)).collect();
        for (row, logits) in logits.iter().enumerate() {
            let max = logits.iter().copied().fold(f32::MIN, f32::max);
            let sum: f32 = logits.iter().map(|x| (x - max).exp()).sum();
            logprobs[row].push(logits[tokens[row] as usize] - max - sum.ln());
        }
        session.step(&tokens).expect("a step");
    }
    logprobs.concat()
}

#[test]
fn decoding_agrees_with_the_packed_forward() {
    // More steps than the cache has places at the start, so that it grows.
    let n_steps = 40;
    let group_size = 2;
    let policy = load(false);
    let prompts = prompts();
    let prompt_refs: Vec<&EncodedPrompt> = prompts.iter().collect();
    let mut session = policy.start(&prompt_refs, group_size).unwrap();
    let n_rows = prompts.len() * group_size;
    let got = decoded(&mut session, n_rows, n_steps);
    let completions: Vec<Vec<u32>> =
        (0..n_rows).map(|row| (0..n_steps).map(|step| token(row, step)).collect()).collect();
    let slices: Vec<&[u32]> = completions.iter().map(Vec::as_slice).collect();
    let groups: Vec<PackedGroup> = prompts
        .iter()
        .zip(slices.chunks(group_size))
        .map(|(prompt, completions)| PackedGroup { prompt, completions })
        .collect();
    let expected = flat(&policy.logprobs(&groups, 1.0).unwrap().logprobs);
    let off = got.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(off < 1e-4, "logprobs off by {off}");
}

#[test]
fn rows_of_a_group_start_equal() {
    let prompts = prompts();
    let session = load(false).start(&[&prompts[0], &prompts[1]], 3).unwrap();
    assert_eq!(session.logits().dims(), [6, 320]);
    let rows = session.logits().to_vec2::<f32>().unwrap();
    assert!(rows[0] == rows[2] && rows[3] == rows[5] && rows[0] != rows[3]);
}

#[test]
fn rows_that_finish_leave_the_others_as_they_were() {
    let prompts = prompts();
    let prompt_refs: Vec<&EncodedPrompt> = prompts.iter().collect();
    let policy = load(false);
    let mut all = policy.start(&prompt_refs, 2).unwrap();
    let mut some = policy.start(&prompt_refs, 2).unwrap();
    let first: Vec<u32> = (0..6).map(|row| token(row, 0)).collect();
    all.step(&first).unwrap();
    some.step(&first).unwrap();
    // Drops a row of the first group and all of the second.
    some.retain(&[false, true, false, false, true, true]).unwrap();
    let kept = Tensor::new(&[1u32, 4, 5], &candle_core::Device::Cpu).unwrap();
    for step in 1..4 {
        let expected = all.logits().index_select(&kept, 0).unwrap();
        let off = difference(some.logits(), &expected);
        assert!(off < 1e-4, "step {step} off by {off}");
        let tokens: Vec<u32> = (0..6).map(|row| token(row, step)).collect();
        all.step(&tokens).unwrap();
        some.step(&[tokens[1], tokens[4], tokens[5]]).unwrap();
    }
}

#[test]
fn a_group_that_joins_later_is_as_if_it_were_alone() {
    let prompts = prompts();
    let policy = load(false);
    let mut shared = policy.start(&[&prompts[0], &prompts[1]], 2).unwrap();
    let mut alone = policy.start(&[&prompts[2]], 2).unwrap();
    for step in 0..35 {
        shared.step(&[0, 1, 2, 3].map(|row| token(row, step))).unwrap();
    }
    // The first group ends, and with it its prefix; the newcomer takes its places.
    shared.retain(&[false, false, true, false]).unwrap();
    shared.admit(&[&prompts[2]], 2).unwrap();
    let last_two = |logits: &Tensor| logits.narrow(0, 1, 2).unwrap();
    for step in 0..40 {
        let off = difference(&last_two(shared.logits()), alone.logits());
        assert!(off < 1e-4, "step {step} off by {off}");
        let tokens = [token(4, step), token(5, step)];
        shared.step(&[token(2, step + 35), tokens[0], tokens[1]]).unwrap();
        alone.step(&tokens).unwrap();
    }
}

#[test]
fn the_group_that_stayed_does_not_notice_who_joins() {
    let prompts = prompts();
    let policy = load(false);
    let mut shared = policy.start(&[&prompts[0], &prompts[1]], 1).unwrap();
    let mut alone = policy.start(&[&prompts[1]], 1).unwrap();
    for step in 0..60 {
        shared.step(&vec![token(1, step); shared.n_rows()]).unwrap();
        alone.step(&[token(1, step)]).unwrap();
        if step == 20 {
            shared.retain(&[false, true]).unwrap();
            shared.admit(&[&prompts[2]], 3).unwrap();
        }
        let stayed = if step < 20 { 1 } else { 0 };
        let off = difference(&shared.logits().narrow(0, stayed, 1).unwrap(), alone.logits());
        assert!(off < 1e-4, "step {step} off by {off}");
    }
}

#[test]
fn a_session_may_run_out_of_rows() {
    let prompts = prompts();
    let mut session = load(false).start(&[&prompts[1]], 2).unwrap();
    session.retain(&[false, false]).unwrap();
    assert_eq!(session.logits().dims(), [0, 320]);
    let error = session.step(&[]).unwrap_err();
    assert_eq!(error.to_string(), "tokens of a step should be 0, one per live row, got 0");
}

#[test]
fn a_step_needs_one_token_per_row() {
    let prompts = prompts();
    let mut session = load(false).start(&[&prompts[1]], 2).unwrap();
    let error = session.step(&[1]).unwrap_err();
    assert_eq!(error.to_string(), "tokens of a step should be 2, one per live row, got 1");
}
