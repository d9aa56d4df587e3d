//! `vrft bench`: one GRPO step after the other on a made-up case, with the seconds of every phase.
//!
//! Rollout, reference, learner and the hand-over of weights run one after the other in this process, each with
//! its own copy of the policy, as the nodes of a graph with a window of 1 do.

mod case;
mod image;
mod memory;
mod phases;
mod summary;

use std::time::Instant;

use eyre::WrapErr;

use crate::bench::case::Case;
use crate::bench::phases::StepTimes;
use crate::bench::summary::Summary;
use crate::cli::BenchOptions;
use crate::print::{self, say};

/// Runs the case, prints its phases, and writes them as JSON if asked to.
pub(crate) fn bench(options: &BenchOptions) -> eyre::Result<()> {
    vrft_kernels::keep_freed_memory();
    let mut case = Case::load(options)?;
    let mut steps = Vec::new();
    for step_idx in 0..options.steps {
        let start = Instant::now();
        let times = case.step(step_idx)?;
        let secs = start.elapsed().as_secs_f64();
        say!("step {secs:.3} s");
        steps.push(StepTimes { secs, ..times });
    }
    // Before the machine's rate is measured, which needs memory of its own.
    let peak = memory::peak_bytes()?;
    let summary = Summary::new(options, &case, &steps, peak, vrft_kernels::measure_gflops());
    print::text(&summary.to_string());
    match &options.json {
        Some(path) => std::fs::write(path, serde_json::to_vec_pretty(&summary.to_json())?)
            .wrap_err_with(|| format!("cannot write {path:?}")),
        None => Ok(()),
    }
}
