//! Qwen3-VL, SmolVLM and Idefics3 against transformers and peft: blocks, logits, loss, the gradient of every parameter,
//! greedy tokens.
//!
//! Absolute error at most 1e-4 in f32, relative error of a gradient at most 1e-3 per tensor. Fixtures from
//! `tests/golden/make_models_by_family.py`, where a folder is a checkpoint; a family may have several of other shapes.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use vrft_model::{PackedGroup, Policy};
use vrft_processor::EncodedPrompt;
use vrft_vision::{Grid, Patches};

use crate::fixture::{
    adapter_copy, difference, flat, golden_dir, loss_and_grads, options, relative_difference,
};

const N_COMPLETION: usize = 9;

/// A conversation, and what transformers made of it.
pub(crate) struct Case {
    folder: &'static str,
    tensors: HashMap<String, Tensor>,
    /// Prompt and completion.
    pub(crate) whole: EncodedPrompt,
}

impl Case {
    pub(crate) fn load(folder: &'static str, name: &str) -> Self {
        let path = golden_dir().join(format!("{folder}.safetensors"));
        let all = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
        let own = |(key, tensor): (String, Tensor)| {
            Some((key.strip_prefix(&format!("{name}."))?.to_owned(), tensor))
        };
        let tensors: HashMap<String, Tensor> = all.into_iter().filter_map(own).collect();
        let integers = |key: &str| -> Vec<u32> {
            let tensor = tensors[key].to_dtype(DType::U32).unwrap();
            tensor.flatten_all().unwrap().to_vec1().unwrap()
        };
        let pixels = flat(&tensors["pixels"]);
        let positions = integers("positions").chunks(3).map(|p| [p[0], p[1], p[2]]).collect();
        let mut images = Vec::new();
        let mut rest = &pixels[..];
        let row_len = tensors["pixels"].dim(1).unwrap();
        for grid in integers("grids").chunks(3) {
            let [t, h, w] = [0, 1, 2].map(|axis| grid[axis] as usize);
            let (own, after) = rest.split_at(t * h * w * row_len);
            images.push(Patches::whole(own.to_vec(), Grid { t, h, w }));
            rest = after;
        }
        let whole = EncodedPrompt { token_ids: integers("input_ids"), positions, images };
        Self { folder, tensors, whole }
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

    pub(crate) fn policy(&self, trainable: bool) -> Policy {
        if let Some(base) = self.folder.strip_suffix("_lora") {
            let copy = adapter_copy(self.folder, base);
            return Policy::load(copy.path(), &options(trainable)).unwrap();
        }
        Policy::load(&golden_dir().join(self.folder), &options(trainable)).unwrap()
    }
}

#[track_caller]
fn check_close(what: &str, got: &Tensor, expected: &Tensor) {
    let off = difference(got, expected);
    assert!(off <= 1e-4, "{what} off by {off}");
}

#[track_caller]
fn check_forward(folder: &'static str, name: &str) {
    let case = Case::load(folder, name);
    let policy = case.policy(false);
    let trace = policy.trace(&case.whole).unwrap();
    for (part, blocks) in [("vision", &trace.vision), ("text", &trace.text)] {
        for (idx, x) in blocks.iter().enumerate() {
            let key = format!("{part}.{idx}");
            if let Some(expected) = case.tensors.get(&key) {
                check_close(&key, x, expected);
            }
        }
    }
    check_close("logits", &trace.logits.unwrap(), &case.tensors["logits"]);
    let prompt = case.prompt();
    let group = PackedGroup { prompt: &prompt, completions: &[case.completion()], inserted: &[] };
    let logprobs = policy.logprobs(&[group], 1.0).unwrap().logprobs;
    check_close("loss", &logprobs.mean_all().unwrap().neg().unwrap(), &case.tensors["loss"]);
}

#[track_caller]
fn check_gradients(folder: &'static str, name: &str) {
    let case = Case::load(folder, name);
    let prompt = case.prompt();
    let group = PackedGroup { prompt: &prompt, completions: &[case.completion()], inserted: &[] };
    let (loss, grads) = loss_and_grads(&case.policy(true), &[group]);
    assert!((loss - flat(&case.tensors["loss"])[0]).abs() <= 1e-4);
    let n_expected = case.tensors.keys().filter(|key| key.starts_with("grad.")).count();
    assert_eq!(grads.len(), n_expected);
    for (parameter, grad) in &grads {
        let expected = &case.tensors[&format!("grad.{parameter}")];
        let size = |tensor: &Tensor| flat(tensor).iter().fold(0.0, |a: f32, b| a.max(b.abs()));
        // Shifting all keys alike changes no softmax: the gradient of their bias is rounding and nothing else.
        if size(expected) < 1e-6 {
            assert!(size(grad) < 1e-6, "gradient of {parameter} should be nothing");
            continue;
        }
        let off = relative_difference(grad, expected);
        assert!(off <= 1e-3, "gradient of {parameter} off by {off}");
    }
}

/// Cached decoding: 64 tokens, each the one that transformers chooses by recomputing everything.
#[track_caller]
fn check_greedy(folder: &'static str, name: &str) {
    let case = Case::load(folder, name);
    let mut session = case.policy(false).start(&[&case.prompt()], 1).unwrap();
    let expected = case.tensors["greedy"].to_dtype(DType::U32).unwrap().to_vec1::<u32>().unwrap();
    assert_eq!(expected.len(), 64);
    for (i, expected) in expected.into_iter().enumerate() {
        let best = session.logits().argmax(1).unwrap().to_vec1::<u32>().unwrap();
        assert_eq!(best, [expected], "token {i}");
        session.step(&best).unwrap();
    }
}

#[test]
fn qwen3_vl_about_images_of_different_shape() {
    check_forward("qwen3_vl", "images");
    check_greedy("qwen3_vl", "images");
}

#[test]
fn qwen3_vl_about_a_video_and_an_image() {
    check_forward("qwen3_vl", "video");
    check_gradients("qwen3_vl", "video");
    check_greedy("qwen3_vl", "video");
}

#[test]
fn qwen3_vl_about_a_strip_and_about_nothing_to_see() {
    for name in ["strip", "text"] {
        check_forward("qwen3_vl", name);
        check_greedy("qwen3_vl", name);
    }
}

#[test]
fn qwen3_vl_with_features_after_every_decoder_layer() {
    check_forward("qwen3_vl_short", "images");
    check_gradients("qwen3_vl_short", "images");
    check_greedy("qwen3_vl_short", "images");
    check_forward("qwen3_vl_short", "video");
    check_greedy("qwen3_vl_short", "video");
}

#[test]
fn qwen3_vl_with_an_adapter_that_peft_wrote() {
    check_forward("qwen3_vl_lora", "images");
    check_gradients("qwen3_vl_lora", "images");
}

#[test]
fn smolvlm_about_pictures_in_tiles() {
    check_forward("smolvlm", "images");
    check_gradients("smolvlm", "images");
    check_greedy("smolvlm", "images");
}

#[test]
fn smolvlm_about_nothing_to_see() {
    check_forward("smolvlm", "text");
    check_greedy("smolvlm", "text");
}

#[test]
fn smolvlm_where_rounding_decides_the_positions() {
    check_forward("smolvlm_rounding", "images");
    check_gradients("smolvlm_rounding", "images");
    check_greedy("smolvlm_rounding", "images");
}

#[test]
fn smolvlm_with_an_adapter_that_peft_wrote() {
    check_forward("smolvlm_lora", "images");
    check_gradients("smolvlm_lora", "images");
}

#[test]
fn idefics3_about_a_picture_in_tiles() {
    check_forward("idefics3", "images");
    check_gradients("idefics3", "images");
    check_greedy("idefics3", "images");
}
