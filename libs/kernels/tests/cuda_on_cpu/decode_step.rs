//! What surrounds the products of a whole decoding step, against its definition in f32.

use candle_core::DType;

use crate::Case;
use crate::program::{Argument, Grid, Program};
use crate::values::{DTYPES, Outcome, compare, floats, name, random};

const N: usize = 3;
const SCALE: f32 = 0.5;
const EPS: f32 = 1e-6;
/// One that is read eight values at a time, and one that is not.
const RANKS: [usize; 2] = [8, 3];

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for dtype in DTYPES {
        for rank in RANKS {
            let mut push = |what: &str, run: fn(&Program, DType, usize) -> Outcome| {
                let case = format!("decode_step_{what}_{}_rank_{rank}", name(dtype));
                cases.push(Case::new(case, move |program| run(program, dtype, rank)));
            };
            push("add_norm", add_norm);
            push("gated", gated);
            push("place", place);
        }
        let case = format!("decode_step_first_norm_{}", name(dtype));
        cases.push(Case::new(case, move |program| first_norm(program, dtype)));
    }
    cases
}

/// A tensor for a kernel and its values.
fn operand(dims: &[usize], seed: u64, dtype: DType) -> candle_core::Result<(Argument, Vec<f32>)> {
    let tensor = random(dims, seed, dtype)?;
    Ok((Argument::of(&tensor)?, floats(&tensor)?))
}

/// Output `col` of a row of a projection's results: with its bias and, behind all outputs, the inner values of its adapter.
fn output(row: &[f32], inner: &[f32], bias: &[f32], b: &[f32], col: usize) -> f32 {
    let b = &b[col * inner.len()..][..inner.len()];
    row[col] + bias[col] + SCALE * inner.iter().zip(b).map(|(t, b)| t * b).sum::<f32>()
}

fn normalized(row: &[f32], weight: &[f32]) -> Vec<f32> {
    let square = row.iter().map(|x| x * x).sum::<f32>() / row.len() as f32;
    row.iter().zip(weight).map(|(x, w)| x / (square + EPS).sqrt() * w).collect()
}

fn add_norm(program: &Program, dtype: DType, rank: usize) -> Outcome {
    let width = 40;
    let stride = width + rank;
    let (y, of_y) = operand(&[N, stride], 1, dtype)?;
    let (bias, of_bias) = operand(&[width], 2, dtype)?;
    let (b, of_b) = operand(&[width, rank], 3, dtype)?;
    let (x, of_x) = operand(&[N, width], 4, dtype)?;
    let (norm, of_norm) = operand(&[width], 5, dtype)?;
    let mut arguments = vec![y, bias, b, x, norm, Argument::room(N * width, dtype)];
    arguments.extend([width, stride, rank].map(Argument::size));
    arguments.extend([SCALE, EPS].map(Argument::number));
    let kernel = format!("decode_step_add_norm_{}", name(dtype));
    let got = program.launch(&kernel, Grid::new(N as u32, 64), &arguments)?;
    let (mut sums, mut norms) = (Vec::new(), Vec::new());
    for (row, x) in of_y.chunks(stride).zip(of_x.chunks(width)) {
        let (outputs, inner) = row.split_at(width);
        let added = |col: usize| x[col] + output(outputs, inner, &of_bias, &of_b, col);
        let sum: Vec<f32> = (0..width).map(added).collect();
        norms.extend(normalized(&sum, &of_norm));
        sums.extend(sum);
    }
    compare("x", &got[3], dtype, &sums)?;
    compare("h", &got[5], dtype, &norms)
}

/// Nothing is added before the first layer.
fn first_norm(program: &Program, dtype: DType) -> Outcome {
    let width = 40;
    let (x, of_x) = operand(&[N, width], 4, dtype)?;
    let (norm, of_norm) = operand(&[width], 5, dtype)?;
    let none = || Argument::None;
    let mut arguments = vec![none(), none(), none(), x, norm, Argument::room(N * width, dtype)];
    arguments.extend([width, 0, 0].map(Argument::size));
    arguments.extend([0.0, EPS].map(Argument::number));
    let kernel = format!("decode_step_add_norm_{}", name(dtype));
    let got = program.launch(&kernel, Grid::new(N as u32, 64), &arguments)?;
    let norms: Vec<f32> = of_x.chunks(width).flat_map(|x| normalized(x, &of_norm)).collect();
    compare("x", &got[0], dtype, &of_x)?;
    compare("h", &got[2], dtype, &norms)
}

fn gated(program: &Program, dtype: DType, rank: usize) -> Outcome {
    let width = 24;
    let stride = 2 * width + 2 * rank;
    let (gate_up, of_gate_up) = operand(&[N, stride], 1, dtype)?;
    let (bias, of_bias) = operand(&[2 * width], 2, dtype)?;
    let (b, of_b) = operand(&[2 * width, rank], 3, dtype)?;
    let mut arguments = vec![gate_up, bias, b, Argument::room(N * width, dtype)];
    arguments.push(Argument::count(N as u64));
    arguments.extend([width, stride, rank].map(Argument::size));
    arguments.push(Argument::number(SCALE));
    let kernel = format!("decode_step_gated_{}", name(dtype));
    let got = program.launch(&kernel, Grid::new(2, 32), &arguments)?;
    let mut expected = Vec::new();
    for row in of_gate_up.chunks(stride) {
        let (outputs, inner) = row.split_at(2 * width);
        let (of_gate, of_up) = inner.split_at(rank);
        expected.extend((0..width).map(|col| {
            let gate = output(outputs, of_gate, &of_bias, &of_b, col);
            gate / (1.0 + (-gate).exp()) * output(outputs, of_up, &of_bias, &of_b, width + col)
        }));
    }
    compare("inner", &got[3], dtype, &expected)
}

/// Two query heads share a key head; the second row's key belongs nowhere.
fn place(program: &Program, dtype: DType, rank: usize) -> Outcome {
    const HEADS: [usize; 3] = [2, 1, 1];
    let head_dim = 16;
    let half = head_dim / 2;
    let n_heads: usize = HEADS.iter().sum();
    let n_outputs = n_heads * head_dim;
    let stride = n_outputs + 3 * rank;
    let (qkv, of_qkv) = operand(&[N, stride], 1, dtype)?;
    let (bias, of_bias) = operand(&[n_outputs], 2, dtype)?;
    let (b, of_b) = operand(&[n_outputs, rank], 3, dtype)?;
    let (q_norm, of_q_norm) = operand(&[head_dim], 4, dtype)?;
    let (k_norm, of_k_norm) = operand(&[head_dim], 5, dtype)?;
    let (cache, of_cache) = operand(&[4, head_dim], 6, dtype)?;
    let positions = [0u32, 5, 300];
    let newest = [2u32, u32::MAX, 0];
    let frequencies: Vec<f32> = (0..half).map(|i| 0.5f32.powi(i as i32)).collect();
    let table = candle_core::Tensor::new(&frequencies[..], &candle_core::Device::Cpu)?;
    let mut arguments = vec![qkv, bias, b, q_norm, k_norm, Argument::words(&positions)];
    arguments.extend([Argument::of(&table)?, Argument::words(&newest)]);
    arguments.extend([Argument::room(N * HEADS[0] * head_dim, dtype), cache.clone(), cache]);
    arguments.extend([HEADS[0], HEADS[1], head_dim, stride, rank].map(Argument::size));
    arguments.extend([SCALE, EPS].map(Argument::number));
    let kernel = format!("decode_step_place_{}", name(dtype));
    let got = program.launch(&kernel, Grid::two([N, n_heads], 32), &arguments)?;
    let (mut queries, mut keys, mut values) = (Vec::new(), of_cache.clone(), of_cache);
    for (row, of_row) in of_qkv.chunks(stride).enumerate() {
        let (outputs, inner) = of_row.split_at(n_outputs);
        for head in 0..n_heads {
            let part = usize::from(head >= HEADS[0]) + usize::from(head > HEADS[0]);
            let inner = &inner[part * rank..][..rank];
            let of_head = head * head_dim..(head + 1) * head_dim;
            let head: Vec<f32> =
                of_head.map(|col| output(outputs, inner, &of_bias, &of_b, col)).collect();
            let head = match part {
                0 => rotated(&normalized(&head, &of_q_norm), positions[row], &frequencies),
                1 => rotated(&normalized(&head, &of_k_norm), positions[row], &frequencies),
                _ => head,
            };
            match (part, newest[row] as usize * head_dim) {
                (0, _) => queries.extend(head),
                (_, start) if newest[row] == u32::MAX => assert!(start > 0),
                (1, start) => keys[start..start + head_dim].copy_from_slice(&head),
                (_, start) => values[start..start + head_dim].copy_from_slice(&head),
            }
        }
    }
    compare("queries", &got[8], dtype, &queries)?;
    compare("keys", &got[9], dtype, &keys)?;
    compare("values", &got[10], dtype, &values)
}

fn rotated(head: &[f32], position: u32, frequencies: &[f32]) -> Vec<f32> {
    let (first, second) = head.split_at(frequencies.len());
    let angle = |i: usize| position as f32 * frequencies[i];
    let pairs = || first.iter().zip(second).enumerate();
    let low = pairs().map(|(i, (x, y))| x * angle(i).cos() - y * angle(i).sin());
    let high = pairs().map(|(i, (x, y))| y * angle(i).cos() + x * angle(i).sin());
    low.chain(high).collect()
}
