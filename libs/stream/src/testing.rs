//! Pictures by formula.

use image::{Rgb, RgbImage};

/// A scene of its own for each seed: smooth light with hard-edged blocks.
pub(crate) fn scene(seed: u64, width: u32, height: u32) -> RgbImage {
    let noise = |n: u64| {
        let mut z = seed
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .wrapping_add(n.wrapping_mul(0xd1b5_4a32_d192_ed03));
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z >> 40) as f32 / (1_u64 << 24) as f32
    };
    RgbImage::from_fn(width, height, |x, y| {
        let (u, v) = (x as f32 / width as f32, y as f32 / height as f32);
        let block = noise(1 + (u * 6.0) as u64 + 6 * (v * 6.0) as u64);
        let light = 0.3 + 0.4 * v + 0.2 * (u * 3.0 + 6.0 * noise(99)).sin().abs();
        let level = (255.0 * (0.25 * light + 0.65 * block)).clamp(0.0, 255.0);
        Rgb([level as u8, (level * 0.9) as u8, (level * noise(77)) as u8])
    })
}
