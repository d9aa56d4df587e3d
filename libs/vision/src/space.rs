//! The spaces that coordinates live in.

/// How the numbers in an answer measure an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Space {
    /// Thousandths of the image's side, 0 to 1000: what Qwen2-VL was trained to say.
    Thousandths,
    /// Pixels of the image.
    Pixels,
}

impl Space {
    /// A coordinate in pixels, measured in this space along a side of `side` pixels.
    pub fn from_pixels(self, pixel: f64, side: usize) -> f64 {
        match self {
            Space::Thousandths => pixel * 1000.0 / side as f64,
            Space::Pixels => pixel,
        }
    }

    /// A coordinate of this space, in pixels along a side of `side` pixels.
    pub fn to_pixels(self, value: f64, side: usize) -> f64 {
        match self {
            Space::Thousandths => value * side as f64 / 1000.0,
            Space::Pixels => value,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_far_edge_is_a_thousand() {
        assert_eq!(Space::Thousandths.from_pixels(640.0, 640), 1000.0);
        assert_eq!(Space::Pixels.from_pixels(640.0, 640), 640.0);
    }

    #[test]
    fn there_and_back_is_where_it_was() {
        for space in [Space::Thousandths, Space::Pixels] {
            let there = space.from_pixels(123.0, 777);
            assert!((space.to_pixels(there, 777) - 123.0).abs() < 1e-9);
        }
    }
}
