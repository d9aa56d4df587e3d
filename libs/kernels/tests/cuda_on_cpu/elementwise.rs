//! Operations value by value: sums, scales, activations, rotations, dropout; and the ends of a linear layer.

use candle_core::{DType, Tensor};
use vrft_kernels::{
    Activation, Context, Weight, add, gelu, gelu_tanh, quick_gelu, rotary, scale, swiglu,
};

use crate::Case;
use crate::program::{Argument, Grid, Program};
use crate::values::{DTYPES, OnCpu, Outcome, compare, floats, name, near, random};

/// No multiples of a warp, and more than the grid has threads.
const SIZES: [(usize, usize); 3] = [(1, 1), (3, 37), (41, 129)];
const GRID: Grid = Grid { blocks: [7, 1], threads: 64, shared_bytes: 0 };

type Operation = fn(&Context, &[Activation]) -> candle_core::Result<Activation>;

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for dtype in DTYPES {
        for size in SIZES {
            let mut push = |what: &str, run: Box<dyn FnOnce(&Program) -> Outcome + Send>| {
                let case = format!("{what}_of_{}x{}_{}", size.0, size.1, name(dtype));
                cases.push(Case::new(case + "_equals_the_cpu", run));
            };
            let of = |kernel: &'static str, operation: Operation| {
                move |program: &Program| activation(program, kernel, operation, dtype, size)
            };
            push("gelu", Box::new(of("gelu", |context, x| gelu(context, &x[0]))));
            push("quick_gelu", Box::new(of("quick_gelu", |context, x| quick_gelu(context, &x[0]))));
            push("gelu_tanh", Box::new(of("gelu_tanh", |context, x| gelu_tanh(context, &x[0]))));
            push("swiglu", Box::new(move |program| gated(program, dtype, size)));
            push("add", Box::new(move |program| sum(program, dtype, size)));
            push("scale", Box::new(move |program| scaled(program, dtype, size)));
            push("rotary", Box::new(move |program| rotated(program, dtype, size.0)));
            push("linear", Box::new(move |program| ends_of_linear(program, dtype, size)));
        }
        let case = format!("dropout_{}_is_that_of_its_generator", name(dtype));
        cases.push(Case::new(case, move |program| dropped(program, dtype)));
    }
    cases.push(Case::new("rotary_tables_equal_the_cpu", tables));
    cases
}

fn activation(
    program: &Program,
    kernel: &str,
    operation: Operation,
    dtype: DType,
    (n, width): (usize, usize),
) -> Outcome {
    let x = (random(&[n, width], 1, dtype)? * 4.0)?;
    let gradient = random(&[n, width], 2, dtype)?;
    let expected = OnCpu::new(&[&x], &[], &gradient, |context, x, _| operation(context, x))?;
    let n = n * width;
    let kernel = format!("{kernel}_{}", name(dtype));
    let count = Argument::count(n as u64);
    let arguments = [Argument::of(&x)?, Argument::room(n, dtype), count.clone()];
    let got = program.launch(&kernel, GRID, &arguments)?;
    compare("y", &got[1], dtype, &expected.y)?;
    let arguments = [Argument::of(&x)?, Argument::of(&gradient)?, Argument::room(n, dtype), count];
    let got = program.launch(&format!("{kernel}_backward"), GRID, &arguments)?;
    compare("gradient", &got[2], dtype, &expected.of_inputs[0])
}

fn gated(program: &Program, dtype: DType, (n, width): (usize, usize)) -> Outcome {
    let [gate, up] = [1, 2].map(|seed| random(&[n, width], seed, dtype));
    let gate = (gate? * 4.0)?;
    let up = up?;
    let gradient = random(&[n, width], 3, dtype)?;
    let expected =
        OnCpu::new(&[&gate, &up], &[], &gradient, |context, x, _| swiglu(context, &x[0], &x[1]))?;
    let n = n * width;
    let inputs = [Argument::of(&gate)?, Argument::of(&up)?];
    let rest = [Argument::room(n, dtype), Argument::count(n as u64)];
    let kernel = format!("swiglu_{}", name(dtype));
    let got = program.launch(&kernel, GRID, &[&inputs[..], &rest].concat())?;
    compare("y", &got[2], dtype, &expected.y)?;
    let gradients = [Argument::of(&gradient)?, Argument::room(n, dtype)];
    let kernel = format!("swiglu_backward_{}", name(dtype));
    let got = program.launch(&kernel, GRID, &[&inputs[..], &gradients, &rest].concat())?;
    compare("gradient of the gate", &got[3], dtype, &expected.of_inputs[0])?;
    compare("gradient of up", &got[4], dtype, &expected.of_inputs[1])
}

fn sum(program: &Program, dtype: DType, (n, width): (usize, usize)) -> Outcome {
    let [a, b] = [1, 2].map(|seed| random(&[n, width], seed, dtype));
    let a = a?;
    let b = b?;
    let expected = OnCpu::new(&[&a, &b], &[], &a, |context, x, _| add(context, &x[0], &x[1]))?;
    let n = n * width;
    let inputs = [Argument::of(&a)?, Argument::of(&b)?];
    let rest = [Argument::room(n, dtype), Argument::count(n as u64)];
    let kernel = format!("add_{0}_{0}", name(dtype));
    let got = program.launch(&kernel, GRID, &[&inputs[..], &rest].concat())?;
    compare("y", &got[2], dtype, &expected.y)?;
    let wide = a.to_dtype(DType::F32)?;
    let inputs = [Argument::of(&wide)?, Argument::of(&b)?];
    let rest = [Argument::room(n, DType::F32), Argument::count(n as u64)];
    let kernel = format!("add_f32_{}", name(dtype));
    let got = program.launch(&kernel, GRID, &[&inputs[..], &rest].concat())?;
    compare("f32", &got[2], DType::F32, &floats(&(wide + b.to_dtype(DType::F32)?)?)?)
}

fn scaled(program: &Program, dtype: DType, (n, width): (usize, usize)) -> Outcome {
    let x = random(&[n, width], 1, dtype)?;
    let expected = OnCpu::new(&[&x], &[], &x, |context, x, _| scale(context, &x[0], 0.3))?;
    let n = n * width;
    let rest = [Argument::count(n as u64), Argument::number(0.3)];
    let arguments = [&[Argument::of(&x)?, Argument::room(n, dtype)], &rest[..]].concat();
    let got = program.launch(&format!("scale_{}", name(dtype)), GRID, &arguments)?;
    compare("y", &got[1], dtype, &expected.y)
}

fn rotated(program: &Program, dtype: DType, n: usize) -> Outcome {
    let heads = 3;
    let half = 5;
    let width = heads * 2 * half;
    let angle = (random(&[n, half], 7, DType::F32)? * 3.0)?;
    let cos = angle.cos()?;
    let sin = angle.sin()?;
    let x = random(&[n, width], 1, dtype)?;
    let gradient = random(&[n, width], 2, dtype)?;
    let expected =
        OnCpu::new(&[&x], &[], &gradient, |context, x, _| rotary(context, &x[0], &cos, &sin))?;
    for (what, x, sign, expected) in
        [("y", &x, 1.0, &expected.y), ("gradient", &gradient, -1.0, &expected.of_inputs[0])]
    {
        let mut arguments = vec![Argument::of(x)?, Argument::of(&cos)?, Argument::of(&sin)?];
        arguments.extend([Argument::room(n * width, dtype), Argument::count(n as u64)]);
        arguments.extend([Argument::size(heads), Argument::size(half), Argument::number(sign)]);
        let got = program.launch(&format!("rotary_{}", name(dtype)), GRID, &arguments)?;
        compare(what, &got[3], dtype, expected)?;
    }
    Ok(())
}

/// The angles of text on three axes, whose frequencies follow them in stretches or in turns.
fn tables(program: &Program) -> Outcome {
    let n = 23;
    let half = 8;
    let positions: Vec<u32> = (0..3 * n as u32).map(|i| i * 37 % 1009).collect();
    let frequencies: Vec<f32> = (0..half).map(|i| 1e4f32.powf(-(i as f32) / half as f32)).collect();
    for axes in [[0, 0, 0, 1, 1, 1, 2, 2], [0, 1, 2, 0, 1, 2, 0, 1]] {
        let angles = positions.chunks(3).flat_map(|position| {
            frequencies.iter().zip(axes).map(|(f, axis)| position[axis] as f32 * f)
        });
        let angles: Vec<f32> = angles.collect();
        let axes: Vec<u32> = axes.iter().map(|axis| *axis as u32).collect();
        let of_frequencies = Tensor::new(&frequencies[..], &candle_core::Device::Cpu)?;
        let mut arguments = vec![Argument::words(&positions), Argument::of(&of_frequencies)?];
        arguments.extend([Argument::words(&axes), Argument::room(n * half, DType::F32)]);
        arguments.extend([Argument::room(n * half, DType::F32), Argument::count(n as u64)]);
        arguments.push(Argument::size(half));
        let got = program.launch("rotary_tables", GRID, &arguments)?;
        let of = |f: fn(f32) -> f32| angles.iter().map(|angle| f(*angle)).collect::<Vec<_>>();
        compare("cos", &got[3], DType::F32, &of(f32::cos))?;
        compare("sin", &got[4], DType::F32, &of(f32::sin))?;
    }
    Ok(())
}

/// The bias, and the sum over rows that is its gradient.
fn ends_of_linear(program: &Program, dtype: DType, (n, width): (usize, usize)) -> Outcome {
    const ROWS_PER_PART: usize = 5;
    let x = random(&[n, width], 1, dtype)?;
    let bias = random(&[width], 2, DType::F32)?;
    let identity = Weight::frozen(&Tensor::eye(width, dtype, &candle_core::Device::Cpu)?);
    let expected = OnCpu::new(&[&x], &[&bias], &x, |context, x, w| {
        vrft_kernels::linear(context, &x[0], &identity, Some(&w[0]))
    })?;
    let arguments =
        [Argument::of(&x)?, Argument::of(&bias)?, Argument::count(n as u64), Argument::size(width)];
    let kernel = format!("linear_add_bias_{}_f32", name(dtype));
    let got = program.launch(&kernel, GRID, &arguments)?;
    compare("y", &got[0], dtype, &expected.y)?;
    let n_parts = n.div_ceil(ROWS_PER_PART);
    let mut arguments = vec![Argument::of(&x)?, Argument::room(n_parts * width, DType::F32)];
    arguments.extend([n, width, ROWS_PER_PART].map(Argument::size));
    let grid = Grid::two([width.div_ceil(32), n_parts], 32);
    let parts = program.launch(&format!("linear_sum_rows_{}", name(dtype)), grid, &arguments)?;
    // Added to what is there.
    let mut arguments = vec![Argument::Buffer(parts[1].clone()), Argument::of(&bias)?];
    arguments.extend([n_parts, width, 1].map(Argument::size));
    let got = program.launch("sum_parts", Grid::new(width.div_ceil(32) as u32, 32), &arguments)?;
    let sums = expected.of_weights[0].iter().zip(floats(&bias)?).map(|(a, b)| a + b);
    compare("gradient", &got[1], DType::F32, &sums.collect::<Vec<_>>())
}

/// Philox 4x32-10, with the known answer of its authors for a counter and key of zeros.
fn philox(key: u64, counter: u64) -> [u32; 4] {
    let mut k = [key as u32, (key >> 32) as u32];
    let mut c = [counter as u32, (counter >> 32) as u32, 0, 0];
    for _ in 0..10 {
        let products = [0xd251_1f53u64 * u64::from(c[0]), 0xcd9e_8d57u64 * u64::from(c[2])];
        let [(low0, high0), (low1, high1)] = products.map(|p| (p as u32, (p >> 32) as u32));
        c = [high1 ^ c[1] ^ k[0], low1, high0 ^ c[3] ^ k[1], low0];
        k = [k[0].wrapping_add(0x9e37_79b9), k[1].wrapping_add(0xbb67_ae85)];
    }
    c
}

fn dropped(program: &Program, dtype: DType) -> Outcome {
    let known = [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8];
    if philox(0, 0) != known {
        return Err(format!("{:x?} is not the known answer", philox(0, 0)).into());
    }
    let n = 1023;
    let seed = 0x1234_5678_9abc_def0u64;
    let limit = u32::MAX / 3;
    let kept = 1.5f32;
    let x = random(&[n], 1, dtype)?;
    let words = (0..n as u64).map(|i| philox(seed, i / 4)[i as usize % 4]);
    let values = words.zip(floats(&x)?).map(|(word, x)| if word < limit { 0.0 } else { kept * x });
    let expected: Vec<f32> = values.collect();
    let mut arguments = vec![Argument::of(&x)?, Argument::room(n, dtype)];
    arguments.extend([Argument::count(n as u64), Argument::count(seed)]);
    arguments.extend([Argument::word(limit), Argument::number(kept)]);
    let got = program.launch(&format!("dropout_{}", name(dtype)), GRID, &arguments)?;
    compare("y", &got[1], dtype, &expected)?;
    let share = expected.iter().filter(|x| **x == 0.0).count() as f32 / n as f32;
    near("share that is dropped", &[share], &[1.0 / 3.0], 0.15)
}
