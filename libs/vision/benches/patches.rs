//! From decoded pixels to patches, at the settings of published models.

use criterion::{Criterion, criterion_group, criterion_main};
use vrft_vision::{Filter, ImageSettings, Pixels, Preprocessor, VideoSettings};

fn patches(criterion: &mut Criterion) {
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
        max_pixels: 1_003_520,
    };
    let video = VideoSettings { frame: frame.clone(), sampling: None, max_total_pixels: None };
    let preprocessor = Preprocessor::try_new(frame, video).expect("settings");
    for (width, height) in [(448, 448), (640, 480), (4000, 3000)] {
        let rgb = (0..width * height * 3).map(|i| (i * 7 % 256) as u8).collect();
        let pixels = Pixels::try_new(width, height, rgb).expect("size");
        criterion.bench_function(&format!("patches {width}x{height}"), |bencher| {
            bencher.iter(|| preprocessor.patches_of(&pixels).expect("patches"));
        });
    }
}

criterion_group!(benches, patches);
criterion_main!(benches);
