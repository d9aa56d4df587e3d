//! Rollout and learner on the GPU against those on the CPU.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use vrft_learner::{OptimizerState, TrainGroup};
use vrft_model::{PackedGroup, Policy};
use vrft_processor::{EncodedPrompt, Processor};
use vrft_rollout::Completion;

use crate::case::{Kind, Result, gpu, groups, learner, load, prompts, sample, sampling};

const GROUP_SIZE: usize = 3;
const N_TOKENS: usize = 6;

/// What is compared, and how far off it may be.
struct Report {
    n_failed: usize,
}

impl Report {
    fn line(&mut self, what: &str, error: f32, allowed: f32) {
        let is_near = error <= allowed;
        self.n_failed += usize::from(!is_near);
        let verdict = if is_near { "ok" } else { "FAILED" };
        println!("{what:<60} {error:>10.2e} of {allowed:>8.1e}  {verdict}");
    }
}

pub(crate) fn check(checkpoint: &Path, image: &Path) -> Result<()> {
    let device = gpu()?;
    let processor = Processor::load(checkpoint)?;
    let prompts = prompts(&processor, image, 2)?;
    let mut report = Report { n_failed: 0 };
    for dtype in [DType::F32, DType::BF16] {
        let kind = |lora, quantized| Kind { dtype, lora, quantized, trainable: false };
        decoding(&mut report, checkpoint, &device, &processor, &prompts, kind(true, false))?;
        decoding(&mut report, checkpoint, &device, &processor, &prompts, kind(true, true))?;
        let sampled =
            decoding(&mut report, checkpoint, &device, &processor, &prompts, kind(false, false))?;
        let groups = groups(&prompts, &sampled);
        for (lora, quantized) in [(false, false), (true, false), (true, true)] {
            let kind = Kind { trainable: true, ..kind(lora, quantized) };
            for state in [OptimizerState::F32, OptimizerState::Bf16, OptimizerState::Int8] {
                training(&mut report, checkpoint, &device, &groups, kind, state)?;
            }
        }
    }
    match report.n_failed {
        0 => Ok(()),
        n => Err(format!("{n} results of the GPU are too far from the CPU's").into()),
    }
}

/// Tokens that the GPU samples, whose logprobs have to be those that the CPU gives to the same tokens.
fn decoding(
    report: &mut Report,
    checkpoint: &Path,
    device: &Device,
    processor: &Processor,
    prompts: &[EncodedPrompt],
    kind: Kind,
) -> Result<Vec<Vec<Completion>>> {
    let [on_cpu, on_gpu] = [&Device::Cpu, device].map(|device| load(checkpoint, device, kind));
    let on_cpu = on_cpu?;
    let on_gpu = on_gpu?;
    let Kind { dtype, lora, quantized, .. } = kind;
    if lora {
        // Fresh adapters add nothing.
        let adapters = some_adapters(&on_cpu, 0.0)?;
        on_cpu.set_weights(&adapters)?;
        on_gpu.set_weights(&adapters)?;
    }
    let adapted = match (lora, quantized) {
        (_, true) => ", LoRA beside NF4",
        (true, false) => ", LoRA",
        (false, false) => "",
    };
    let allowed = if dtype == DType::F32 { 1e-4 } else { 2e-2 };
    if dtype == DType::F32 {
        let greedy = sampling(N_TOKENS, 0.0);
        let tokens = |policy: &Policy| -> Result<Vec<u32>> {
            let sampled = sample(policy, processor, prompts, 1, &greedy)?;
            Ok(sampled.into_iter().flatten().flat_map(|done| done.token_ids).collect())
        };
        let differ = tokens(&on_cpu)?.into_iter().zip(tokens(&on_gpu)?).filter(|(a, b)| a != b);
        let what = format!("greedy tokens that differ{adapted}");
        report.line(&what, differ.count() as f32, 0.0);
    }
    let settings = sampling(N_TOKENS, 1.0);
    let sampled = sample(&on_gpu, processor, prompts, GROUP_SIZE, &settings)?;
    let again = sample(&on_gpu, processor, prompts, GROUP_SIZE, &settings)?;
    let alone = sample(&on_gpu, processor, &prompts[..1], GROUP_SIZE, &settings)?;
    let tokens = |groups: &[Vec<Completion>]| -> Vec<Vec<u32>> {
        groups.iter().flatten().map(|done| done.token_ids.clone()).collect()
    };
    let differs = tokens(&sampled) != tokens(&again);
    report.line("samples of the same seed that differ", f32::from(u8::from(differs)), 0.0);
    let differs = tokens(&sampled[..1]) != tokens(&alone);
    report.line("samples that depend on their neighbors", f32::from(u8::from(differs)), 0.0);
    let sampled_logprobs: Vec<f32> =
        sampled.iter().flatten().flat_map(|done| done.logprobs.clone()).collect();
    for (what, policy) in [("CPU", &on_cpu), ("GPU", &on_gpu)] {
        let of = logprobs(policy, prompts, &sampled)?;
        let error = difference(&sampled_logprobs, &of);
        report.line(
            &format!("logprobs of sampled tokens, {dtype:?}{adapted}, packed on the {what}"),
            error,
            allowed,
        );
    }
    Ok(sampled)
}

/// Adapters as they might be after some training: all of their values differ from zero.
pub(crate) fn some_adapters(policy: &Policy, seed: f32) -> Result<HashMap<String, Tensor>> {
    let value = |i: usize| 0.05 * (i as f32 * 12.9898 + seed).sin();
    let of = |(name, tensor): (String, Tensor)| {
        let values = (0..tensor.elem_count()).map(value).collect();
        Ok((name, Tensor::from_vec::<_, f32>(values, tensor.dims(), &Device::Cpu)?))
    };
    policy.tensors().into_iter().map(of).collect()
}

fn logprobs(
    policy: &Policy,
    prompts: &[EncodedPrompt],
    sampled: &[Vec<Completion>],
) -> Result<Vec<f32>> {
    let of_group = |group: &Vec<Completion>| -> Vec<Vec<u32>> {
        group.iter().map(|done| done.token_ids.clone()).collect()
    };
    let tokens: Vec<Vec<Vec<u32>>> = sampled.iter().map(of_group).collect();
    let slices: Vec<Vec<&[u32]>> =
        tokens.iter().map(|group| group.iter().map(Vec::as_slice).collect()).collect();
    let groups: Vec<PackedGroup> = prompts
        .iter()
        .zip(&slices)
        .map(|(prompt, completions)| PackedGroup { prompt, completions, inserted: &[] })
        .collect();
    Ok(policy.logprobs(&groups, 1.0)?.logprobs.to_device(&Device::Cpu)?.to_vec1()?)
}

/// Two steps of both learners, from which weights and figures have to come out alike.
fn training(
    report: &mut Report,
    checkpoint: &Path,
    device: &Device,
    groups: &[TrainGroup],
    kind: Kind,
    state: OptimizerState,
) -> Result<()> {
    let trained = match (kind.lora, kind.quantized) {
        (_, true) => "LoRA beside NF4",
        (true, false) => "LoRA",
        (false, false) => "all",
    };
    let what = format!("{trained}, {:?}, moments {state:?}", kind.dtype);
    let (cpu, cpu_figures) = two_steps(checkpoint, &Device::Cpu, groups, kind, state)?;
    let (gpu, gpu_figures) = two_steps(checkpoint, device, groups, kind, state)?;
    let of_figures = format!("figures of two steps: {what}");
    let of_updates = format!("updates of two steps: {what}");
    if kind.dtype == DType::F32 {
        report.line(&of_figures, difference(&gpu_figures, &cpu_figures), 1e-3);
        report.line(&of_updates, apart(&gpu, &cpu)?, 5e-2);
        return Ok(());
    }
    // Adam makes whole steps of gradients that are nothing but rounding, so two ways to compute in bfloat16 are far
    // from each other where gradients are small. What counts is that the GPU is not much further from f32 than the CPU.
    let kind = Kind { dtype: DType::F32, ..kind };
    let (exact, exact_figures) = two_steps(checkpoint, &Device::Cpu, groups, kind, state)?;
    let of_cpu = difference(&cpu_figures, &exact_figures);
    report.line(&of_figures, difference(&gpu_figures, &exact_figures), (2.0 * of_cpu).max(2e-2));
    report.line(&of_updates, apart(&gpu, &exact)?, 2.0 * apart(&cpu, &exact)?);
    Ok(())
}

/// The updates of all trained weights and figures of both steps.
fn two_steps(
    checkpoint: &Path,
    device: &Device,
    groups: &[TrainGroup],
    kind: Kind,
    state: OptimizerState,
) -> Result<(BTreeMap<String, Tensor>, Vec<f32>)> {
    let policy = load(checkpoint, device, kind)?;
    let before: BTreeMap<String, Tensor> = policy
        .tensors()
        .into_iter()
        .map(|(name, tensor)| Ok((name, tensor.copy()?.to_device(&Device::Cpu)?)))
        .collect::<candle_core::Result<_>>()?;
    let mut learner = learner(policy, state)?;
    let mut figures = Vec::new();
    for _ in 0..2 {
        let stats = learner.grpo_step(groups)?;
        for path in ["policy/entropy", "policy/grad_norm", "policy/ratio"] {
            figures.push(stats.metrics[path] as f32);
        }
    }
    let mut moved = BTreeMap::new();
    for (name, tensor) in learner.policy().tensors() {
        let tensor = tensor.to_device(&Device::Cpu)?.to_dtype(DType::F32)?;
        moved.insert(name.clone(), (tensor - before[&name].to_dtype(DType::F32)?)?);
    }
    Ok((moved, figures))
}

/// The length of the difference over the length of what was expected, all updates being one vector.
fn apart(
    got: &BTreeMap<String, Tensor>,
    expected: &BTreeMap<String, Tensor>,
) -> candle_core::Result<f32> {
    let square = |x: &Tensor| x.sqr()?.sum_all()?.to_scalar::<f32>().map(f64::from);
    let mut squares = [0f64; 2];
    for (name, expected) in expected {
        squares[0] += square(&(&got[name] - expected)?)?;
        squares[1] += square(expected)?;
    }
    Ok((squares[0] / squares[1]).sqrt() as f32)
}

/// The largest difference over the largest value.
fn difference(got: &[f32], expected: &[f32]) -> f32 {
    if got.len() != expected.len() {
        return f32::INFINITY;
    }
    let largest = expected.iter().fold(1e-6f32, |largest, x| largest.max(x.abs()));
    let off = got.iter().zip(expected).map(|(a, b)| (a - b).abs());
    // What is no number is as far off as can be.
    off.fold(0.0, |most: f32, off| if off <= most { most } else { off }) / largest
}
