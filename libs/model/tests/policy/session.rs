//! The cached forward agrees with the packed one, whatever rows it carries.

use candle_core::Tensor;
use vrft_model::{Continued, PackedGroup, Session};
use vrft_processor::{EncodedPrompt, Insertion};

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
        .map(|(prompt, completions)| PackedGroup { prompt, completions, inserted: &[] })
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

/// Feeds the tokens of `row` from step `from` on to the last row of a session; their logprobs.
fn last_row_decoded(session: &mut Session, row: usize, from: usize, to: usize) -> Vec<f32> {
    let mut logprobs = Vec::new();
    for step in from..to {
        let logits = session.logits().to_vec2::<f32>().expect("logits").remove(0);
        let max = logits.iter().copied().fold(f32::MIN, f32::max);
        let sum: f32 = logits.iter().map(|x| (x - max).exp()).sum();
        logprobs.push(logits[token(row, step) as usize] - max - sum.ln());
        if step + 1 < to {
            session.step(&[token(row, step)]).expect("a step");
        }
    }
    logprobs
}

/// A completion of 9 tokens into which a picture with words is inserted after 4 and words alone after 5, and one that is not
/// interrupted beside it.
#[test]
fn completions_that_paused_go_on_as_the_packed_forward_reads_them() {
    let policy = load(false);
    let [image, words, prompt] = &prompts()[..] else { panic!("three prompts") };
    let mut session = policy.start(&[prompt], 2).unwrap();
    let mut got = Vec::new();
    for step in 0..4 {
        let logits = session.logits().to_vec2::<f32>().expect("logits").remove(0);
        let max = logits.iter().copied().fold(f32::MIN, f32::max);
        let sum: f32 = logits.iter().map(|x| (x - max).exp()).sum();
        got.push(logits[token(0, step) as usize] - max - sum.ln());
        if step < 3 {
            session.step(&[token(0, step), token(1, step)]).unwrap();
        }
    }
    let paused = session.pause(0).unwrap();
    assert!(session.pause(2).is_err());
    session.retain(&[false, false]).unwrap();
    let go_on = |paused, last_token, inserted| Continued { paused, last_token, inserted };
    session.resume(&[go_on(&paused, token(0, 3), image)]).unwrap();
    got.extend(last_row_decoded(&mut session, 0, 4, 5));
    let paused = session.pause(0).unwrap();
    session.retain(&[false]).unwrap();
    session.resume(&[go_on(&paused, token(0, 4), words)]).unwrap();
    got.extend(last_row_decoded(&mut session, 0, 5, 9));

    let completion: Vec<u32> = (0..9).map(|step| token(0, step)).collect();
    let inserted = [
        Insertion { after: 4, tokens: image.clone() },
        Insertion { after: 5, tokens: words.clone() },
    ];
    let other: Vec<u32> = (0..3).map(|step| token(1, step)).collect();
    let group =
        PackedGroup { prompt, completions: &[&other, &completion], inserted: &[&[], &inserted] };
    let expected = flat(&policy.logprobs(&[group], 1.0).unwrap().logprobs);
    assert_eq!(expected.len(), 3 + 9, "nothing but the policy's own tokens is predicted");
    let off = got.iter().zip(&expected[3..]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(off < 1e-4, "logprobs off by {off}");

    // The whole as one prompt, read anew: positions go on behind each picture as they do in a conversation.
    let read_on = |prompt: &EncodedPrompt, tokens: &[u32], inserted: &EncodedPrompt| {
        let mut whole = prompt.followed_by(tokens);
        let next = whole.next_position();
        whole.token_ids.extend(&inserted.token_ids);
        whole.positions.extend(inserted.positions.iter().map(|p| p.map(|axis| axis + next)));
        whole.images.extend(inserted.images.iter().cloned());
        whole
    };
    let whole = read_on(&read_on(prompt, &completion[..4], image), &completion[4..5], words);
    let rest = PackedGroup { prompt: &whole, completions: &[&completion[5..]], inserted: &[] };
    let expected = flat(&policy.logprobs(&[rest], 1.0).unwrap().logprobs);
    let off = got[5..].iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(off < 1e-4, "logprobs off by {off}");
}

#[test]
fn what_cannot_be_inserted_is_named() {
    let policy = load(false);
    let [image, words, prompt] = &prompts()[..] else { panic!("three prompts") };
    let refused = |after, tokens: &EncodedPrompt, expect: &str| {
        let inserted = [Insertion { after, tokens: tokens.clone() }];
        let group = PackedGroup { prompt, completions: &[&[5, 6]], inserted: &[&inserted] };
        let error = policy.logprobs(&[group], 1.0).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
    };
    refused(0, words, "place of what is inserted into completion 0 of group 0 should be rising");
    refused(2, words, "below its 2 tokens, got 2");
    let without = EncodedPrompt { images: vec![], ..image.clone() };
    refused(
        1,
        &without,
        "image tokens of what is inserted into completion 0 of group 0 should be 0",
    );
}
