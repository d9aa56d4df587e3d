//! The kernels of all operations as one program, and launches of them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use candle_core::{DType, Tensor};
use half::bf16;
use libtest_mimic::Failed;

/// The compiled kernels; removed at the end.
pub(crate) struct Program {
    path: PathBuf,
    _folder: tempfile::TempDir,
}

/// Blocks, threads of a block, bytes of shared memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grid {
    pub(crate) blocks: [u32; 2],
    pub(crate) threads: u32,
    pub(crate) shared_bytes: u32,
}

impl Grid {
    pub(crate) fn new(blocks: u32, threads: u32) -> Self {
        Self { blocks: [blocks, 1], threads, shared_bytes: 0 }
    }

    pub(crate) fn two(blocks: [usize; 2], threads: u32) -> Self {
        Self { blocks: blocks.map(|n| n as u32), threads, shared_bytes: 0 }
    }
}

/// An argument of a kernel.
#[derive(Debug, Clone)]
pub(crate) enum Argument {
    Buffer(Vec<u8>),
    Value(Vec<u8>),
    /// Rows of 64-bit numbers: where some bytes are, then the numbers given.
    Table(Vec<(Vec<u8>, Vec<u64>)>),
    None,
}

impl Argument {
    pub(crate) fn of(tensor: &Tensor) -> candle_core::Result<Self> {
        Ok(Self::Buffer(bytes_of(tensor)?))
    }

    /// Room for the values of a result, full of what is no number.
    pub(crate) fn room(n: usize, dtype: DType) -> Self {
        Self::Buffer(vec![0xff; n * dtype.size_in_bytes()])
    }

    pub(crate) fn words(words: &[u32]) -> Self {
        Self::Buffer(words.iter().flat_map(|word| word.to_ne_bytes()).collect())
    }

    pub(crate) fn size(n: usize) -> Self {
        Self::Value((n as i32).to_ne_bytes().to_vec())
    }

    pub(crate) fn count(n: u64) -> Self {
        Self::Value(n.to_ne_bytes().to_vec())
    }

    pub(crate) fn word(x: u32) -> Self {
        Self::Value(x.to_ne_bytes().to_vec())
    }

    pub(crate) fn number(x: f32) -> Self {
        Self::Value(x.to_ne_bytes().to_vec())
    }
}

impl Program {
    /// Compiles the kernels of all operations; nothing without a compiler.
    pub(crate) fn compile() -> Option<Self> {
        Command::new("g++").arg("--version").output().ok()?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let own = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cuda_on_cpu");
        let mut sources = vec![own.join("machine.cpp"), own.join("main.cpp")];
        let operations = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/ops");
        for operation in std::fs::read_dir(operations).expect("the operations") {
            let source = operation.expect("an operation").path().join("cuda.cu");
            sources.extend(source.exists().then_some(source));
        }
        let objects: Vec<PathBuf> =
            (0..sources.len()).map(|i| folder.path().join(format!("{i}.o"))).collect();
        let jobs: Vec<_> = sources.iter().zip(&objects).collect();
        let n_threads = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            for of_thread in jobs.chunks(jobs.len().div_ceil(n_threads)) {
                let own = &own;
                scope.spawn(move || of_thread.iter().for_each(|(from, to)| object(own, from, to)));
            }
        });
        let path = folder.path().join("kernels");
        run(Command::new("g++").args(&objects).arg("-o").arg(&path));
        Some(Self { path, _folder: folder })
    }

    /// Launches a kernel; the contents of all buffers afterwards.
    pub(crate) fn launch(
        &self,
        kernel: &str,
        grid: Grid,
        arguments: &[Argument],
    ) -> Result<Vec<Vec<u8>>, Failed> {
        let mut child = Command::new(&self.path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        // All of it is read before anything is written, so neither side waits for the other.
        let request = request(kernel, grid, arguments);
        let sent = child.stdin.take().ok_or("no standard input")?.write_all(&request);
        let output = child.wait_with_output()?;
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{kernel}: {}: {errors}", output.status).into());
        }
        sent?;
        let mut left = &output.stdout[..];
        let mut buffers = Vec::new();
        for argument in arguments {
            if let Argument::Buffer(bytes) = argument {
                let (own, rest) = left.split_at(bytes.len());
                buffers.push(own.to_vec());
                left = rest;
            }
        }
        Ok(buffers)
    }
}

fn object(own: &Path, source: &Path, object: &Path) {
    let header = own.join("cuda_on_cpu.h");
    run(Command::new("g++")
        .args(["-x", "c++", "-std=c++17", "-O2", "-Wall", "-Wextra", "-Wno-unknown-pragmas"])
        .args(["-Werror", "-I"])
        .arg(own)
        .arg("-include")
        .args([&header, Path::new("-c"), source, Path::new("-o"), object]));
}

#[track_caller]
fn run(compiler: &mut Command) {
    let output = compiler.output().expect("g++ starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the kernels should compile for the CPU: {errors}");
}

/// As `main.cpp` reads it.
fn request(kernel: &str, grid: Grid, arguments: &[Argument]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let word = |bytes: &mut Vec<u8>, x: usize| bytes.extend((x as u32).to_ne_bytes());
    word(&mut bytes, kernel.len());
    bytes.extend(kernel.as_bytes());
    let [x, y] = grid.blocks;
    for size in [x, y, 1, grid.threads, 1, 1, grid.shared_bytes] {
        word(&mut bytes, size as usize);
    }
    word(&mut bytes, arguments.len());
    for argument in arguments {
        let (kind, own) = match argument {
            Argument::Buffer(own) => (0, own.clone()),
            Argument::Value(own) => (1, own.clone()),
            Argument::None => (2, Vec::new()),
            Argument::Table(rows) => {
                let mut own = Vec::new();
                for (values, numbers) in rows {
                    word(&mut own, values.len());
                    own.extend(values);
                    word(&mut own, numbers.len());
                    own.extend(numbers.iter().flat_map(|number| number.to_ne_bytes()));
                }
                (3, own)
            }
        };
        word(&mut bytes, kind);
        word(&mut bytes, own.len());
        bytes.extend(own);
    }
    bytes
}

pub(crate) fn bytes_of(tensor: &Tensor) -> candle_core::Result<Vec<u8>> {
    let flat = tensor.flatten_all()?;
    Ok(match tensor.dtype() {
        DType::BF16 => {
            flat.to_vec1::<bf16>()?.iter().flat_map(|x| x.to_bits().to_ne_bytes()).collect()
        }
        _ => flat.to_vec1::<f32>()?.iter().flat_map(|x| x.to_ne_bytes()).collect(),
    })
}
