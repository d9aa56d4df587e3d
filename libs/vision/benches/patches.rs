//! Images to patches, at the settings of the published Qwen2-VL: from decoded pixels, and from the bytes of a file.
//!
//! With `libs/messages/benches/images.rs` it shows why each node that needs patches makes them itself; the numbers are in
//! `docs/src/measurements.md`.

use criterion::{Criterion, criterion_group, criterion_main};
use image::codecs::jpeg::JpegEncoder;
use vrft_vision::{Filter, ImageSettings, Pixels, Preprocessor, VideoBounds, VideoSettings};

fn preprocessor() -> Preprocessor {
    let frame = ImageSettings {
        patch_size: 14,
        temporal_patch_size: 2,
        merge_size: 2,
        image_mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
        image_std: [0.268_629_54, 0.261_302_6, 0.275_777_1],
        rescale_factor: 1.0 / 255.0,
        do_resize: true,
        do_rescale: true,
        do_normalize: true,
        filter: Filter::Bicubic,
        min_pixels: 3136,
        max_pixels: 1344 * 1344,
        tiling: None,
    };
    let bounds = VideoBounds::EachFrame { max_total_pixels: None };
    let video = VideoSettings { frame: frame.clone(), sampling: None, bounds };
    Preprocessor::try_new(frame, video).expect("settings")
}

/// Colors that change slowly, with some grain: a JPEG of them is about as large as one of a photo.
fn photo(width: u32, height: u32) -> image::RgbImage {
    image::RgbImage::from_fn(width, height, |x, y| {
        let grain = (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(2_246_822_519)) >> 28;
        let wave = |a: u32, b: u32| {
            120.0 + 60.0 * (a as f32 / 37.0).sin() + 50.0 * (b as f32 / 91.0).cos()
        };
        image::Rgb([wave(x, y), wave(y, x), wave(x + y, y)].map(|v| v as u8 + grain as u8))
    })
}

fn patches(criterion: &mut Criterion) {
    let preprocessor = preprocessor();
    for (width, height) in [(448, 448), (640, 480), (4000, 3000)] {
        let rgb = (0..width * height * 3).map(|i| (i * 7 % 256) as u8).collect();
        let pixels = Pixels::try_new(width, height, rgb).expect("size");
        criterion.bench_function(&format!("patches {width}x{height}"), |bencher| {
            bencher.iter(|| preprocessor.patches_of(&pixels).expect("patches"));
        });
    }
}

fn files(criterion: &mut Criterion) {
    let preprocessor = preprocessor();
    for side in [448, 1344] {
        let photo = photo(side, side);
        let mut jpeg = Vec::new();
        JpegEncoder::new_with_quality(&mut jpeg, 90).encode_image(&photo).expect("encodes");
        let mut png = std::io::Cursor::new(Vec::new());
        photo.write_to(&mut png, image::ImageFormat::Png).expect("encodes");
        for (format, bytes) in [("jpeg", jpeg), ("png", png.into_inner())] {
            let n_values = preprocessor.patches(&bytes).expect("patches").pixels.len();
            let name = format!(
                "{format} {side}x{side}: {} kB to {} kB of patches",
                bytes.len() / 1000,
                n_values * size_of::<f32>() / 1000
            );
            criterion.bench_function(&name, |bencher| {
                bencher.iter(|| preprocessor.patches(&bytes).expect("patches"));
            });
        }
    }
}

criterion_group!(benches, patches, files);
criterion_main!(benches);
