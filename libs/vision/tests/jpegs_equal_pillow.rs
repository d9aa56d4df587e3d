//! JPEG decoding against Pillow's, which is libjpeg-turbo's (`golden/make_patches.py`). Equal to the last bit.

use std::path::PathBuf;

use safetensors::SafeTensors;

fn golden(file: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    std::fs::read(folder.join(file)).expect("golden file")
}

#[track_caller]
fn check(name: &str) {
    let bytes = golden("patches.safetensors");
    let tensors = SafeTensors::deserialize(&bytes).expect("safetensors");
    let expected = tensors.tensor(&format!("jpeg.{name}")).expect("pixels");
    let pixels = vrft_vision::decode(&golden(&format!("jpeg/{name}.jpg"))).expect("decodes");
    assert_eq!(expected.shape(), [pixels.height, pixels.width, 3]);
    assert_eq!(expected.data(), pixels.rgb);
}

#[test]
fn every_way_to_thin_out_color() {
    check("444");
    check("422");
    check("420");
    check("420_progressive");
}

#[test]
fn other_colors() {
    check("gray");
    check("cmyk");
}

#[test]
fn turned_upright() {
    check("turned");
}

#[test]
fn damage_is_an_error_or_a_picture_and_never_a_panic() {
    let whole = golden("jpeg/420.jpg");
    for place in 2..whole.len() {
        let mut damaged = whole.clone();
        damaged[place] ^= 0xff;
        if let Err(error) = vrft_vision::decode(&damaged) {
            let message = error.to_string();
            assert!(message.contains("jpeg") || message.contains("pixel"), "{message}");
        }
    }
}

#[test]
fn a_header_that_asks_for_too_much_memory_is_refused() {
    let mut bytes = golden("jpeg/444.jpg");
    let frame = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).expect("a frame header");
    bytes[frame + 5..frame + 9].copy_from_slice(&[0xea, 0x60, 0xea, 0x60]);
    let message = vrft_vision::decode(&bytes).expect_err("60,000 × 60,000 pixels").to_string();
    assert!(message.starts_with("60000 × 60000 pixels are more than"), "{message}");
}
