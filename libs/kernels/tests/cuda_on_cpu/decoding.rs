//! Attention of one token per row over a cache.

use candle_core::{DType, Device};
use vrft_kernels::{Activation, Context, DecodeGroup, DecodeLayout, decode_attention};

use crate::Case;
use crate::attention::kernel;
use crate::program::{Argument, Grid, Program};
use crate::values::{DTYPES, Outcome, compare, floats, name, random};

const CAPACITY: usize = 150;
const N_SLOTS: usize = 30;

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for dtype in DTYPES {
        for (head_dim, heads) in [(64, [6, 1]), (128, [4, 2]), (12, [4, 2])] {
            let case = format!("decode_attention_{}_{head_dim}_equals_the_cpu", name(dtype));
            let run = move |program: &Program| check(program, dtype, head_dim, heads);
            cases.push(Case::new(case, run));
        }
    }
    cases
}

fn layout() -> DecodeLayout {
    let groups = vec![
        DecodeGroup { rows: 0..3, prefix: 0..130, slots: vec![4, 0, 5], n_suffix: 130 },
        DecodeGroup { rows: 3..22, prefix: 130..150, slots: (7..26).collect(), n_suffix: 1 },
        DecodeGroup { rows: 22..23, prefix: 150..250, slots: vec![1], n_suffix: 64 },
    ];
    DecodeLayout::new(groups, CAPACITY)
}

fn check(
    program: &Program,
    dtype: DType,
    head_dim: usize,
    [n_heads, n_kv_heads]: [usize; 2],
) -> Outcome {
    let layout = layout();
    let n_rows = 23;
    let kv_width = n_kv_heads * head_dim;
    let q = (random(&[n_rows, n_heads * head_dim], 1, dtype)? * 2.0)?;
    let prefix = [random(&[250, kv_width], 2, dtype)?, random(&[250, kv_width], 3, dtype)?];
    let suffix = [4, 5].map(|seed| random(&[N_SLOTS, CAPACITY, kv_width], seed, dtype));
    let [suffix_k, suffix_v] = suffix;
    let suffix = [suffix_k?, suffix_v?];
    let caches = [prefix.each_ref(), suffix.each_ref()];
    let context = Context::new(&Device::Cpu);
    let of_q = Activation::constant(&q)?;
    let expected = decode_attention(&context, &of_q, caches[0], caches[1], head_dim, &layout)?;
    let expected = floats(&expected.detach())?;
    let tables = layout.tables(n_kv_heads, n_heads / n_kv_heads);
    let mut inputs = vec![Argument::of(&q)?];
    for cache in caches.concat() {
        inputs.push(Argument::of(cache)?);
    }
    let sizes = [n_heads, n_kv_heads, head_dim].map(Argument::size);
    let scale = Argument::number(1.0 / (head_dim as f32).sqrt());
    let out = Argument::room(q.elem_count(), dtype);
    let rows = Argument::words(tables.rows.as_flattened());
    let kernel = kernel(dtype, head_dim);
    let of = format!("decode_attention_{kernel}");
    if kernel.ends_with("plain") {
        let arguments = [&inputs[..], &[out, rows], &sizes, &[scale]].concat();
        let got = program.launch(&of, Grid::two([n_rows, n_heads], 32), &arguments)?;
        return compare("result", &got[5], dtype, &expected);
    }
    let n_parts = tables.n_parts;
    let n_stats = n_rows * tables.n_parts * n_heads;
    let sums = Argument::room(n_stats * head_dim, DType::F32);
    let stats = Argument::room(2 * n_stats, DType::F32);
    let pieces = Argument::words(tables.pieces.as_flattened());
    let own = [sums, stats, pieces, Argument::size(n_parts)];
    let arguments = [&inputs[..], &own, &sizes, &[scale]].concat();
    let grid = Grid::two([tables.pieces.len(), n_kv_heads], 128);
    let got = program.launch(&of, grid, &arguments)?;
    let mut arguments: Vec<_> = [5, 6].map(|i| Argument::Buffer(got[i].clone())).into();
    arguments.extend([rows, out, Argument::size(n_parts), Argument::size(n_heads)]);
    arguments.push(Argument::size(head_dim));
    let grid = Grid::two([n_rows, n_heads], 128);
    let got = program.launch("decode_attention_combine", grid, &arguments)?;
    compare("result", &got[3], dtype, &expected)
}
