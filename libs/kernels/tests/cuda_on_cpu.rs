//! CUDA kernels against the CPU implementations, without a GPU: the same sources, compiled by g++ and run on the CPU
//! with a fiber for each thread (`cuda_on_cpu/cuda_on_cpu.h`). Where there is no g++, the tests are ignored.
//!
//! Errors are the largest difference over the largest value: at most 1e-5 in f32 and 2e-2 in bfloat16. The memory of
//! all results is full of what is no number before.

#[path = "cuda_on_cpu/attention.rs"]
mod attention;
#[path = "cuda_on_cpu/decode_step.rs"]
mod decode_step;
#[path = "cuda_on_cpu/decoding.rs"]
mod decoding;
#[path = "cuda_on_cpu/elementwise.rs"]
mod elementwise;
#[path = "cuda_on_cpu/logprobs.rs"]
mod logprobs;
#[path = "cuda_on_cpu/nf4.rs"]
mod nf4;
#[path = "cuda_on_cpu/norms.rs"]
mod norms;
#[path = "cuda_on_cpu/optimizer.rs"]
mod optimizer;
#[path = "cuda_on_cpu/program.rs"]
mod program;
#[path = "cuda_on_cpu/rows.rs"]
mod rows;
#[path = "cuda_on_cpu/sampling.rs"]
mod sampling;
#[path = "cuda_on_cpu/values.rs"]
mod values;

use std::sync::{Arc, OnceLock};

use libtest_mimic::{Arguments, Completion, Trial};

use crate::program::Program;
use crate::values::Outcome;

/// A test by its name.
struct Case {
    name: String,
    run: Box<dyn FnOnce(&Program) -> Outcome + Send>,
}

impl Case {
    fn new(
        name: impl Into<String>,
        run: impl FnOnce(&Program) -> Outcome + Send + 'static,
    ) -> Self {
        Self { name: name.into(), run: Box::new(run) }
    }
}

fn main() {
    let cases = [
        norms::cases(),
        nf4::cases(),
        elementwise::cases(),
        rows::cases(),
        logprobs::cases(),
        attention::cases(),
        decoding::cases(),
        decode_step::cases(),
        sampling::cases(),
        optimizer::cases(),
    ];
    // Compiled by the first test that needs it.
    let program: Arc<OnceLock<Option<Program>>> = Arc::default();
    let trial = |case: Case| {
        let program = program.clone();
        Trial::ignorable_test(case.name, move || match program.get_or_init(Program::compile) {
            Some(program) => (case.run)(program).map(|()| Completion::Completed),
            None => Ok(Completion::ignored_with("g++ is needed to run kernels on the CPU")),
        })
    };
    let trials = cases.into_iter().flatten().map(trial).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}
