//! Rows picked out of matrices and put into them, and casts.

use candle_core::{DType, Device, Tensor};
use vrft_kernels::{Context, Tap, cast, embedding, mix_rows, put_rows, replace_rows, select_rows};

use crate::Case;
use crate::program::{Argument, Grid, Program};
use crate::values::{DTYPES, OnCpu, Outcome, compare, floats, name, random};

const GRID: Grid = Grid { blocks: [3, 1], threads: 64, shared_bytes: 0 };
const N: usize = 9;
const WIDTH: usize = 70;

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for dtype in DTYPES {
        let mut push = |what: &str, run: fn(&Program, DType) -> Outcome| {
            let case = format!("{what}_{}_equals_the_cpu", name(dtype));
            cases.push(Case::new(case, move |program| run(program, dtype)));
        };
        push("select_rows", select);
        push("embedding", embed);
        push("replace_rows", replace);
        push("put_rows", put);
        push("cast_to_or_from", converted);
        push("mix_rows", mixed);
    }
    cases.push(Case::new("many_tensors_are_converted_as_one_by_one", converted_together));
    cases
}

const ROWS: [u32; 6] = [2, 0, 2, 8, 2, 0];
/// Rows that are named, where their sources begin, and the sources.
const NAMED: [u32; 3] = [0, 2, 8];
const STARTS: [u32; 4] = [0, 2, 5, 6];
const SOURCES: [u32; 6] = [1, 5, 0, 2, 4, 3];

fn sizes(n: usize) -> [Argument; 2] {
    [Argument::count(n as u64), Argument::size(WIDTH)]
}

fn select(program: &Program, dtype: DType) -> Outcome {
    let x = random(&[N, WIDTH], 1, dtype)?;
    let gradient = random(&[ROWS.len(), WIDTH], 2, dtype)?;
    let expected =
        OnCpu::new(&[&x], &[], &gradient, |context, x, _| select_rows(context, &x[0], &ROWS))?;
    let mut arguments = vec![Argument::of(&x)?, Argument::words(&ROWS)];
    arguments.push(Argument::room(ROWS.len() * WIDTH, dtype));
    arguments.extend(sizes(ROWS.len()));
    let got = program.launch(&format!("rows_select_{0}_{0}", name(dtype)), GRID, &arguments)?;
    compare("y", &got[2], dtype, &expected.y)?;
    let zeros = random(&[N, WIDTH], 1, dtype)?.zeros_like()?;
    let mut arguments = vec![Argument::of(&gradient)?];
    arguments.extend([&NAMED[..], &STARTS, &SOURCES].map(Argument::words));
    arguments.push(Argument::of(&zeros)?);
    arguments.extend(sizes(NAMED.len()));
    let got = program.launch(&format!("rows_scatter_{0}_{0}", name(dtype)), GRID, &arguments)?;
    compare("gradient", &got[4], dtype, &expected.of_inputs[0])
}

/// A table in f32, as a trained one is, and its gradient on top of what is there.
fn embed(program: &Program, dtype: DType) -> Outcome {
    let table = random(&[N, WIDTH], 1, DType::F32)?;
    let gradient = random(&[ROWS.len(), WIDTH], 2, dtype)?;
    let expected = OnCpu::new(&[], &[&table], &gradient, |context, _, w| {
        embedding(context, &w[0], &ROWS, dtype)
    })?;
    let mut arguments = vec![Argument::of(&table)?, Argument::words(&ROWS)];
    arguments.push(Argument::room(ROWS.len() * WIDTH, dtype));
    arguments.extend(sizes(ROWS.len()));
    let got = program.launch(&format!("rows_select_f32_{}", name(dtype)), GRID, &arguments)?;
    compare("y", &got[2], dtype, &expected.y)?;
    let mut arguments = vec![Argument::of(&gradient)?];
    arguments.extend([&NAMED[..], &STARTS, &SOURCES].map(Argument::words));
    arguments.push(Argument::of(&table)?);
    arguments.extend(sizes(NAMED.len()));
    let got = program.launch(&format!("rows_scatter_{}_f32", name(dtype)), GRID, &arguments)?;
    let sums = expected.of_weights[0].iter().zip(floats(&table)?).map(|(a, b)| a + b);
    compare("gradient", &got[4], DType::F32, &sums.collect::<Vec<_>>())
}

fn replace(program: &Program, dtype: DType) -> Outcome {
    let places = [7, 0, 3];
    let mut sources = [u32::MAX; N];
    for (source, place) in (0..).zip(places) {
        sources[place] = source;
    }
    let x = random(&[N, WIDTH], 1, dtype)?;
    let new = random(&[3, WIDTH], 2, dtype)?;
    let gradient = random(&[N, WIDTH], 3, dtype)?;
    let expected = OnCpu::new(&[&x, &new], &[], &gradient, |context, x, _| {
        replace_rows(context, &x[0], &x[1], &places)
    })?;
    let kernel = format!("rows_replace_{}", name(dtype));
    for (what, from, new, expected) in [
        ("y", &x, Argument::of(&new)?, &expected.y),
        ("gradient of x", &gradient, Argument::None, &expected.of_inputs[0]),
    ] {
        let mut arguments = vec![Argument::of(from)?, new, Argument::words(&sources)];
        arguments.push(Argument::room(N * WIDTH, dtype));
        arguments.extend(sizes(N));
        let got = program.launch(&kernel, GRID, &arguments)?;
        compare(what, got.last().ok_or("no result")?, dtype, expected)?;
    }
    Ok(())
}

fn put(program: &Program, dtype: DType) -> Outcome {
    let places = [7, 0, 3];
    let table = random(&[N, WIDTH], 1, dtype)?;
    let new = random(&[3, WIDTH], 2, dtype)?;
    let mut arguments = vec![Argument::of(&table)?, Argument::of(&new)?];
    arguments.push(Argument::words(&places.map(|place| place as u32)));
    arguments.extend(sizes(places.len()));
    let got = program.launch(&format!("rows_put_{}", name(dtype)), GRID, &arguments)?;
    put_rows(&Context::new(&Device::Cpu), &table, &new, &places)?;
    compare("table", &got[0], dtype, &floats(&table)?)
}

fn converted(program: &Program, dtype: DType) -> Outcome {
    let to = if dtype == DType::F32 { DType::BF16 } else { DType::F32 };
    let x = random(&[N, WIDTH], 1, dtype)?;
    let n = N * WIDTH;
    let arguments = [Argument::of(&x)?, Argument::room(n, to), Argument::count(n as u64)];
    let got = program.launch(&format!("convert_{}_{}", name(dtype), name(to)), GRID, &arguments)?;
    let expected = floats(&cast(&x, to)?)?;
    // To the last bit: both round to the nearest.
    crate::values::near("y", &crate::values::values_of(&got[1], to), &expected, 0.0)
}

fn converted_together(program: &Program) -> Outcome {
    let tensors = [random(&[N, WIDTH], 1, DType::F32)?, random(&[5], 2, DType::F32)?];
    let starts = [0, 700];
    let row = |(x, start): (&Tensor, u64)| {
        Ok((crate::program::bytes_of(x)?, vec![start, x.elem_count() as u64]))
    };
    let table = tensors.iter().zip(starts).map(row).collect::<candle_core::Result<_>>()?;
    let room = Argument::room(705, DType::BF16);
    let grid = Grid::two([2, tensors.len()], 64);
    let got = program.launch("convert_all_f32_bf16", grid, &[Argument::Table(table), room])?;
    for (tensor, start) in tensors.iter().zip(starts) {
        let bytes = &got[0][2 * start as usize..][..2 * tensor.elem_count()];
        compare("values", bytes, DType::BF16, &floats(&tensor.to_dtype(DType::BF16)?)?)?;
    }
    Ok(())
}

/// Two taps a row of a table in f32, whose gradient is added to what is there.
fn mixed(program: &Program, dtype: DType) -> Outcome {
    const TAPS: [Tap; 6] = [(2, 0.25), (0, 0.75), (8, 1.0), (8, 0.5), (1, 0.0), (2, 2.0)];
    const N_MIXED: usize = TAPS.len() / 2;
    let table = random(&[N, WIDTH], 1, DType::F32)?;
    let gradient = random(&[N_MIXED, WIDTH], 2, dtype)?;
    let expected = OnCpu::new(&[], &[&table], &gradient, |context, _, w| {
        mix_rows(context, &w[0], &TAPS, 2, dtype)
    })?;
    let shares = Tensor::new(&TAPS.map(|(_, share)| share), &Device::Cpu)?;
    let sizes = |n: usize| [Argument::count(n as u64), Argument::size(WIDTH), Argument::size(2)];
    let mut arguments = vec![Argument::of(&table)?, Argument::words(&TAPS.map(|(row, _)| row))];
    arguments.extend([Argument::of(&shares)?, Argument::room(N_MIXED * WIDTH, dtype)]);
    arguments.extend(sizes(N_MIXED));
    let got = program.launch(&format!("mix_rows_f32_{}", name(dtype)), GRID, &arguments)?;
    compare("y", &got[3], dtype, &expected.y)?;
    let tables: [&[u32]; 3] = [&[0, 1, 2, 8], &[0, 1, 2, 4, 6], &[1, 4, 0, 5, 2, 3]];
    let mut arguments = vec![Argument::of(&gradient)?];
    arguments.extend(tables.map(Argument::words));
    arguments.extend([Argument::of(&shares)?, Argument::of(&table)?]);
    arguments.extend(sizes(tables[0].len()));
    let got = program.launch(&format!("mix_rows_scatter_{}", name(dtype)), GRID, &arguments)?;
    let sums = expected.of_weights[0].iter().zip(floats(&table)?).map(|(a, b)| a + b);
    compare("gradient", &got[5], DType::F32, &sums.collect::<Vec<_>>())
}
