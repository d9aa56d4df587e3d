//! What a GPU computes, asks of its driver and takes: run by `.ci/gpu` without a card and by `.ci/gpu-device` on one.
//!
//! `gpu_check parity CHECKPOINT IMAGE` holds rollout and learner on the GPU to those of the CPU and prints the errors.
//! `gpu_check count CHECKPOINT IMAGE PROMPTS GROUP TOKENS lora|nf4|full` marks what the driver should count of one decoded
//! token and of one micro-batch; `gpu_check share CHECKPOINT IMAGE lora|nf4` lets three processes share their frozen weights,
//! and compares what they compute and take with what they do without; `gpu_check init CHECKPOINT` makes random weights for a `config.json`. `gpu_check time …` with the same arguments prints the seconds of both.
#![allow(clippy::print_stdout, reason = "a program that prints")]

mod case;
mod measure;
mod parity;
mod share;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["parity", checkpoint, image] => parity::check(checkpoint.as_ref(), image.as_ref()),
        ["init", checkpoint] => {
            let dtype = candle_core::DType::BF16;
            Ok(vrft_model::Policy::initialize(checkpoint.as_ref(), 0, dtype)?)
        }
        ["share", checkpoint, image, trained] => {
            share::check(checkpoint.as_ref(), image.as_ref(), trained)
        }
        ["member", checkpoint, image, trained, role, shares] => {
            let quantized = trained == "nf4";
            share::member(checkpoint.as_ref(), image.as_ref(), quantized, role, shares == "shared")
        }
        [what @ ("count" | "time"), checkpoint, image, prompts, group, tokens, trained] => {
            let sizes = measure::Sizes {
                n_prompts: prompts.parse()?,
                group_size: group.parse()?,
                n_tokens: tokens.parse()?,
                lora: trained != "full",
                quantized: trained == "nf4",
            };
            measure::run(what == "count", checkpoint.as_ref(), image.as_ref(), sizes)
        }
        _ => Err("gpu_check init CHECKPOINT | gpu_check parity CHECKPOINT IMAGE | gpu_check share CHECKPOINT IMAGE lora|nf4 | gpu_check count|time CHECKPOINT IMAGE \
                  PROMPTS GROUP TOKENS lora|nf4|full"
            .into()),
    }
}
