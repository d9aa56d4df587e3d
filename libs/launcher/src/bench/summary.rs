//! What a bench found, as text and as JSON.

use std::fmt;

use serde_json::{Map, Value, json};

use crate::bench::case::Case;
use crate::bench::phases::{PHASES, StepTimes, median};
use crate::cli::BenchOptions;

const MIB: f64 = 1024.0 * 1024.0;

/// Medians over the steps after the first, which warms up.
pub(crate) struct Summary {
    case: Value,
    seconds_per_step: Vec<f64>,
    median_secs: f64,
    phases: Vec<(&'static str, f64)>,
    overhead: f64,
    rollout_tokens_per_sec: f64,
    learner_tokens_per_sec: f64,
    rollout_gflops: f64,
    learner_gflops: f64,
    machine_gflops: f64,
    peak_memory_bytes: u64,
    estimated_memory_bytes: usize,
}

impl Summary {
    pub(crate) fn new(
        options: &BenchOptions,
        case: &Case,
        steps: &[StepTimes],
        peak_memory_bytes: u64,
        machine_gflops: f64,
    ) -> Self {
        let warm = if steps.len() > 1 { &steps[1..] } else { steps };
        let of = |f: &dyn Fn(&StepTimes) -> f64| median(warm.iter().map(f));
        let phases: Vec<_> =
            (0..PHASES.len()).map(|i| (PHASES[i], of(&|step| step.phases[i]))).collect();
        let rollout_secs = phases[1].1;
        let n_completion_tokens = options.prompts * options.group * options.tokens;
        let n_tokens = options.prompts * case.n_prompt_tokens + n_completion_tokens;
        Self {
            case: json!({
                "checkpoint": options.checkpoint, "pixels": options.pixels, "tokens": options.tokens,
                "group": options.group, "beta": options.beta, "prompts": options.prompts,
                "dtype": options.dtype.name(), "device": options.device, "prompt_tokens": case.n_prompt_tokens,
                "gemm": vrft_kernels::gemm_backend(),
            }),
            seconds_per_step: steps.iter().map(|step| step.secs).collect(),
            median_secs: of(&|step| step.secs),
            overhead: of(&StepTimes::overhead),
            rollout_tokens_per_sec: n_completion_tokens as f64 / rollout_secs,
            learner_tokens_per_sec: n_tokens as f64 / of(&|step| step.learner_secs),
            rollout_gflops: of(&|step| step.rollout_flops as f64 / 1e9) / rollout_secs,
            learner_gflops: of(&|step| step.learner_flops as f64 / 1e9 / step.learner_secs),
            machine_gflops,
            phases,
            peak_memory_bytes,
            estimated_memory_bytes: case.estimated_bytes,
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        let phases: Map<String, Value> =
            self.phases.iter().map(|(name, secs)| ((*name).to_owned(), json!(secs))).collect();
        json!({
            "case": self.case,
            "seconds_per_step": self.seconds_per_step,
            "median_seconds_per_step": self.median_secs,
            "peak_memory_bytes": self.peak_memory_bytes,
            "estimated_memory_bytes": self.estimated_memory_bytes,
            "phases": phases,
            "share_outside_rollout_and_learner": self.overhead,
            "rollout_tokens_per_second": self.rollout_tokens_per_sec,
            "learner_tokens_per_second": self.learner_tokens_per_sec,
            "gflops": {
                "rollout": self.rollout_gflops,
                "learner": self.learner_gflops,
                "machine": self.machine_gflops,
                "learner_over_machine": self.learner_gflops / self.machine_gflops,
            },
        })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nmedian step {:.3} s, {}", self.median_secs, self.case)?;
        for (name, secs) in &self.phases {
            writeln!(f, "  {name:<22}{secs:>8.3} s {:>5.1} %", 100.0 * secs / self.median_secs)?;
        }
        writeln!(f, "  outside rollout and learner     {:>5.1} %", 100.0 * self.overhead)?;
        writeln!(f, "rollout  {:>7.0} tokens/s", self.rollout_tokens_per_sec)?;
        writeln!(f, "learner  {:>7.0} tokens/s", self.learner_tokens_per_sec)?;
        writeln!(
            f,
            "products {:.0} GFLOP/s in the rollout, {:.0} in the learner, {:.0} at best here",
            self.rollout_gflops, self.learner_gflops, self.machine_gflops
        )?;
        let (peak, estimated) = (self.peak_memory_bytes as f64, self.estimated_memory_bytes as f64);
        writeln!(f, "peak memory {:.0} MiB, estimated {:.0}", peak / MIB, estimated / MIB)?;
        match vrft_kernels::gemm_backend_error() {
            Some(error) => writeln!(f, "{error}"),
            None => Ok(()),
        }
    }
}
