//! Both families against transformers and peft: every block, logits, loss, gradients, greedy tokens.
//!
//! Absolute error at most 1e-4 in f32, relative error of a gradient at most 1e-3 per tensor. Fixtures from
//! `tests/golden/make_models.py`.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use vrft_model::{PackedGroup, Policy};
use vrft_processor::EncodedPrompt;
use vrft_vision::{Grid, Patches};

use crate::fixture::{
    adapter_copy, difference, flat, golden_dir, loss_and_grads, options, relative_difference,
};

const N_COMPLETION: usize = 9;

/// A conversation about what there is to see, and what transformers made of it.
pub(crate) struct Case {
    name: &'static str,
    tensors: HashMap<String, Tensor>,
    /// Prompt and completion.
    pub(crate) whole: EncodedPrompt,
}

impl Case {
    pub(crate) fn load(name: &'static str) -> Self {
        Self::load_from("models.safetensors", name)
    }

    pub(crate) fn load_from(file: &str, name: &'static str) -> Self {
        let path = golden_dir().join(file);
        let tensors = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
        let integers = |key: &str| -> Vec<u32> {
            let tensor = tensors[&format!("{name}.{key}")].to_dtype(DType::U32).unwrap();
            tensor.flatten_all().unwrap().to_vec1().unwrap()
        };
        let pixels = flat(&tensors[&format!("{name}.pixels")]);
        let token_ids = integers("input_ids");
        let positions = integers("positions").chunks(3).map(|p| [p[0], p[1], p[2]]).collect();
        let mut whole = EncodedPrompt { token_ids, positions, images: Vec::new() };
        let n_patches: u32 = integers("grids").chunks(3).map(|g| g.iter().product::<u32>()).sum();
        let mut rest = &pixels[..];
        for grid in integers("grids").chunks(3).map(|g| g.iter().map(|n| *n as usize)) {
            let [t, h, w] = grid.collect::<Vec<_>>().try_into().unwrap();
            let (own, after) = rest.split_at(t * h * w * (pixels.len() / n_patches as usize));
            whole.images.push(Patches::whole(own.to_vec(), Grid { t, h, w }));
            rest = after;
        }
        Self { name, tensors, whole }
    }

    fn expected(&self, key: &str) -> &Tensor {
        &self.tensors[&format!("{}.{key}", self.name)]
    }

    pub(crate) fn prompt(&self) -> EncodedPrompt {
        let n = self.whole.token_ids.len() - N_COMPLETION;
        let mut prompt = self.whole.clone();
        prompt.token_ids.truncate(n);
        prompt.positions.truncate(n);
        prompt
    }

    pub(crate) fn completion(&self) -> &[u32] {
        &self.whole.token_ids[self.whole.token_ids.len() - N_COMPLETION..]
    }

    /// The checkpoint of the case; `lora` is the adapter of a copy that names its base by an absolute path.
    pub(crate) fn policy(&self, trainable: bool) -> Policy {
        let kind = self.name.split('.').next().unwrap();
        if kind != "lora" {
            return Policy::load(&golden_dir().join(kind), &options(trainable)).unwrap();
        }
        Policy::load(adapter_copy("lora", "qwen2_vl").path(), &options(trainable)).unwrap()
    }
}

#[track_caller]
fn check_close(what: &str, got: &Tensor, expected: &Tensor) {
    let off = difference(got, expected);
    assert!(off <= 1e-4, "{what} off by {off}");
}

#[track_caller]
fn check_blocks(name: &'static str) {
    let case = Case::load(name);
    let trace = case.policy(false).trace(&case.whole).unwrap();
    for (idx, x) in trace.vision.iter().enumerate() {
        if let Some(expected) = case.tensors.get(&format!("{name}.vision.{idx}")) {
            check_close(&format!("vision block {idx}"), x, expected);
        }
    }
    for (idx, x) in trace.text.iter().enumerate() {
        check_close(&format!("text layer {idx}"), x, case.expected(&format!("text.{idx}")));
    }
    check_close("logits", &trace.logits.unwrap(), case.expected("logits"));
    let (prompt, completion) = (case.prompt(), case.completion());
    let group = PackedGroup { prompt: &prompt, completions: &[completion], inserted: &[] };
    let logprobs = case.policy(false).logprobs(&[group], 1.0).unwrap().logprobs;
    let loss = logprobs.mean_all().unwrap().neg().unwrap();
    check_close("loss", &loss, case.expected("loss"));
}

#[test]
fn every_block_of_qwen2_5_about_two_images_of_different_shape() {
    check_blocks("qwen2_5_vl.images")
}

#[test]
fn every_block_of_qwen2_5_about_a_video_and_an_image() {
    check_blocks("qwen2_5_vl.video")
}

#[test]
fn every_block_of_qwen2_5_about_a_strip() {
    check_blocks("qwen2_5_vl.strip")
}

#[test]
fn every_block_of_qwen2_5_without_an_image() {
    check_blocks("qwen2_5_vl.text")
}

#[test]
fn every_block_of_qwen2_about_two_images_of_different_shape() {
    check_blocks("qwen2_vl.images")
}

#[test]
fn every_block_of_qwen2_about_a_video_and_an_image() {
    check_blocks("qwen2_vl.video")
}

#[test]
fn every_block_of_qwen2_about_a_strip() {
    check_blocks("qwen2_vl.strip")
}

#[test]
fn every_block_with_an_adapter_that_peft_wrote() {
    check_blocks("lora.images")
}

#[track_caller]
fn check_gradients(name: &'static str) {
    let case = Case::load(name);
    let (prompt, completion) = (case.prompt(), case.completion());
    let group = PackedGroup { prompt: &prompt, completions: &[completion], inserted: &[] };
    let (loss, grads) = loss_and_grads(&case.policy(true), &[group]);
    assert!((loss - flat(case.expected("loss"))[0]).abs() <= 1e-4);
    let prefix = format!("{name}.grad.");
    let n_expected = case.tensors.keys().filter(|key| key.starts_with(&prefix)).count();
    assert_eq!(grads.len(), n_expected);
    for (parameter, grad) in &grads {
        let off = relative_difference(grad, case.expected(&format!("grad.{parameter}")));
        assert!(off <= 1e-3, "gradient of {parameter} off by {off}");
    }
}

#[test]
fn gradients_of_qwen2_5_about_images() {
    check_gradients("qwen2_5_vl.images")
}

#[test]
fn gradients_of_qwen2_5_about_a_video() {
    check_gradients("qwen2_5_vl.video")
}

#[test]
fn gradients_of_an_adapter_and_of_nothing_else() {
    check_gradients("lora.images")
}

/// Cached decoding: 64 tokens, each the one that transformers chooses by recomputing everything.
#[track_caller]
fn check_greedy(name: &'static str) {
    let case = Case::load(name);
    let mut session = case.policy(false).start(&[&case.prompt()], 1).unwrap();
    let expected = case.expected("greedy").to_dtype(DType::U32).unwrap();
    for (i, expected) in expected.to_vec1::<u32>().unwrap().into_iter().enumerate() {
        let best = session.logits().argmax(1).unwrap().to_vec1::<u32>().unwrap();
        assert_eq!(best, [expected], "token {i}");
        session.step(&best).unwrap();
    }
}

#[test]
fn greedy_tokens_of_qwen2_5() {
    check_greedy("qwen2_5_vl.images");
    check_greedy("qwen2_5_vl.video");
    check_greedy("qwen2_5_vl.strip");
    check_greedy("qwen2_5_vl.text");
}

#[test]
fn greedy_tokens_of_qwen2() {
    check_greedy("qwen2_vl.images");
    check_greedy("qwen2_vl.video");
    check_greedy("qwen2_vl.strip");
}
