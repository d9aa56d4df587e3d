//! From decoded pixels to patches, at the settings of the published Qwen2-VL.

use criterion::{Criterion, criterion_group, criterion_main};
use vrft_vision::{Pixels, Preprocessor};

fn patches(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().expect("temporary folder");
    std::fs::write(dir.path().join("preprocessor_config.json"), "{}").expect("writes");
    let preprocessor = Preprocessor::from_dir(dir.path()).expect("defaults");
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
