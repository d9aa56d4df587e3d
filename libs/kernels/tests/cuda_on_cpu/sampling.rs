//! Draws of tokens: what may be drawn, how often, and by what chance.

use candle_core::{Device, Tensor};

use crate::Case;
use crate::program::{Argument, Grid, Program};
use crate::values::{Outcome, near, values_of};

const N_ROWS: usize = 600;
const VOCAB_SIZE: usize = 100;
/// Parts of a line; the last ones of a short line have nothing.
const N_PARTS: usize = 3;
const NO_TOKEN: u32 = u32::MAX;

/// Settings of a launch, as the kernel takes them.
#[derive(Clone, Copy)]
struct Settings {
    temperature: f32,
    top_k: usize,
    top_p: f32,
    min_p: f32,
    may_end: bool,
}

const ALL: Settings =
    Settings { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, may_end: true };

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut push = |what: &str, settings: Settings, expected: &'static [(u32, f32)]| {
        let run = move |program: &Program| check(program, settings, expected);
        cases.push(Case::new(format!("sample_{what}"), run));
    };
    let all = &[(3, 0.5), (70, 0.25), (98, 0.125), (99, 0.125)];
    push("takes_tokens_as_often_as_they_are_probable", ALL, all);
    let no_end = Settings { may_end: false, ..ALL };
    push("gives_the_share_of_the_end_to_others", no_end, &[(70, 0.5), (98, 0.25), (99, 0.25)]);
    let two = Settings { top_k: 2, ..ALL };
    push("keeps_so_many", two, &[(3, 2.0 / 3.0), (70, 1.0 / 3.0)]);
    // The first of two equal ones.
    let three = Settings { top_k: 3, ..ALL };
    push(
        "keeps_the_lower_of_equal_ones",
        three,
        &[(3, 4.0 / 7.0), (70, 2.0 / 7.0), (98, 1.0 / 7.0)],
    );
    let most = Settings { top_p: 0.7, ..ALL };
    push("keeps_the_token_that_reaches_top_p", most, &[(3, 2.0 / 3.0), (70, 1.0 / 3.0)]);
    let both = Settings { top_k: 3, top_p: 0.5, ..ALL };
    push("takes_top_p_of_what_top_k_kept", both, &[(3, 1.0)]);
    let near = Settings { min_p: 0.3, ..ALL };
    push("keeps_what_is_not_much_less_probable", near, &[(3, 2.0 / 3.0), (70, 1.0 / 3.0)]);
    let cold = Settings { temperature: 0.5, ..ALL };
    push("is_sharper_when_cold", cold, &[(3, 0.727), (70, 0.182), (98, 0.045), (99, 0.045)]);
    cases.push(Case::new("sample_does_not_depend_on_neighbors", alone));
    cases.push(Case::new("sample_takes_the_first_of_the_most_probable", greedy));
    cases.push(Case::new("sample_of_no_distribution_gives_no_token", nothing));
    cases
}

/// Probabilities 0.5, 0.25, 0.125, 0.125.
fn line() -> Vec<f32> {
    let mut line = vec![f32::NEG_INFINITY; VOCAB_SIZE];
    for (token, p) in [(3, 0.5f32), (70, 0.25), (98, 0.125), (99, 0.125)] {
        line[token] = p.ln() + 3.0;
    }
    line
}

/// Tokens and logprobs; the rows' seeds are `seeds`, their place is 5, and token 3 is an end.
fn draw(
    program: &Program,
    lines: &[Vec<f32>],
    seeds: &[u64],
    settings: Settings,
    greedy: bool,
) -> Result<(Vec<u32>, Vec<f32>), libtest_mimic::Failed> {
    let n = lines.len();
    let vocab_size = lines[0].len();
    let logits = Tensor::from_vec(lines.concat(), (n, vocab_size), &Device::Cpu)?;
    // The third of five tokens that are behind.
    let rows: Vec<u32> =
        seeds.iter().flat_map(|seed| [*seed as u32, (*seed >> 32) as u32, 2]).collect();
    let min_tokens = if settings.may_end { 5 } else { 6 };
    let tables = || -> Result<Vec<Argument>, libtest_mimic::Failed> {
        Ok(vec![Argument::of(&logits)?, Argument::words(&rows), Argument::words(&[3])])
    };
    let inverse = || Argument::number(1.0 / settings.temperature);
    let of_rows = || {
        let [offset, min_tokens] = [Argument::word(3), Argument::word(min_tokens)];
        let sizes = [Argument::size(vocab_size), Argument::size(1)];
        [offset, min_tokens]
            .into_iter()
            .chain(sizes)
            .chain([inverse(), Argument::size(usize::from(greedy))])
    };
    let room = || Argument::words(&vec![7; n]);
    let mut arguments = tables()?;
    arguments.extend([room(), room()]);
    arguments.extend(of_rows());
    arguments.extend([Argument::size(settings.top_k)]);
    arguments.extend([Argument::number(settings.top_p), Argument::number(settings.min_p)]);
    let got = program.launch("sample", Grid::new(n as u32, 32), &arguments)?;
    let words = |bytes: &[u8]| -> Vec<u32> {
        bytes.as_chunks().0.iter().map(|x| u32::from_ne_bytes(*x)).collect()
    };
    let tokens = words(&got[3]);
    let logprobs = values_of(&got[4], candle_core::DType::F32);
    if settings.top_k > 0 || settings.top_p < 1.0 || settings.min_p > 0.0 {
        return Ok((tokens, logprobs));
    }
    // Where nothing is left out, the kernels for parts of lines draw the same.
    let mut arguments = tables()?;
    arguments.push(Argument::words(&vec![7; n * N_PARTS * 4]));
    arguments.extend(of_rows());
    let grid = Grid { blocks: [n as u32, N_PARTS as u32], threads: 64, shared_bytes: 0 };
    let got = program.launch("sample_parts", grid, &arguments)?;
    let mut arguments = vec![Argument::of(&logits)?, Argument::words(&words(&got[3]))];
    arguments.extend([
        room(),
        room(),
        Argument::size(N_PARTS),
        Argument::size(vocab_size),
        inverse(),
    ]);
    let got = program.launch("sample_join", Grid::new(n as u32, 32), &arguments)?;
    let by_parts = words(&got[2]);
    if by_parts != tokens {
        return Err(format!("{by_parts:?} by parts, {tokens:?} by lines").into());
    }
    let drawn = |logprobs: &[f32]| -> Vec<f32> {
        let of = tokens.iter().zip(logprobs).filter(|(token, _)| **token != NO_TOKEN);
        of.map(|(_, logprob)| *logprob).collect()
    };
    let of_parts = drawn(&values_of(&got[3], candle_core::DType::F32));
    near("logprobs by parts", &of_parts, &drawn(&logprobs), 1e-5)?;
    Ok((tokens, logprobs))
}

fn check(program: &Program, settings: Settings, expected: &[(u32, f32)]) -> Outcome {
    let seeds: Vec<u64> = (0..N_ROWS as u64).map(|i| i * 0x9e37_79b9_7f4a_7c15).collect();
    let (tokens, logprobs) = draw(program, &vec![line(); N_ROWS], &seeds, settings, false)?;
    let mut n_expected = 0;
    for (token, share) in expected {
        let places: Vec<usize> = (0..N_ROWS).filter(|i| tokens[*i] == *token).collect();
        n_expected += places.len();
        near(
            &format!("share of {token}"),
            &[places.len() as f32 / N_ROWS as f32],
            &[*share],
            0.25,
        )?;
        // The logprob is that of the whole distribution.
        let power = |p: f32| (p.ln() / settings.temperature).exp();
        let of = |token: u32| {
            [(3, 0.5), (70, 0.25)].iter().find(|(t, _)| *t == token).map_or(0.125, |x| x.1)
        };
        let all = power(0.5) + power(0.25) + 2.0 * power(0.125);
        let own = (power(of(*token)) / all).ln();
        for place in places {
            near("logprob", &[logprobs[place]], &[own], 1e-5)?;
        }
    }
    if n_expected != N_ROWS {
        return Err(format!("{} tokens that may not be drawn", N_ROWS - n_expected).into());
    }
    Ok(())
}

fn alone(program: &Program) -> Outcome {
    let flat = vec![0.0; 1000];
    let together = draw(program, &vec![flat.clone(); 5], &[11, 12, 13, 14, 11], ALL, false)?.0;
    let single = draw(program, &[flat], &[13], ALL, false)?.0;
    if together[2] != single[0] || together[0] != together[4] || together[0] == together[1] {
        return Err(format!("{together:?}, alone {single:?}").into());
    }
    Ok(())
}

fn greedy(program: &Program) -> Outcome {
    let lines = vec![vec![0.5, 2.0, 2.0, 1.0], vec![-1.0, -5.0, -2.0, -1.0]];
    let (tokens, _) = draw(program, &lines, &[1, 2], ALL, true)?;
    if tokens == [1, 0] { Ok(()) } else { Err(format!("{tokens:?}").into()) }
}

fn nothing(program: &Program) -> Outcome {
    let inf = f32::INFINITY;
    let lines: Vec<Vec<f32>> =
        [[1.0, f32::NAN], [f32::NAN, 1.0], [1.0, inf], [-inf, -inf], [1.0, -inf]]
            .map(Vec::from)
            .into();
    let (tokens, _) = draw(program, &lines, &[1; 5], ALL, false)?;
    if tokens == [NO_TOKEN, NO_TOKEN, NO_TOKEN, NO_TOKEN, 0] {
        Ok(())
    } else {
        Err(format!("{tokens:?}").into())
    }
}
