//! Attention over packed groups: on tensor cores, and without them.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use vrft_kernels::{AttentionGroup, AttentionLayout, attention};

use crate::Case;
use crate::program::{Argument, Grid, Program};
use crate::values::{DTYPES, OnCpu, Outcome, compare, name, random};

const THREADS: u32 = 128;

/// The groups of a case.
type Layout = fn() -> Vec<AttentionGroup>;

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let layouts: [(&str, Layout); 4] = [
        ("causal", || vec![group(9, &[], true)]),
        ("images", || vec![group(70, &[], false), group(5, &[], false)]),
        ("ragged_suffixes", || vec![group(70, &[50, 90, 3, 0, 1, 1], true), group(2, &[5], true)]),
        ("predicting_rows", || {
            let first = AttentionGroup { first_query: 69, ..group(70, &[50, 3], true) };
            let none = AttentionGroup { first_query: 5, ..group(5, &[], true) };
            vec![first, none]
        }),
    ];
    for (what, layout) in layouts {
        for dtype in DTYPES {
            // Widths of heads that have a kernel, that fill one up, and that tensor cores do not take.
            for (head_dim, heads) in [(64, [4, 2]), (72, [2, 2]), (128, [3, 1]), (12, [4, 2])] {
                if dtype == DType::F32 && head_dim > 64 {
                    continue;
                }
                let case = format!("attention_of_{what}_{}_{head_dim}", name(dtype));
                let run = move |program: &Program| check(program, layout(), dtype, head_dim, heads);
                cases.push(Case::new(case + "_equals_the_cpu", run));
            }
        }
    }
    cases
}

fn group(prefix: usize, suffixes: &[usize], causal: bool) -> AttentionGroup {
    AttentionGroup { prefix, suffixes: suffixes.to_vec(), causal, first_query: 0 }
}

/// The width that a head is rounded up to where tensor cores take it.
fn tile_width(dtype: DType, head_dim: usize) -> Option<usize> {
    let fits = dtype == DType::BF16 && head_dim.is_multiple_of(8);
    [32, 64, 80, 96, 128].into_iter().find(|width| fits && head_dim <= *width)
}

/// The end of a kernel's name.
pub(crate) fn kernel(dtype: DType, head_dim: usize) -> String {
    match tile_width(dtype, head_dim) {
        Some(width) => format!("bf16_{width}"),
        None => format!("{}_plain", name(dtype)),
    }
}

fn check(
    program: &Program,
    groups: Vec<AttentionGroup>,
    dtype: DType,
    head_dim: usize,
    [n_heads, n_kv_heads]: [usize; 2],
) -> Outcome {
    let layout = Arc::new(AttentionLayout::new(groups));
    let n = layout.n_tokens();
    let n_queries = layout.n_queries();
    let tensor = |rows, heads, seed| random(&[rows, heads * head_dim], seed, dtype);
    let q = (tensor(n_queries, n_heads, 1)? * 2.0)?;
    let k = tensor(n, n_kv_heads, 2)?;
    let v = tensor(n, n_kv_heads, 3)?;
    let gradient = tensor(n_queries, n_heads, 4)?;
    let expected = OnCpu::new(&[&q, &k, &v], &[], &gradient, |context, x, _| {
        attention(context, &x[0], &x[1], &x[2], head_dim, &layout)
    })?;
    let tables = layout.tables();
    let n_scores = n_queries * n_heads;
    let inputs = [Argument::of(&q)?, Argument::of(&k)?, Argument::of(&v)?];
    let sizes = [n_heads, n_kv_heads, head_dim].map(Argument::size);
    let scale = Argument::number(1.0 / (head_dim as f32).sqrt());
    let of_queries = Argument::words(tables.queries.as_flattened());
    let end = [&sizes[..], &[scale]].concat();
    let grid = |n: usize| Grid::two([n, n_heads], THREADS);
    let kernel = kernel(dtype, head_dim);

    let outputs = [
        Argument::room(n_queries * n_heads * head_dim, dtype),
        Argument::room(n_scores, DType::F32),
    ];
    let arguments = [&inputs[..], &outputs, std::slice::from_ref(&of_queries), &end].concat();
    let of = format!("attention_forward_{kernel}");
    let forward = program.launch(&of, grid(tables.queries.len()), &arguments)?;
    compare("result", &forward[3], dtype, &expected.y)?;

    let [result, lse] = [3, 4].map(|i| Argument::Buffer(forward[i].clone()));
    let mut arguments = vec![result, Argument::of(&gradient)?];
    arguments.extend([Argument::room(n_scores, DType::F32), Argument::count(n_scores as u64)]);
    arguments.push(Argument::size(head_dim));
    let of = format!("attention_products_{}", name(dtype));
    let delta = program.launch(&of, Grid::new(5, 64), &arguments)?.remove(2);

    let rest = [Argument::of(&gradient)?, lse, Argument::Buffer(delta)];
    let inputs = [&inputs[..], &rest].concat();
    let outputs = [Argument::room(n_queries * n_heads * head_dim, dtype), of_queries];
    let arguments = [&inputs[..], &outputs, &end].concat();
    let of = format!("attention_backward_queries_{kernel}");
    let got = program.launch(&of, grid(tables.queries.len()), &arguments)?;
    compare("gradient of q", &got[6], dtype, &expected.of_inputs[0])?;

    let partial = Argument::room(tables.n_slots * n_heads * head_dim, DType::F32);
    let keys = Argument::words(tables.keys.as_flattened());
    let spans = Argument::words(tables.spans.as_flattened());
    let arguments = [&inputs[..], &[partial.clone(), partial, keys, spans], &end].concat();
    let of = format!("attention_backward_keys_{kernel}");
    let shared_bytes = tile_width(dtype, head_dim).map_or(0, |width| 192 * (width + 8) * 2);
    let grid = Grid { shared_bytes: shared_bytes as u32, ..grid(tables.keys.len()) };
    let got = program.launch(&of, grid, &arguments)?;
    for (what, i, like) in [("gradient of k", 6, &k), ("gradient of v", 7, &v)] {
        let mut arguments = vec![Argument::Buffer(got[i].clone()), Argument::words(&tables.starts)];
        arguments.extend([Argument::words(&tables.slots), room_like(like)]);
        arguments.push(Argument::count(n as u64));
        arguments.extend(sizes.clone());
        let of = format!("attention_sum_slots_{}", name(dtype));
        let sums = program.launch(&of, Grid::new(9, 64), &arguments)?;
        compare(what, &sums[3], dtype, &expected.of_inputs[i - 5])?;
    }
    Ok(())
}

fn room_like(tensor: &Tensor) -> Argument {
    Argument::room(tensor.elem_count(), tensor.dtype())
}
