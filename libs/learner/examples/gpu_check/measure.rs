//! What a decoded token and a micro-batch ask of the driver, or take.

use std::path::Path;
use std::time::Instant;

use candle_core::{DType, Device};
use vrft_learner::OptimizerState;
use vrft_processor::Processor;

use crate::case::{Kind, Result, gpu, groups, learner, load, prompts, sample, sampling};

/// Steps that are timed after the first, which warms up.
const STEPS: usize = 3;

/// The sizes of a case.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) n_prompts: usize,
    pub(crate) group_size: usize,
    pub(crate) n_tokens: usize,
    pub(crate) lora: bool,
    pub(crate) quantized: bool,
}

pub(crate) fn run(counts: bool, checkpoint: &Path, image: &Path, sizes: Sizes) -> Result<()> {
    let device = gpu()?;
    let Sizes { n_prompts, group_size, n_tokens, lora, quantized } = sizes;
    let kind = Kind { dtype: DType::BF16, lora, quantized, trainable: true };
    let processor = Processor::load(checkpoint)?;
    let prompts = prompts(&processor, image, n_prompts)?;
    let sampler = load(checkpoint, &device, Kind { trainable: false, ..kind })?;
    let rollout = |n_tokens| {
        let settings = sampling(n_tokens, 1.0);
        let start = Instant::now();
        let sampled = sample(&sampler, &processor, &prompts, group_size, &settings)?;
        synchronize(&device)?;
        Ok::<_, Box<dyn std::error::Error>>((sampled, start.elapsed().as_secs_f64()))
    };
    // The first loads the kernels; what a token costs is the difference of two lengths.
    rollout(2)?;
    let name = format!("{n_prompts} x {group_size}");
    let mut secs = Vec::new();
    let mut sampled = Vec::new();
    for length in [n_tokens / 2, n_tokens] {
        marked(counts, &device, &format!("rollout of {length} tokens, {name}"), || {
            let (groups, of_rollout) = rollout(length)?;
            sampled = groups;
            secs.push(of_rollout);
            Ok(())
        })?;
    }
    let of_token = (secs[1] - secs[0]) / (n_tokens - n_tokens / 2) as f64;
    println!("{name}: rollout {:.4} s, {:.3} ms a token", secs[1], 1e3 * of_token);
    let groups = groups(&prompts, &sampled);
    let mut learner = learner(load(checkpoint, &device, kind)?, OptimizerState::F32)?;
    learner.grpo_step(&groups)?;
    synchronize(&device)?;
    for _ in 0..STEPS {
        marked(counts, &device, &format!("learner step, {name}"), || {
            let start = Instant::now();
            learner.grpo_step(&groups)?;
            synchronize(&device)?;
            println!("{name}: learner step {:.4} s", start.elapsed().as_secs_f64());
            Ok(())
        })?;
    }
    Ok(())
}

fn synchronize(device: &Device) -> Result<()> {
    Ok(device.synchronize()?)
}

/// Lets a driver that counts count what `f` asks of it, and says of what.
fn marked(counts: bool, device: &Device, what: &str, f: impl FnOnce() -> Result<()>) -> Result<()> {
    if !counts {
        return f();
    }
    synchronize(device)?;
    println!("counted: {what}");
    profiler(true)?;
    f()?;
    profiler(false)
}

/// Marks the beginning and the end of what a profiler, or a driver that counts, looks at.
fn profiler(starts: bool) -> Result<()> {
    use candle_core::cuda_backend::cudarc::driver::sys;
    // SAFETY: neither takes anything.
    #[expect(unsafe_code, reason = "functions of the CUDA driver")]
    let status = unsafe { if starts { sys::cuProfilerStart() } else { sys::cuProfilerStop() } };
    Ok(status.result()?)
}
