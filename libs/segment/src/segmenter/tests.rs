//! What the steps on the way to a mask compute, against transformers; and what is refused, with which words.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use vrft_checkpoint::{TensorFiles, write_tensors};

use super::*;
use crate::names::original;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/sam")
}

fn load(model: &Path) -> Result<Segmenter, SegmentError> {
    Segmenter::load(&SegmentConfig { model: model.to_owned(), best_of_three: false })
}

#[track_caller]
fn close(got: &Tensor, expected: &Value) {
    let got: Vec<f32> = got.flatten_all().unwrap().to_vec1().unwrap();
    let expected: Vec<f32> = serde_json::from_value(expected.clone()).unwrap();
    assert_eq!(got.len(), expected.len());
    for (idx, (got, expected)) in got.iter().zip(&expected).enumerate() {
        assert!((got - expected).abs() < 1e-4, "{idx}: {got} instead of {expected}");
    }
}

/// Every n-th of a side.
fn every(tensor: &Tensor, dim: usize, n: usize) -> Tensor {
    let side = tensor.dim(dim).unwrap();
    let kept: Vec<u32> = (0..side as u32).step_by(n).collect();
    let kept = Tensor::new(kept, &candle_core::Device::Cpu).unwrap();
    tensor.contiguous().unwrap().index_select(&kept, dim).unwrap()
}

fn cases() -> Vec<Value> {
    serde_json::from_str(include_str!("../../tests/golden/sam/expected.json")).unwrap()
}

fn picture(case: &Value) -> Pixels {
    let path = folder().join(case["picture"].as_str().unwrap());
    vrft_vision::decode(&std::fs::read(path).unwrap()).unwrap()
}

/// The same model, as a file with the names of the authors' program.
fn in_old_names(to: &Path) {
    let files = TensorFiles::open(&folder()).unwrap();
    let tensors = files.read(|name, view| {
        Ok::<_, vrft_checkpoint::CheckpointError>((
            original(name, 3),
            view.dtype(),
            view.shape().to_vec(),
            view.data().to_vec(),
        ))
    });
    let tensors = tensors.unwrap();
    let views = tensors.values().filter_map(|(name, dtype, shape, data)| {
        let view = safetensors(*dtype, shape, data);
        Some((name.clone()?, view))
    });
    write_tensors(to, views.collect::<BTreeMap<_, _>>()).unwrap();
}

fn safetensors<'a>(
    dtype: vrft_checkpoint::StoredDtype,
    shape: &[usize],
    data: &'a [u8],
) -> vrft_checkpoint::TensorView<'a> {
    vrft_checkpoint::TensorView::new(dtype, shape.to_vec(), data).unwrap()
}

#[test]
fn every_step_computes_what_transformers_does() {
    let segmenter = load(&folder()).unwrap();
    for case in cases() {
        let pixels = picture(&case);
        let tensor = segmenter.pixels.tensor(&pixels).unwrap();
        close(&every(&every(&tensor, 2, 5), 3, 7), &case["pixels"]);
        let sum = tensor.to_dtype(candle_core::DType::F64).unwrap().sum_all().unwrap();
        let (sum, expected) =
            (sum.to_scalar::<f64>().unwrap(), case["pixels_sum"].as_f64().unwrap());
        assert!((sum - expected).abs() < 1e-2, "{sum} instead of {expected}");
        let seen = segmenter.look(&pixels).unwrap();
        close(&seen.features, &case["features"]);
        let scaled: Vec<[f64; 4]> = serde_json::from_value(case["scaled_boxes"].clone()).unwrap();
        let features = seen.features.broadcast_add(segmenter.prompter.no_mask()).unwrap();
        let places = segmenter.prompter.patches().unwrap();
        let boxes = segmenter.prompter.boxes(&scaled).unwrap();
        let decoded = segmenter.decoder.decode(&features, &places, &boxes).unwrap();
        let first = decoded.logits.narrow(1, 0, 1).unwrap();
        close(&every(&every(&first, 2, 3), 3, 3), &case["low_logits"]);
        let others = decoded.logits.narrow(1, 1, 3).unwrap();
        close(&every(&every(&others, 2, 5), 3, 5), &case["three_logits"]);
        close(&decoded.iou.narrow(1, 1, 3).unwrap(), &case["three_iou"]);
    }
}

#[test]
fn the_authors_names_mean_the_same_model() {
    let old = tempfile::tempdir().unwrap();
    let file = old.path().join("sam_vit_tiny.safetensors");
    in_old_names(&file);
    let new = load(&folder()).unwrap();
    let case = &cases()[0];
    let boxes: Vec<[f64; 4]> = serde_json::from_value(case["boxes"].clone()).unwrap();
    let masks = |segmenter: &Segmenter| {
        let seen = segmenter.look(&picture(case)).unwrap();
        segmenter.segment(&seen, &boxes).unwrap()
    };
    let expected = masks(&new);
    // The file itself, and the folder that has it alone.
    assert_eq!(masks(&load(&file).unwrap()), expected);
    assert_eq!(masks(&load(old.path()).unwrap()), expected);
}

#[test]
fn a_box_outside_of_the_picture_is_refused_by_its_number() {
    let segmenter = load(&folder()).unwrap();
    let seen = segmenter.look(&picture(&cases()[0])).unwrap();
    let fine = [1.0, 2.0, 3.0, 4.0];
    for wrong in [
        [5.0, 1.0, 5.0, 9.0],
        [60.0, 1.0, 70.0, 9.0],
        [1.0, -9.0, 4.0, 0.0],
        [f64::NAN, 1.0, 2.0, 2.0],
    ] {
        let error = segmenter.segment(&seen, &[fine, wrong]).unwrap_err().to_string();
        assert!(error.starts_with("box 1 is [") && error.contains("50 x 37 pixels"), "{error}");
    }
    // What reaches beyond the picture is fine.
    assert_eq!(segmenter.segment(&seen, &[[-5.0, -5.0, 60.0, 20.0]]).unwrap().len(), 1);
}

/// The checkpoint with a change to one of its files.
#[track_caller]
fn refused(file: &str, change: impl Fn(&mut Value), words: &[&str]) {
    let copy = tempfile::tempdir().unwrap();
    for name in ["config.json", "processor_config.json", "model.safetensors"] {
        std::fs::copy(folder().join(name), copy.path().join(name)).unwrap();
    }
    let path = copy.path().join(file);
    let mut value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    change(&mut value);
    std::fs::write(&path, value.to_string()).unwrap();
    let error = load(copy.path()).err().unwrap().to_string();
    assert!(words.iter().all(|words| error.contains(words)), "{error}");
}

#[test]
fn another_model_is_refused_by_the_key_that_tells_it() {
    let config = |key: &str, value: Value, words: &[&str]| {
        let pointer = format!("/{key}");
        refused("config.json", |file| *file.pointer_mut(&pointer).unwrap() = value.clone(), words);
    };
    config("model_type", "sam2".into(), &["config.json: model_type should be \"sam\"", "got sam2"]);
    config("vision_config/hidden_act", "relu".into(), &["vision_config.hidden_act should be gelu"]);
    config("vision_config/mlp_dim", 63.into(), &["vision_config.mlp_dim should be 64, got 63"]);
    config("vision_config/patch_size", 7.into(), &["patch_size"]);
    config(
        "vision_config/num_hidden_layers",
        900_000.into(),
        &["vision_config.num_hidden_layers should be 2, as its tensors are"],
    );
    config("mask_decoder_config/iou_head_depth", 4.into(), &["iou_head_depth should be 3"]);
    config(
        "mask_decoder_config/attention_downsample_rate",
        1.into(),
        &["attention_downsample_rate should be 2"],
    );
    config(
        "vision_config/window_size",
        4.into(),
        &["layers.0.attn.rel_pos_h should have shape [7, 8], got [5, 8]"],
    );
    config(
        "prompt_encoder_config/hidden_size",
        32.into(),
        &["prompt_encoder_config.hidden_size should be 16"],
    );
}

#[test]
fn pictures_that_would_be_prepared_in_another_way_are_refused() {
    let settings = |key: &str, value: Value, words: &[&str]| {
        let pointer = format!("/image_processor/{key}");
        let change = |file: &mut Value| *file.pointer_mut(&pointer).unwrap() = value.clone();
        refused("processor_config.json", change, words);
    };
    settings("do_pad", false.into(), &["image_processor.do_pad should be true, got false"]);
    settings(
        "resample",
        3.into(),
        &["image_processor.resample should be 2, which is bilinear, got 3"],
    );
    settings(
        "size/longest_edge",
        1024.into(),
        &["image_processor.size.longest_edge should be the model's image_size, 64"],
    );
}

#[test]
fn what_is_not_there_is_named_with_what_should_be() {
    let error = load("no/such/sam/at/all".as_ref()).err().unwrap().to_string();
    assert!(
        error.contains("no/such/sam/at/all") && error.contains("facebook/sam-vit-base"),
        "{error}"
    );
    let empty = tempfile::tempdir().unwrap();
    let error = load(empty.path()).err().unwrap().to_string();
    assert!(error.contains("no config.json and 0 safetensors files"), "{error}");
    let tiny = tempfile::tempdir().unwrap();
    let data = [0; 4];
    let view = safetensors(vrft_checkpoint::StoredDtype::F32, &[1], &data);
    write_tensors(
        &tiny.path().join("mobile_sam.safetensors"),
        [("image_encoder.layers.0.bias", view)],
    )
    .unwrap();
    let error = load(tiny.path()).err().unwrap().to_string();
    assert!(error.contains("TinyViT (MobileSAM), which is not read"), "{error}");
}
