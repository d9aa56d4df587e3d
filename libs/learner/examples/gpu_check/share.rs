//! Processes on one GPU that share their frozen weights, against the same processes that do not.

use std::hash::{DefaultHasher, Hasher as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use candle_core::{DType, Device};
use vrft_learner::OptimizerState;
use vrft_model::SharedWeights;
use vrft_processor::Processor;
use vrft_rollout::{Completion, FinishReason};

use crate::case::{Kind, Result, gpu, groups, learner, load_shared, prompts, sample, sampling};
use crate::parity::some_adapters;

const GROUP_SIZE: usize = 4;
const N_TOKENS: usize = 16;

/// The processes of a run: the second that samples stands for an evaluator.
const ROLES: [&str; 3] = ["rollout", "learner", "evaluator"];

pub(crate) fn check(checkpoint: &Path, image: &Path, trained: &str) -> Result<()> {
    let device = gpu()?;
    let run = |shares| together(&device, checkpoint, image, trained, shares);
    let (own, most_own) = run("own")?;
    let (shared, most_shared) = run("shared")?;
    println!(
        "{trained}, {} processes: at most {most_own} MiB, {most_shared} MiB shared",
        ROLES.len()
    );
    for ((role, own), shared) in ROLES.iter().zip(&own).zip(&shared) {
        let verdict = if own == shared { "the same bits" } else { "DIFFERS" };
        println!("{trained}, {role}: {verdict}");
    }
    if own == shared { Ok(()) } else { Err("shared weights change what is computed".into()) }
}

/// What the processes print, and the most memory of the GPU that was in use beside what was before, in MiB.
fn together(
    device: &Device,
    checkpoint: &Path,
    image: &Path,
    trained: &str,
    shares: &str,
) -> Result<(Vec<String>, usize)> {
    let before = used_mib(device)?;
    let start = |role: &&str| -> Result<Child> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("member").arg(checkpoint).arg(image).args([trained, role, shares]);
        Ok(command.stdout(Stdio::piped()).spawn()?)
    };
    let processes = ROLES.iter().map(start).collect::<Result<Vec<_>>>()?;
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut most = before;
            while !ended.load(Ordering::Relaxed) {
                most = most.max(used_mib(device).unwrap_or(0));
                std::thread::sleep(Duration::from_millis(20));
            }
            most
        });
        let output = |process: Child| {
            let output = process.wait_with_output()?;
            if !output.status.success() {
                return Err(format!("a process ended with {}", output.status).into());
            }
            Ok(String::from_utf8(output.stdout)?)
        };
        let outputs: Result<Vec<String>> = processes.into_iter().map(output).collect();
        ended.store(true, Ordering::Relaxed);
        let most = watcher.join().map_err(|_panic| "the watcher failed")?;
        Ok((outputs?, most - before))
    })
}

fn used_mib(device: &Device) -> Result<usize> {
    let context = device.as_cuda_device()?.cuda_stream().context().clone();
    context.bind_to_thread()?;
    let (free, total) = context.mem_get_info()?;
    Ok((total - free) >> 20)
}

/// One of the processes: prints a fingerprint of what it has computed.
pub(crate) fn member(
    checkpoint: &Path,
    image: &Path,
    quantized: bool,
    role: &str,
    shares: bool,
) -> Result<()> {
    let shared = SharedWeights::default();
    let device = gpu()?;
    let processor = Processor::load(checkpoint)?;
    let prompts = prompts(&processor, image, 2)?;
    let trainable = role == "learner";
    let kind = Kind { dtype: DType::BF16, lora: true, quantized, trainable };
    let policy = load_shared(checkpoint, &device, kind, shares.then_some(&shared))?;
    let mut hash = DefaultHasher::new();
    if trainable {
        // What was sampled does not matter here, only that all learn from the same.
        let completion = |i: u32| Completion {
            token_ids: vec![3 + i; N_TOKENS],
            logprobs: vec![-1.0; N_TOKENS],
            text: String::new(),
            finish_reason: FinishReason::Length,
            seed: 0,
            replies: vec![],
        };
        let group: Vec<Completion> = (0..GROUP_SIZE as u32).map(completion).collect();
        let groups = groups(&prompts, &vec![group; prompts.len()]);
        let mut learner = learner(policy, OptimizerState::F32)?;
        for _ in 0..2 {
            learner.grpo_step(&groups)?;
        }
        for (name, tensor) in learner.policy().tensors() {
            let values = tensor.to_device(&Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
            hash.write(format!("{name} {values:?}").as_bytes());
        }
    } else {
        // Two that sample have other adapters, as an evaluator may be a version behind.
        let seed = f32::from(u8::from(role == "rollout"));
        policy.set_weights(&some_adapters(&policy, seed)?)?;
        for _ in 0..4 {
            let settings = sampling(N_TOKENS, 1.0);
            for done in
                sample(&policy, &processor, &prompts, GROUP_SIZE, &settings)?.iter().flatten()
            {
                hash.write(format!("{:?} {:?}", done.token_ids, done.logprobs).as_bytes());
            }
        }
    }
    println!("{:016x}", hash.finish());
    shared.finish();
    Ok(())
}
