//! The gradient of pixels, beside transformers' and beside differences, and attacks that follow it.
//!
//! Relative error of a gradient at most 1e-4 beside transformers. A pixel of an attacked picture is off by at most 1e-5
//! wherever the gradient that decides its direction is not so small (1e-5, of a mean of 3e-3) that rounding may turn it.

use std::collections::HashMap;

use candle_core::{Device, Tensor};
use vrft_model::{PackedGroup, Policy};
use vrft_plan::AttackConfig;
use vrft_processor::{EncodedPrompt, Processor};

use crate::families::Case;
use crate::fixture::{Golden, flat, golden_dir, load, relative_difference};

fn expected() -> HashMap<String, Tensor> {
    candle_core::safetensors::load(golden_dir().join("attack.safetensors"), &Device::Cpu).unwrap()
}

fn of_golden(golden: &Golden) -> (EncodedPrompt, &[u32]) {
    (golden.prompt("one_image"), &golden.cases["one_image"].completion_ids[0])
}

#[test]
fn the_gradient_of_the_pixels_is_transformers() {
    let (golden, expected) = (Golden::load(), expected());
    let (prompt, answer) = of_golden(&golden);
    // Trained weights or frozen ones: pixels have the same gradient.
    for policy in [load(true), load(false)] {
        let found = policy.pixel_gradient(&prompt, answer).unwrap();
        assert!((found.loss - f64::from(flat(&expected["loss.before"])[0])).abs() < 1e-4);
        let shape = expected["gradient"].shape();
        let [pixels] = &found.pictures[..] else { panic!("one picture") };
        let got = Tensor::from_slice(pixels, shape, &Device::Cpu).unwrap();
        let off = relative_difference(&got, &expected["gradient"]);
        assert!(off < 1e-4, "gradient off by {off}");
    }
}

#[test]
fn an_attack_ends_at_the_pixels_of_torch() {
    let (golden, expected) = (Golden::load(), expected());
    let (prompt, answer) = of_golden(&golden);
    let range =
        Processor::load(&golden_dir().join("qwen2_vl")).unwrap().preprocessor().pixel_range();
    let attack = AttackConfig { epsilon: 6.0, steps: 3, step_size: 2.5, random_start: false };
    let attacked = load(false).attack(&prompt, answer, &attack, range, 0).unwrap();
    let (pixels, smallest) = (flat(&expected["pixels"]), flat(&expected["smallest"]));
    let got = &attacked.prompt.images[0].pixels;
    assert_eq!(got.len(), pixels.len());
    let mut n_open = 0;
    for ((got, expected), smallest) in got.iter().zip(&pixels).zip(&smallest) {
        if *smallest < 1e-5 {
            n_open += 1;
        } else {
            assert!((got - expected).abs() <= 1e-5, "{got} instead of {expected}");
        }
    }
    assert!(n_open * 50 < pixels.len(), "{n_open} pixels of {} are left open", pixels.len());
    let after = f64::from(flat(&expected["loss.after"])[0]);
    assert!((attacked.after - after).abs() < 1e-2, "{} instead of {after}", attacked.after);
}

/// The derivative of the answer's loss along a direction, by the gradient and by a central difference. `step` is in
/// normalized pixels.
#[track_caller]
fn check_slope(policy: &Policy, prompt: &EncodedPrompt, answer: &[u32]) {
    const STEP: f32 = 5e-3;
    let loss = |direction: f32| {
        let mut moved = prompt.clone();
        for (image, seed) in moved.images.iter_mut().zip(0..) {
            for (idx, pixel) in image.pixels.iter_mut().enumerate() {
                *pixel += direction * towards(idx, seed);
            }
        }
        let group = PackedGroup { prompt: &moved, completions: &[answer], inserted: &[] };
        let logprobs = policy.logprobs(&[group], 1.0).unwrap().numbers().unwrap();
        -logprobs.iter().map(|logprob| f64::from(*logprob)).sum::<f64>() / logprobs.len() as f64
    };
    let found = policy.pixel_gradient(prompt, answer).unwrap();
    let along = |(pixels, seed): (&Vec<f32>, usize)| -> f64 {
        let of = |(idx, slope): (usize, &f32)| f64::from(slope * towards(idx, seed));
        pixels.iter().enumerate().map(of).sum()
    };
    let slope: f64 = found.pictures.iter().zip(0..).map(along).sum();
    let difference = (loss(STEP) - loss(-STEP)) / (2.0 * f64::from(STEP));
    let off = (slope - difference).abs();
    assert!(slope.abs() > 1e-2, "{slope} says nothing");
    assert!(
        off < 0.02 * slope.abs() + 1e-3,
        "{slope} by the gradient, {difference} by differences"
    );
}

/// A direction that no symmetry of a picture cancels.
fn towards(idx: usize, seed: usize) -> f32 {
    ((idx * 37 + seed * 11) % 97) as f32 / 97.0 - 0.4
}

#[track_caller]
fn check_family(folder: &'static str, case: &str) {
    let case = Case::load(folder, case);
    check_slope(&case.policy(false), &case.prompt(), case.completion());
}

#[test]
fn the_slope_of_windows_and_frames() {
    let golden = Golden::load();
    let (prompt, answer) = of_golden(&golden);
    check_slope(&load(false), &prompt, answer);
}

#[test]
fn the_slope_of_a_tower_with_further_mergers() {
    check_family("qwen3_vl", "images");
}

#[test]
fn the_slope_of_a_tower_over_tiles() {
    check_family("smolvlm", "images");
}

#[test]
fn the_slope_beside_adapters() {
    check_family("qwen3_vl_lora", "images");
}

#[test]
fn a_random_start_is_the_seeds_and_within_the_bound() {
    let golden = Golden::load();
    let (prompt, answer) = of_golden(&golden);
    let range =
        Processor::load(&golden_dir().join("qwen2_vl")).unwrap().preprocessor().pixel_range();
    let attack = AttackConfig { epsilon: 2.0, steps: 2, step_size: 1.0, random_start: true };
    let policy = load(false);
    let attacked = |seed| policy.attack(&prompt, answer, &attack, range, seed).unwrap();
    let first = attacked(1);
    assert_eq!(first.prompt, attacked(1).prompt);
    assert_ne!(first.prompt, attacked(2).prompt);
    assert!(first.after > first.before, "{} after {}", first.after, first.before);
    let images = prompt.images.iter().zip(&first.prompt.images);
    let far = images.flat_map(|(a, b)| a.pixels.iter().zip(&b.pixels)).map(|(a, b)| (a - b).abs());
    let byte = (0..3).map(|c| (range.white[c] - range.black[c]) / 255.0).fold(0.0, f32::max);
    let (far, bound) = (far.fold(0.0, f32::max), 2.0 * byte * 1.001);
    assert!(far > 0.5 * byte && far <= bound, "{far}, with a bound of {bound}");
}

#[test]
fn a_prompt_without_a_picture_stays_as_it_is() {
    let golden = Golden::load();
    let prompt = golden.prompt("no_image");
    let answer = &golden.cases["no_image"].completion_ids[0];
    let range =
        Processor::load(&golden_dir().join("qwen2_vl")).unwrap().preprocessor().pixel_range();
    let policy = load(false);
    let attacked = policy.attack(&prompt, answer, &AttackConfig::default(), range, 0).unwrap();
    assert_eq!(attacked.prompt, prompt);
    assert_eq!(attacked.before, attacked.after);
}
