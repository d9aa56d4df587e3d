//! Patches against the pixel values of an image processor of Hugging Face's
//! (`libs/model/tests/golden/make_golden.py`). Equal to the last bit: no tolerance.

use std::path::PathBuf;

use safetensors::SafeTensors;
use vrft_checkpoint::PolicyConfig;
use vrft_vision::Grid;

fn golden(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../model/tests/golden").join(path)
}

#[track_caller]
fn check(image: &str, grid: Grid) {
    let config = PolicyConfig { path: golden("qwen2_vl"), ..PolicyConfig::default() };
    let preprocessor = vrft_processor::preprocessor(&config).expect("settings");
    let bytes = std::fs::read(golden(&format!("images/{image}.png"))).expect("image");
    let patches = preprocessor.patches(&bytes).expect("patches");
    assert_eq!(patches.grid, grid);
    assert_eq!(patches.row_len(), 3 * 2 * 8 * 8);
    assert_eq!(patches.pixels, expected(image));
}

fn expected(image: &str) -> Vec<f32> {
    let bytes = std::fs::read(golden("golden.safetensors")).expect("golden file");
    let tensors = SafeTensors::deserialize(&bytes).expect("safetensors");
    let view = tensors.tensor(&format!("patches.{image}")).expect("tensor");
    let floats = view.data().chunks_exact(4);
    floats.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

#[test]
fn an_image_that_shrinks() {
    check("wide", Grid { t: 1, h: 4, w: 8 });
}

#[test]
fn an_image_that_grows() {
    check("tall", Grid { t: 1, h: 6, w: 4 });
}

#[test]
fn an_image_that_is_rounded_to_the_grid() {
    check("near", Grid { t: 1, h: 4, w: 6 });
}
