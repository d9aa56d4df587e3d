//! Compiles the CUDA kernels beside the operations, where the feature `cuda` is on.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The oldest GPUs that the kernels run on; the driver compiles them further for newer ones.
const ARCHITECTURE: &str = "compute_80";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return;
    }
    println!("cargo::rerun-if-env-changed=CUDA_HOME");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    for operation in std::fs::read_dir("src/ops").expect("the folder of the operations") {
        let source = operation.expect("an entry of the folder").path().join("cuda.cu");
        if source.exists() {
            println!("cargo::rerun-if-changed={}", source.display());
            compile(&source, &out);
        }
    }
}

/// `src/ops/NAME/cuda.cu` to `NAME.ptx`.
fn compile(source: &Path, out: &Path) {
    let name = source.parent().and_then(Path::file_name).expect("the operation's folder");
    let nvcc = match std::env::var_os("CUDA_HOME") {
        Some(home) => PathBuf::from(home).join("bin/nvcc"),
        None => PathBuf::from("nvcc"),
    };
    let status = Command::new(&nvcc)
        .args(["--ptx", "-O3", "-std=c++17", "-arch", ARCHITECTURE, "-o"])
        .args([out.join(name).with_extension("ptx").as_path(), source])
        .status();
    match status {
        Ok(status) if status.success() => {}
        Ok(status) => panic!("{nvcc:?} could not compile {source:?}: {status}"),
        Err(error) => panic!(
            "{nvcc:?} does not start: {error}; install the CUDA toolkit, or set CUDA_HOME to it"
        ),
    }
}
