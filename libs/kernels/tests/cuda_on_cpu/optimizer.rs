//! AdamW with moments in each type, and sums of squares.

use candle_core::{DType, Device, Tensor};

use crate::Case;
use crate::program::{Argument, Grid, Program, bytes_of};
use crate::values::{Outcome, compare, floats, near, random, values_of};

const N: usize = 700;
const BLOCK: usize = 256;
/// scale, blend, beta2, rest, keep, rate, inverse root, eps
const NUMBERS: [f32; 8] = [0.7, 0.1, 0.99, 0.01, 0.999, 1e-2, 3.0, 1e-8];

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("adamw_f32_equals_its_definition", in_f32),
        Case::new("adamw_bf16_rounds_by_chance_to_a_neighbor", in_bf16),
        Case::new("adamw_int8_keeps_the_nearest_codes", in_8_bits),
        Case::new("squares_are_summed", squares),
    ]
}

/// Weight, first and second moment, gradient.
fn operands() -> candle_core::Result<[Vec<f32>; 4]> {
    let of = |seed| floats(&random(&[N], seed, DType::F32)?);
    Ok([of(1)?, of(2)?, of(3)?.iter().map(|x| x * x).collect(), of(4)?])
}

/// Weight and moments after the update.
fn updated([weight, first, second, gradient]: &[Vec<f32>; 4]) -> [Vec<f32>; 3] {
    let [scale, blend, beta2, rest, keep, rate, inverse_root, eps] = NUMBERS;
    let mut results = [const { Vec::new() }; 3];
    for i in 0..N {
        let g = scale * gradient[i];
        let m = first[i] + blend * (g - first[i]);
        let v = beta2 * second[i] + rest * g * g;
        let w = keep * weight[i] - rate * m / (v.sqrt() * inverse_root + eps);
        results.iter_mut().zip([w, m, v]).for_each(|(all, x)| all.push(x));
    }
    results
}

fn tensor(values: &[f32], dtype: DType) -> candle_core::Result<Argument> {
    Argument::of(&Tensor::new(values, &Device::Cpu)?.to_dtype(dtype)?)
}

fn numbers() -> impl Iterator<Item = Argument> {
    NUMBERS.into_iter().map(Argument::number)
}

fn in_f32(program: &Program) -> Outcome {
    let operands = operands()?;
    let mut arguments = Vec::new();
    for operand in &operands {
        arguments.push(tensor(operand, DType::F32)?);
    }
    arguments.push(Argument::count(N as u64));
    arguments.extend(numbers());
    let got = program.launch("adamw_f32", Grid::new(3, 64), &arguments)?;
    for (i, expected) in updated(&operands).iter().enumerate() {
        compare(["weight", "first", "second"][i], &got[i], DType::F32, expected)?;
    }
    Ok(())
}

fn in_bf16(program: &Program) -> Outcome {
    let mut operands = operands()?;
    for moment in &mut operands[1..3] {
        *moment = floats(&Tensor::new(&moment[..], &Device::Cpu)?.to_dtype(DType::BF16)?)?;
    }
    let [weight, first, second, gradient] = &operands;
    let mut arguments = vec![tensor(weight, DType::F32)?, tensor(first, DType::BF16)?];
    arguments.extend([tensor(second, DType::BF16)?, tensor(gradient, DType::F32)?]);
    arguments.extend([Argument::count(N as u64), Argument::word(77)]);
    arguments.extend(numbers());
    let got = program.launch("adamw_bf16", Grid::new(3, 64), &arguments)?;
    let expected = updated(&operands);
    compare("weight", &got[0], DType::F32, &expected[0])?;
    for (i, expected) in expected.iter().enumerate().skip(1) {
        let rounded = values_of(&got[i], DType::BF16);
        let mut n_up = 0;
        for (got, expected) in rounded.iter().zip(expected) {
            // The values before and behind, by their bits.
            let below = f32::from_bits(expected.to_bits() & 0xffff_0000);
            let above = f32::from_bits((expected.to_bits() & 0xffff_0000) + 0x1_0000);
            if *got != below && *got != above {
                return Err(format!("moment {i}: {got} is no neighbor of {expected}").into());
            }
            n_up += usize::from(*got == above);
        }
        near("share that is rounded away from 0", &[n_up as f32 / N as f32], &[0.5], 0.2)?;
    }
    Ok(())
}

/// Codes of a made-up map: evenly spaced values, whose borders lie between them.
fn in_8_bits(program: &Program) -> Outcome {
    let values = |from: f32| -> Vec<f32> {
        (0..BLOCK).map(|code| from + (1.0 - from) * code as f32 / 255.0).collect()
    };
    let borders = |values: &[f32]| -> Vec<f32> {
        let between = values.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0);
        between.chain([f32::INFINITY]).collect()
    };
    let maps = [values(-1.0), values(0.0)];
    let tables: Vec<f32> =
        maps.iter().flat_map(|values| [values.clone(), borders(values)].concat()).collect();
    let [weight, _, _, gradient] = operands()?;
    let n_blocks = N.div_ceil(BLOCK);
    let codes: Vec<Vec<u8>> =
        [5, 11].map(|step| (0..N).map(|i| (i * step % 256) as u8).collect()).into();
    let scales = [vec![0.5f32, 1.0, 2.0], vec![0.25f32, 4.0, 1.0]];
    let moment = |which: usize| -> Vec<f32> {
        let values = codes[which].iter().enumerate();
        values.map(|(i, code)| scales[which][i / BLOCK] * maps[which][usize::from(*code)]).collect()
    };
    let before = [weight, moment(0), moment(1), gradient];
    let mut arguments = vec![tensor(&before[0], DType::F32)?];
    arguments.extend(codes.iter().map(|codes| Argument::Buffer(codes.clone())));
    arguments.extend([tensor(&scales[0], DType::F32)?, tensor(&scales[1], DType::F32)?]);
    arguments.extend([tensor(&tables, DType::F32)?, tensor(&before[3], DType::F32)?]);
    arguments.push(Argument::count(N as u64));
    arguments.extend(numbers());
    // Fewer blocks of threads than of values.
    let got = program.launch("adamw_int8", Grid::new(2, BLOCK as u32), &arguments)?;
    let expected = updated(&before);
    compare("weight", &got[0], DType::F32, &expected[0])?;
    for which in 0..2 {
        let scales = values_of(&got[3 + which], DType::F32);
        let of_block = |block: &[f32]| block.iter().fold(0f32, |largest, x| largest.max(x.abs()));
        let largest: Vec<f32> = expected[1 + which].chunks(BLOCK).map(of_block).collect();
        near("scales", &scales, &largest, 1e-5)?;
        if scales.len() != n_blocks {
            return Err("a scale for each block".into());
        }
        for (i, code) in got[1 + which].iter().enumerate() {
            let kept = scales[i / BLOCK] * maps[which][usize::from(*code)];
            let off = (kept - expected[1 + which][i]).abs();
            // Half of the distance of two codes.
            if off > scales[i / BLOCK] * 1.01 / 255.0 {
                return Err(format!("moment {which}, value {i}: off by {off}").into());
            }
        }
    }
    Ok(())
}

fn squares(program: &Program) -> Outcome {
    const PARTS: usize = 3;
    let tensors = [random(&[N], 1, DType::F32)?, random(&[N / 2], 2, DType::F32)?];
    let row = |x: &Tensor| Ok((bytes_of(x)?, vec![x.elem_count() as u64]));
    let table = tensors.iter().map(row).collect::<candle_core::Result<_>>()?;
    let room = Argument::Buffer(vec![0xff; tensors.len() * PARTS * 8]);
    let grid = Grid::two([PARTS, tensors.len()], 64);
    let got = program.launch("squares", grid, &[Argument::Table(table), room])?;
    let parts: Vec<f64> = got[0].as_chunks().0.iter().map(|x| f64::from_ne_bytes(*x)).collect();
    for (tensor, parts) in tensors.iter().zip(parts.chunks(PARTS)) {
        let expected: f64 = floats(tensor)?.iter().map(|x| f64::from(*x).powi(2)).sum();
        near("sum", &[parts.iter().sum::<f64>() as f32], &[expected as f32], 1e-6)?;
    }
    Ok(())
}
