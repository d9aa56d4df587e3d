//! CUDA kernels against the CPU implementations, without a GPU: the same source, compiled by g++ and run on the CPU
//! with a fiber for each thread (`cuda_on_cpu/cuda_on_cpu.h`). Where there is no g++, the tests are ignored.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use candle_core::{DType, Device, Tensor, Var};
use half::bf16;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use vrft_kernels::{Activation, Context, Gradients, Tape, Weight, rms_norm};

const EPS: f64 = 1e-6;

/// The types of the values and of the weight.
#[derive(Clone, Copy)]
struct Types {
    name: &'static str,
    values: DType,
    weight: DType,
}

const TYPES: [Types; 3] = [
    Types { name: "f32_f32", values: DType::F32, weight: DType::F32 },
    Types { name: "bf16_f32", values: DType::BF16, weight: DType::F32 },
    Types { name: "bf16_bf16", values: DType::BF16, weight: DType::BF16 },
];

/// Rows and width: less than a warp, a ragged end of a warp and of a block, more rows than one block sums.
const SIZES: [(usize, usize); 5] = [(1, 7), (3, 33), (5, 256), (37, 300), (70, 1025)];

fn main() {
    let arguments = Arguments::from_args();
    let has_compiler = Command::new("g++").arg("--version").output().is_ok();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let program = folder.path().join("rms_norm");
    if has_compiler {
        compile(&program);
    }
    let mut trials = Vec::new();
    for types in TYPES {
        for (n, width) in SIZES {
            let name = format!("rms_norm_{}_of_{n}x{width}_equals_the_cpu", types.name);
            let program = program.clone();
            trials.push(Trial::ignorable_test(name, move || {
                if !has_compiler {
                    return Ok(Completion::ignored_with(
                        "g++ is needed to run the kernels on the CPU",
                    ));
                }
                Case::new(types, n, width).check(&program)?;
                Ok(Completion::Completed)
            }));
        }
    }
    libtest_mimic::run(&arguments, trials).exit();
}

fn compile(program: &Path) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cuda_on_cpu");
    let compiler = Command::new("g++")
        .args(["-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", "-I"])
        .args([&folder, &folder.join("rms_norm.cpp")])
        .arg("-o")
        .arg(program)
        .output()
        .expect("g++ starts");
    let errors = String::from_utf8_lossy(&compiler.stderr);
    assert!(compiler.status.success(), "the kernels should compile for the CPU: {errors}");
}

/// Operands, rounded to their types.
struct Case {
    types: Types,
    x: Tensor,
    weight: Tensor,
    gradient: Tensor,
}

impl Case {
    fn new(types: Types, n: usize, width: usize) -> Self {
        let tensor = |dims: &[usize], seed: f32, dtype| {
            let count = dims.iter().product::<usize>();
            let values: Vec<f32> = (0..count).map(|i| (i as f32 * 0.7 + seed).sin()).collect();
            Tensor::from_vec(values, dims, &Device::Cpu)
                .and_then(|t| t.to_dtype(dtype))
                .expect("values")
        };
        Self {
            types,
            x: tensor(&[n, width], 0.1, types.values),
            weight: tensor(&[width], 0.5, types.weight),
            gradient: tensor(&[n, width], 0.9, types.values),
        }
    }

    fn check(&self, program: &Path) -> Result<(), Failed> {
        let (y, of_x, of_weight) = self.on_cpu()?;
        let (size, width) = (self.x.elem_count(), self.weight.elem_count());
        let bytes = self.types.values.size_in_bytes();
        let operands = [bytes_of(&self.x)?, bytes_of(&self.weight)?];
        let got = self.run(program, "forward", &operands.concat())?;
        self.compare("y", &values_of(&got, self.types.values), &y)?;
        let operands = [&operands[0][..], &operands[1], &bytes_of(&self.gradient)?].concat();
        let got = self.run(program, "backward", &operands)?;
        let (got_x, got_weight) = got.split_at(size * bytes);
        self.compare("gradient of x", &values_of(got_x, self.types.values), &of_x)?;
        let got_weight = values_of(got_weight, DType::F32);
        if got_weight.len() != width {
            return Err(format!("{width} gradients of the weight, not {}", got_weight.len()).into());
        }
        self.compare("gradient of the weight", &got_weight, &of_weight)
    }

    /// Result, gradient of x and gradient of the weight by the CPU implementation.
    fn on_cpu(&self) -> candle_core::Result<(Vec<f32>, Vec<f32>, Vec<f32>)> {
        let tape = Tape::new();
        let context = Context::new(&Device::Cpu);
        let variable = Var::from_tensor(&self.weight)?;
        let x = tape.input(&self.x)?;
        let weight = Weight::trainable(&variable);
        let y: Activation = rms_norm(&context.training(&tape), &x, &weight, EPS)?;
        let mut gradients = Gradients::default();
        let of_x = tape.backward(&[(&y, self.gradient.clone())], &[&x], &mut gradients)?;
        let of_x = of_x.into_iter().flatten().map(|t| floats(&t)).collect::<Result<Vec<_>, _>>()?;
        let of_weight = gradients.get(&variable).unwrap_or_default().to_vec();
        Ok((floats(&y.detach())?, of_x.concat(), of_weight))
    }

    fn run(&self, program: &Path, direction: &str, operands: &[u8]) -> Result<Vec<u8>, Failed> {
        let (n, width) = self.x.dims2()?;
        let mut child = Command::new(program)
            .args([direction, self.types.name])
            .args([n.to_string(), width.to_string(), EPS.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        // All operands are read before anything is written, so neither side waits for the other.
        child.stdin.take().ok_or("no standard input")?.write_all(operands)?;
        let output = child.wait_with_output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            return Err(format!("{direction}: {}: {errors}", output.status).into());
        }
        Ok(output.stdout)
    }

    /// Sums are f32 on both sides, in another order; bfloat16 results may round to the neighbor.
    fn compare(&self, what: &str, got: &[f32], expected: &[f32]) -> Result<(), Failed> {
        let rounding = if self.types.values == DType::BF16 { 1.0 / 128.0 } else { 1e-5 };
        let tolerance = if what == "gradient of the weight" { 1e-5 } else { rounding };
        let largest = expected.iter().fold(1e-6f32, |largest, x| largest.max(x.abs()));
        if got.len() != expected.len() {
            return Err(format!("{what}: {} values, not {}", got.len(), expected.len()).into());
        }
        for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
            // Not "greater": what was never written is no number.
            let is_near = (got - expected).abs() <= tolerance * largest;
            if !is_near {
                return Err(format!("{what}, value {i}: {got}, not {expected}").into());
            }
        }
        Ok(())
    }
}

fn floats(tensor: &Tensor) -> candle_core::Result<Vec<f32>> {
    tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
}

fn bytes_of(tensor: &Tensor) -> candle_core::Result<Vec<u8>> {
    Ok(match tensor.dtype() {
        DType::BF16 => {
            let values = tensor.flatten_all()?.to_vec1::<bf16>()?;
            values.iter().flat_map(|x| x.to_le_bytes()).collect()
        }
        _ => floats(tensor)?.iter().flat_map(|x| x.to_le_bytes()).collect(),
    })
}

fn values_of(bytes: &[u8], dtype: DType) -> Vec<f32> {
    match dtype {
        DType::BF16 => {
            bytes.as_chunks().0.iter().map(|x| bf16::from_le_bytes(*x).to_f32()).collect()
        }
        _ => bytes.as_chunks().0.iter().map(|x| f32::from_le_bytes(*x)).collect(),
    }
}
