//! Patches under many settings against Hugging Face's image and video processors (`libs/vision/tests/golden/make_patches.py`).
//! Equal to the last bit: no tolerance.

use std::path::PathBuf;

use safetensors::SafeTensors;
use serde_json::Value;
use vrft_checkpoint::PolicyConfig;
use vrft_vision::{Clip, Grid, Pixels, Preprocessor, Video};

struct Golden {
    case: Value,
    frames: Vec<Pixels>,
    patches: Vec<f32>,
}

impl Golden {
    fn load(name: &str) -> Self {
        let cases = std::fs::read_to_string(golden("patches.json")).expect("golden file");
        let cases: Value = serde_json::from_str(&cases).expect("json");
        let bytes = std::fs::read(golden("patches.safetensors")).expect("golden file");
        let tensors = SafeTensors::deserialize(&bytes).expect("safetensors");
        let frames = tensors.tensor(&format!("{name}.frames")).expect("frames");
        let [_, height, width, _] = frames.shape() else { panic!("four axes") };
        let frame = |rgb: &[u8]| Pixels::try_new(*width, *height, rgb.to_vec()).expect("fits");
        let patches = tensors.tensor(&format!("{name}.patches")).expect("patches");
        let floats = patches.data().chunks_exact(4);
        Self {
            case: cases[name].clone(),
            frames: frames.data().chunks_exact(width * height * 3).map(frame).collect(),
            patches: floats.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
        }
    }

    /// A preprocessor of these settings, in the file that a video's or an image's would be in.
    fn preprocessor(&self, file: &str) -> Preprocessor {
        let dir = tempfile::tempdir().expect("temporary folder");
        std::fs::write(dir.path().join(file), self.case["settings"].to_string()).expect("writes");
        std::fs::write(dir.path().join("config.json"), r#"{"model_type": "qwen2_vl"}"#)
            .expect("writes");
        let config = PolicyConfig { path: dir.path().to_owned(), ..PolicyConfig::default() };
        vrft_processor::preprocessor(&config).expect("settings")
    }

    fn grid(&self) -> Grid {
        let side = |i: usize| self.case["grid"][i].as_u64().expect("a count") as usize;
        Grid { t: side(0), h: side(1), w: side(2) }
    }
}

fn golden(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../vision/tests/golden").join(file)
}

#[track_caller]
fn check_image(name: &str) {
    let golden = Golden::load(name);
    let preprocessor = golden.preprocessor("preprocessor_config.json");
    let patches = preprocessor.patches_of(&golden.frames[0]).expect("patches");
    assert_eq!(patches.grid, golden.grid());
    assert_eq!(patches.pixels, golden.patches);
}

#[track_caller]
fn check_video(name: &str) {
    let golden = Golden::load(name);
    let rate = golden.case["frames_per_second"].as_f64().expect("a rate");
    let video = Video::try_new(golden.frames.clone(), rate).expect("a video");
    let preprocessor = golden.preprocessor("preprocessor_config.json");
    let Clip { patches, seconds_per_grid, .. } = preprocessor.clip(&video).expect("patches");
    assert_eq!(patches.grid, golden.grid());
    assert_eq!(patches.pixels, golden.patches);
    assert_eq!(golden.case["seconds_per_grid"], seconds_per_grid);
}

#[test]
fn every_filter() {
    for filter in ["bicubic", "bilinear", "lanczos"] {
        check_image(&format!("{filter}_shrinks"));
        check_image(&format!("{filter}_grows"));
    }
}

#[test]
fn extreme_shapes() {
    check_image("ribbon");
    check_image("pillar");
    check_image("one_pixel");
}

#[test]
fn steps_that_are_left_out() {
    check_image("only_rescaled");
    check_image("only_normalized");
    check_image("as_they_are");
    check_image("not_resized");
}

#[test]
fn other_numbers() {
    check_image("other_mean");
    check_image("three_frames_merge");
}

#[test]
fn a_video_fills_its_last_patch_with_its_last_frame() {
    check_video("video_even");
    check_video("video_odd");
    check_video("video_of_one");
    check_video("video_three_at_a_time");
}

#[test]
fn the_frames_of_a_capped_video_share_the_pixels() {
    check_video("video_capped");
}

#[test]
fn frames_are_picked_by_rate_or_by_count() {
    check_video("video_by_rate");
    check_video("video_by_count");
}

#[test]
fn an_image_that_is_not_resized_must_fit_the_grid() {
    let golden = Golden::load("not_resized");
    let preprocessor = golden.preprocessor("preprocessor_config.json");
    let odd = Pixels::try_new(9, 16, vec![0; 9 * 16 * 3]).expect("pixels");
    let message = preprocessor.patches_of(&odd).expect_err("refused").to_string();
    assert_eq!(
        message,
        "sides should be multiples of 8 pixels, since do_resize is false, got 9 × 16"
    );
}

#[test]
fn a_line_of_pixels_is_refused() {
    let golden = Golden::load("ribbon");
    let preprocessor = golden.preprocessor("preprocessor_config.json");
    let line = Pixels::try_new(10_000, 1, vec![0; 30_000]).expect("pixels");
    let expected = "the longer side should be at most 200 times the shorter one, got 10000 × 1";
    let message = preprocessor.patches_of(&line).expect_err("refused").to_string();
    assert_eq!(message, expected);
    let video = Video::try_new(vec![line; 2], 1.0).expect("a video");
    assert_eq!(preprocessor.clip(&video).expect_err("refused").to_string(), expected);
}
