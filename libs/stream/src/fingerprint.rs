//! Does a frame look like one that was seen before? A hash that changes little when the picture does.

use std::collections::VecDeque;

use image::RgbImage;
use image::imageops::{self, FilterType};

/// 64 bits: at 8 × 8 places, is it darker than to the right of it?
///
/// The "difference hash": light, contrast and scale leave it almost as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub u64);

impl Fingerprint {
    /// Computes the fingerprint of a picture of any size.
    pub fn of(image: &RgbImage) -> Self {
        let gray = imageops::grayscale(image);
        let small = imageops::resize(&gray, 9, 8, FilterType::Triangle);
        let level = |x, y| small.get_pixel(x, y).0[0];
        let mut bits = 0;
        for y in 0..8 {
            for x in 0..8 {
                bits = bits << 1 | u64::from(level(x, y) < level(x + 1, y));
            }
        }
        Self(bits)
    }

    /// Bits that differ, 0 to 64.
    pub fn distance(self, other: Self) -> u32 {
        (self.0 ^ other.0).count_ones()
    }
}

/// The newest fingerprints, up to a number of them.
#[derive(Debug, Clone, Default)]
pub struct Ring {
    newest: VecDeque<Fingerprint>,
    capacity: usize,
}

impl Ring {
    /// Creates a ring that remembers the newest `capacity` fingerprints.
    pub fn new(capacity: usize) -> Self {
        Self { newest: VecDeque::new(), capacity }
    }

    /// Whether a fingerprint that differs in at most `bits` bits is remembered.
    pub fn has_near(&self, fingerprint: Fingerprint, bits: u32) -> bool {
        self.newest.iter().any(|known| known.distance(fingerprint) <= bits)
    }

    /// Remembers one, and forgets the oldest if there is no room.
    pub fn push(&mut self, fingerprint: Fingerprint) {
        if self.newest.len() >= self.capacity {
            self.newest.pop_front();
        }
        if self.capacity > 0 {
            self.newest.push_back(fingerprint);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::scene;

    #[test]
    fn the_same_scene_is_near_and_another_is_far() {
        let print = |image: &RgbImage| Fingerprint::of(image);
        let one = scene(1, 200, 120);
        let darker = RgbImage::from_fn(200, 120, |x, y| {
            image::Rgb(one.get_pixel(x, y).0.map(|level| (f32::from(level) * 0.8) as u8))
        });
        let smaller = imageops::resize(&one, 100, 60, FilterType::Triangle);
        assert!(
            print(&one).distance(print(&darker)) <= 6,
            "{}",
            print(&one).distance(print(&darker))
        );
        assert!(print(&one).distance(print(&smaller)) <= 6);
        assert!(print(&one).distance(print(&scene(2, 200, 120))) > 12);
    }

    #[test]
    fn the_ring_forgets_the_oldest() {
        let mut ring = Ring::new(2);
        (0..3).for_each(|n| ring.push(Fingerprint(0xff << (16 * n))));
        assert!(!ring.has_near(Fingerprint(0xff), 6));
        assert!(ring.has_near(Fingerprint(0xff << 32 | 1), 6));
        assert!(!ring.has_near(Fingerprint(0), 6));
        let mut none = Ring::new(0);
        none.push(Fingerprint(1));
        assert!(!none.has_near(Fingerprint(1), 0));
    }
}
