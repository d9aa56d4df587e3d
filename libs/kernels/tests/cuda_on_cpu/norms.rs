//! RMS and layer normalization.

use candle_core::DType;
use vrft_kernels::{layer_norm, rms_norm};

use crate::Case;
use crate::program::{Argument, Grid, Program};
use crate::values::{OnCpu, Outcome, TYPES, compare, name, random};

const EPS: f64 = 1e-6;
const THREADS: u32 = 256;
const ROWS_PER_BLOCK: usize = 32;

/// Rows and width: less than a warp, a ragged end of a warp and of a block, more rows than one block sums.
const SIZES: [(usize, usize); 5] = [(1, 7), (3, 33), (5, 256), (37, 300), (70, 1025)];

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for types in TYPES {
        for size in SIZES {
            for (norm, n_weights) in [("rms_norm", 1), ("layer_norm", 2)] {
                let [values, weight] = types.map(name);
                let case = format!("{norm}_of_{}x{}_{values}_{weight}", size.0, size.1);
                let run = move |program: &Program| check(program, norm, n_weights, types, size);
                cases.push(Case::new(case + "_equals_the_cpu", run));
            }
        }
    }
    cases
}

fn check(
    program: &Program,
    norm: &str,
    n_weights: usize,
    [values, of_weights]: [DType; 2],
    (n, width): (usize, usize),
) -> Outcome {
    let x = random(&[n, width], 1, values)?;
    let gradient = random(&[n, width], 2, values)?;
    let weights = [random(&[width], 3, of_weights)?, random(&[width], 4, of_weights)?];
    let weights: Vec<_> = weights.iter().take(n_weights).collect();
    let expected = OnCpu::new(&[&x], &weights, &gradient, |context, x, w| match n_weights {
        1 => rms_norm(context, &x[0], &w[0], EPS),
        _ => layer_norm(context, &x[0], &w[0], &w[1], EPS),
    })?;
    let kernel =
        |direction: &str| format!("{norm}_{direction}_{}_{}", name(values), name(of_weights));
    let sizes = [Argument::size(n), Argument::size(width)];
    let mut arguments = vec![Argument::of(&x)?];
    for weight in &weights {
        arguments.push(Argument::of(weight)?);
    }
    arguments.push(Argument::room(n * width, values));
    arguments.extend(sizes.clone());
    arguments.push(Argument::number(EPS as f32));
    // Fewer blocks than rows, so that some have several.
    let grid = Grid::new((n as u32).div_ceil(3), THREADS);
    let got = program.launch(&kernel("forward"), grid, &arguments)?;
    compare("y", &got[1 + n_weights], values, &expected.y)?;

    let n_parts = n.div_ceil(ROWS_PER_BLOCK);
    let mut arguments = vec![Argument::of(&x)?, Argument::of(weights[0])?];
    arguments.extend([Argument::of(&gradient)?, Argument::room(n * width, values)]);
    arguments.push(Argument::room(n_parts * n_weights * width, DType::F32));
    arguments.extend(sizes);
    arguments.extend([Argument::size(ROWS_PER_BLOCK), Argument::number(EPS as f32)]);
    let got =
        program.launch(&kernel("backward"), Grid::new(n_parts as u32, THREADS), &arguments)?;
    compare("gradient of x", &got[3], values, &expected.of_inputs[0])?;
    let all = n_weights * width;
    let arguments = [
        Argument::Buffer(got[4].clone()),
        Argument::room(all, DType::F32),
        Argument::size(n_parts),
        Argument::size(all),
        Argument::size(0),
    ];
    let grid = Grid::new((all as u32).div_ceil(128), 128);
    let got = program.launch("sum_parts", grid, &arguments)?;
    compare("gradient of the weights", &got[1], DType::F32, &expected.of_weights.concat())
}
